#[path = "../benches/life/mod.rs"]
mod life;
use life::Life;
fn main() {
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut life = Life::new(16, 100_000, 64);
    for _ in 0..n {
        life.batch(64);
    }
    std::println!("{}", life.finished);
}

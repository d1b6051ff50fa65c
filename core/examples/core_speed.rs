//! How fast the core is on this machine, for a load of your choice:
//! `cargo run --release -p procession-core --example core_speed -- [partitions] [keys] [in flight]`.
#![allow(missing_docs, clippy::print_stdout)]

#[path = "../benches/life/mod.rs"]
mod life;

use std::time::Instant;

use life::{Bus, Life, Nothing, consumer};

fn main() {
    let mut numbers = std::env::args().skip(1).map_while(|a| a.parse().ok());
    let partitions: u32 = numbers.next().unwrap_or(16);
    let keys = numbers.next().map_or(100_000, u64::from);
    let in_flight = numbers.next().unwrap_or(64) as usize;
    let batches = numbers.next().unwrap_or(50_000);
    let with = time(consumer(partitions), partitions, keys, in_flight, batches);
    let without = time(Nothing::default(), partitions, keys, in_flight, batches);
    println!("{with:.1} ns a message, of which {without:.1} ns are the driver of this measurement");
}

fn time<B: Bus>(bus: B, partitions: u32, keys: u64, in_flight: usize, batches: u32) -> f64 {
    let mut life = Life::new(bus, partitions, keys, in_flight);
    // Tables full, blocks in rotation.
    for _ in 0..3_000 {
        life.batch(in_flight);
    }
    let (start, before) = (Instant::now(), life.finished);
    for _ in 0..batches {
        life.batch(in_flight);
    }
    start.elapsed().as_secs_f64() * 1e9 / (life.finished - before) as f64
}

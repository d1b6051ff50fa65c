//! Instructions of the core, counted by callgrind: `cargo bench -p procession-core --bench
//! instructions`. Repeatable, whatever else the machine does; CI holds the budget of 450 a message.
#![allow(missing_docs)]

mod life;

use gungraun::prelude::*;
use life::Life;

const IN_FLIGHT: usize = 64;

/// A consumer in its steady state: tables full, blocks in rotation.
fn warm(partitions: u64, keys: u64) -> Life {
    let mut life = Life::new(partitions, keys, IN_FLIGHT);
    for _ in 0..2_000 {
        life.batch(IN_FLIGHT);
    }
    life
}

#[library_benchmark]
#[bench::default_subscription(args = (16, 100_000), setup = |p, k| warm(p, k))]
fn thousand_batches(mut life: Life) -> u64 {
    for _ in 0..1_000 {
        life.batch(IN_FLIGHT);
    }
    life.finished
}

library_benchmark_group!(name = consumer; benchmarks = thousand_batches);
main!(library_benchmark_groups = consumer);

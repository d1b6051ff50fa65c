//! Wall clock of the core: `cargo bench -p procession-core --bench throughput`. The budget is 60 ns
//! a message (design goal 40 ns); machines are noisy, so the gate in CI counts instructions instead.
#![allow(missing_docs)]

mod life;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher};
use life::{Life, consumer};

/// Prints allocations beside the times, where there are any: there are none after the warm-up.
#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

const BATCHES: usize = 1_000;

fn run(bencher: Bencher<'_, '_>, partitions: u32, keys: u64, in_flight: usize) {
    let mut life = Life::new(consumer(partitions), partitions, keys, in_flight);
    for _ in 0..BATCHES * 2 {
        life.batch(in_flight);
    }
    bencher
        .counter(ItemsCount::new(BATCHES * 64))
        .bench_local(|| {
            for _ in 0..BATCHES {
                life.batch(in_flight);
            }
        });
}

#[divan::bench(args = [10, 1_000, 100_000, 1_000_000], sample_count = 40, sample_size = 1)]
fn keys(bencher: Bencher<'_, '_>, keys: u64) {
    // Never more with handlers than there are keys.
    run(bencher, 16, keys, (keys as usize / 2).min(64));
}

#[divan::bench(args = [1, 16, 1_000], sample_count = 40, sample_size = 1)]
fn partitions(bencher: Bencher<'_, '_>, partitions: u32) {
    run(bencher, partitions, 100_000, 64);
}

#[divan::bench(args = [64, 1_000, 8_000], sample_count = 40, sample_size = 1)]
fn in_flight(bencher: Bencher<'_, '_>, in_flight: usize) {
    run(bencher, 16, 100_000, in_flight);
}

//! Instructions of the core, counted by callgrind: `cargo bench -p procession-core --bench
//! instructions` (needs valgrind and `gungraun-runner`). Repeatable, whatever else the machine does:
//! this is the gate of the instructions of a message (ADR 0004).
#![allow(missing_docs)]

mod life;

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use life::{Life, Nothing, consumer};
use procession_core::Consumer;

const IN_FLIGHT: usize = 64;
const MESSAGES: u64 = 64_000;
/// What the core may cost for the whole life of a message. The goal is 400 (ADR 0004).
const CORE: u64 = 450;
/// What driving it costs at most: held by a benchmark of its own.
const DRIVING: u64 = 70;
/// What 1,000 partitions may cost more: each message begins a block of the window anew.
const SCATTERED: u64 = 10;

/// A bus in its steady state: tables full, blocks in rotation.
fn warm<B: life::Bus>(bus: B, partitions: u32, keys: u64) -> Life<B> {
    let mut life = Life::new(bus, partitions, keys, IN_FLIGHT);
    for _ in 0..3_000 {
        life.batch(IN_FLIGHT);
    }
    life
}

fn warm_core(partitions: u32, keys: u64) -> Life<Consumer<u64>> {
    warm(consumer(partitions), partitions, keys)
}

fn run<B: life::Bus>(mut life: Life<B>) -> Life<B> {
    let before = life.finished;
    while life.finished < before + MESSAGES {
        life.batch(IN_FLIGHT);
    }
    life
}

fn at_most(instructions: u64) -> LibraryBenchmarkConfig {
    LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions * MESSAGES)]))
        .clone()
}

#[library_benchmark(config = at_most(CORE + DRIVING))]
#[bench::default_subscription(args = (16, 100_000), setup = warm_core)]
#[bench::one_partition(args = (1, 100_000), setup = warm_core)]
#[bench::many_partitions(
    args = (1_000, 100_000),
    setup = warm_core,
    config = at_most(CORE + SCATTERED + DRIVING)
)]
#[bench::many_keys(args = (16, 1_000_000), setup = warm_core)]
fn core_and_driving(life: Life<Consumer<u64>>) -> Life<Consumer<u64>> {
    run(life)
}

#[library_benchmark(config = at_most(DRIVING))]
#[bench::nothing(args = (Nothing::default(), 16, 100_000), setup = warm)]
fn driving_alone(life: Life<Nothing>) -> Life<Nothing> {
    run(life)
}

library_benchmark_group!(
    name = budget;
    benchmarks = core_and_driving, driving_alone
);
main!(library_benchmark_groups = budget);

//! Instructions of the simulator, counted by callgrind: `cargo bench -p procession-sim --bench
//! instructions` (needs valgrind and `gungraun-runner`). Schedules and events a second hang on what
//! else the machine does; these do not, and time follows them (ADR 0015).
#![allow(missing_docs)]

use gungraun::prelude::*;
use gungraun::{Callgrind, EventKind};
use mimalloc::MiMalloc;
use procession_sim::{Flavour, Plan, Profile, run_plan};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const SEEDS: u64 = 300;
/// Events of these seeds. Where schedules change, they do.
const JETSTREAM: u64 = 177_131;
const KAFKA: u64 = 178_567;

/// What an event may cost, the checker and the making of worlds included: a fiftieth more than it does. So it is
/// 5.6 (JetStream) and 5.9 (Kafka) million a second and core on the machine of ADR 0015, in a quiet hour; the aim is 5.
fn at_most(instructions: u64, events: u64) -> LibraryBenchmarkConfig {
    LibraryBenchmarkConfig::default()
        .tool(Callgrind::default().hard_limits([(EventKind::Ir, instructions * events)]))
        .clone()
}

#[library_benchmark]
#[bench::jetstream(args = (Flavour::JetStream, JETSTREAM), config = at_most(1_700, JETSTREAM))]
#[bench::kafka(args = (Flavour::Kafka, KAFKA), config = at_most(1_620, KAFKA))]
fn core_level(model: Flavour, events: u64) -> u64 {
    let runs = (0..SEEDS).map(|seed| run_plan(Plan::on(seed, Profile::Mixed, Some(model))));
    let found = runs.map(|report| report.events).sum();
    assert_eq!(found, events, "other schedules: the limit is of these");
    found
}

library_benchmark_group!(
    name = budget;
    benchmarks = core_level
);
main!(library_benchmark_groups = budget);

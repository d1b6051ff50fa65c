//! How long the simulator takes to find each deliberate fault: what its runs are worth. Whoever changes
//! what a run is like (its length, how often faults strike) compares these figures before and after.
//!
//! `cargo run --release -p procession-sim --features mutants --example power -- [BATCHES] [SEEDS]`: each fault
//! is looked for in so many batches of seeds, in at most so many seeds of each. Figures are means over the
//! batches; those that were not found in a batch count as if it had been in its last seed.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;
use std::time::Instant;

use procession_sim::{CANARY, MUTANTS, Mutant, Plan, Profile, run_plan, with_mutant};

/// Seeds between the beginnings of two batches.
const APART: u64 = 1_000_000;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1).map(|a| a.parse::<u64>());
    let figure = |arg: Option<Result<u64, _>>, or| arg.unwrap_or(Ok(or)).ok().filter(|n| *n > 0);
    let (batches, seeds) = (figure(args.next(), 8), figure(args.next(), 2_000));
    let (Some(batches), Some(seeds)) = (batches, seeds) else {
        eprintln!(
            "usage: power [BATCHES] [SEEDS]: two numbers above 0, for example `power 8 2000`"
        );
        return ExitCode::from(2);
    };
    println!("fault      seeds         ms  not found in");
    let (mut sum, mut logs, mut faults) = (0.0, 0.0, 0.0);
    for mutant in MUTANTS.iter().filter(|m| m.number != CANARY) {
        let start = Instant::now();
        let found: Vec<Option<u64>> = (1..=batches)
            .map(|batch| hunt_from(mutant, batch * APART, seeds))
            .collect();
        let each = 1e3 / batches as f64;
        let ms = start.elapsed().as_secs_f64() * each;
        let run: u64 = found.iter().map(|f| f.map_or(seeds, |n| n + 1)).sum();
        let missed = found.iter().filter(|f| f.is_none()).count();
        let mean = run as f64 / batches as f64;
        println!("{:5} {mean:10.1} {ms:10.3}  {missed}", mutant.number);
        (sum, logs, faults) = (sum + ms, logs + ms.ln(), faults + 1.0);
    }
    let mean = (logs / faults).exp();
    println!("all: {sum:.0} ms; geometric mean {mean:.3} ms");
    ExitCode::SUCCESS
}

/// How many seeds from the first one on go by before the fault is noticed.
fn hunt_from(mutant: &Mutant, first: u64, seeds: u64) -> Option<u64> {
    with_mutant(mutant.number, || {
        (0..seeds).find(|n| {
            let plan = Plan {
                audit: false,
                ..Plan::new(first + n, Profile::Mixed)
            };
            run_plan(plan).verdict.is_some()
        })
    })
}

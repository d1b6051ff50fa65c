//! Runs seeds of the driver simulator: `procession-drive --seeds A..B`, or `--seed N` with its history.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use procession_sim_driver::{Outcome, Tally, describe, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let parsed = match arguments[..] {
        ["--seeds", range] => range
            .split_once("..")
            .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?))),
        ["--seed", seed] => seed.parse::<u64>().ok().map(|seed| (seed, seed + 1)),
        _ => None,
    };
    let Some((from, to)) = parsed else {
        eprintln!("usage: procession-drive --seeds A..B | --seed N");
        return ExitCode::from(2);
    };
    if to == from + 1 {
        let outcome = run(from);
        tell(from, &outcome);
        return verdict(outcome.breach.is_none());
    }
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let found = Mutex::new((Tally::default(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if to <= seed {
                        return;
                    }
                    let outcome = run(seed);
                    let mut found = found
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    found.0.add(&outcome.tally);
                    if let Some(breach) = outcome.breach {
                        found.1.push((seed, breach));
                    }
                }
            });
        }
    });
    let (tally, mut breaches) = found
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let seconds = began.elapsed().as_secs_f64();
    let seeds = to.saturating_sub(from);
    println!(
        "{seeds} seeds in {seconds:.1} s: {:.0} a second",
        seeds as f64 / seconds
    );
    println!("{tally:?}");
    breaches.sort_by_key(|(seed, _)| *seed);
    for (seed, breach) in breaches.iter().take(20) {
        println!("seed {seed}: {}: {}", breach.rule, breach.text);
    }
    if let Some((seed, _)) = breaches.first() {
        println!("{} seeds failed; the first:", breaches.len());
        tell(*seed, &run(*seed));
    }
    verdict(breaches.is_empty())
}

fn verdict(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The history of a run. Where nobody reads on, it stops.
fn tell(seed: u64, outcome: &Outcome) {
    let _ = write_history(&mut std::io::stdout().lock(), seed, outcome);
}

fn write_history(out: &mut impl Write, seed: u64, outcome: &Outcome) -> std::io::Result<()> {
    writeln!(out, "{}", describe(seed))?;
    let breach = outcome.breach.as_ref();
    for (index, event) in outcome.events.iter().enumerate() {
        let here = breach.is_some_and(|breach| breach.event == index);
        writeln!(out, "{}{event}", if here { "=> " } else { "   " })?;
    }
    writeln!(out, "seed {seed}: digest {:#018x}", outcome.digest)?;
    match breach {
        Some(breach) => writeln!(out, "seed {seed}: {}: {}", breach.rule, breach.text),
        None => Ok(()),
    }
}

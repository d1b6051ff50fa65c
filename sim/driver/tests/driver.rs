//! Seeds of the driver simulator, and proofs that it would notice.

use std::collections::BTreeSet;

use procession_sim_driver::{SABOTAGES, Tally, run, run_with};

const SEEDS: u64 = 300;

/// Seeds that once failed, and what it was. They stay, so that it stays mended.
const GUARDED: [(u64, &str); 4] = [
    (
        19,
        "the in-process broker's hook lost the last delivery of a grant, and nothing told of it",
    ),
    (
        189,
        "a release after a lapse said that it stored the commit it carried, and wrote the one before",
    ),
    (215, "the same, with another history"),
    (
        993,
        "a late release of an epoch ended the session and the commit of the one after it",
    ),
];

#[test]
fn hundreds_of_seeds_keep_the_promises() {
    let mut all = Tally::default();
    for seed in 0..SEEDS {
        let outcome = run(seed);
        assert!(
            outcome.breach.is_none(),
            "seed {seed}: {:?}",
            outcome.breach
        );
        all.add(&outcome.tally);
    }
    // Not an empty pass: everything that can happen did.
    assert!(
        all.missing().is_empty(),
        "never happened: {:?}",
        all.missing()
    );
    assert!(
        100 * SEEDS < all.attempts,
        "hardly anything happened: {all:?}"
    );
}

#[test]
fn seeds_that_failed_once_do_not_again() {
    for (seed, what) in GUARDED {
        let breach = run(seed).breach;
        assert!(breach.is_none(), "seed {seed} ({what}): {breach:?}");
    }
}

/// S11: on other threads, beside other runs.
#[test]
fn a_seed_is_the_same_run_again_and_on_any_thread() {
    let seeds = 0..24;
    let here: Vec<u64> = seeds.clone().map(|seed| run(seed).digest).collect();
    assert_eq!(here.iter().collect::<BTreeSet<_>>().len(), here.len());
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let seeds = seeds.clone();
            std::thread::spawn(move || seeds.map(|seed| run(seed).digest).collect::<Vec<_>>())
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().ok(), Some(here.clone()));
    }
}

/// S11: in another process, where addresses and the seeds of hash maps are others.
#[test]
fn a_seed_is_the_same_run_in_another_process() {
    let program = env!("CARGO_BIN_EXE_procession-drive");
    for seed in [3_u64, 7, 11, 100] {
        let output = std::process::Command::new(program)
            .args(["--seed", &seed.to_string()])
            .output();
        let output = output.map(|output| output.stdout).unwrap_or_default();
        let said = String::from_utf8_lossy(&output).into_owned();
        let digest = format!("seed {seed}: digest {:#018x}", run(seed).digest);
        assert!(said.contains(&digest), "{seed}: not {digest}");
    }
}

/// Positive controls: whatever is broken on purpose is found within so many seeds.
#[test]
fn every_sabotage_is_found() {
    for sabotage in SABOTAGES {
        let found = (0..40).find_map(|seed| run_with(seed, Some(sabotage)).breach);
        assert!(found.is_some(), "{sabotage:?} was not noticed");
    }
}

//! A mutant that the simulator does not catch is a defect of the simulator. In a process of its own:
//! a mutant is switched on for the whole of it.
#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used)]

use std::process::Command;

use procession_sim::{CANARY, MUTANTS, PROOFS, SMALL_MUTANTS, forgotten, hunt, hunt_small};

#[test]
fn every_mutant_is_caught() {
    let escaped: Vec<_> = MUTANTS.iter().filter(|m| hunt(m).is_none()).collect();
    assert!(escaped.is_empty(), "{escaped:?}");
}

#[test]
fn every_mutant_of_the_small_worlds_is_caught() {
    let escaped = SMALL_MUTANTS.iter().filter(|m| hunt_small(m).is_none());
    assert_eq!(escaped.collect::<Vec<_>>(), Vec::<&_>::new());
}

#[test]
fn every_rule_bites_or_is_said_not_to() {
    let failed = PROOFS.iter().filter_map(|p| Some((p, p.bites().err()?)));
    assert_eq!(failed.collect::<Vec<_>>(), []);
    assert_eq!(forgotten().collect::<Vec<_>>(), []);
}

#[test]
fn what_the_canary_breaks_is_reported() {
    let run = |mutant: u8| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_procession-sim"));
        let mutant = mutant.to_string();
        let output = command.args(["run", "--seeds", "0..1", "--mutant", &mutant]);
        let output = output.output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (status, told) = run(CANARY);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("seed 0: canary"), "{told}");
    assert!(told.ends_with("1 violations\n"), "{told}");
    let (status, told) = run(0);
    assert_eq!(status, Some(0), "{told}");
}

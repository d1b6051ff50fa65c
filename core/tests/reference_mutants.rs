//! The naive reference notices what is broken on purpose about suspects: see `consumer_reference.rs`.
#![cfg(feature = "mutants")]
#![allow(
    missing_docs,
    unreachable_pub,
    // Of the reference, only the comparison is needed here.
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

mod reference;

use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

/// The first difference, and after how many runs.
fn difference(runs: u32) -> Option<(u32, String)> {
    let mut runner = TestRunner::deterministic();
    for run in 1..=runs {
        let setup = reference::setups().new_tree(&mut runner).unwrap().current();
        let ops = reference::deaths().new_tree(&mut runner).unwrap().current();
        if let Err(what) = reference::compare(&setup, &ops) {
            return Some((run, what));
        }
    }
    None
}

#[test]
fn l3_what_is_broken_about_suspects_is_noticed() {
    for mutant in 220..=225 {
        procession_core::mutants::set(mutant);
        let found = difference(2_000);
        procession_core::mutants::set(0);
        let (runs, what) = found.unwrap_or_else(|| panic!("nobody notices mutant {mutant}"));
        println!("mutant {mutant}, run {runs}: {what}");
    }
}

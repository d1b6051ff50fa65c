//! A mutant that the simulator does not catch is a defect of the simulator. In a process of its own:
//! a mutant is switched on for the whole of it.
#![cfg(feature = "mutants")]

use procession_sim::{MUTANTS, hunt};

#[test]
fn every_mutant_is_caught() {
    let escaped: Vec<_> = MUTANTS.iter().filter(|m| hunt(m).is_none()).collect();
    assert!(escaped.is_empty(), "{escaped:?}");
}

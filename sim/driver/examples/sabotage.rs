//! Which promise each sabotage breaks, and from which seed on.
#![allow(clippy::print_stdout)]

use procession_sim_driver::{SABOTAGES, run_with};

fn main() {
    for sabotage in SABOTAGES {
        let hits: Vec<_> = (0..100)
            .filter_map(|seed| Some((seed, run_with(seed, Some(sabotage)).breach?)))
            .collect();
        let first = hits
            .first()
            .map(|(seed, breach)| format!("seed {seed}: {}: {}", breach.rule, breach.text));
        println!(
            "{sabotage:?}: {} of 100; {}",
            hits.len(),
            first.unwrap_or_default()
        );
    }
}

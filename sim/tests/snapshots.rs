//! S11: a core that goes on from a snapshot answers as one that never stopped, under other keys as well.

use procession_core::Mask;
use procession_sim::{Plan, Player, Profile, hash, record};

/// A salted hash that is the same on every machine.
fn salted(number: u128) -> u128 {
    let (low, high) = (number as u64, (number >> 64) as u64);
    let half = |part| u128::from(hash(17, part, low, high));
    half(0) << 64 | half(1)
}

#[test]
fn s11_cores_go_on_from_snapshots_bit_for_bit() {
    for seed in 0..150 {
        let tape = record(Plan::new(seed, Profile::Mixed));
        let mut player = Player::new(&tape.config).expect("a configuration that worked");
        let every = 1 + seed as usize % 40;
        for (index, (step, digest)) in tape.tape.steps.iter().zip(&tape.tape.digests).enumerate() {
            let played = player.step(step, false);
            assert_eq!(played.digest, *digest, "seed {seed}, step {index}");
            if index % every == 0 {
                let again = player.again(None);
                assert_eq!(again, Ok(()), "seed {seed}, step {index}");
            }
        }
    }
}

/// From a snapshot on, keys and identities may be replaced: answers do not depend on them.
#[test]
fn s11_answers_are_the_same_whatever_the_keys_are() {
    let mask = Mask::new(&salted);
    for seed in 0..150 {
        let tape = record(Plan::new(seed, Profile::Mixed));
        let steps = &tape.tape.steps;
        // What is restored from an earlier life is told under its own identities.
        let told =
            |step: &procession_sim::Step| matches!(step.call, procession_sim::Call::Import(..));
        let from = steps.iter().rposition(told).map_or(0, |at| at + 1);
        let from = from.max(steps.len() * (seed as usize % 10) / 10);
        let mut player = Player::new(&tape.config).expect("a configuration that worked");
        for (index, (step, digest)) in steps.iter().zip(&tape.tape.digests).enumerate() {
            if index == from {
                assert_eq!(player.again(Some(&mask)), Ok(()), "seed {seed}");
            }
            let mut step = step.clone();
            if index >= from {
                step.call.masked(&mask);
            }
            let played = player.step(&step, false);
            assert_eq!(
                played.digest, *digest,
                "seed {seed}, step {index}: {step:?}"
            );
        }
    }
}

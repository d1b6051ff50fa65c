//! `Consumer` against a naive reference: plain vectors and maps, no indices, no shared code. Both
//! are given the same operations, illegal ones included, and must say the same after each.
//!
//! Declared freedom, where the documentation leaves it open: in which order keys take turns (sets
//! are compared), and so who joins a lot of suspects (the reference does as the consumer does, if that was
//! allowed), when exactly within its bounds a commit or a handler's deadline falls due, when a
//! shut intake opens again, and when a full window refuses.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm
)]

mod reference;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_consumer_says_what_the_reference_says(
        setup in reference::setups(),
        ops in proptest::collection::vec(reference::ops(), 1..200),
    ) {
        reference::compare(&setup, &ops).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn s11_it_says_the_same_when_it_goes_on_from_snapshots(
        setup in reference::setups(),
        ops in proptest::collection::vec(reference::ops(), 1..200),
        every in 1_usize..12,
    ) {
        reference::compare_restored(&setup, &ops, every).map_err(TestCaseError::fail)?;
    }

    #[test]
    fn l3_it_suspects_what_the_reference_suspects(
        setup in reference::setups(),
        ops in reference::deaths(),
        every in prop_oneof![2 => Just(usize::MAX), 1 => 1_usize..12],
    ) {
        reference::compare_restored(&setup, &ops, every).map_err(TestCaseError::fail)?;
    }
}

/// What was compared in so many runs.
fn sampled<S: Strategy<Value = Vec<reference::Op>>>(runs: u32, ops: S) -> reference::Seen {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut seen = reference::Seen::default();
    for _ in 0..runs {
        let setup = reference::setups().new_tree(&mut runner).unwrap().current();
        let ops = ops.new_tree(&mut runner).unwrap().current();
        seen.add(&reference::compare(&setup, &ops).unwrap());
    }
    seen
}

/// The comparison itself must be able to fail, and must have something to compare.
#[test]
fn the_comparison_reaches_every_kind_of_output() {
    let mut seen = sampled(3_000, proptest::collection::vec(reference::ops(), 100..200));
    seen.add(&sampled(1_000, reference::deaths()));
    assert!(seen.all_positive(), "{seen:?}");
}

#[test]
fn l3_the_comparison_reaches_messages_that_are_given_up_as_suspects() {
    let seen = sampled(1_000, reference::deaths());
    let often = [
        seen.lots,
        seen.shared,
        seen.alone,
        seen.suspects,
        seen.ended,
    ];
    assert!(often.iter().all(|n| *n > 10), "{seen:?}");
    assert!(seen.used_up > 0, "{seen:?}");
}

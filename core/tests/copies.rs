//! Copies of a message that run beside it (S4).
#![allow(clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::*;

/// Handlers that began before the first of them was done are let finish; each of them is a success of the
/// same identity, which stays remembered, and is remembered once.
#[test]
fn s4_copies_that_run_at_once_are_one_success() {
    let mut bus = live(&config());
    // Keys of their own: nothing keeps one from running beside the other.
    let copy = |position| Arrival {
        identity: 7,
        ..arrival(position, position)
    };
    for position in 1..=4 {
        assert_eq!(bus.offer(at(0), copy(position)), Ok(Admit::Queued));
    }
    let running = drain_ready(&mut bus, at(0));
    assert_eq!(running.len(), 4);
    for (i, dispatch) in running.iter().enumerate() {
        bus.settle(at(1), dispatch.token, Outcome::Done).unwrap();
        bus.check_invariants().unwrap();
        let stats = bus.stats();
        assert_eq!(stats.identities, 1, "after {} of them", i + 1);
        let next = 10 + i as u64;
        assert_eq!(bus.offer(at(1), copy(next)), Ok(Admit::Duplicate), "{i}");
    }
    assert!(drain_ready(&mut bus, at(1)).is_empty());
}

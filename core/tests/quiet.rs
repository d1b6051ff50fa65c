//! `is_quiet` and `is_ready`: what they say is what the polls would say.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::{E1, P, at, config, drain_ready, offer};

#[test]
fn a_core_is_quiet_until_there_is_something_to_ask_for() {
    let mut bus = Consumer::<u64>::new(&config()).unwrap();
    assert!(bus.is_quiet() && !bus.is_ready());
    bus.open(at(0), P, E1, &Resume::default(), None);
    assert!(!bus.is_quiet(), "it wants a session");
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    assert!(bus.is_quiet());
    for position in 1..=2 {
        assert_eq!(offer(&mut bus, position, position), Admit::Queued);
    }
    assert!(
        bus.is_quiet() && bus.is_ready(),
        "what can start is no output"
    );
    let started = drain_ready(&mut bus, at(0));
    assert!(!bus.is_ready());
    bus.settle(at(1), started[0].token, Outcome::Done).unwrap();
    bus.settle(at(1), started[1].token, Outcome::Reject(2))
        .unwrap();
    assert!(!bus.is_quiet(), "a dead letter is to be stored");
    let token = bus.poll_dead_letter().unwrap().token;
    assert!(bus.is_quiet());
    bus.dead_letter_result(at(1), token, Receipt::Stored);
    bus.handle_timeout(at(10_000));
    assert!(!bus.is_quiet(), "progress is to be written");
    let commit = bus.poll_commit(at(10_000), &mut [0; 64]).unwrap();
    bus.commit_result(at(10_000), P, E1, commit.write, CommitResult::Stored);
    assert!(bus.is_quiet());
    bus.drain(at(10_000), at(20_000));
    assert!(!bus.is_quiet(), "it drains");
    let last = bus.poll_commit(at(10_000), &mut [0; 64]).unwrap();
    bus.commit_result(at(10_000), P, E1, last.write, CommitResult::Stored);
    assert!(bus.poll_release().is_some());
    assert!(!bus.is_quiet(), "the end of the drain is to be told");
    assert!(bus.poll_drained().is_some());
    assert!(bus.is_quiet());
}

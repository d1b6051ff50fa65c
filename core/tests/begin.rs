//! Where a group begins that has committed nothing (S9).
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::{E1, P, at};

fn opened(resume: &Resume<'_>) -> Consumer<u64> {
    let mut bus = Consumer::new(&Config::default()).unwrap();
    bus.open(at(0), P, E1, resume, None);
    bus.check_invariants().unwrap();
    bus
}

fn commit(bus: &mut Consumer<u64>) -> Option<Position> {
    bus.handle_timeout(at(1_000));
    let commit = bus.poll_commit(at(1_000), &mut [0; 64]);
    commit.map(|commit| commit.frontier)
}

/// The next owner would begin at the end of the log as it is then, behind what came meanwhile.
#[test]
fn s9_a_begin_that_is_not_recorded_is_committed_at_once() {
    let at_the_end = Resume {
        frontier: Some(Position(7)),
        log_end: Position(7),
        ..Resume::default()
    };
    assert_eq!(commit(&mut opened(&at_the_end)), Some(Position(7)));
    let recorded = Resume {
        recorded: Some(Incarnation(0)),
        ..at_the_end
    };
    assert_eq!(commit(&mut opened(&recorded)), None, "it is recorded");
    assert_eq!(
        commit(&mut opened(&Resume::default())),
        None,
        "the start is the start"
    );
}

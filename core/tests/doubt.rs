//! A log that may be another one: the frontier stands until a session has looked.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::*;

#[test]
fn s9_what_only_a_lost_session_vouched_for_is_not_committed() {
    let mut bus = live(&config());
    for position in [1, 5, 9] {
        let _ = offer(&mut bus, position, position);
    }
    let running = drain_ready(&mut bus, at(0));
    bus.broken(at(0), P, E1, Session(1));
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::CannotTell);
    // Everything is finished, and the holes between may hold messages now: the frontier stands.
    for dispatch in &running {
        bus.settle(at(0), dispatch.token, Outcome::Done).unwrap();
    }
    assert_eq!(bus.frontier(P), Some(Position(1)));
    assert_eq!(bus.stall(P).unwrap().state, StallState::Doubted);
    let (held, map) = commit(&mut bus, at(200)).unwrap();
    assert_eq!((held.frontier, map.len()), (Position(1), 0));
    bus.commit_result(at(200), P, E1, held.write, CommitResult::Stored);
    let start = bus.poll_session(at(200)).unwrap();
    bus.session(at(200), P, E1, start.session, Continuity::Continues);
    let in_session = |position| Arrival {
        session: start.session,
        ..arrival(position, position)
    };
    assert_eq!(bus.offer(at(200), in_session(1)), Ok(Admit::Replayed));
    assert_eq!(bus.frontier(P), Some(Position(1)));
    // The last message of the old session is gone: the next one shows that nothing else came.
    assert_eq!(bus.offer(at(200), in_session(12)), Ok(Admit::Queued));
    assert_eq!(bus.frontier(P), Some(Position(12)));
    let (moved, _) = commit(&mut bus, at(400)).unwrap();
    let anchor = moved.anchor.map(|a| a.position);
    assert_eq!((moved.frontier, anchor), (Position(12), Some(Position(9))));
}

#[test]
fn l1_a_doubt_ends_in_a_full_window() {
    let mut config = config();
    (config.window, config.window_pool) = (64, 256);
    let mut bus = live(&config);
    let mut last = 0;
    while bus.credit(P).messages > 0 {
        last += 1;
        assert_eq!(offer(&mut bus, last, last), Admit::Queued);
    }
    let running = drain_ready(&mut bus, at(0));
    bus.broken(at(0), P, E1, Session(1));
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::CannotTell);
    for dispatch in &running {
        bus.settle(at(0), dispatch.token, Outcome::Done).unwrap();
    }
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    assert!(bus.credit(P).messages > 0, "what comes again needs no room");
    let next = Arrival {
        session: start.session,
        ..arrival(last + 1, 1)
    };
    let refused = bus.offer(at(0), next.clone()).unwrap_err();
    assert_eq!(refused.why, Refusal::Window);
    assert_eq!(bus.frontier(P), Some(Position(1)), "a refused offer");
    bus.check_invariants().unwrap();
    assert_eq!(bus.poll_timeout().unwrap().at, at(0));
    bus.handle_timeout(at(0));
    assert_eq!(bus.frontier(P), Some(Position(last + 1)));
    assert_eq!(bus.offer(at(0), next), Ok(Admit::Queued));
    bus.check_invariants().unwrap();
}

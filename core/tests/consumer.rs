//! The consumer machine, scenario by scenario.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::*;

#[test]
fn s1_s2_one_of_a_key_runs_and_in_log_order() {
    let mut bus = live(&config());
    for (position, key) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        assert_eq!(offer(&mut bus, position, key), Admit::Queued);
    }
    let first = drain_ready(&mut bus, at(0));
    assert_eq!(first.iter().map(|d| d.message).collect::<Vec<_>>(), [1, 3]);
    bus.settle(at(0), first[0].token, Outcome::Done).unwrap();
    let second = drain_ready(&mut bus, at(0));
    assert_eq!(second.iter().map(|d| d.message).collect::<Vec<_>>(), [2]);
    bus.settle(at(0), second[0].token, Outcome::Retry(2))
        .unwrap();
    assert!(
        bus.poll_dispatch(at(0)).is_none(),
        "a retrying message keeps its key blocked"
    );
    let wake = bus.poll_timeout().unwrap();
    bus.handle_timeout(at(1_000));
    assert!(wake.at <= at(120));
    let again = bus.poll_dispatch(at(1_000)).unwrap();
    assert_eq!((again.message, again.attempt), (2, 2));
    bus.check_invariants().unwrap();
}

#[test]
fn s3_a_commit_covers_what_is_finished_without_a_hole_and_maps_the_rest() {
    let mut bus = live(&config());
    for position in 1..=5 {
        let _ = offer(&mut bus, position, position);
    }
    let running = drain_ready(&mut bus, at(0));
    for i in [0, 2, 3] {
        bus.settle(at(0), running[i].token, Outcome::Done).unwrap();
    }
    let (first, map) = commit(&mut bus, at(200)).unwrap();
    assert_eq!((first.frontier, first.write), (Position(2), 1));
    assert_eq!(
        first.anchor,
        Some(Anchor {
            position: Position(1),
            stamp: Stamp(10)
        })
    );
    assert_eq!(
        decode_map(&map, Position(2)).unwrap(),
        [(Position(3), Position(5))]
    );
    bus.settle(at(200), running[1].token, Outcome::Done)
        .unwrap();
    assert!(
        commit(&mut bus, at(900)).is_none(),
        "one commit of a partition is outstanding"
    );
    bus.commit_result(at(900), P, E1, 1, CommitResult::Unknown);
    let (second, _) = commit(&mut bus, at(9_000)).unwrap();
    assert_eq!((second.frontier, second.write), (Position(5), 2));
    assert_eq!(second.anchor.unwrap().position, Position(2));

    // The next owner starts at the anchor, and knows what is finished beyond the frontier.
    let resume = Resume {
        frontier: Some(first.frontier),
        anchor: first.anchor,
        map: &map,
        ..Resume::default()
    };
    let mut next: Consumer<u64> = Consumer::new(&config()).unwrap();
    let start = open(&mut next, E1, &resume);
    assert_eq!((start.at, start.expect), (Position(1), first.anchor));
    let admits: Vec<Admit> = (2..=5).map(|p| offer(&mut next, p, p)).collect();
    assert_eq!(
        admits,
        [
            Admit::Queued,
            Admit::Replayed,
            Admit::Replayed,
            Admit::Queued
        ]
    );
    next.check_invariants().unwrap();
}

/// The slowest message moves the frontier past others that were finished before it: of those the last
/// recognises the log. Were it the slowest, a tail that is lost and written again between the two would
/// be taken for finished.
#[test]
fn s9_the_anchor_is_the_last_message_where_all_are_finished() {
    let mut bus = live(&config());
    for position in 1..=5 {
        let _ = offer(&mut bus, position, position);
    }
    let running = drain_ready(&mut bus, at(0));
    for i in [1, 4, 2, 0] {
        bus.settle(at(0), running[i].token, Outcome::Done).unwrap();
    }
    // The fourth is still under way: of what is finished below it, this one is known.
    let (first, _) = commit(&mut bus, at(200)).unwrap();
    let anchor = |commit: &Commit| commit.anchor.map(|a| a.position);
    assert_eq!(
        (first.frontier, anchor(&first)),
        (Position(4), Some(Position(1)))
    );
    bus.commit_result(at(200), P, E1, 1, CommitResult::Stored);
    bus.settle(at(200), running[3].token, Outcome::Done)
        .unwrap();
    let (second, _) = commit(&mut bus, at(9_000)).unwrap();
    assert_eq!(
        (second.frontier, anchor(&second)),
        (Position(6), Some(Position(5)))
    );
}

#[test]
fn s4_copies_are_recognised_after_success_only() {
    let mut bus = live(&config());
    let copy = |position| Arrival {
        identity: 99,
        ..arrival(position, 1)
    };
    assert_eq!(bus.offer(at(0), copy(1)), Ok(Admit::Queued));
    assert_eq!(bus.offer(at(0), copy(2)), Ok(Admit::Queued));
    let first = bus.poll_dispatch(at(0)).unwrap();
    bus.settle(at(0), first.token, Outcome::Done).unwrap();
    assert!(bus.poll_dispatch(at(0)).is_none());
    assert_eq!(bus.poll_duplicate(at(0)).unwrap().position, Position(2));
    assert_eq!(bus.offer(at(0), copy(3)), Ok(Admit::Duplicate));
    assert_eq!(bus.frontier(P), Some(Position(4)));
    bus.check_invariants().unwrap();
}

#[test]
fn s5_after_a_release_nothing_starts_and_the_last_commit_was_answered() {
    let mut bus = live(&config());
    for position in 1..=3 {
        let _ = offer(&mut bus, position, 1);
    }
    let running = bus.poll_dispatch(at(0)).unwrap();
    bus.revoke(at(0), P, E1, at(800));
    assert!(bus.poll_release().is_none());
    bus.settle(at(1), running.token, Outcome::Done).unwrap();
    assert!(bus.poll_dispatch(at(1)).is_none());
    let (last, _) = commit(&mut bus, at(1)).unwrap();
    assert!(last.last && last.frontier == Position(2));
    assert!(bus.poll_release().is_none());
    bus.commit_result(at(2), P, E1, last.write, CommitResult::Stored);
    let release = bus.poll_release().unwrap();
    assert_eq!(
        (release.handed_back, release.abandoned, release.committed),
        (2, 0, true)
    );
    bus.check_invariants().unwrap();
}

#[test]
fn s1_s6_an_orphan_keeps_its_key_busy_and_its_success_is_remembered() {
    let mut bus = live(&config());
    let _ = offer(&mut bus, 1, 1);
    let old = bus.poll_dispatch(at(0)).unwrap();
    bus.lose(at(0), P, E1);
    assert_eq!(bus.poll_cancel(), Some(old.token));
    let start = open(&mut bus, Epoch(2), &Resume::default());
    let again = Arrival {
        epoch: Epoch(2),
        session: start.session,
        ..arrival(1, 1)
    };
    assert_eq!(bus.offer(at(0), again), Ok(Admit::Queued));
    assert!(
        bus.poll_dispatch(at(0)).is_none(),
        "the old handler still runs"
    );
    bus.settle(at(0), old.token, Outcome::Done).unwrap();
    assert!(bus.poll_dispatch(at(0)).is_none());
    assert!(bus.poll_duplicate(at(0)).is_some());
    assert_eq!(bus.settle(at(0), old.token, Outcome::Done), Err(Stale));
    bus.check_invariants().unwrap();
}

#[test]
fn s9_a_jump_starts_a_new_session_at_the_last_received_message() {
    let mut bus = live(&config());
    let numbered = |d, p| Arrival {
        delivery: Some(d),
        ..arrival(p, p)
    };
    assert_eq!(bus.offer(at(0), numbered(1, 10)), Ok(Admit::Queued));
    assert_eq!(bus.offer(at(0), numbered(3, 12)), Ok(Admit::Void));
    assert_eq!(bus.poll_notice().unwrap().kind, NoticeKind::Gap);
    let start = bus.poll_session(at(0)).unwrap();
    assert_eq!(
        start.expect,
        Some(Anchor {
            position: Position(10),
            stamp: Stamp(100)
        })
    );
    bus.session(
        at(0),
        P,
        E1,
        start.session,
        Continuity::Rewritten { from: Position(9) },
    );
    assert_eq!(bus.poll_notice().unwrap().kind, NoticeKind::LogRewritten);
    let start = bus.poll_session(at(0)).unwrap();
    assert_eq!(
        (start.epoch, start.at, start.expect),
        (Epoch(2), Position(9), None)
    );
    bus.check_invariants().unwrap();
}

#[test]
fn h3_the_gate_shuts_at_the_cap_and_opens_at_the_low_mark() {
    let mut config = config();
    config.limits.messages = 4;
    config.limits.low_water_percent = 50;
    let mut bus = live(&config);
    for position in 1..=4 {
        assert_eq!(offer(&mut bus, position, position), Admit::Queued);
    }
    let refused = bus.offer(at(0), arrival(5, 5)).unwrap_err();
    assert_eq!(refused.why, Refusal::Credit);
    assert_eq!(bus.poll_flow(), Some(Flow::Pause(P)));
    let running = drain_ready(&mut bus, at(0));
    bus.settle(at(0), running[0].token, Outcome::Done).unwrap();
    assert_eq!((bus.poll_flow(), bus.credit(P).messages), (None, 0));
    bus.settle(at(0), running[1].token, Outcome::Done).unwrap();
    assert_eq!(bus.poll_flow(), Some(Flow::Resume(P)));
    assert_eq!(bus.credit(P).messages, 2);
    bus.check_invariants().unwrap();
}

#[test]
fn a_dead_letter_holds_its_position_until_it_is_confirmed() {
    let mut config = config();
    config.retry.attempts = 1;
    let mut bus = live(&config);
    let _ = offer(&mut bus, 1, 1);
    let _ = offer(&mut bus, 2, 1);
    let first = bus.poll_dispatch(at(0)).unwrap();
    bus.settle(at(0), first.token, Outcome::Retry(1)).unwrap();
    let letter = bus.poll_dead_letter().unwrap();
    assert_eq!(
        (letter.why, letter.attempts, *letter.message),
        (Why::Exhausted, 1, 1)
    );
    let token = letter.token;
    bus.dead_letter_result(at(0), token, Receipt::NotStored);
    assert!(bus.poll_dead_letter().is_none());
    assert_eq!(bus.frontier(P), Some(Position(1)));
    bus.handle_timeout(at(500));
    let letter = bus.poll_dead_letter().unwrap();
    let token = letter.token;
    bus.dead_letter_result(at(500), token, Receipt::Stored);
    assert_eq!(bus.frontier(P), Some(Position(2)));
    assert_eq!(bus.poll_dispatch(at(500)).unwrap().message, 2);
    bus.check_invariants().unwrap();
}

#[test]
fn a_handler_timeout_asks_and_waits_then_names_the_stuck_one() {
    let mut bus = live(&config());
    let _ = offer(&mut bus, 1, 1);
    let first = bus.poll_dispatch(at(0)).unwrap();
    let wake = core::iter::from_fn(|| {
        let wake = bus.poll_timeout().unwrap();
        bus.handle_timeout(wake.at);
        Some(wake)
    })
    .find(|w| w.why == WakeReason::Handler)
    .unwrap();
    assert!(wake.at >= at(30_000) && wake.at < at(30_500));
    assert_eq!(bus.poll_cancel(), Some(first.token));
    bus.handle_timeout(bus.poll_timeout().unwrap().at);
    assert_eq!(bus.poll_notice().unwrap().kind, NoticeKind::HandlerStuck);
    bus.settle(at(60_000), first.token, Outcome::Cancelled(1))
        .unwrap();
    bus.handle_timeout(at(70_000));
    assert_eq!(bus.poll_dispatch(at(70_000)).unwrap().attempt, 2);
}

#[test]
fn a_lapsed_lease_hands_nothing_out_until_it_is_extended() {
    let mut bus = Consumer::new(&config()).unwrap();
    bus.open(
        at(0),
        P,
        E1,
        &Resume {
            log_end: Position(9),
            ..Resume::default()
        },
        Some(at(10)),
    );
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    let _ = offer(&mut bus, 1, 1);
    assert!(bus.poll_dispatch(at(10)).is_none());
    assert_eq!(bus.poll_notice().unwrap().kind, NoticeKind::LeaseLapsed);
    assert_eq!(
        bus.offer(at(11), arrival(2, 2)).unwrap_err().why,
        Refusal::Credit
    );
    bus.extend(at(11), P, E1, at(20));
    assert_eq!(bus.poll_dispatch(at(11)).unwrap().message, 1);
    bus.check_invariants().unwrap();
}

#[test]
fn l5_a_drain_ends_by_its_deadline_and_counts_what_it_left() {
    let mut bus = live(&config());
    let _ = offer(&mut bus, 1, 1);
    let _ = offer(&mut bus, 2, 1);
    let stuck = bus.poll_dispatch(at(0)).unwrap();
    bus.drain(at(0), at(800));
    bus.handle_timeout(at(600));
    assert_eq!(bus.poll_cancel(), Some(stuck.token));
    bus.handle_timeout(at(700));
    let (last, _) = commit(&mut bus, at(700)).unwrap();
    assert!(last.last);
    bus.handle_timeout(at(800));
    let release = bus.poll_release().unwrap();
    assert_eq!((release.abandoned, release.committed), (1, false));
    assert_eq!(
        bus.poll_drained(),
        Some(Drained {
            handed_back: 1,
            abandoned: 1
        })
    );
    assert_eq!(bus.poll_drained(), None);
    bus.settle(at(900), stuck.token, Outcome::Done).unwrap();
    bus.check_invariants().unwrap();
}

#[test]
fn s6_a_claim_that_catches_up_with_a_rewrite_opens_a_newer_epoch() {
    let mut bus = live(&config());
    let _ = offer(&mut bus, 1, 1);
    bus.broken(at(0), P, E1, Session(1));
    let start = bus.poll_session(at(0)).unwrap();
    let rewritten = Continuity::Rewritten { from: Position(1) };
    bus.session(at(0), P, E1, start.session, rewritten);
    assert_eq!(
        bus.epoch(P),
        Some(Epoch(2)),
        "the core counted up by itself"
    );
    // The record of the claim still said 1; its owner writes 2 and opens, without a loss between.
    let start = open(&mut bus, Epoch(2), &Resume::default());
    assert_eq!(start.epoch, Epoch(3));
    bus.lose(at(0), P, E1);
    assert_eq!(bus.epoch(P), Some(Epoch(3)), "the loss of an older epoch");
    bus.lose(at(0), P, Epoch(2));
    assert_eq!(bus.epoch(P), None);
    bus.check_invariants().unwrap();
}

#[test]
fn s9_an_anchor_that_is_gone_beyond_the_end_is_not_where_delivery_goes_on() {
    let mut bus: Consumer<u64> = Consumer::new(&config()).unwrap();
    let anchor = Anchor {
        position: Position(15),
        stamp: Stamp(150),
    };
    let resume = Resume {
        frontier: Some(Position(16)),
        anchor: Some(anchor),
        log_end: Position(12),
        ..Resume::default()
    };
    bus.open(at(0), P, E1, &resume, None);
    let start = bus.poll_session(at(0)).unwrap();
    assert_eq!(start.expect, Some(anchor));
    bus.session(at(0), P, E1, start.session, Continuity::CannotTell);
    let start = bus.poll_session(at(0)).unwrap();
    assert_eq!((start.at, start.expect), (Position(12), None));
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    let first = Arrival {
        session: start.session,
        ..arrival(12, 1)
    };
    assert_eq!(bus.offer(at(0), first), Ok(Admit::Queued));
    bus.check_invariants().unwrap();
}

#[test]
fn s6_a_second_attempt_has_another_token() {
    let mut bus = live(&config());
    let _ = offer(&mut bus, 1, 1);
    let first = bus.poll_dispatch(at(0)).unwrap();
    bus.settle(at(0), first.token, Outcome::Retry(1)).unwrap();
    bus.handle_timeout(at(1_000));
    let second = bus.poll_dispatch(at(1_000)).unwrap();
    let late = bus.settle(at(1_000), first.token, Outcome::Done);
    assert_eq!(late, Err(Stale), "the first attempt ended long ago");
    bus.settle(at(1_000), second.token, Outcome::Done).unwrap();
    bus.check_invariants().unwrap();
}

#[test]
fn l5_a_dead_letter_without_a_confirmation_is_handed_back() {
    let mut bus = live(&config());
    let bad = Arrival {
        quarantine: Some(Why::Malformed),
        ..arrival(1, 1)
    };
    assert_eq!(bus.offer(at(0), bad), Ok(Admit::Queued));
    assert!(bus.poll_dead_letter().is_some());
    bus.drain(at(0), at(800));
    bus.lose(at(0), P, E1);
    assert_eq!(bus.poll_drained().unwrap().handed_back, 1);
    bus.check_invariants().unwrap();
}

#[test]
fn s7_limits_cannot_be_raised_and_an_overdrawn_account_promises_nothing() {
    let mut config = config();
    config.limits.bytes = 400;
    let mut bus = live(&config);
    let more = Limits {
        bytes: 4_000,
        ..config.limits
    };
    bus.set_limits(at(0), &more);
    for position in 1..=4 {
        assert_eq!(offer(&mut bus, position, position), Admit::Queued);
    }
    let refused = bus.offer(at(0), arrival(5, 5)).unwrap_err();
    assert_eq!(refused.why, Refusal::Credit);
    let less = Limits {
        bytes: 200,
        ..config.limits
    };
    bus.set_limits(at(0), &less);
    bus.open(at(0), PartitionId(1), E1, &Resume::default(), None);
    let start = bus.poll_session(at(0)).unwrap();
    let other = PartitionId(1);
    bus.session(at(0), other, E1, start.session, Continuity::Continues);
    let first = Arrival {
        partition: other,
        session: start.session,
        ..arrival(1, 9)
    };
    assert_eq!(bus.credit(other).messages, 1, "one beyond the credit");
    assert_eq!(bus.offer(at(0), first), Ok(Admit::Queued));
    assert_eq!(bus.credit(other), Credit::default());
    bus.check_invariants().unwrap();
}

#[test]
fn s9_when_nobody_can_tell_delivery_goes_on_at_the_frontier() {
    let mut bus = live(&config());
    for position in [1, 5] {
        let _ = offer(&mut bus, position, position);
    }
    bus.broken(at(0), P, E1, Session(1));
    let start = bus.poll_session(at(0)).unwrap();
    assert_eq!((start.at, start.expect.is_some()), (Position(5), true));
    bus.session(at(0), P, E1, start.session, Continuity::CannotTell);
    let start = bus.poll_session(at(0)).unwrap();
    assert_eq!((start.at, start.expect), (Position(1), None));
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    let in_session = |position| Arrival {
        session: start.session,
        ..arrival(position, 1)
    };
    assert_eq!(bus.offer(at(0), in_session(1)), Ok(Admit::Replayed));
    // Where there was a hole, a message: the log was rewritten, and it runs.
    assert_eq!(bus.offer(at(0), in_session(3)), Ok(Admit::Void));
    assert_eq!(bus.poll_session(at(0)).unwrap().epoch, Epoch(2));
    bus.check_invariants().unwrap();
}

#[test]
fn a_hung_handler_is_given_up_where_its_owner_says_so() {
    let config = Config {
        on_hung: OnHung::Abandon,
        handler_timeout: Span::from_millis(100),
        cancel_grace: Span::from_millis(50),
        ..config()
    };
    let mut bus = live(&config);
    assert_eq!(offer(&mut bus, 1, 1), Admit::Queued);
    let hung = bus.poll_dispatch(at(0)).unwrap().token;
    bus.handle_timeout(at(110));
    assert_eq!((bus.poll_cancel(), bus.poll_abandon()), (Some(hung), None));
    bus.handle_timeout(at(160));
    assert_eq!(bus.poll_abandon(), Some(hung));
    let stuck = bus.poll_notice().unwrap();
    assert_eq!(stuck.kind, NoticeKind::HandlerStuck);
    // The adapter has a copy of the message.
    bus.settle(at(160), hung, Outcome::Cancelled(1)).unwrap();
    assert_eq!(bus.stats().failed, 1);
    bus.handle_timeout(at(1_000));
    let again = bus.poll_dispatch(at(1_000)).unwrap();
    assert_eq!((again.message, again.attempt), (1, 2));
    // What the old handler says is stale.
    assert_eq!(bus.settle(at(1_000), hung, Outcome::Done), Err(Stale));
    bus.settle(at(1_000), again.token, Outcome::Done).unwrap();
    assert_eq!(bus.frontier(P), Some(Position(2)));
    bus.check_invariants().unwrap();
}

#[test]
fn l3_a_full_window_is_told_before_anything_is_refused() {
    let mut config = config();
    (config.window, config.window_pool) = (64, 256);
    let mut bus = live(&config);
    let _ = offer(&mut bus, 1, 1);
    let stuck = bus.poll_dispatch(at(0)).unwrap();
    for position in 2.. {
        if bus.credit(P).messages == 0 {
            break;
        }
        assert_eq!(offer(&mut bus, position, position), Admit::Queued);
        let other = bus.poll_dispatch(at(0)).unwrap();
        bus.settle(at(0), other.token, Outcome::Done).unwrap();
    }
    let notice =
        core::iter::from_fn(|| bus.poll_notice()).find(|n| n.kind == NoticeKind::WindowFull);
    assert_eq!(notice.unwrap().position, Position(1));
    bus.settle(at(0), stuck.token, Outcome::Done).unwrap();
    assert!(bus.credit(P).messages > 0);
    bus.check_invariants().unwrap();
}

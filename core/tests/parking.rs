//! Parked keys, step by step.
#![allow(missing_docs, clippy::unwrap_used)]

use procession_core::*;

const P: PartitionId = PartitionId(0);

fn config(parked_keys: u32) -> Config {
    let backoff = Backoff {
        first: Span::ZERO,
        max: Span::ZERO,
        jitter_percent: 0,
    };
    Config {
        partitions: 1,
        parked_keys,
        commit: CommitCadence {
            messages: 1,
            backoff,
            ..Config::default().commit
        },
        ..Config::default()
    }
}

fn live(config: &Config, resume: &Resume<'_>) -> Consumer<u64> {
    let mut bus = Consumer::new(config).unwrap();
    bus.open(Time::ZERO, P, Epoch(1), resume, None);
    let start = bus.poll_session(Time::ZERO).unwrap();
    let found = Continuity::Continues;
    bus.session(Time::ZERO, P, start.epoch, start.session, found);
    bus
}

fn offer(bus: &mut Consumer<u64>, position: u64, key: u64) {
    let arrival = Arrival {
        partition: P,
        epoch: Epoch(1),
        session: Session(1),
        delivery: None,
        position: Position(position),
        stamp: Stamp(position),
        // All keys share one lane.
        lane: 1,
        key: Some(key.into()),
        identity: position.into(),
        bytes: 1,
        expires: None,
        sequence: None,
        quarantine: None,
        message: position,
    };
    assert_eq!(bus.offer(Time::ZERO, arrival), Ok(Admit::Queued));
}

/// Runs the next message, and ends it.
fn run(bus: &mut Consumer<u64>, reject: bool) -> Option<u64> {
    let dispatch = bus.poll_dispatch(Time::ZERO)?;
    let position = dispatch.message;
    let outcome = if reject {
        Outcome::Reject(position)
    } else {
        Outcome::Done
    };
    bus.settle(Time::ZERO, dispatch.token, outcome).unwrap();
    bus.check_invariants().unwrap();
    Some(position)
}

/// The next dead letter, confirmed.
fn bury(bus: &mut Consumer<u64>) -> Option<(u64, Why)> {
    let letter = bus.poll_dead_letter()?;
    let (token, said) = (letter.token, (*letter.message, letter.why));
    assert!(bus.poll_dead_letter().is_none(), "one of a key at a time");
    bus.dead_letter_result(Time::ZERO, token, Receipt::Stored);
    bus.check_invariants().unwrap();
    Some(said)
}

fn commit(bus: &mut Consumer<u64>) -> (Position, Vec<u8>) {
    let mut map = vec![0; 3_072];
    let commit = bus.poll_commit(Time::ZERO, &mut map).unwrap();
    map.truncate(commit.map_len);
    let stored = CommitResult::Stored;
    bus.commit_result(Time::ZERO, P, commit.epoch, commit.write, stored);
    (commit.frontier, map)
}

#[test]
fn s2_what_comes_after_a_dead_letter_of_a_parked_key_follows_it_and_others_run() {
    let mut bus = live(&config(2), &Resume::default());
    for (position, key) in [(1, 7), (2, 7), (3, 8), (4, 7)] {
        offer(&mut bus, position, key);
    }
    assert_eq!(run(&mut bus, true), Some(1));
    assert_eq!(run(&mut bus, false), None, "the key waits for its letter");
    assert_eq!(bury(&mut bus), Some((1, Why::Rejected)));
    assert_eq!(bury(&mut bus), Some((2, Why::Parked)));
    // A stranger that shares the lane is not parked.
    assert_eq!(run(&mut bus, false), Some(3));
    assert_eq!(bury(&mut bus), Some((4, Why::Parked)));
    assert_eq!(bus.frontier(P), Some(Position(5)));
    offer(&mut bus, 5, 7);
    assert_eq!(bury(&mut bus), Some((5, Why::Parked)));

    // The next owner knows it from the commit.
    let (frontier, map) = commit(&mut bus);
    let resume = Resume {
        frontier: Some(frontier),
        map: &map,
        log_end: Position(100),
        ..Resume::default()
    };
    let mut next = live(&config(2), &resume);
    let parked: Vec<_> = next.parked(P).collect();
    let key = ParkedKey {
        key: 7,
        since: Position(1),
        mode: ParkedMode::Follow,
    };
    assert_eq!(parked, [key]);
    offer(&mut next, 6, 7);
    assert_eq!(bury(&mut next), Some((6, Why::Parked)));
    assert!(next.release(Time::ZERO, 7) && !next.release(Time::ZERO, 7));
    offer(&mut next, 7, 7);
    assert_eq!(run(&mut next, false), Some(7));
    assert_eq!(commit(&mut next), (Position(8), Vec::new()));
}

#[test]
fn s9_messages_of_a_discarded_key_are_told_and_those_of_a_waiting_one_wait() {
    let mut bus = live(&config(2), &Resume::default());
    for position in 1..5 {
        offer(&mut bus, position, 7);
    }
    run(&mut bus, true);
    let letter = bus.poll_dead_letter().unwrap().token;
    assert!(bus.set_parked(Time::ZERO, 7, ParkedMode::Wait));
    bus.dead_letter_result(Time::ZERO, letter, Receipt::Stored);
    assert_eq!((run(&mut bus, false), bury(&mut bus)), (None, None));
    assert_eq!(bus.stall(P).unwrap().state, StallState::Waits);

    assert!(bus.set_parked(Time::ZERO, 7, ParkedMode::Discard));
    assert_eq!(bus.stall(P).unwrap().state, StallState::Passed);
    let passed = bus.poll_passed(Time::ZERO).unwrap();
    assert_eq!((passed.message, passed.why), (2, Why::Discarded));
    assert!(bus.set_parked(Time::ZERO, 7, ParkedMode::Wait));
    assert_eq!(bus.poll_passed(Time::ZERO).unwrap().message, 3, "set aside");
    assert!(bus.poll_passed(Time::ZERO).is_none());
    assert!(bus.release(Time::ZERO, 7));
    assert_eq!(run(&mut bus, false), Some(4));
    assert!(!bus.set_parked(Time::ZERO, 7, ParkedMode::Wait));
    assert_eq!(
        (bus.stats().passed, bus.frontier(P)),
        (2, Some(Position(5)))
    );
}

#[test]
fn s7_without_a_place_a_message_that_was_given_up_waits_and_is_told() {
    let mut bus = live(&config(1), &Resume::default());
    for (position, key) in [(1, 7), (2, 8), (3, 8)] {
        offer(&mut bus, position, key);
    }
    run(&mut bus, true);
    assert_eq!(bury(&mut bus), Some((1, Why::Rejected)));
    run(&mut bus, true);
    assert_eq!(bury(&mut bus), None);
    let stall = bus.stall(P).unwrap();
    let told = (stall.position, stall.state, stall.why);
    let crowded = (Position(2), StallState::Crowded, Some(Why::Rejected));
    assert_eq!(told, crowded);
    let notices = std::iter::from_fn(|| bus.poll_notice()).map(|n| (n.kind, n.count));
    assert_eq!(notices.collect::<Vec<_>>(), [(NoticeKind::ParkingFull, 1)]);
    assert!(bus.release(Time::ZERO, 7));
    assert_eq!(bury(&mut bus), Some((2, Why::Rejected)));
    assert_eq!(bury(&mut bus), Some((3, Why::Parked)));
    assert_eq!(bus.stats().parked_keys, 1);
}

#[test]
fn s2_a_commit_that_is_too_large_keeps_its_parked_keys() {
    let mut bus = live(&config(2), &Resume::default());
    for (position, key) in [(1, 9), (2, 7), (3, 9)] {
        offer(&mut bus, position, key);
    }
    // The first one runs on; of the others, one is given up beyond it.
    let first = bus.poll_dispatch(Time::ZERO).unwrap();
    assert_eq!(bus.frontier(P), Some(Position(1)));
    bus.settle(Time::ZERO, first.token, Outcome::Done).unwrap();
    run(&mut bus, true);
    bury(&mut bus);
    let mut short = vec![0; 40];
    assert!(bus.poll_commit(Time::ZERO, &mut short).is_none());
    let kinds = std::iter::from_fn(|| bus.poll_notice()).map(|n| n.kind);
    assert_eq!(kinds.collect::<Vec<_>>(), [NoticeKind::MapTooLarge]);
    let wake = bus.poll_timeout().unwrap().at;
    bus.handle_timeout(wake);
    let mut map = vec![0; 3_072];
    let commit = bus.poll_commit(wake, &mut map).unwrap();
    let told = decode_parked(&map[..commit.map_len], commit.frontier).unwrap();
    assert_eq!(told.iter().map(|k| k.key).collect::<Vec<_>>(), [7]);
}

#[test]
fn parking_needs_order_and_room_in_the_map() {
    let unordered = Config {
        order: Order::Unordered,
        ..config(1)
    };
    let cramped = Config {
        map_bytes: 48,
        ..config(1)
    };
    for config in [unordered, cramped] {
        assert_eq!(config.validate().unwrap_err().field, "parked_keys");
    }
    let tight = Config {
        map_bytes: 49,
        ..config(1)
    };
    tight.validate().unwrap();
}

//! Suspects, step by step: what starts when, and what is left behind.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::{E1, P, arrival, at, config, offer};

fn watched() -> Config {
    Config {
        suspects: 2,
        handler_timeout: Span::from_secs(5),
        ..config()
    }
}

fn open(bus: &mut Consumer<u64>, frontier: u64, map: &[u8]) {
    let resume = Resume {
        frontier: Some(Position(frontier)),
        recorded: Some(Incarnation(0)),
        map,
        log_end: Position(100),
        ..Resume::default()
    };
    bus.open(at(0), P, E1, &resume, None);
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
}

/// The next commit, answered; what it says of suspects.
fn commit(bus: &mut Consumer<u64>, now: Time, result: CommitResult) -> (Vec<u8>, bool, usize) {
    bus.handle_timeout(now);
    let mut map = vec![0; 3_072];
    let commit = bus.poll_commit(now, &mut map).unwrap();
    map.truncate(commit.map_len);
    bus.commit_result(now, P, E1, commit.write, result);
    bus.check_invariants().unwrap();
    let (anything, named) = decode_suspects(&map, commit.frontier).unwrap_or_default();
    (map, anything, named.len())
}

fn notices(bus: &mut Consumer<u64>) -> Vec<NoticeKind> {
    core::iter::from_fn(|| bus.poll_notice().map(|n| n.kind)).collect()
}

#[test]
fn nothing_starts_before_the_record_says_that_anything_may() {
    let mut bus = Consumer::new(&watched()).unwrap();
    open(&mut bus, 1, &[]);
    let _ = offer(&mut bus, 1, 1);
    assert!(bus.poll_dispatch(at(0)).is_none());
    let stall = bus.stall(P).unwrap();
    assert_eq!(stall.state, StallState::Suspected);
    // Not permitted, unknown, refused: it waits.
    let mut now = at(0);
    for result in [
        CommitResult::Denied,
        CommitResult::Unknown,
        CommitResult::Refused,
    ] {
        let (_, anything, _) = commit(&mut bus, now, result);
        assert!(anything);
        assert!(bus.poll_dispatch(now).is_none(), "{result:?}");
        now = now + Span::from_secs(10);
    }
    let _ = commit(&mut bus, now, CommitResult::Stored);
    assert_eq!(bus.poll_dispatch(now).unwrap().message, 1);
    assert!(!notices(&mut bus).contains(&NoticeKind::UncleanEnd));
}

#[test]
fn a_drain_leaves_nothing_behind() {
    let mut bus = Consumer::new(&watched()).unwrap();
    open(&mut bus, 1, &[]);
    let _ = offer(&mut bus, 1, 1);
    let _ = offer(&mut bus, 2, 2);
    let _ = commit(&mut bus, at(0), CommitResult::Stored);
    let first = bus.poll_dispatch(at(0)).unwrap();
    bus.drain(at(0), at(60_000));
    bus.settle(at(0), first.token, Outcome::Done).unwrap();
    let (map, anything, named) = commit(&mut bus, at(0), CommitResult::Stored);
    assert!(map.is_empty() && !anything && named == 0);
    assert!(bus.poll_release().unwrap().committed);
    let mut next = Consumer::new(&watched()).unwrap();
    open(&mut next, 2, &map);
    assert!(!notices(&mut next).contains(&NoticeKind::UncleanEnd));
}

#[test]
fn after_a_death_lots_run_and_everything_goes_on_behind_them() {
    let mut dead = Consumer::new(&watched()).unwrap();
    open(&mut dead, 1, &[]);
    let (map, ..) = commit(&mut dead, at(0), CommitResult::Stored);
    let mut bus = Consumer::new(&watched()).unwrap();
    open(&mut bus, 1, &map);
    assert!(notices(&mut bus).contains(&NoticeKind::UncleanEnd));
    for n in 1..=3 {
        let _ = offer(&mut bus, n, n);
    }
    assert!(bus.poll_dispatch(at(0)).is_none());
    let (_, anything, named) = commit(&mut bus, at(0), CommitResult::Stored);
    assert_eq!((anything, named), (false, 3));
    // What comes later waits for the next lot.
    let _ = offer(&mut bus, 4, 4);
    let lot: Vec<_> = core::iter::from_fn(|| bus.poll_dispatch(at(0))).collect();
    assert_eq!(lot.iter().map(|d| d.message).collect::<Vec<_>>(), [1, 2, 3]);
    for dispatch in lot {
        bus.settle(at(0), dispatch.token, Outcome::Done).unwrap();
        bus.check_invariants().unwrap();
    }
    assert!(bus.poll_dispatch(at(0)).is_none());
    assert_eq!(bus.stall(P).unwrap().state, StallState::Suspected);
    let (_, _, named) = commit(&mut bus, at(0), CommitResult::Stored);
    assert_eq!(named, 1);
    let last = bus.poll_dispatch(at(0)).unwrap();
    // A retry is no death: it runs in a lot of its own again.
    bus.settle(at(0), last.token, Outcome::Retry(4)).unwrap();
    let _ = commit(&mut bus, at(500), CommitResult::Stored);
    bus.handle_timeout(at(5_000));
    assert!(bus.poll_dispatch(at(5_000)).is_none());
    let _ = commit(&mut bus, at(5_000), CommitResult::Stored);
    assert_eq!(bus.poll_dispatch(at(5_000)).unwrap().attempt, 2);
}

#[test]
fn what_cannot_be_read_is_taken_for_an_unclean_end() {
    let mut bus = Consumer::new(&watched()).unwrap();
    open(&mut bus, 1, &[7; 30]);
    let told = notices(&mut bus);
    assert!(told.contains(&NoticeKind::UncleanEnd) && told.contains(&NoticeKind::MapIgnored));
}

#[test]
fn a_suspect_is_given_up_without_running_and_parks_its_key() {
    let parks = Config {
        parked_keys: 1,
        ..watched()
    };
    let mut map = Vec::new();
    // Among everything, among its lot, alone, and alone again.
    for life in 0..4 {
        let mut bus = Consumer::new(&parks).unwrap();
        open(&mut bus, 1, &map);
        let _ = offer(&mut bus, 1, 1);
        let _ = offer(&mut bus, 2, 2);
        assert!(bus.poll_dispatch(at(0)).is_none());
        (map, ..) = commit(&mut bus, at(0), CommitResult::Stored);
        assert_eq!(bus.poll_dispatch(at(0)).unwrap().message, 1, "life {life}");
    }
    let mut bus = Consumer::new(&parks).unwrap();
    open(&mut bus, 1, &map);
    for (n, key) in [(1, 1), (2, 2), (3, 1)] {
        let _ = bus.offer(at(0), arrival(n, key)).unwrap();
    }
    assert!(bus.poll_dispatch(at(0)).is_none());
    let letter = bus.poll_dead_letter().unwrap();
    assert_eq!(
        (letter.message, letter.why, letter.attempts),
        (&1, Why::Suspect, 0)
    );
    let token = letter.token;
    bus.dead_letter_result(at(0), token, Receipt::Stored);
    let letter = bus.poll_dead_letter().unwrap();
    assert_eq!((letter.message, letter.why), (&3, Why::Parked));
    // Whoever was of its lot is still accused, and runs alone.
    let (_, anything, named) = commit(&mut bus, at(0), CommitResult::Stored);
    assert_eq!((anything, named), (false, 1));
    assert_eq!(bus.poll_dispatch(at(0)).unwrap().message, 2);
}

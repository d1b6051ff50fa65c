//! Stalls that explain themselves (L3).
#![allow(missing_docs, clippy::unwrap_used)]

use procession_core::*;

const P: PartitionId = PartitionId(0);
const E1: Epoch = Epoch(1);

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn live() -> Consumer<u64> {
    let config = Config {
        partitions: 2,
        stall_after: Span::from_millis(1_000),
        retry: Retry {
            attempts: 2,
            backoff: Backoff {
                first: Span::from_millis(600),
                max: Span::from_millis(600),
                jitter_percent: 0,
            },
        },
        ..Config::default()
    };
    let mut bus = Consumer::new(&config).unwrap();
    bus.open(at(0), P, E1, &Resume::default(), None);
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    bus
}

fn offer(bus: &mut Consumer<u64>, now: Time, position: u64, key: u64) {
    let arrival = Arrival {
        partition: P,
        epoch: E1,
        session: Session(1),
        delivery: None,
        position: Position(position),
        stamp: Stamp(0),
        lane: key,
        key: Some(key.into()),
        identity: u128::from(position),
        bytes: 100,
        expires: None,
        sequence: None,
        quarantine: None,
        message: position,
    };
    assert_eq!(bus.offer(now, arrival).unwrap(), Admit::Queued);
}

fn notices(bus: &mut Consumer<u64>) -> Vec<(NoticeKind, u64)> {
    core::iter::from_fn(|| bus.poll_notice())
        .map(|n| (n.kind, n.position.0))
        .collect()
}

#[test]
fn l3_a_stall_names_who_holds_the_frontier_and_why_once() {
    let mut bus = live();
    assert_eq!(bus.stall(P), None, "nothing is held");
    offer(&mut bus, at(100), 1, 7);
    offer(&mut bus, at(100), 2, 8);
    let first = bus.poll_dispatch(at(200)).unwrap();
    let other = bus.poll_dispatch(at(200)).unwrap();
    bus.settle(at(300), other.token, Outcome::Done).unwrap();
    let stall = bus.stall(P).unwrap();
    assert_eq!((stall.position, stall.since), (Position(1), at(100)));
    assert_eq!((stall.state, stall.attempts), (StallState::Running, 1));
    assert!(!stall.reported && stall.until.is_some());

    bus.settle(at(900), first.token, Outcome::Retry(1)).unwrap();
    assert_eq!(bus.poll_timeout().unwrap().at, at(400), "the commit");
    bus.handle_timeout(at(1_099));
    assert_eq!(notices(&mut bus), [], "not yet");
    bus.handle_timeout(at(1_100));
    assert_eq!(notices(&mut bus), [(NoticeKind::Stalled, 1)]);
    let stall = bus.stall(P).unwrap();
    assert_eq!(stall.state, StallState::Retrying);
    assert_eq!((stall.until, stall.reported), (Some(at(1_500)), true));
    assert_eq!(bus.health().stalled, 1);
    assert_eq!(bus.health().oldest, Some(stall));
    bus.handle_timeout(at(1_499));
    assert_eq!(notices(&mut bus), [], "it is told once");

    // The second attempt fails as well: a dead letter holds the frontier until it is confirmed.
    bus.handle_timeout(at(1_500));
    let again = bus.poll_dispatch(at(1_500)).unwrap();
    bus.settle(at(1_500), again.token, Outcome::Retry(1))
        .unwrap();
    let stall = bus.stall(P).unwrap();
    assert_eq!(stall.state, StallState::DeadLetter);
    assert_eq!((stall.attempts, stall.why), (2, Some(Why::Exhausted)));
    let token = bus.poll_dead_letter().unwrap().token;
    bus.dead_letter_result(at(1_600), token, Receipt::Stored);
    assert_eq!(notices(&mut bus), [(NoticeKind::StallOver, 1)]);
    assert_eq!((bus.stall(P), bus.health().stalled), (None, 0));
    bus.check_invariants().unwrap();
}

#[test]
fn l3_a_frontier_that_moves_is_no_stall_and_a_lost_partition_ends_one() {
    let mut bus = live();
    for position in 1..=4 {
        offer(&mut bus, at(0), position, 7);
    }
    // Each one of the key takes most of the time that a stall needs.
    for now in [900, 1_800, 2_700] {
        let token = bus.poll_dispatch(at(now - 900)).unwrap().token;
        bus.settle(at(now), token, Outcome::Done).unwrap();
        bus.handle_timeout(at(now));
    }
    assert_eq!(notices(&mut bus), []);
    assert_eq!(bus.stall(P).unwrap().since, at(2_700));
    bus.handle_timeout(at(3_700));
    assert_eq!(notices(&mut bus), [(NoticeKind::Stalled, 4)]);
    assert_eq!(bus.stall(P).unwrap().state, StallState::Ready);
    bus.lose(at(3_800), P, E1);
    assert_eq!(notices(&mut bus), [(NoticeKind::StallOver, 4)]);
    assert_eq!(bus.health(), Health::default());
}

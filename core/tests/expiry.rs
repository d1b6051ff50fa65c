//! Messages whose time is over when their turn comes.
#![allow(missing_docs, clippy::unwrap_used)]

use procession_core::*;

const P: PartitionId = PartitionId(0);
const E1: Epoch = Epoch(1);

fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

fn config() -> Config {
    Config {
        partitions: 4,
        ..Config::default()
    }
}

/// A consumer with one open partition that delivers.
fn live(config: &Config) -> Consumer<u64> {
    let mut bus = Consumer::new(config).unwrap();
    let resume = Resume {
        log_end: Position(1_000),
        ..Resume::default()
    };
    bus.open(at(0), P, E1, &resume, None);
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, E1, start.session, Continuity::Continues);
    bus
}

fn arrival(position: u64, key: u64) -> Arrival<u64> {
    Arrival {
        partition: P,
        epoch: E1,
        session: Session(1),
        delivery: None,
        position: Position(position),
        stamp: Stamp(position * 10),
        lane: key,
        key: Some(key.into()),
        identity: u128::from(position) << 64 | 7,
        bytes: 100,
        expires: None,
        quarantine: None,
        message: position,
    }
}

#[test]
fn s9_what_has_expired_is_passed_over_in_its_turn_and_told() {
    for expired in [Expired::Run, Expired::Report, Expired::DeadLetter] {
        let config = Config {
            expired,
            ..config()
        };
        let mut bus = live(&config);
        // The first one waits for its second attempt when the time of both is over.
        for position in 1..=3 {
            let arrival = Arrival {
                expires: (position < 3).then_some(at(50)),
                ..arrival(position, 1)
            };
            assert_eq!(bus.offer(at(0), arrival), Ok(Admit::Queued));
        }
        let first = bus.poll_dispatch(at(0)).unwrap();
        bus.settle(at(49), first.token, Outcome::Retry(1)).unwrap();
        bus.handle_timeout(at(1_000));
        for position in 1..3 {
            let next = bus.poll_dispatch(at(1_000));
            let passed = bus.poll_passed(at(1_000)).map(|p| (p.message, p.why));
            let letter = bus.poll_dead_letter();
            let letter = letter.map(|l| (l.token, *l.message, l.why));
            assert_eq!(next.is_some(), expired == Expired::Run);
            let told = passed.or_else(|| letter.map(|l| (l.1, l.2)));
            let due = (expired != Expired::Run).then_some((position, Why::Expired));
            assert_eq!(told, due);
            if let Some((token, ..)) = letter {
                assert_eq!(bus.frontier(P), Some(Position(position)));
                bus.dead_letter_result(at(1_000), token, Receipt::Stored);
            }
            if let Some(next) = next {
                bus.settle(at(1_000), next.token, Outcome::Done).unwrap();
            }
            assert_eq!(bus.frontier(P), Some(Position(position + 1)));
        }
        assert_eq!(bus.poll_dispatch(at(1_000)).unwrap().message, 3);
        let expected = if expired == Expired::Run { 0 } else { 2 };
        assert_eq!(bus.stats().expired, expected);
        bus.check_invariants().unwrap();
    }
}

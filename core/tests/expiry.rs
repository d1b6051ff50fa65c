//! Messages whose time is over when their turn comes.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::*;

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

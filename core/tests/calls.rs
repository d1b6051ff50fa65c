//! Calls of several messages of one key, scenario by scenario.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::*;

fn calls(most: u32) -> Config {
    Config {
        batch_key: most,
        ..config()
    }
}

/// Positions 1 to `count` of key 7, and the call that begins with the first.
fn call(bus: &mut Consumer<u64>, count: u64) -> Vec<Dispatch<u64>> {
    for position in 1..=count {
        let _ = offer(bus, position, 7);
    }
    next_call(bus, at(1))
}

fn next_call(bus: &mut Consumer<u64>, now: Time) -> Vec<Dispatch<u64>> {
    let first = bus.poll_dispatch(now).unwrap();
    let token = first.token;
    let mut call = vec![first];
    call.extend(core::iter::from_fn(|| bus.poll_follow(now, token)));
    bus.check_invariants().unwrap();
    call
}

fn messages(call: &[Dispatch<u64>]) -> Vec<(u64, u32)> {
    call.iter().map(|d| (d.message, d.attempt)).collect()
}

fn settle(bus: &mut Consumer<u64>, now: u64, of: &Dispatch<u64>, outcome: Outcome<u64>) {
    bus.settle(at(now), of.token, outcome).unwrap();
    bus.check_invariants().unwrap();
}

fn frontier(bus: &Consumer<u64>) -> u64 {
    bus.frontier(P).unwrap().0
}

#[test]
fn a_call_gets_the_next_messages_of_its_key_and_no_more_than_it_may() {
    let mut bus = live(&calls(3));
    let _ = offer(&mut bus, 10, 8);
    let got = call(&mut bus, 0);
    assert_eq!(messages(&got), [(10, 1)], "nothing of another key");
    let mut bus = live(&calls(3));
    let got = call(&mut bus, 5);
    assert_eq!(messages(&got), [(1, 1), (2, 1), (3, 1)]);
    assert!(bus.poll_dispatch(at(1)).is_none(), "S1: the key is busy");
    assert!(got.iter().all(|d| d.deadline == got[0].deadline));
    assert_eq!(bus.stats().running, 3);
    let mut bus = live(&config());
    let got = call(&mut bus, 5);
    assert_eq!(messages(&got), [(1, 1)], "off, if nobody asks");
}

#[test]
fn s2_what_is_said_takes_effect_in_the_order_of_the_log() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 4);
    settle(&mut bus, 2, &got[2], Outcome::Handled(3));
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    assert_eq!((bus.stats().done, frontier(&bus)), (0, 1));
    settle(&mut bus, 2, &got[0], Outcome::Done);
    assert_eq!((bus.stats().done, frontier(&bus)), (3, 4));
    let _ = offer(&mut bus, 5, 7);
    assert!(
        bus.poll_dispatch(at(2)).is_none(),
        "S1: the call still runs"
    );
    assert!(bus.poll_follow(at(2), got[0].token).is_none(), "stale");
    settle(&mut bus, 2, &got[3], Outcome::Done);
    assert_eq!(frontier(&bus), 5);
    assert_eq!(messages(&next_call(&mut bus, at(2))), [(5, 1)]);
}

#[test]
fn s2_what_is_done_behind_a_failure_is_handed_out_again_and_costs_no_attempt() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 4);
    settle(&mut bus, 2, &got[0], Outcome::Done);
    settle(&mut bus, 2, &got[2], Outcome::Handled(3));
    settle(&mut bus, 2, &got[1], Outcome::Retry(2));
    assert_eq!(bus.stats().failed, 0, "the call still runs");
    bus.handle_timeout(at(10_000));
    assert!(bus.poll_dispatch(at(10_000)).is_none(), "S1");
    settle(&mut bus, 10_000, &got[3], Outcome::Reject(4));
    assert_eq!((bus.stats().done, bus.stats().failed), (1, 1));
    assert!(bus.poll_dead_letter().is_none(), "it was given back");
    bus.handle_timeout(at(60_000));
    let again = next_call(&mut bus, at(60_000));
    assert_eq!(messages(&again), [(2, 2), (3, 1), (4, 1)]);
    for of in &again {
        let stale = bus.settle(at(60_000), got[1].token, Outcome::Done);
        assert_eq!(stale, Err(Stale), "S6");
        settle(&mut bus, 60_000, of, Outcome::Done);
    }
    assert_eq!(frontier(&bus), 5);
}

#[test]
fn s2_behind_a_rejected_message_what_is_done_waits_for_the_dead_letter() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 3);
    settle(&mut bus, 2, &got[0], Outcome::Reject(1));
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    assert!(bus.poll_dead_letter().is_none(), "the call still runs");
    settle(&mut bus, 2, &got[2], Outcome::Handled(3));
    let token = bus.poll_dead_letter().unwrap().token;
    bus.dead_letter_result(at(3), token, Receipt::NotStored);
    bus.check_invariants().unwrap();
    assert_eq!((bus.stats().done, frontier(&bus)), (0, 1));
    bus.handle_timeout(at(60_000));
    let token = bus.poll_dead_letter().unwrap().token;
    bus.dead_letter_result(at(60_000), token, Receipt::Stored);
    bus.check_invariants().unwrap();
    assert_eq!((bus.stats().done, frontier(&bus)), (2, 4));
    assert_eq!(bus.stats().held, 0);
}

#[test]
fn s2_where_a_key_is_parked_what_is_behind_a_rejected_message_follows_it() {
    let mut bus = live(&Config {
        parked_keys: 2,
        ..calls(8)
    });
    let got = call(&mut bus, 2);
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    settle(&mut bus, 2, &got[0], Outcome::Reject(1));
    let token = bus.poll_dead_letter().unwrap().token;
    bus.dead_letter_result(at(3), token, Receipt::Stored);
    let letter = bus.poll_dead_letter().unwrap();
    assert_eq!(
        (letter.message, letter.why, letter.attempts),
        (&2, Why::Parked, 0)
    );
}

#[test]
fn a_message_that_is_only_called_done_must_be_the_first() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 2);
    let before = bus.stats();
    assert_eq!(bus.settle(at(2), got[1].token, Outcome::Done), Err(Stale));
    assert_eq!(bus.stats(), before);
    settle(&mut bus, 2, &got[0], Outcome::Done);
    settle(&mut bus, 2, &got[1], Outcome::Done);
    assert_eq!(bus.stats().done, 2, "it is the first one now");
}

#[test]
fn l3_a_timeout_is_that_of_the_whole_call() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 3);
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    bus.handle_timeout(got[0].deadline);
    let cancelled: Vec<_> = core::iter::from_fn(|| bus.poll_cancel()).collect();
    assert_eq!(cancelled, [got[0].token, got[2].token]);
    let now = got[0].deadline;
    bus.settle(now, got[0].token, Outcome::Cancelled(1))
        .unwrap();
    bus.settle(now, got[2].token, Outcome::Cancelled(3))
        .unwrap();
    bus.check_invariants().unwrap();
    assert_eq!(bus.stats().failed, 1, "of those behind, no attempt counts");
    bus.handle_timeout(now + Span::from_secs(60));
    let again = next_call(&mut bus, now + Span::from_secs(60));
    assert_eq!(messages(&again), [(1, 2), (2, 1), (3, 1)]);
}

#[test]
fn s1_s6_a_lost_call_keeps_its_key_busy_until_all_of_it_has_ended() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 3);
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    bus.lose(at(3), P, E1);
    bus.check_invariants().unwrap();
    assert_eq!(core::iter::from_fn(|| bus.poll_cancel()).count(), 2);
    let start = open(&mut bus, Epoch(2), &Resume::default());
    for position in 1..4 {
        let arrival = Arrival {
            epoch: start.epoch,
            session: start.session,
            ..arrival(position, 7)
        };
        let _ = bus.offer(at(4), arrival).unwrap();
    }
    // In any order, and by any outcome.
    settle(&mut bus, 5, &got[2], Outcome::Handled(3));
    assert!(
        bus.poll_dispatch(at(5)).is_none(),
        "S1: the first still runs"
    );
    settle(&mut bus, 5, &got[0], Outcome::Done);
    // S4: the first has succeeded in this process. Of the others nobody knows.
    assert!(bus.poll_dispatch(at(5)).is_none_or(|d| d.message != 1));
}

#[test]
fn s5_a_drain_waits_for_a_call_and_leaves_it_behind_in_the_end() {
    let mut bus = live(&calls(8));
    let got = call(&mut bus, 3);
    settle(&mut bus, 2, &got[0], Outcome::Retry(1));
    bus.drain(at(10), at(810));
    bus.handle_timeout(at(610));
    assert_eq!(core::iter::from_fn(|| bus.poll_cancel()).count(), 2);
    settle(&mut bus, 620, &got[1], Outcome::Handled(2));
    bus.handle_timeout(at(710));
    bus.check_invariants().unwrap();
    bus.handle_timeout(at(810));
    let release = bus.poll_release().unwrap();
    assert_eq!((release.abandoned, release.handed_back), (1, 2));
    assert_eq!(release.frontier, Position(1), "S3: nothing of it was done");
    settle(&mut bus, 900, &got[2], Outcome::Handled(3));
    assert_eq!(bus.stats().held, 0);
}

#[test]
fn s11_a_call_goes_on_from_a_snapshot() {
    let config = calls(8);
    let mut bus = live(&config);
    let got = call(&mut bus, 3);
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    let mut bytes = Vec::new();
    let write = |m: &u64, out: &mut Vec<u8>| out.extend(m.to_le_bytes());
    bus.snapshot(None, write, &mut bytes);
    let read = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
    let mut bus: Consumer<u64> = Consumer::restore(&config, &bytes, read).unwrap();
    assert_eq!(bus.outstanding().count(), 2);
    settle(&mut bus, 3, &got[2], Outcome::Handled(3));
    settle(&mut bus, 3, &got[0], Outcome::Done);
    assert_eq!((bus.stats().done, frontier(&bus)), (3, 4));
}

#[test]
fn calls_of_several_need_order_by_key() {
    let refused = |config: Config| Consumer::<u64>::new(&config).map(drop).unwrap_err().field;
    assert_eq!(refused(calls(0)), "batch_key");
    assert_eq!(refused(calls(257)), "batch_key");
    let order = Order::Unordered;
    assert_eq!(refused(Config { order, ..calls(2) }), "batch_key");
}

/// In order by sequence.
fn sequenced(most: u32) -> Config {
    Config {
        sequence: Some(SequenceOrder {
            keys: 8,
            hold_messages: 8,
            gap_timeout: Span::from_secs(1),
            on_gap: OnGap::GoOn,
        }),
        ..calls(most)
    }
}

/// Messages of key 7 with these numbers, one a position from `from` on.
fn offer_numbers(bus: &mut Consumer<u64>, from: u64, numbers: &[u64]) {
    for (position, &number) in (from..).zip(numbers) {
        let sequence = Some(number);
        let admit = bus.offer(
            at(1),
            Arrival {
                sequence,
                ..arrival(position, 7)
            },
        );
        assert_eq!(admit.unwrap(), Admit::Queued);
        bus.check_invariants().unwrap();
    }
}

#[test]
fn s2_a_call_gets_the_next_numbers_of_its_key_as_far_as_there_is_no_gap() {
    let mut bus = live(&sequenced(8));
    offer_numbers(&mut bus, 1, &[4, 6, 5, 8]);
    let got = next_call(&mut bus, at(1));
    assert_eq!(
        messages(&got),
        [(1, 1), (3, 1), (2, 1)],
        "4, 5, 6, and not 8"
    );
    offer_numbers(&mut bus, 5, &[7]);
    for of in &got {
        settle(&mut bus, 2, of, Outcome::Handled(of.message));
    }
    assert_eq!((bus.stats().done, bus.stats().gaps), (3, 0));
    let got = next_call(&mut bus, at(2));
    assert_eq!(messages(&got), [(5, 1), (4, 1)], "7 has come");
    for of in &got {
        settle(&mut bus, 3, of, Outcome::Handled(of.message));
    }
    assert_eq!(frontier(&bus), 6);
}

#[test]
fn s2_a_failure_in_a_call_holds_the_numbers_behind_it_up() {
    let mut bus = live(&sequenced(8));
    offer_numbers(&mut bus, 1, &[4, 5, 6]);
    let got = next_call(&mut bus, at(1));
    // What comes late, while they run, stands behind them.
    offer_numbers(&mut bus, 4, &[3, 7]);
    settle(&mut bus, 2, &got[2], Outcome::Handled(3));
    settle(&mut bus, 2, &got[0], Outcome::Handled(1));
    settle(&mut bus, 2, &got[1], Outcome::Retry(2));
    assert_eq!((bus.stats().done, bus.stats().failed), (1, 1));
    bus.handle_timeout(at(60_000));
    let again = next_call(&mut bus, at(60_000));
    assert_eq!(
        messages(&again),
        [(2, 2), (3, 1)],
        "nothing out of its order joins"
    );
    for of in &again {
        settle(&mut bus, 60_000, of, Outcome::Handled(of.message));
    }
    // Late, and handled by itself; what is next follows it.
    let late = next_call(&mut bus, at(60_000));
    assert_eq!(messages(&late), [(4, 1), (5, 1)]);
    assert_eq!(bus.stats().late, 1);
    for of in &late {
        settle(&mut bus, 60_000, of, Outcome::Handled(of.message));
    }
    assert_eq!((frontier(&bus), bus.stats().gaps), (6, 0));
}

/// What is late stands behind a call that runs, and some of that is given back: of those that are late, the
/// order of their numbers stays all the same, and of two with one number that of the log.
#[test]
fn s2_late_numbers_keep_their_order_behind_a_call_that_was_given_back() {
    let mut bus = live(&sequenced(8));
    offer_numbers(&mut bus, 1, &[4, 5]);
    let got = next_call(&mut bus, at(1));
    offer_numbers(&mut bus, 3, &[2]);
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    settle(&mut bus, 2, &got[0], Outcome::Retry(1));
    // The second of the call waits again, in front of the late one, and these come later.
    offer_numbers(&mut bus, 4, &[2, 3, 1]);
    bus.handle_timeout(at(60_000));
    let mut ran = Vec::new();
    while let Some(of) = bus.poll_dispatch(at(60_000)) {
        ran.push(of.message);
        settle(&mut bus, 60_000, &of, Outcome::Done);
    }
    assert_eq!(ran, [1, 6, 2, 3, 4, 5], "numbers 4, 1, 5, 2, 2 and 3");
}

/// What stood before the message that parked its key runs; what follows it by number, and stood behind, does not.
#[test]
fn s2_nothing_of_a_parked_key_joins_what_is_not_concerned() {
    let mut bus = live(&Config {
        parked_keys: 1,
        ..sequenced(8)
    });
    offer_numbers(&mut bus, 1, &[3]);
    let first = next_call(&mut bus, at(1));
    offer_numbers(&mut bus, 2, &[5, 4, 6]);
    settle(&mut bus, 2, &first[0], Outcome::Handled(1));
    let got = next_call(&mut bus, at(2));
    assert_eq!(messages(&got), [(3, 1), (2, 1), (4, 1)]);
    settle(&mut bus, 2, &got[0], Outcome::Reject(3));
    settle(&mut bus, 2, &got[1], Outcome::Handled(2));
    settle(&mut bus, 2, &got[2], Outcome::Handled(4));
    let letter = bus.poll_dead_letter().unwrap().token;
    bus.dead_letter_result(at(3), letter, Receipt::Stored);
    // Position 2 stood before 3.
    let got = next_call(&mut bus, at(3));
    assert_eq!(
        messages(&got),
        [(2, 1)],
        "position 4 follows to the dead letters"
    );
    settle(&mut bus, 3, &got[0], Outcome::Handled(2));
    let letter = bus.poll_dead_letter().unwrap();
    assert_eq!((*letter.message, letter.why), (4, Why::Parked));
}

/// A key that has stopped at a gap goes on with what was missing, and its gap is not passed beside it.
#[test]
fn s9_what_was_missing_joins_a_late_message_and_the_rest_of_the_gap_is_told() {
    let mut config = sequenced(8);
    config.sequence = config.sequence.map(|s| SequenceOrder {
        on_gap: OnGap::Stop,
        ..s
    });
    let mut bus = live(&config);
    offer_numbers(&mut bus, 1, &[4]);
    let got = next_call(&mut bus, at(1));
    settle(&mut bus, 1, &got[0], Outcome::Handled(1));
    offer_numbers(&mut bus, 2, &[9]);
    bus.handle_timeout(at(2_000));
    assert_eq!(
        bus.poll_gap(at(2_000)).map(|g| (g.expected, g.found)),
        Some((5, 9))
    );
    offer_numbers(&mut bus, 3, &[3]);
    offer_numbers(&mut bus, 4, &[5]);
    let got = next_call(&mut bus, at(2_000));
    assert_eq!(messages(&got), [(3, 1), (4, 1)], "3 is late, 5 is next");
    assert!(bus.pass_gap(at(2_000), P, 7), "5 is here");
    for of in &got {
        settle(&mut bus, 2_001, of, Outcome::Handled(of.message));
    }
    bus.handle_timeout(at(4_000));
    assert_eq!(
        bus.poll_gap(at(4_000)).map(|g| (g.expected, g.found)),
        Some((6, 9))
    );
}

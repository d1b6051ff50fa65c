//! Order by sequence, verdict by verdict and policy by policy.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::{E1, P, arrival, at, drain_ready};

fn ordered(on_gap: OnGap) -> Config {
    Config {
        partitions: 2,
        sequence: Some(SequenceOrder {
            keys: 8,
            hold_messages: 4,
            gap_timeout: Span::from_millis(100),
            on_gap,
        }),
        parked_keys: if on_gap == OnGap::Park { 2 } else { 0 },
        ..Config::default()
    }
}

fn live(on_gap: OnGap) -> Consumer<u64> {
    support::live(&ordered(on_gap))
}

/// Offers a message at `position`; its number is the position, its key 1.
fn offer_at(bus: &mut Consumer<u64>, now: u64, position: u64, sequence: Option<u64>) {
    offer_of(bus, now, position, 1, sequence);
}

fn offer_of(bus: &mut Consumer<u64>, now: u64, position: u64, key: u64, sequence: Option<u64>) {
    let arrival = Arrival {
        sequence,
        // All keys share one lane.
        lane: 5,
        ..arrival(position, key)
    };
    assert_eq!(bus.offer(at(now), arrival), Ok(Admit::Queued));
    bus.check_invariants().unwrap();
}

/// Sequences of one key, one position after the other.
fn feed(bus: &mut Consumer<u64>, sequences: &[u64]) {
    for (i, sequence) in sequences.iter().enumerate() {
        offer_at(bus, 0, 1 + i as u64, Some(*sequence));
    }
}

/// Runs everything that runs: positions in order.
fn run(bus: &mut Consumer<u64>, now: u64) -> Vec<u64> {
    let mut ran = Vec::new();
    while let Some(dispatch) = bus.poll_dispatch(at(now)) {
        ran.push(dispatch.position.0);
        bus.settle(at(now), dispatch.token, Outcome::Done).unwrap();
        bus.check_invariants().unwrap();
    }
    ran
}

fn copies(bus: &mut Consumer<u64>, now: u64) -> Vec<(u64, bool)> {
    let copies = core::iter::from_fn(|| bus.poll_duplicate(at(now)));
    let copies = copies.map(|c| (c.position.0, c.by_sequence)).collect();
    bus.check_invariants().unwrap();
    copies
}

fn gaps(bus: &mut Consumer<u64>, now: u64) -> Vec<(u64, u64, u64)> {
    bus.handle_timeout(at(now));
    bus.check_invariants().unwrap();
    let gaps = core::iter::from_fn(|| bus.poll_gap(at(now)));
    let gaps = gaps
        .map(|g| (g.position.0, g.expected, g.found))
        .collect::<Vec<_>>();
    bus.check_invariants().unwrap();
    gaps
}

fn notices(bus: &mut Consumer<u64>) -> Vec<(NoticeKind, u32)> {
    core::iter::from_fn(|| bus.poll_notice())
        .map(|n| (n.kind, n.count))
        .collect()
}

#[test]
fn s2_the_first_sequence_is_adopted_and_the_next_ones_are_accepted() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[7, 8, 9]);
    assert_eq!(run(&mut bus, 0), [1, 2, 3]);
    assert_eq!(bus.frontier(P), Some(Position(4)));
    assert_eq!((bus.stats().gaps, bus.stats().sequences), (0, 1));
}

#[test]
fn s2_what_is_ahead_waits_for_what_is_missing_and_runs_in_order_of_sequence() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 4, 3]);
    assert_eq!(run(&mut bus, 0), [1]);
    assert_eq!(bus.frontier(P), Some(Position(2)), "S3: it is held");
    assert_eq!(bus.stall(P).unwrap().state, StallState::Behind);
    assert_eq!(bus.stats().ahead, 2);
    offer_at(&mut bus, 50, 4, Some(2));
    assert_eq!(run(&mut bus, 50), [4, 3, 2]);
    assert_eq!(bus.frontier(P), Some(Position(5)));
    assert_eq!(gaps(&mut bus, 1_000), []);
}

#[test]
fn s4_what_is_behind_is_a_copy_and_told() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[3, 4, 3, 4, 5, 4]);
    assert_eq!(run(&mut bus, 0), [1]);
    assert_eq!(copies(&mut bus, 0), [(3, true)]);
    assert_eq!(run(&mut bus, 0), [2]);
    assert_eq!(copies(&mut bus, 0), [(4, true), (6, true)]);
    assert_eq!(run(&mut bus, 0), [5]);
    assert_eq!(notices(&mut bus), [(NoticeKind::SequenceBehind, 3)]);
    assert_eq!((bus.stats().behind, bus.stats().duplicates), (3, 0));
    assert_eq!(bus.frontier(P), Some(Position(7)));
}

#[test]
fn s9_a_gap_that_is_not_filled_is_told_and_passed() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 4]);
    offer_at(&mut bus, 60, 3, Some(8));
    assert_eq!(run(&mut bus, 60), [1]);
    let wake = bus.poll_timeout().unwrap();
    assert_eq!((wake.at, wake.why), (at(100), WakeReason::Retry));
    assert_eq!(gaps(&mut bus, 99), []);
    assert_eq!(gaps(&mut bus, 100), [(2, 2, 4)]);
    assert_eq!(run(&mut bus, 100), [2]);
    assert_eq!(
        gaps(&mut bus, 159),
        [],
        "each waits from its own arrival on"
    );
    assert_eq!(gaps(&mut bus, 160), [(3, 5, 8)]);
    assert_eq!(run(&mut bus, 160), [3]);
    let told = notices(&mut bus);
    assert!(told.contains(&(NoticeKind::SequenceGap, 2)), "{told:?}");
    // Late, and handled all the same; what was handled is a copy.
    offer_at(&mut bus, 170, 4, Some(5));
    offer_at(&mut bus, 170, 5, Some(8));
    assert_eq!(run(&mut bus, 170), [4]);
    assert_eq!(copies(&mut bus, 170), [(5, true)]);
    let told = notices(&mut bus);
    assert!(told.contains(&(NoticeKind::SequenceLate, 1)), "{told:?}");
    assert_eq!((bus.stats().late, bus.stats().behind), (1, 1));
}

/// Whether a number from before the key was adopted was ever handled, nobody knows: it runs (S9), and is
/// told once, however often it fails.
#[test]
fn s9_what_is_older_than_all_that_is_known_is_late_and_not_lost() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[7, 8]);
    assert_eq!(run(&mut bus, 0), [1, 2]);
    offer_at(&mut bus, 0, 3, Some(5));
    let late = bus.poll_dispatch(at(0)).unwrap();
    assert_eq!(late.position, Position(3));
    bus.settle(at(0), late.token, Outcome::Retry(3)).unwrap();
    bus.handle_timeout(at(1_000));
    assert_eq!(run(&mut bus, 1_000), [3]);
    assert_eq!(notices(&mut bus), [(NoticeKind::SequenceLate, 1)]);
    assert_eq!((bus.stats().late, bus.stats().behind), (1, 0));
    assert_eq!(bus.frontier(P), Some(Position(4)));
}

#[test]
fn what_comes_in_front_inherits_the_patience_of_what_waits() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 9]);
    assert_eq!(run(&mut bus, 0), [1]);
    offer_at(&mut bus, 90, 3, Some(5));
    offer_at(&mut bus, 95, 4, Some(7));
    assert_eq!(gaps(&mut bus, 100), [(3, 2, 5)]);
    assert_eq!(run(&mut bus, 100), [3]);
    assert_eq!(gaps(&mut bus, 100), [(4, 6, 7)]);
    assert_eq!(run(&mut bus, 100), [4]);
    assert_eq!(gaps(&mut bus, 100), [(2, 8, 9)]);
    assert_eq!(run(&mut bus, 100), [2]);
}

#[test]
fn s9_a_gap_that_is_filled_before_it_was_told_is_none() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 3]);
    assert_eq!(run(&mut bus, 0), [1]);
    bus.handle_timeout(at(100));
    offer_at(&mut bus, 100, 3, Some(2));
    assert_eq!(gaps(&mut bus, 100), []);
    assert_eq!(run(&mut bus, 100), [3, 2]);
}

#[test]
fn a_gap_parks_its_key_where_the_owner_says_so() {
    let mut bus = live(OnGap::Park);
    feed(&mut bus, &[1, 3, 4]);
    offer_of(&mut bus, 0, 4, 2, Some(1));
    assert_eq!(run(&mut bus, 0), [1]);
    assert_eq!(gaps(&mut bus, 100), [(2, 2, 3)]);
    let mut letters = Vec::new();
    while let Some(letter) = bus.poll_dead_letter() {
        let token = letter.token;
        letters.push((letter.position.0, letter.why));
        bus.dead_letter_result(at(100), token, Receipt::Stored);
        bus.check_invariants().unwrap();
    }
    assert_eq!(letters, [(2, Why::Gap), (3, Why::Parked)]);
    assert_eq!(run(&mut bus, 100), [4], "other keys go on");
    assert_eq!(bus.parked(P).count(), 1);
    // What was missing comes after all: it is not dropped, it follows.
    offer_at(&mut bus, 100, 5, Some(2));
    let letter = bus.poll_dead_letter().unwrap();
    let (token, why) = (letter.token, letter.why);
    assert_eq!(why, Why::Parked);
    bus.dead_letter_result(at(100), token, Receipt::Stored);
    assert!(bus.release(at(100), 1));
    offer_at(&mut bus, 100, 6, Some(5));
    assert_eq!(run(&mut bus, 100), [6], "it goes on behind what was parked");
}

#[test]
fn a_gap_stops_its_key_until_the_owner_passes_it() {
    let mut bus = live(OnGap::Stop);
    feed(&mut bus, &[1, 3]);
    offer_of(&mut bus, 0, 3, 2, Some(1));
    assert_eq!(run(&mut bus, 0), [1]);
    assert!(!bus.pass_gap(at(0), P, 1), "not stopped yet");
    assert_eq!(gaps(&mut bus, 100), [(2, 2, 3)]);
    assert_eq!(gaps(&mut bus, 10_000), [], "told once");
    assert_eq!(run(&mut bus, 10_000), []);
    assert_eq!(bus.stall(P).unwrap().state, StallState::Ahead);
    assert!(!bus.pass_gap(at(10_000), PartitionId(1), 1));
    assert!(bus.pass_gap(at(10_000), P, 1));
    bus.check_invariants().unwrap();
    // Both keys share a lane.
    assert_eq!(run(&mut bus, 10_000), [2, 3]);
}

/// What is passed lies before the first of those that are ahead, also while one that is late is in front of
/// it: the owner is not asked again.
#[test]
fn a_gap_that_is_passed_behind_a_late_message_is_not_told_again() {
    for settled_first in [false, true] {
        let mut bus = live(OnGap::Stop);
        feed(&mut bus, &[2, 4, 5]);
        assert_eq!(run(&mut bus, 0), [1]);
        assert_eq!(gaps(&mut bus, 100), [(2, 3, 4)]);
        offer_at(&mut bus, 100, 4, Some(1));
        let late = bus.poll_dispatch(at(100)).unwrap();
        assert_eq!(late.position, Position(4));
        let settle = |bus: &mut Consumer<u64>| {
            bus.settle(at(110), late.token, Outcome::Done).unwrap();
        };
        if settled_first {
            settle(&mut bus);
        }
        assert!(bus.pass_gap(at(110), P, 1));
        bus.check_invariants().unwrap();
        if !settled_first {
            settle(&mut bus);
        }
        assert_eq!(run(&mut bus, 120), [2, 3]);
        assert_eq!(gaps(&mut bus, 10_000), []);
    }
}

/// What is missing has come meanwhile, behind a late message: then nothing is passed.
#[test]
fn nothing_is_passed_where_nothing_is_missing_any_more() {
    let mut bus = live(OnGap::Stop);
    feed(&mut bus, &[2, 4]);
    assert_eq!(run(&mut bus, 0), [1]);
    assert_eq!(gaps(&mut bus, 100), [(2, 3, 4)]);
    offer_at(&mut bus, 100, 3, Some(1));
    let late = bus.poll_dispatch(at(100)).unwrap();
    offer_at(&mut bus, 100, 4, Some(3));
    bus.pass_gap(at(100), P, 1);
    bus.settle(at(110), late.token, Outcome::Done).unwrap();
    assert_eq!(run(&mut bus, 120), [4, 2]);
    // All from 2 on are known to be passed: another one is a copy, not late.
    offer_at(&mut bus, 130, 5, Some(3));
    assert_eq!(run(&mut bus, 130), []);
    assert_eq!(copies(&mut bus, 130), [(5, true)]);
}

#[test]
fn a_stopped_key_goes_on_when_what_is_missing_comes() {
    let mut bus = live(OnGap::Stop);
    feed(&mut bus, &[1, 3]);
    assert_eq!(run(&mut bus, 0), [1]);
    assert_eq!(gaps(&mut bus, 100), [(2, 2, 3)]);
    offer_at(&mut bus, 200, 3, Some(2));
    assert_eq!(run(&mut bus, 200), [3, 2]);
    assert!(!bus.pass_gap(at(200), P, 1));
}

#[test]
fn s7_what_is_held_is_bounded() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 3, 4, 5, 6]);
    assert_eq!(run(&mut bus, 0), [1]);
    assert_eq!(bus.stats().ahead, 4);
    assert_eq!(gaps(&mut bus, 0), []);
    offer_at(&mut bus, 0, 6, Some(7));
    assert_eq!(bus.stats().ahead, 0);
    assert_eq!(gaps(&mut bus, 0), [(2, 2, 3)]);
    assert_eq!(run(&mut bus, 0), [2, 3, 4, 5, 6]);
}

#[test]
fn l1_a_partition_that_can_take_nothing_in_does_not_wait() {
    let config = Config {
        limits: Limits {
            partition_messages: 3,
            ..Config::default().limits
        },
        ..ordered(OnGap::GoOn)
    };
    let mut bus = support::live(&config);
    feed(&mut bus, &[1, 3, 4]);
    let dispatch = drain_ready(&mut bus, at(0)).pop().unwrap();
    let next = Arrival {
        sequence: Some(5),
        lane: 5,
        ..arrival(4, 1)
    };
    let offer = |bus: &mut Consumer<u64>| bus.offer(at(0), next.clone()).is_ok();
    assert!(!offer(&mut bus));
    assert_eq!(gaps(&mut bus, 0), [], "one runs");
    bus.settle(at(0), dispatch.token, Outcome::Done).unwrap();
    assert!(offer(&mut bus));
    let last = Arrival {
        sequence: Some(6),
        lane: 5,
        ..arrival(5, 1)
    };
    assert!(bus.offer(at(0), last).is_err());
    assert_eq!(bus.poll_timeout().unwrap().why, WakeReason::Gap);
    assert_eq!(gaps(&mut bus, 0), [(2, 2, 3)]);
}

#[test]
fn s7_the_key_that_was_heard_of_longest_ago_is_forgotten() {
    let mut bus = live(OnGap::GoOn);
    for key in 0..10 {
        offer_of(&mut bus, 0, 1 + key, 1 + key, Some(5));
        assert_eq!(run(&mut bus, 0), [1 + key]);
    }
    assert_eq!((bus.stats().sequences, bus.stats().forgotten), (8, 2));
    // Keys 1 and 2 are adopted anew.
    offer_of(&mut bus, 0, 20, 2, Some(3));
    offer_of(&mut bus, 0, 21, 3, Some(4));
    offer_of(&mut bus, 0, 22, 3, Some(5));
    assert_eq!(run(&mut bus, 0), [20, 21], "late, as nobody has handled it");
    assert_eq!(copies(&mut bus, 0), [(22, true)]);
    assert_eq!(bus.stats().late, 1);
}

#[test]
fn a_retry_keeps_its_sequence_and_a_dead_letter_passes_it() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 2, 3]);
    let first = bus.poll_dispatch(at(0)).unwrap();
    bus.settle(at(0), first.token, Outcome::Retry(1)).unwrap();
    offer_at(&mut bus, 0, 4, Some(1));
    assert_eq!(copies(&mut bus, 0), []);
    bus.handle_timeout(at(1_000));
    let again = bus.poll_dispatch(at(1_000)).unwrap();
    assert_eq!((again.position.0, again.attempt), (1, 2));
    bus.settle(at(1_000), again.token, Outcome::Reject(1))
        .unwrap();
    let letter = bus.poll_dead_letter().unwrap().token;
    bus.dead_letter_result(at(1_000), letter, Receipt::Stored);
    assert_eq!(copies(&mut bus, 1_000), [(4, true)]);
    assert_eq!(run(&mut bus, 1_000), [2, 3]);
}

#[test]
fn what_has_no_sequence_takes_its_turn_as_it_came() {
    let mut bus = live(OnGap::GoOn);
    offer_at(&mut bus, 0, 1, None);
    offer_at(&mut bus, 0, 2, Some(1));
    offer_at(&mut bus, 0, 3, Some(u64::MAX));
    offer_at(&mut bus, 0, 4, Some(3));
    offer_at(&mut bus, 0, 5, Some(2));
    assert_eq!(run(&mut bus, 0), [1, 2, 3, 5, 4]);
    assert_eq!(bus.stats().unsequenced, 2);
}

#[test]
fn s4_a_copy_by_identity_passes_its_sequence_in_its_turn() {
    let mut bus = live(OnGap::GoOn);
    let mut copy = Arrival {
        sequence: None,
        lane: 5,
        ..arrival(1, 1)
    };
    assert_eq!(bus.offer(at(0), copy.clone()), Ok(Admit::Queued));
    assert_eq!(run(&mut bus, 0), [1]);
    offer_at(&mut bus, 0, 2, Some(1));
    (copy.position, copy.sequence) = (Position(3), Some(2));
    assert_eq!(bus.offer(at(0), copy), Ok(Admit::Queued));
    offer_at(&mut bus, 0, 4, Some(3));
    assert_eq!(run(&mut bus, 0), [2]);
    assert_eq!(copies(&mut bus, 0), [(3, false)]);
    assert_eq!(run(&mut bus, 0), [4]);
    assert_eq!(bus.stats().gaps, 0);
}

#[test]
fn s5_what_is_held_is_handed_back_and_keys_are_adopted_anew() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 3, 4]);
    assert_eq!(run(&mut bus, 0), [1]);
    bus.revoke(at(0), P, E1, at(50));
    bus.handle_timeout(at(50));
    let release = bus.poll_release().unwrap();
    assert_eq!((release.handed_back, release.frontier), (2, Position(2)));
    assert_eq!(gaps(&mut bus, 1_000), []);
    assert_eq!((bus.stats().sequences, bus.stats().ahead), (0, 0));
    bus.check_invariants().unwrap();
    let _ = support::open(&mut bus, Epoch(2), &Resume::default());
    let next = Arrival {
        epoch: Epoch(2),
        sequence: Some(9),
        ..arrival(2, 1)
    };
    assert_eq!(bus.offer(at(1_000), next), Ok(Admit::Queued));
    assert_eq!(run(&mut bus, 1_000), [2]);
}

#[test]
fn s11_a_machine_that_was_restored_goes_on_in_the_middle_of_a_gap() {
    let mut bus = live(OnGap::GoOn);
    feed(&mut bus, &[1, 3, 5, 2, 7]);
    let running = bus.poll_dispatch(at(0)).unwrap();
    let mut bytes = Vec::new();
    let write = |m: &u64, out: &mut Vec<u8>| out.extend(m.to_le_bytes());
    bus.snapshot(None, write, &mut bytes);
    let read = |b: &[u8]| b.try_into().ok().map(u64::from_le_bytes);
    let mut bus = Consumer::restore(&ordered(OnGap::GoOn), &bytes, read).unwrap();
    bus.settle(at(1), running.token, Outcome::Done).unwrap();
    assert_eq!(run(&mut bus, 1), [4, 2]);
    bus.snapshot(None, write, &mut bytes);
    let mut bytes = Vec::new();
    bus.snapshot(None, write, &mut bytes);
    let mut bus = Consumer::restore(&ordered(OnGap::GoOn), &bytes, read).unwrap();
    assert_eq!(gaps(&mut bus, 100), [(3, 4, 5)]);
    assert_eq!(run(&mut bus, 100), [3]);
    assert_eq!(gaps(&mut bus, 100), [(5, 6, 7)]);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let field = |change: fn(&mut Config)| {
        let mut config = ordered(OnGap::GoOn);
        change(&mut config);
        config.validate().unwrap_err().field
    };
    let order = |config: &mut Config| config.sequence.as_mut().unwrap().keys = 0;
    assert_eq!(field(order), "sequence.keys");
    assert_eq!(field(|c| c.order = Order::Unordered), "sequence.keys");
    let hold = |c: &mut Config| c.sequence.as_mut().unwrap().hold_messages = 1 << 30;
    assert_eq!(field(hold), "sequence.hold_messages");
    let patience = |c: &mut Config| c.sequence.as_mut().unwrap().gap_timeout = Span::MAX;
    assert_eq!(field(patience), "sequence.gap_timeout");
    let park = |c: &mut Config| c.sequence.as_mut().unwrap().on_gap = OnGap::Park;
    assert_eq!(field(park), "sequence.on_gap");
}

//! What feeds that pull are granted, over all partitions.
#![allow(missing_docs, clippy::unwrap_used)]

use procession_core::*;

const E1: Epoch = Epoch(1);

/// A consumer of so many messages of 100 bytes, all partitions open and delivering.
fn live(messages: u32, partitions: u32) -> Consumer<u64> {
    let config = Config {
        partitions,
        message_bytes_max: 100,
        limits: Limits {
            messages,
            bytes: 100 * u64::from(messages),
            partition_messages: messages,
            partition_bytes: 100 * u64::from(messages),
            low_water_percent: 100,
        },
        ..Config::default()
    };
    let mut bus = Consumer::new(&config).unwrap();
    for p in (0..partitions).map(PartitionId) {
        bus.open(Time::ZERO, p, E1, &Resume::default(), None);
    }
    while let Some(start) = bus.poll_session(Time::ZERO) {
        bus.session(
            Time::ZERO,
            start.partition,
            E1,
            start.session,
            Continuity::Continues,
        );
    }
    bus
}

fn arrival(p: u32, position: u64) -> Arrival<u64> {
    Arrival {
        partition: PartitionId(p),
        epoch: E1,
        session: Session(1),
        delivery: None,
        position: Position(position),
        stamp: Stamp(0),
        lane: u64::from(p) << 32 | position,
        key: Some(1),
        identity: u128::from(position) << 64 | u128::from(p),
        bytes: 100,
        expires: None,
        sequence: None,
        quarantine: None,
        message: position,
    }
}

fn take(bus: &mut Consumer<u64>, p: u32, positions: core::ops::Range<u64>) {
    for position in positions {
        let _ = bus.offer(Time::ZERO, arrival(p, position)).unwrap();
    }
}

/// Runs and finishes so many.
fn finish(bus: &mut Consumer<u64>, count: u32) {
    for _ in 0..count {
        let token = bus.poll_dispatch(Time::ZERO).unwrap().token;
        bus.settle(Time::ZERO, token, Outcome::Done).unwrap();
    }
}

/// Totals in messages, by partition, of one round.
fn grants(bus: &mut Consumer<u64>) -> Vec<(u32, u64)> {
    let mut grants: Vec<_> = core::iter::from_fn(|| bus.poll_grant())
        .map(|g| (g.partition.0, g.messages))
        .collect();
    grants.sort_unstable();
    grants
}

#[test]
fn s7_what_is_granted_to_all_is_counted_together() {
    let mut bus = live(80, 2);
    // The credit of either is 60. The first of the round takes it, and leaves what is left.
    assert_eq!(grants(&mut bus), [(0, 20), (1, 60)]);
    assert_eq!(grants(&mut bus), [], "nothing changed");
    // What was granted and is held stays counted; only what is finished is granted again.
    take(&mut bus, 1, 1..31);
    assert_eq!(grants(&mut bus), []);
    finish(&mut bus, 10);
    assert_eq!(grants(&mut bus), [(1, 70)]);
    // A share is granted whatever the others have outstanding.
    take(&mut bus, 0, 1..21);
    assert_eq!(grants(&mut bus), [(0, 40)]);
}

#[test]
fn l1_no_partition_starves_of_grants() {
    let mut bus = live(80, 4);
    let first = grants(&mut bus);
    assert_eq!(first.len(), 4, "{first:?}");
    assert!(first.iter().all(|g| g.1 >= 10), "{first:?}");
    // Two of them deliver all that they may and block; the others have something outstanding still.
    let mut bus = live(8, 8);
    let first = grants(&mut bus);
    assert_eq!(first.len(), 8, "one message each at least: {first:?}");
}

#[test]
fn small_increments_are_saved_up_while_there_is_something_to_deliver() {
    let mut bus = live(80, 1);
    assert_eq!(grants(&mut bus), [(0, 80)]);
    take(&mut bus, 0, 1..10);
    finish(&mut bus, 1);
    assert_eq!(grants(&mut bus), [], "one of eighty is not worth a command");
    finish(&mut bus, 8);
    assert_eq!(
        grants(&mut bus),
        [(0, 89)],
        "nothing else will make them grow"
    );
    take(&mut bus, 0, 10..30);
    finish(&mut bus, 10);
    assert_eq!(grants(&mut bus), [(0, 99)], "an eighth is");
    take(&mut bus, 0, 30..100);
    finish(&mut bus, 1);
    assert_eq!(grants(&mut bus), [(0, 100)], "the feed has nothing left");
}

#[test]
fn a_session_begins_without_grants_and_those_of_the_old_one_count_until_then() {
    let mut bus = live(80, 2);
    let _ = grants(&mut bus);
    let p = PartitionId(0);
    bus.broken(Time::ZERO, p, E1, Session(1));
    assert_eq!(grants(&mut bus), [], "what is on its way may still come");
    let start = bus.poll_session(Time::ZERO).unwrap();
    bus.session(Time::ZERO, p, E1, start.session, Continuity::Continues);
    let grant = bus.poll_grant().unwrap();
    assert_eq!((grant.partition, grant.session), (p, Session(2)));
    assert_eq!(bus.poll_grant(), None);
}

#[test]
fn what_is_too_large_counts_as_what_it_was_and_is_charged_at_the_limit() {
    let mut bus = live(4, 1);
    assert_eq!(grants(&mut bus), [(0, 4)]);
    let refused = bus.offer(
        Time::ZERO,
        Arrival {
            bytes: 350,
            ..arrival(0, 1)
        },
    );
    let refused = refused.unwrap_err();
    assert_eq!(refused.why, Refusal::TooLarge);
    let marked = Arrival {
        quarantine: Some(Why::TooLarge),
        ..refused.arrival
    };
    assert_eq!(bus.offer(Time::ZERO, marked).unwrap(), Admit::Queued);
    assert_eq!(bus.stats().held_bytes, 100);
    // 350 of 400 bytes have come, and three messages are paid for.
    let grant = bus.poll_grant().unwrap();
    assert_eq!((grant.messages, grant.bytes), (4, 650));
    bus.check_invariants().unwrap();
}

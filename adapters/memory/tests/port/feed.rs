//! Consuming: sessions, grants, faults, ownership, retention.

use procession_core::{
    CommitResult, Continuity, PartitionId, Position, Producer, ProducerConfig, Publish, Receipt,
    Span, Time, Token,
};
use procession_memory::Settings;
use procession_memory::hooks::Members;
use procession_runtime::port::{
    BreakReason, Broker, FeedCommand, FeedEvent, PortErrorKind, SinkEvent,
};

use crate::member::{
    LEASE, Member, Publisher, broker, create, message, name, now, positions, records,
};
use crate::shell::Hand;

type Memory = procession_memory::MemoryBroker<Hand>;

/// A broker with a topic `t` of one partition that holds `count` messages.
fn filled(count: u64) -> (Memory, Hand) {
    let (broker, hand) = broker(Settings::default());
    create(&broker, "t", 1);
    publish(&broker, 0..count);
    (broker, hand)
}

fn publish(broker: &Memory, ids: core::ops::Range<u64>) {
    let mut publisher = Publisher::new(broker);
    let count = ids.clone().count();
    for id in ids {
        publisher.send(message("t", id, 10));
    }
    assert_eq!(publisher.stored().len(), count);
}

fn session_of(events: &[FeedEvent]) -> Continuity {
    let found = events.iter().find_map(|event| match event {
        FeedEvent::Session { continuity, .. } => Some(*continuity),
        _ => None,
    });
    found.expect("a session began")
}

fn broken(events: &[FeedEvent]) -> Option<BreakReason> {
    events.iter().find_map(|event| match event {
        FeedEvent::Broken { why, .. } => Some(*why),
        _ => None,
    })
}

fn committed(events: &[FeedEvent]) -> Vec<CommitResult> {
    let results = events.iter().filter_map(|event| match event {
        FeedEvent::Committed { result, .. } => Some(*result),
        _ => None,
    });
    results.collect()
}

#[test]
fn delivers_what_is_granted_and_numbers_it() {
    let (broker, hand) = filled(1_000);
    let mut member = Member::new(&broker, "t", "g", "a");
    let (epoch, resume) = member.own(&hand);
    assert_eq!((resume.frontier, resume.log_start), (None, Position(1)));
    assert_eq!(resume.log_end, Position(1_001));
    let session = member.start(epoch, 1, None);
    assert!(records(member.poll()).is_empty(), "nothing was granted");
    // Bytes: at most one message more than granted.
    member.grant(session, 600, 1);
    let first = records(member.poll()).remove(0);
    assert_eq!((first.position.0, first.delivery), (1, Some(1)));
    member.grant(session, 600, u64::from(first.bytes));
    assert!(member.poll().is_empty(), "the grant in bytes is used up");
    member.grant(session, 600, u64::from(first.bytes) + 1);
    assert_eq!(positions(member.poll()), [2]);
    // Messages: exactly what is granted, in batches, numbered without holes.
    member.grant(session, 600, u64::MAX);
    let rest = records(member.poll());
    assert_eq!(rest.len(), 598);
    for (number, record) in (3..).zip(&rest) {
        assert_eq!((record.position.0, record.delivery), (number, Some(number)));
    }
    // Totals: a grant that comes twice grants once.
    member.grant(session, 600, u64::MAX);
    assert!(member.poll().is_empty());
    member.grant(session, 10_000, u64::MAX);
    let rest: Vec<_> = (601..=1_000).collect();
    assert_eq!(positions(member.poll()), rest);
    publish(&broker, 5_000..5_003);
    assert_eq!(positions(member.poll()), [1_001, 1_002, 1_003]);
    let pause = PartitionId(0);
    member.feed.submit(FeedCommand::Pause(pause));
    publish(&broker, 6_000..6_001);
    assert!(member.poll().is_empty());
    member.feed.submit(FeedCommand::Resume(pause));
    assert_eq!(positions(member.poll()), [1_004]);
}

#[test]
fn a_session_overlaps_by_one() {
    let (broker, hand) = filled(10);
    let mut member = Member::new(&broker, "t", "g", "a");
    let (epoch, _) = member.own(&hand);
    let session = member.start(epoch, 1, None);
    member.grant(session, 4, u64::MAX);
    let last = records(member.poll()).pop().unwrap();
    broker.hooks().break_sessions("t", Members::All).unwrap();
    assert_eq!(broken(&member.poll()), Some(BreakReason::Disconnected));
    member.grant(session, 10, u64::MAX);
    assert!(
        member.poll().is_empty(),
        "a session that ended delivers nothing"
    );
    let session = member.start(epoch, 4, Some((4, last.stamp.0)));
    member.grant(session, 10, u64::MAX);
    let events = member.poll();
    assert_eq!(session_of(&events), Continuity::Continues);
    let rest = records(events);
    assert_eq!((rest[0].position.0, rest[0].delivery), (5, Some(1)));
    assert_eq!(rest.len(), 6);
}

#[test]
fn a_rewritten_log_is_told_by_its_stamp() {
    let (broker, hand) = filled(10);
    let log = now(broker.audit(name("t"))).unwrap();
    let stamp = |position: usize| log[position - 1].1.stamp.0;
    let mut member = Member::new(&broker, "t", "g", "a");
    let (epoch, _) = member.own(&hand);
    let end = broker.hooks().lose_tail("t", 0, 4).unwrap();
    assert_eq!(end, Position(7));
    // Shorter than what is remembered: nothing new yet.
    member.start(epoch, 9, Some((9, stamp(9))));
    let shorter = Continuity::Rewritten { from: Position(7) };
    assert_eq!(session_of(&member.poll()), shorter);
    // Neither does it wait beyond the end without a word when there is nothing to recognise it by.
    member.start(epoch, 8, None);
    assert_eq!(session_of(&member.poll()), shorter);
    member.start(epoch, 7, None);
    assert_eq!(session_of(&member.poll()), Continuity::Continues);
    // The identities of what was lost are not "duplicates" of anything.
    publish(&broker, 6..9);
    let session = member.start(epoch, 9, Some((9, stamp(9))));
    member.grant(session, 10, u64::MAX);
    let events = member.poll();
    let rewritten = Continuity::Rewritten { from: Position(7) };
    assert_eq!(session_of(&events), rewritten);
    assert!(
        records(events).is_empty(),
        "where to go on is the core's decision"
    );
    member.start(epoch, 6, Some((6, stamp(6))));
    assert_eq!(session_of(&member.poll()), Continuity::Continues);
}

/// What retention takes below a session is passed over; below what is remembered, nobody can tell.
#[test]
fn a_start_that_moves_on_is_told() {
    let (broker, hand) = filled(10);
    let mut member = Member::new(&broker, "t", "g", "a");
    let (epoch, _) = member.own(&hand);
    let session = member.start(epoch, 1, None);
    member.grant(session, 2, u64::MAX);
    assert_eq!(positions(member.poll()), [1, 2]);
    let start = broker.hooks().purge("t", 0, Position(6)).unwrap();
    assert_eq!(start, Position(6));
    member.grant(session, 100, u64::MAX);
    let events = member.poll();
    let told = events.iter().find_map(|event| match event {
        FeedEvent::Advance { position, .. } => Some(*position),
        _ => None,
    });
    assert_eq!(told, Some(Position(6)));
    assert_eq!(positions(events), [6, 7, 8, 9, 10]);
    member.start(epoch, 2, Some((2, 1)));
    assert_eq!(session_of(&member.poll()), Continuity::CannotTell);
}

#[test]
fn lost_deliveries_leave_a_jump_and_a_lost_tail_breaks_the_session() {
    let (broker, hand) = filled(3);
    let mut member = Member::new(&broker, "t", "g", "a");
    let (epoch, _) = member.own(&hand);
    let session = member.start(epoch, 1, None);
    member.grant(session, 100, u64::MAX);
    assert_eq!(positions(member.poll()), [1, 2, 3]);
    let hooks = broker.hooks();
    hooks.lose_deliveries("t", Members::All, 0, 2).unwrap();
    publish(&broker, 3..6);
    let after = records(member.poll());
    assert_eq!((after[0].position.0, after[0].delivery), (6, Some(6)));
    hooks.lose_deliveries("t", Members::All, 0, 2).unwrap();
    publish(&broker, 6..7);
    assert_eq!(broken(&member.poll()), Some(BreakReason::TailLost));
}

/// The next member takes over where the record stands, once the lease of a dead one has run out.
#[test]
fn a_dead_members_lease_runs_out() {
    let (broker, hand) = filled(10);
    let mut first = Member::new(&broker, "t", "g", "first");
    let (epoch, _) = first.own(&hand);
    first.commit(epoch, 5, false);
    assert_eq!(committed(&first.poll()), [CommitResult::Stored]);
    let mut second = Member::new(&broker, "t", "g", "second");
    let standby = second.poll().into_iter().any(
        |event| matches!(event, FeedEvent::Standby { owner, .. } if owner.starts_with("first")),
    );
    assert!(standby, "it says for whom it waits");
    assert_eq!(
        broker.hooks().kill("t", Members::Member("g", "first")),
        Ok(1)
    );
    let died = hand.clone();
    let (later, resume) = {
        let before = procession_runtime::Clock::now(&died);
        let owned = second.own(&hand);
        let waited = procession_runtime::Clock::now(&died).since(before);
        assert!(waited >= LEASE, "taken over after {waited:?}");
        owned
    };
    assert!(first.poll().is_empty(), "the dead say nothing");
    assert!(later > epoch);
    assert_eq!(resume.frontier, Some(Position(5)));
    let session = second.start(later, 5, None);
    second.grant(session, 100, u64::MAX);
    assert_eq!(positions(second.poll()), [5, 6, 7, 8, 9, 10]);
}

/// S5: a planned hand-over needs no lease to run out, and loses no progress.
#[test]
fn a_released_partition_is_taken_at_once() {
    let (broker, hand) = filled(10);
    let mut first = Member::new(&broker, "t", "g", "first");
    let (epoch, _) = first.own(&hand);
    let mut second = Member::new(&broker, "t", "g", "second");
    second.poll();
    first.commit(epoch, 8, true);
    assert_eq!(committed(&first.poll()), [CommitResult::Stored]);
    first.feed.submit(FeedCommand::Release {
        partition: PartitionId(0),
        epoch,
    });
    first.feed.submit(FeedCommand::Close);
    assert!(matches!(first.poll().last(), Some(FeedEvent::Closed)));
    let before = procession_runtime::Clock::now(&hand);
    let (_, resume) = second.own(&hand);
    assert_eq!(resume.frontier, Some(Position(8)));
    let waited = procession_runtime::Clock::now(&hand).since(before);
    assert!(waited < LEASE, "waited {waited:?} although it was released");
}

/// A member that slept past its lease is fenced: its commit does not count.
#[test]
fn a_member_that_slept_past_its_lease_is_fenced() {
    let (broker, hand) = filled(10);
    let mut first = Member::new(&broker, "t", "g", "first");
    let (epoch, _) = first.own(&hand);
    let mut second = Member::new(&broker, "t", "g", "second");
    let (later, _) = second.own(&hand);
    assert!(later > epoch);
    first.commit(epoch, 9, false);
    let events = first.poll();
    let lost = events
        .iter()
        .any(|event| matches!(event, FeedEvent::Lost { .. }));
    assert!(lost, "{events:?}");
    assert!(!committed(&events).contains(&CommitResult::Stored));
    second.commit(later, 2, false);
    assert_eq!(committed(&second.poll()), [CommitResult::Stored]);
}

/// S7: what every group has committed makes room, and nothing else does.
#[test]
fn retention_follows_the_slowest_group() {
    let (broker, hand) = broker(Settings {
        log_bytes: 64 << 10,
        ..Settings::default()
    });
    create(&broker, "t", 1);
    let mut fast = Member::new(&broker, "t", "fast", "a");
    let mut slow = Member::new(&broker, "t", "slow", "a");
    let (fast_epoch, _) = fast.own(&hand);
    let (slow_epoch, _) = slow.own(&hand);
    let mut publisher = Publisher::new(&broker);
    for id in 0..100 {
        publisher.send(message("t", id, 1_000));
    }
    let stored = publisher.stored().len() as u64;
    assert!(stored < 100);
    fast.commit(fast_epoch, stored + 1, false);
    assert_eq!(committed(&fast.poll()), [CommitResult::Stored]);
    assert!(publisher.poll().is_empty(), "the slow group holds it back");
    slow.commit(slow_epoch, 21, false);
    assert_eq!(committed(&slow.poll()), [CommitResult::Stored]);
    assert!(publisher.stored().len() >= 15, "twenty were freed");
    let log = now(broker.audit(name("t"))).unwrap();
    assert_eq!(log[0].1.position, Position(21));
    // A group that comes late begins where the log does, and is told so.
    let mut late = Member::new(&broker, "t", "late", "a");
    let (epoch, resume) = late.own(&hand);
    assert_eq!(resume.log_start, Position(21));
    let session = late.start(epoch, 1, None);
    late.grant(session, 1, u64::MAX);
    let events = late.poll();
    let advanced = events.iter().any(
        |event| matches!(event, FeedEvent::Advance { position, .. } if *position == Position(21)),
    );
    assert!(advanced, "{events:?}");
    assert_eq!(positions(events), [21]);
}

/// A full log still takes dead letters: else the message that blocks the frontier could never go.
#[test]
fn a_full_log_takes_dead_letters() {
    let (broker, hand) = broker(Settings {
        log_bytes: 64 << 10,
        ..Settings::default()
    });
    create(&broker, "t", 1);
    create(&broker, "t-dlq-g", 1);
    let mut member = Member::new(&broker, "t", "g", "a");
    member.own(&hand);
    let mut publisher = Publisher::new(&broker);
    for id in 0..100 {
        publisher.send(message("t", id, 1_000));
    }
    publisher.poll();
    let token = token();
    for (id, expected) in [(200, Receipt::Stored), (201, Receipt::TooLarge)] {
        let bytes = if id == 200 { 1_000 } else { 1 << 20 };
        let message = message("t-dlq-g", id, bytes);
        member.feed.submit(FeedCommand::Bury { token, message });
        let events = member.poll();
        let buried = events.iter().any(
            |event| matches!(event, FeedEvent::Buried { receipt, .. } if *receipt == expected),
        );
        assert!(buried, "{events:?}");
    }
    let message = message("nowhere", 1, 1);
    member.feed.submit(FeedCommand::Bury { token, message });
    let events = member.poll();
    let refused = events.iter().any(|event| {
        matches!(
            event,
            FeedEvent::Buried {
                receipt: Receipt::NotStored,
                ..
            }
        )
    });
    assert!(refused, "{events:?}");
}

#[test]
fn closing_the_broker_ends_feeds_and_sinks() {
    let (broker, hand) = filled(10);
    let mut member = Member::new(&broker, "t", "g", "a");
    let (epoch, _) = member.own(&hand);
    let session = member.start(epoch, 1, None);
    member.grant(session, 5, u64::MAX);
    let mut publisher = Publisher::new(&broker);
    now(broker.close(Span::from_secs(1))).unwrap();
    assert!(matches!(member.poll().last(), Some(FeedEvent::Closed)));
    assert!(matches!(publisher.poll()[..], [SinkEvent::Closed]));
    assert!(member.poll().is_empty() && publisher.poll().is_empty());
    let error = now(broker.sink()).err().unwrap();
    assert_eq!(error.kind, PortErrorKind::Disconnected);
}

/// A token, which only a core can make.
fn token() -> Token {
    let mut producer = Producer::new(&ProducerConfig::default()).unwrap();
    let publish = Publish {
        lane: 1,
        bytes: 1,
        deadline: Time::MAX,
        message: (),
    };
    producer.publish(Time::ZERO, publish).unwrap()
}

//! Deliveries: pressure, sessions, leases, rewritten logs.

use procession_core::{Epoch, PartitionId, Span};

use super::{World, small};
use crate::port::{BreakReason, FeedCommand, FeedEvent};
use crate::subscription::{DriverOptions, Incident, SubscriptionError};
use crate::testing::{Event, ScriptFeed};

#[test]
fn refused_arrivals_are_kept_in_order_and_grants_never_exceed_the_credit() {
    let world = World::assigned(ScriptFeed::default(), small(4));
    assert_eq!(world.feed.room(), 4);
    // More than was granted: the core refuses, the driver keeps.
    world.deliver(1, "wwwwdd");
    assert_eq!(world.log.starts(), [1, 2, 3, 4]);
    assert_eq!(world.feed.granted(), 4);
    world.work.open(3);
    world.shell.run();
    assert_eq!(world.log.starts(), [1, 2, 3, 4, 5, 6]);
    assert!(
        world.feed.granted() <= 7,
        "granted {}",
        world.feed.granted()
    );
    for position in [1, 2, 4] {
        world.work.open(position);
    }
    world.shell.run();
    assert_eq!(world.feed.granted(), 10);
    world.deliver(7, "dddd");
    assert_eq!(world.log.starts(), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
}

#[test]
fn what_is_kept_of_a_lost_partition_is_forgotten() {
    let world = World::assigned(ScriptFeed::default(), small(2));
    world.deliver(1, "wwdd");
    world.feed.send(FeedEvent::Lost {
        partition: PartitionId(0),
        epoch: Epoch(1),
    });
    world.shell.run();
    world.millis(1_000);
    assert_eq!(world.log.starts(), [1, 2]);
    let log = world.log.take();
    assert!(log.contains(&Event::Lost(1)) && log.contains(&Event::Dropped(1)));
    assert!(
        !log.iter().any(|e| matches!(e, Event::Commit(..))),
        "{log:?}"
    );
    assert_eq!(world.shell.tasks(), 1);
}

#[test]
fn a_broken_session_starts_anew_and_what_it_left_is_void() {
    let world = World::assigned(ScriptFeed::default(), small(2));
    world.deliver(1, "wwd");
    let session = world
        .feed
        .commands()
        .iter()
        .find_map(|c| match c {
            FeedCommand::Start(start) => Some(start.session),
            _ => None,
        })
        .unwrap();
    world.feed.send(FeedEvent::Broken {
        partition: PartitionId(0),
        epoch: Epoch(1),
        session,
        why: BreakReason::Silence,
    });
    world.shell.run();
    world.millis(100);
    let start = world.feed.commands().into_iter().find_map(|c| match c {
        FeedCommand::Start(start) => Some(start),
        _ => None,
    });
    // Overlap by one: it begins at the last message that the core took.
    let start = start.expect("a new session");
    assert_eq!(start.at.0, 2);
    assert_eq!(start.expect.map(|a| a.position.0), Some(2));
    assert!(session < start.session);
    let incidents = world
        .log
        .all()
        .into_iter()
        .filter(|e| *e == Event::Incident(Incident::Session));
    assert_eq!(incidents.count(), 2);
    world.work.open(1);
    world.work.open(2);
    world.shell.run();
    world.deliver(3, "d");
    assert_eq!(world.log.starts(), [1, 2, 3]);
}

#[test]
fn a_process_that_was_paused_past_its_lease_starts_nothing() {
    let world = World::with(ScriptFeed::default(), DriverOptions::default());
    world.feed.assign(1, Some(world.in_millis(1_000)));
    world.shell.run();
    world.feed.deliver(1, "dd");
    world.shell.pause(Span::from_millis(1_001));
    world.shell.run();
    assert!(world.log.starts().is_empty());
    world.feed.send(FeedEvent::Extended {
        partition: PartitionId(0),
        epoch: Epoch(1),
        until: world.in_millis(1_000),
    });
    world.shell.run();
    assert_eq!(world.log.starts(), [1, 2]);
}

#[test]
fn the_clock_is_read_before_every_hand_over() {
    let world = World::with(ScriptFeed::default(), DriverOptions::default());
    world.feed.assign(1, Some(world.in_millis(1_000)));
    world.shell.run();
    world.feed.deliver(1, "dddddddddd");
    // Each look at the clock takes 200 ms: the lease ends in the middle of a batch.
    world.shell.drift(Span::from_millis(200));
    world.shell.run();
    world.shell.drift(Span::ZERO);
    let starts = world.log.starts().len();
    assert!((1..6).contains(&starts), "{starts} of 10 started");
}

#[test]
fn a_rewritten_log_begins_an_epoch_that_the_history_knows_and_can_be_lost() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "ddd");
    world.feed.break_session(BreakReason::Disconnected);
    world
        .feed
        .answer_next(procession_core::Continuity::Rewritten {
            from: procession_core::Position(2),
        });
    world.shell.run();
    world.millis(100);
    let log = world.log.take();
    assert!(
        log.contains(&Event::Incident(Incident::Rewritten)),
        "{log:?}"
    );
    assert!(log.contains(&Event::Assigned(2, 2)), "{log:?}");
    // The broker side still speaks of the epoch that it knows.
    world.feed.send(FeedEvent::Lost {
        partition: PartitionId(0),
        epoch: Epoch(1),
    });
    world.shell.run();
    assert!(world.log.take().contains(&Event::Lost(2)));
    // The claim takes the number that the core has counted already: the core goes on counting.
    world.feed.assign(2, None);
    world.shell.run();
    assert!(world.log.take().contains(&Event::Assigned(3, 1)));
    world.feed.send(FeedEvent::Lost {
        partition: PartitionId(0),
        epoch: Epoch(2),
    });
    world.shell.run();
    // An epoch that the broker side used before would never be served: the owner is told.
    world.feed.assign(2, None);
    world.shell.run();
    assert!(matches!(
        world.end(),
        Some(Err(SubscriptionError::Failed(_)))
    ));
}

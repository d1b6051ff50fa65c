//! Attempts: in place, as tasks, failing, timing out, and who hears of it.

use procession_core::{PartitionId, Span, Why};

use super::World;
use crate::port::{FeedCommand, FeedEvent};
use crate::subscription::{DriverOptions, Ending, Notice, State};
use crate::testing::{Event, ScriptFeed};

#[test]
fn handlers_that_are_ready_run_in_place_and_in_order() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "ddd");
    let expected: Vec<Event> = (1..=3)
        .flat_map(|p| {
            [
                Event::Start(p, 1),
                Event::Polled(p),
                Event::End(p, 1, Ending::Done),
            ]
        })
        .collect();
    assert_eq!(world.log.take(), expected);
    assert_eq!(
        world.shell.tasks(),
        1,
        "only the driver: nothing became a task"
    );
    world.millis(100);
    assert_eq!(
        world.log.take(),
        [Event::Commit(1, 4), Event::Committed(1, 4)]
    );
}

#[test]
fn a_pending_handler_becomes_a_task_and_blocks_only_its_key() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "kAdA");
    assert_eq!(world.log.starts(), [1, 3]);
    assert_eq!(world.shell.tasks(), 2);
    world.work.open(1);
    world.shell.run();
    assert_eq!(world.log.starts(), [1, 3, 2, 4]);
    assert_eq!(world.shell.tasks(), 1);
}

#[test]
fn a_panic_is_a_failed_attempt_in_place_in_the_making_and_in_a_task() {
    let mut options = DriverOptions::default();
    options.core.retry.attempts = 2;
    let world = World::assigned(ScriptFeed::default(), options);
    world.deliver(1, "xmW");
    world.work.open(3);
    world.shell.run();
    world.millis(200);
    world.millis(200);
    let panics = world
        .log
        .all()
        .into_iter()
        .filter(|e| matches!(e, Event::End(_, _, Ending::Panic)))
        .count();
    assert_eq!(panics, 6, "three messages, two attempts each");
    let mut buried: Vec<_> = world
        .log
        .take()
        .into_iter()
        .filter(|e| matches!(e, Event::Buried(_, Why::Exhausted)))
        .collect();
    assert_eq!(buried.len(), 3);
    buried.dedup();
    let letters = world.work.letters.lock().unwrap().clone();
    let mut errors: Vec<&str> = letters.iter().filter_map(|l| l.error.as_deref()).collect();
    errors.sort_unstable();
    assert_eq!(errors[0], "panicked: after a while 3");
    assert!(errors[1].starts_with("panicked: ") && errors[1].contains("in the making"));
    assert_eq!(errors[2], "panicked: at once");
    assert_eq!(world.shell.tasks(), 1);
}

#[test]
fn retries_rejects_and_quarantine_end_in_letters_that_are_confirmed_first() {
    let mut options = DriverOptions::default();
    options.core.retry.attempts = 2;
    let world = World::assigned(ScriptFeed::silent(), options);
    world.deliver(1, "rRjz");
    world.millis(200);
    world.millis(200);
    assert_eq!(world.feed.buried().len(), 3);
    assert!(
        world
            .feed
            .buried()
            .iter()
            .all(|m| &*m.topic == "t-dlq-g" && m.partition == Some(0))
    );
    assert!(
        !world
            .log
            .all()
            .iter()
            .any(|e| matches!(e, Event::Buried(..)))
    );
    // Only the first is finished: a dead letter holds its position until it is confirmed (S9).
    assert_eq!(world.feed.commits().last().map(|c| c.frontier.0), Some(2));
    let commands = world.feed.commands();
    for command in &commands {
        if let FeedCommand::Bury { token, .. } = command {
            world.feed.send(FeedEvent::Buried {
                token: *token,
                receipt: procession_core::Receipt::Stored,
            });
        }
    }
    world.shell.run();
    let mut whys: Vec<(u64, Why)> = world
        .log
        .take()
        .into_iter()
        .filter_map(|e| match e {
            Event::Buried(position, why) => Some((position, why)),
            _ => None,
        })
        .collect();
    whys.sort_unstable_by_key(|(position, _)| *position);
    assert_eq!(
        whys,
        [(2, Why::Exhausted), (3, Why::Rejected), (4, Why::Malformed)]
    );
}

#[test]
fn a_letter_whose_making_panics_is_made_again() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "b");
    assert_eq!(world.feed.buried().len(), 0);
    assert!(
        world
            .notices()
            .iter()
            .any(|n| matches!(n, Notice::BuryPanicked { .. }))
    );
    world.millis(200);
    assert_eq!(world.feed.buried().len(), 1);
    assert!(world.log.all().contains(&Event::Buried(1, Why::Rejected)));
}

#[test]
fn a_timeout_drops_the_future_before_the_next_attempt_starts() {
    let mut options = DriverOptions::default();
    options.core.handler_timeout = Span::from_millis(500);
    let world = World::assigned(ScriptFeed::default(), options);
    world.deliver(1, "w");
    world.millis(500);
    let log = world.log.take();
    assert_eq!(
        log,
        [
            Event::Start(1, 1),
            Event::Polled(1),
            Event::Dropped(1),
            Event::End(1, 1, Ending::Timeout),
        ]
    );
    world.work.open(1);
    world.millis(200);
    assert_eq!(
        world.log.take()[..3],
        [
            Event::Start(1, 2),
            Event::Polled(1),
            Event::End(1, 2, Ending::Done)
        ]
    );
}

#[test]
fn concurrency_is_never_exceeded() {
    let world = World::assigned(
        ScriptFeed::default(),
        DriverOptions {
            concurrency: 2,
            ..DriverOptions::default()
        },
    );
    world.deliver(1, "wwww");
    assert_eq!(world.log.starts(), [1, 2]);
    world.work.open(2);
    world.shell.run();
    assert_eq!(world.log.starts(), [1, 2, 3]);
}

#[test]
fn health_names_who_blocks_the_frontier() {
    let world = World::new();
    assert_eq!(world.handle.health().state, State::Starting);
    world.feed.send(FeedEvent::Standby {
        partition: PartitionId(0),
        owner: "other".into(),
    });
    world.shell.run();
    world.millis(50);
    assert_eq!(world.handle.health().state, State::Standby);
    world.feed.assign(1, None);
    world.shell.run();
    world.deliver(1, "wd");
    world.millis(3_000);
    let health = world.handle.health();
    assert_eq!((health.state, health.tasks), (State::Running, 1));
    let blocker = health.partitions[0].blocker.clone().unwrap();
    assert_eq!((blocker.position.0, &*blocker.name), (1, "message 1"));
    assert!(Span::from_secs(1) < blocker.running_for);
    let standby = Notice::Standby {
        partition: PartitionId(0),
        owner: "other".into(),
    };
    assert!(world.notices().contains(&standby));
}

#[test]
fn a_handler_that_blocks_the_thread_is_named() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.feed.deliver(1, "d");
    world.shell.drift(Span::from_millis(201));
    world.shell.run();
    world.shell.drift(Span::ZERO);
    assert!(
        world
            .notices()
            .iter()
            .any(|n| matches!(n, Notice::HandlerBlocked { .. }))
    );
}

#[test]
fn a_task_that_blocks_its_thread_is_named() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "w");
    assert!(world.notices().is_empty());
    world.work.open(1);
    world.shell.drift(Span::from_millis(201));
    world.shell.run();
    world.shell.drift(Span::ZERO);
    let notices = world.notices();
    assert!(
        notices
            .iter()
            .any(|n| matches!(n, Notice::HandlerBlocked { position, .. } if position.0 == 1)),
        "{notices:?}"
    );
}

//! Ways to end: drain, retire, abort, stop, failure, drop.

use procession_core::{CommitResult, Epoch, PartitionId};

use super::World;
use crate::port::{FeedEvent, PortError, PortErrorKind};
use crate::subscription::{DriverOptions, Ending, Notice, State, SubscriptionError};
use crate::testing::{Event, ScriptFeed};

#[test]
fn drain_finishes_what_runs_commits_releases_and_leaves_nothing() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "dw");
    world.handle.drain(world.in_millis(1_000));
    world.shell.run();
    assert_eq!(world.end(), None);
    world.work.open(2);
    world.shell.run();
    assert_eq!(world.end().unwrap().unwrap().handed_back, 0);
    let log = world.log.take();
    let tail = &log[log.len() - 5..];
    assert_eq!(
        tail,
        [
            Event::End(2, 1, Ending::Done),
            Event::Commit(1, 3),
            Event::Released(1),
            Event::Committed(1, 3),
            Event::Drained(0),
        ]
    );
    assert!(world.feed.commits().last().unwrap().last);
    assert_eq!(world.feed.released(), [Epoch(1)]);
    assert!(world.feed.is_dropped());
    assert_eq!(world.shell.tasks(), 0);
    assert_eq!(world.handle.health().state, State::Ended);
}

#[test]
fn drain_ends_by_its_deadline_and_cancels_what_does_not() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "wd");
    world.handle.drain(world.in_millis(1_000));
    world.shell.run();
    for _ in 0..4 {
        world.millis(250);
    }
    let drained = world.end().expect("L5: ended by its deadline").unwrap();
    assert_eq!(drained.handed_back, 1);
    let log = world.log.take();
    assert!(log.contains(&Event::Dropped(1)));
    assert!(
        log.contains(&Event::End(1, 1, Ending::Cancelled)),
        "{log:?}"
    );
    assert_eq!(world.shell.tasks(), 0);
}

#[test]
fn retire_cancels_at_once_and_still_commits() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "dwd");
    world.handle.retire(world.in_millis(10_000));
    world.shell.run();
    assert_eq!(world.end().unwrap().unwrap().handed_back, 1);
    let log = world.log.take();
    let at = |event: &Event| log.iter().position(|e| e == event).unwrap();
    assert!(at(&Event::End(2, 1, Ending::Cancelled)) < at(&Event::Commit(1, 2)));
    assert!(at(&Event::Commit(1, 2)) < at(&Event::Released(1)));
    assert!(at(&Event::Released(1)) < at(&Event::Committed(1, 2)));
    assert_eq!(world.shell.tasks(), 0);
}

#[test]
fn abort_cancels_and_commits_nothing_further() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "dw");
    world.handle.abort();
    world.shell.run();
    assert_eq!(world.end(), Some(Err(SubscriptionError::Aborted)));
    assert!(world.feed.commits().is_empty());
    assert!(
        world
            .log
            .all()
            .contains(&Event::End(2, 1, Ending::Cancelled))
    );
    assert_eq!(world.shell.tasks(), 0);
    assert_eq!(world.handle.health().tasks, 0);
}

#[test]
fn a_dropped_driver_cancels_its_tasks_and_tells_its_owner() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "w");
    world.shell.shut_down();
    assert_eq!(world.end(), Some(Err(SubscriptionError::Aborted)));
    let log = world.log.take();
    assert!(
        log.contains(&Event::End(1, 1, Ending::Cancelled)),
        "{log:?}"
    );
    assert!(world.feed.is_dropped());
}

#[test]
fn stop_drains_and_ends_with_its_error() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "dsd");
    assert_eq!(
        world.end(),
        Some(Err(SubscriptionError::Stopped("enough".into())))
    );
    assert_eq!(world.log.starts(), [1, 2]);
    assert_eq!(world.feed.commits().last().unwrap().frontier.0, 2);
    assert!(
        world
            .notices()
            .iter()
            .any(|n| matches!(n, Notice::Stopped { .. }))
    );
}

#[test]
fn a_failing_port_ends_the_subscription_with_its_error() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    world.deliver(1, "w");
    let error = PortError::new(PortErrorKind::Unsuitable, "a newer record");
    world.feed.send(FeedEvent::Failed(error.clone()));
    world.shell.run();
    assert_eq!(world.end(), Some(Err(SubscriptionError::Failed(error))));
    assert_eq!(world.shell.tasks(), 0);
}

#[test]
fn held_commits_repeat_the_first_frontier() {
    let options = DriverOptions {
        hold_commits: true,
        ..DriverOptions::default()
    };
    let world = World::assigned(ScriptFeed::default(), options);
    world.deliver(1, "dddw");
    world.millis(100);
    world.handle.retire(world.in_millis(1_000));
    world.shell.run();
    let commits = world.feed.commits();
    assert!(1 < commits.len() && commits.last().unwrap().last);
    for commit in commits {
        assert_eq!((commit.frontier.0, commit.map.len()), (1, 0));
    }
    assert!(world.end().unwrap().is_ok());
}

/// The last commit gives the partition up, so it can be ours again before its answer is heard. The
/// release of the old epoch must not end the session of the new one.
#[test]
fn a_partition_that_comes_back_with_the_answer_to_its_last_commit_is_served() {
    let world = World::assigned(ScriptFeed::silent(), DriverOptions::default());
    world.deliver(1, "d");
    world.feed.send(FeedEvent::Revoked {
        partition: PartitionId(0),
        epoch: Epoch(1),
        deadline: world.in_millis(1_000),
    });
    world.shell.run();
    let last = world.feed.commits().last().cloned().unwrap();
    assert!(last.last);
    world.feed.send(FeedEvent::Committed {
        partition: PartitionId(0),
        epoch: last.epoch,
        write: last.write,
        result: CommitResult::Stored,
    });
    world.feed.resume(2, Some(&last), None);
    world.shell.run();
    world.deliver(2, "d");
    assert!(world.log.all().contains(&Event::Start(2, 1)));
}

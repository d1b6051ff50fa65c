//! The driver on a scripted feed, a clock that is moved by hand and an executor of its own.

use procession_core::{Epoch, Limits, PartitionId, Span, Time, Why};

use super::{
    DriverOptions, End, Ending, Incident, Notice, State, SubscriptionError, SubscriptionHandle,
    subscribe,
};
use crate::port::{BreakReason, FeedCommand, FeedEvent, PortError, PortErrorKind};
use crate::testing::{Event, Log, Recorder, ScriptFeed, TestShell, TestWork};
use crate::{Clock, Spawner};

struct World {
    shell: TestShell,
    feed: ScriptFeed,
    work: TestWork,
    log: Log,
    handle: SubscriptionHandle,
}

impl World {
    fn new() -> Self {
        Self::with(ScriptFeed::default(), DriverOptions::default())
    }

    fn with(feed: ScriptFeed, options: DriverOptions) -> Self {
        let shell = TestShell::new();
        let work = TestWork::default();
        let log = work.log.clone();
        let (handle, driver) = subscribe(
            feed.port(),
            work.clone(),
            shell.clone(),
            Recorder(log.clone()),
            options,
        )
        .unwrap();
        shell.spawn(Box::pin(driver));
        shell.run();
        Self {
            shell,
            feed,
            work,
            log,
            handle,
        }
    }

    /// A world that owns partition 0 from position 1 on, with a session that delivers.
    fn assigned(feed: ScriptFeed, options: DriverOptions) -> Self {
        let world = Self::with(feed, options);
        world.feed.assign(1, None);
        world.shell.run();
        world.log.take();
        world
    }

    fn deliver(&self, position: u64, plan: &str) {
        self.feed.deliver(position, plan);
        self.shell.run();
    }

    fn millis(&self, millis: u64) {
        self.shell.advance(Span::from_millis(millis));
    }

    fn end(&self) -> Option<End> {
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        match self.handle.poll_ended(&mut cx) {
            core::task::Poll::Ready(end) => Some(end),
            core::task::Poll::Pending => None,
        }
    }

    fn notices(&self) -> Vec<Notice> {
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        let mut all = Vec::new();
        while let core::task::Poll::Ready(Some(notice)) = self.handle.poll_notice(&mut cx) {
            all.push(notice);
        }
        all
    }

    fn in_millis(&self, millis: u64) -> Time {
        self.shell.now() + Span::from_millis(millis)
    }
}

fn small(messages: u32) -> DriverOptions {
    let mut options = DriverOptions::default();
    options.core.limits = Limits {
        messages,
        bytes: 1 << 30,
        partition_messages: messages,
        partition_bytes: 1 << 30,
        low_water_percent: 100,
    };
    options
}

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
    // An epoch that was used before would never be served: the owner is told.
    world.feed.assign(2, None);
    world.shell.run();
    assert!(matches!(
        world.end(),
        Some(Err(SubscriptionError::Failed(_)))
    ));
}

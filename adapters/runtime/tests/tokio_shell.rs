//! The drivers on a real tokio runtime: timers, tasks, and nothing left behind.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use procession_core::{
    CommitResult, Continuity, Epoch, Incarnation, PartitionId, Position, Session, Span, Stamp,
};
use procession_runtime::port::{
    BoxFuture, Feed, FeedCommand, FeedEvent, Headers, Outgoing, Record, ResumeState,
};
use procession_runtime::subscription::{
    Attempt, Decoded, DriverOptions, Letter, NoObserver, Verdict, Work, subscribe,
};
use procession_runtime::tokio::TokioShell;
use procession_runtime::{Clock, Shell, Spawner, Timer};

/// Delivers a fixed number of messages and answers everything at once.
struct Fixed {
    total: u64,
    next: u64,
    granted: u64,
    session: Option<(Epoch, Session)>,
    events: Vec<FeedEvent>,
    driver: Option<Waker>,
}

impl Fixed {
    fn new(total: u64) -> Self {
        let assigned = FeedEvent::Assigned {
            partition: PartitionId(0),
            epoch: Epoch(1),
            resume: ResumeState {
                incarnation: Incarnation(1),
                log_start: Position(1),
                log_end: Position(total + 1),
                ..ResumeState::default()
            },
            until: None,
        };
        Self {
            total,
            next: 1,
            granted: 0,
            session: None,
            events: vec![assigned],
            driver: None,
        }
    }
}

impl Feed for Fixed {
    fn submit(&mut self, command: FeedCommand) {
        match command {
            FeedCommand::Start(start) => {
                self.session = Some((start.epoch, start.session));
                self.events.push(FeedEvent::Session {
                    partition: start.partition,
                    epoch: start.epoch,
                    session: start.session,
                    continuity: Continuity::Continues,
                });
            }
            FeedCommand::Grant { messages, .. } => self.granted = messages,
            FeedCommand::Commit(write) => self.events.push(FeedEvent::Committed {
                partition: write.partition,
                epoch: write.epoch,
                write: write.write,
                result: CommitResult::Stored,
            }),
            FeedCommand::Close => self.events.push(FeedEvent::Closed),
            FeedCommand::Pause(_)
            | FeedCommand::Resume(_)
            | FeedCommand::Release { .. }
            | FeedCommand::Bury { .. } => {}
        }
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        into.append(&mut self.events);
        if let Some((epoch, session)) = self.session {
            let until = self.granted.min(self.total);
            let records: Vec<Record> = (self.next..=until).map(record).collect();
            self.next = self.next.max(until + 1);
            if !records.is_empty() {
                into.push(FeedEvent::Records {
                    partition: PartitionId(0),
                    epoch,
                    session,
                    records,
                });
            }
        }
        if into.is_empty() {
            self.driver = Some(cx.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

fn record(position: u64) -> Record {
    Record {
        position: Position(position),
        stamp: Stamp(position),
        delivery: Some(position),
        key: None,
        headers: Headers::default(),
        payload: Bytes::new(),
        bytes: 100,
    }
}

/// Handlers that wait a moment, so that each becomes a task; ten keys.
#[derive(Clone, Default)]
struct Sleeps {
    done: Arc<Mutex<Vec<u64>>>,
    forever: bool,
}

impl Work for Sleeps {
    type Message = u64;

    fn decode(&self, _: PartitionId, record: Record) -> Decoded<u64> {
        let position = record.position.0;
        Decoded {
            lane: position % 10,
            key: Some((position % 10).into()),
            identity: position.into(),
            bytes: record.bytes,
            expires: None,
            sequence: None,
            quarantine: None,
            message: position,
        }
    }

    fn handle(&self, message: u64, _: Attempt) -> BoxFuture<'static, Verdict> {
        let this = self.clone();
        Box::pin(async move {
            if this.forever {
                core::future::pending::<()>().await;
            }
            tokio::task::yield_now().await;
            this.done.lock().expect("no handler panics").push(message);
            Verdict::Done
        })
    }

    fn bury(&self, _: &u64, _: &Letter) -> Outgoing {
        unreachable!("nothing fails here")
    }
}

fn tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

/// Waits, without guessing how long, until the runtime has as few tasks as before.
async fn tasks_fall_to(count: usize) {
    let fallen = async {
        while count < tasks() {
            tokio::task::yield_now().await;
        }
    };
    let limit = core::time::Duration::from_secs(5);
    tokio::time::timeout(limit, fallen)
        .await
        .expect("tasks were left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_run_as_tasks_in_key_order_and_nothing_is_left() {
    const TOTAL: u64 = 20_000;
    let before = tasks();
    let shell = TokioShell::current();
    let work = Sleeps::default();
    let feed = Fixed::new(TOTAL);
    let options = DriverOptions::default();
    let (handle, driver) =
        subscribe(feed, work.clone(), shell.clone(), NoObserver, options).unwrap();
    shell.spawn(Box::pin(driver));
    while handle.health().stats.done < TOTAL {
        tokio::time::sleep(core::time::Duration::from_millis(10)).await;
    }
    handle.drain(shell.now() + Span::from_secs(5));
    assert_eq!(handle.ended().await.unwrap().handed_back, 0);
    tasks_fall_to(before).await;
    let done = work.done.lock().unwrap();
    for key in 0..10 {
        let own: Vec<u64> = done.iter().copied().filter(|p| p % 10 == key).collect();
        assert_eq!(own.len() as u64, TOTAL / 10);
        assert!(own.is_sorted(), "key {key} is out of order");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_leaves_no_task_of_handlers_that_never_end() {
    let before = tasks();
    let shell = TokioShell::current();
    let work = Sleeps {
        forever: true,
        ..Sleeps::default()
    };
    let options = DriverOptions::default();
    let (handle, driver) =
        subscribe(Fixed::new(100), work, shell.clone(), NoObserver, options).unwrap();
    shell.spawn(Box::pin(driver));
    while handle.health().tasks < 10 {
        tokio::time::sleep(core::time::Duration::from_millis(10)).await;
    }
    handle.abort();
    handle.ended().await.unwrap_err();
    tasks_fall_to(before).await;
}

#[tokio::test]
async fn a_timer_fires_at_its_time_and_can_be_moved() {
    let shell = TokioShell::current();
    let mut timer = shell.timer();
    let begin = shell.now();
    timer.set(Some(begin + Span::from_secs(3_600)));
    timer.set(Some(begin + Span::from_millis(20)));
    core::future::poll_fn(|cx| timer.poll_elapsed(cx)).await;
    let waited = shell.now().since(begin);
    assert!(Span::from_millis(19) <= waited, "{waited:?}");
    // It is clear now, and an instant that never comes is no error.
    let mut cx = Context::from_waker(Waker::noop());
    assert!(timer.poll_elapsed(&mut cx).is_pending());
    timer.set(Some(procession_core::Time::MAX));
    assert!(timer.poll_elapsed(&mut cx).is_pending());
}

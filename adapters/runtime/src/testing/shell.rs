//! A clock that stands still until it is moved, and an executor that runs what was woken.

use core::task::{Context, Poll, Waker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Wake;

use procession_core::{Span, Time};

use crate::port::BoxFuture;
use crate::{Clock, Shell, Spawner, Timer};

/// Far more polls than any test needs: a driver that spins fails its test.
const POLLS_MAX: usize = 100_000;

#[derive(Clone, Default)]
pub(crate) struct TestShell(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    now: Time,
    new: Vec<BoxFuture<'static, ()>>,
    tasks: Vec<Task>,
    alarms: Vec<(Time, Waker)>,
    /// How far the clock moves by itself each time it is read.
    drift: Span,
}

struct Task {
    future: BoxFuture<'static, ()>,
    woken: Arc<Flag>,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl TestShell {
    pub(crate) fn new() -> Self {
        let shell = Self::default();
        shell.0.lock().unwrap().now = Time::from_nanos(1_000_000_000);
        shell
    }

    /// Polls what was woken until nothing is.
    pub(crate) fn run(&self) {
        let mut polls = 0;
        loop {
            let mut inner = self.0.lock().unwrap();
            let new = core::mem::take(&mut inner.new);
            inner.tasks.extend(new.into_iter().map(|future| Task {
                future,
                woken: Arc::new(Flag(AtomicBool::new(true))),
            }));
            let mut tasks = core::mem::take(&mut inner.tasks);
            drop(inner);
            let mut any = false;
            tasks.retain_mut(|task| {
                if !task.woken.0.swap(false, Ordering::SeqCst) {
                    return true;
                }
                any = true;
                polls += 1;
                assert!(polls < POLLS_MAX, "something wakes itself for ever");
                let waker = Waker::from(Arc::clone(&task.woken));
                let mut cx = Context::from_waker(&waker);
                task.future.as_mut().poll(&mut cx).is_pending()
            });
            let mut inner = self.0.lock().unwrap();
            tasks.append(&mut inner.tasks);
            inner.tasks = tasks;
            if !any && inner.new.is_empty() {
                return;
            }
        }
    }

    /// Moves the clock and runs what that wakes.
    pub(crate) fn advance(&self, by: Span) {
        let due = {
            let mut inner = self.0.lock().unwrap();
            inner.now = inner.now + by;
            let now = inner.now;
            let (due, later) = core::mem::take(&mut inner.alarms)
                .into_iter()
                .partition::<Vec<_>, _>(|(at, _)| *at <= now);
            inner.alarms = later;
            due
        };
        due.into_iter().for_each(|(_, waker)| waker.wake());
        self.run();
    }

    /// Moves the clock without running anything: the process was paused.
    pub(crate) fn pause(&self, by: Span) {
        let mut inner = self.0.lock().unwrap();
        inner.now = inner.now + by;
    }

    pub(crate) fn drift(&self, by: Span) {
        self.0.lock().unwrap().drift = by;
    }

    /// Tasks that have not ended.
    pub(crate) fn tasks(&self) -> usize {
        let inner = self.0.lock().unwrap();
        inner.tasks.len() + inner.new.len()
    }

    /// Drops all tasks, as a runtime that is shut down does.
    pub(crate) fn shut_down(&self) {
        let mut inner = self.0.lock().unwrap();
        let tasks = (
            core::mem::take(&mut inner.tasks),
            core::mem::take(&mut inner.new),
        );
        drop(inner);
        drop(tasks);
    }
}

impl Clock for TestShell {
    fn now(&self) -> Time {
        let mut inner = self.0.lock().unwrap();
        inner.now = inner.now + inner.drift;
        inner.now
    }
}

impl Spawner for TestShell {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.lock().unwrap().new.push(task);
    }
}

impl Shell for TestShell {
    type Timer = TestTimer;

    fn timer(&self) -> TestTimer {
        TestTimer {
            shell: self.clone(),
            at: None,
        }
    }
}

pub(crate) struct TestTimer {
    shell: TestShell,
    at: Option<Time>,
}

impl Timer for TestTimer {
    fn set(&mut self, at: Option<Time>) {
        self.at = at;
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let mut inner = self.shell.0.lock().unwrap();
        if at <= inner.now {
            self.at = None;
            return Poll::Ready(());
        }
        inner
            .alarms
            .retain(|(_, waker)| !waker.will_wake(cx.waker()));
        inner.alarms.push((at, cx.waker().clone()));
        Poll::Pending
    }
}

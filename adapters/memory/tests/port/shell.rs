//! A shell whose time is a number.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::{Span, Time};
use procession_runtime::port::BoxFuture;
use procession_runtime::{Clock, Shell, Spawner, Timer};

/// Time that only a test moves. Begins at a second.
#[derive(Clone)]
pub(crate) struct Hand(Arc<AtomicU64>);

impl Hand {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_000_000_000)))
    }

    pub(crate) fn pass(&self, span: Span) {
        self.0.fetch_add(span.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl Spawner for Hand {
    fn spawn(&self, _: BoxFuture<'static, ()>) {
        panic!("the in-process broker spawned a task");
    }
}

impl Shell for Hand {
    type Timer = Alarm;

    fn timer(&self) -> Alarm {
        Alarm {
            hand: self.clone(),
            at: None,
        }
    }
}

/// An alarm that rings when a test polls late enough. It wakes nobody.
pub(crate) struct Alarm {
    hand: Hand,
    at: Option<Time>,
}

impl Timer for Alarm {
    fn set(&mut self, at: Option<Time>) {
        self.at = at;
    }

    fn poll_elapsed(&mut self, _: &mut Context<'_>) -> Poll<()> {
        match self.at {
            Some(at) if at <= self.hand.now() => {
                self.at = None;
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

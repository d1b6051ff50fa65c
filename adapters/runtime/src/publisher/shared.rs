//! What the handles and the driver share.

use core::task::{Context, Poll};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procession_core::Time;

use super::cell::Cell;
use crate::mailbox::Mailbox;
use crate::waiters::Waiters;

/// So many cells of dropped futures may lie in the intake before they are swept out.
const LEFT_BEHIND_MAX: usize = 1_024;

pub(super) struct Shared {
    pub(super) intake: Mailbox<Arc<Cell>>,
    /// Deadlines of calls of `close`. The mailbox refuses once the driver has ended.
    pub(super) closes: Mailbox<Time>,
    pub(super) outstanding: AtomicUsize,
    pub(super) connected: AtomicBool,
    left_behind: AtomicUsize,
    ended: Mutex<Ended>,
}

#[derive(Default)]
struct Ended {
    ended: bool,
    waiting: Waiters,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            intake: Mailbox::new(),
            closes: Mailbox::new(),
            outstanding: AtomicUsize::new(0),
            connected: AtomicBool::new(true),
            left_behind: AtomicUsize::new(0),
            ended: Mutex::new(Ended::default()),
        }
    }

    pub(super) fn close(&self, deadline: Time) {
        // Two calls are enough to bring a deadline forward before the driver's next turn.
        let _ = self.closes.push_bounded(deadline, 16);
    }

    /// A future was dropped before the driver took its message.
    pub(super) fn left_behind(&self) {
        if LEFT_BEHIND_MAX <= self.left_behind.fetch_add(1, Ordering::Relaxed) + 1 {
            self.left_behind.store(0, Ordering::Relaxed);
            self.intake.retain(|cell| !cell.is_abandoned());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ended> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn end(&self) {
        self.closes.close();
        let waiting = {
            let mut state = self.lock();
            state.ended = true;
            state.waiting.take()
        };
        waiting.wake();
    }

    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.ended {
            return Poll::Ready(());
        }
        let evicted = state.waiting.add(cx.waker());
        drop(state);
        evicted.wake();
        Poll::Pending
    }
}

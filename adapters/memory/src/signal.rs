//! How one half of the port is woken, at most once per batch.

use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Waker;

use futures_util::task::AtomicWaker;

/// News for one feed or sink. Raising it a second time before it was taken costs one atomic swap
/// and wakes nobody, so a batch of a thousand appends wakes a reader once.
#[derive(Default)]
pub(crate) struct Signal {
    raised: AtomicBool,
    closed: AtomicBool,
    waker: AtomicWaker,
    #[cfg(feature = "test-hooks")]
    faults: std::sync::Mutex<Vec<crate::hooks::Fault>>,
}

impl Signal {
    /// There is news.
    pub(crate) fn raise(&self) {
        if !self.raised.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// The broker was closed: its feeds and sinks end at their next poll.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.raise();
    }

    /// Whether the broker was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether there was news since the last call. Registers `waker` first, so that news that
    /// arrives right after the call is not missed.
    pub(crate) fn take(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.raised.swap(false, Ordering::AcqRel)
    }
}

#[cfg(feature = "test-hooks")]
impl Signal {
    /// Orders a fault.
    pub(crate) fn inflict(&self, fault: crate::hooks::Fault) {
        let faults = self.faults.lock();
        faults
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(fault);
        self.raise();
    }

    /// What was ordered since the last call.
    pub(crate) fn faults(&self) -> Vec<crate::hooks::Fault> {
        let faults = self.faults.lock();
        core::mem::take(&mut faults.unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

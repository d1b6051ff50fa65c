//! A flag that asks a handler to stop.

use core::task::{Context, Poll};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::waiters::Waiters;

/// Asks the owner of a clone to stop. Raised once, never lowered.
///
/// A handler's future is dropped right after its flag was raised, so plain async handlers need not
/// look at it. It is for what outlives the future: blocking work, tasks of its own.
#[derive(Clone, Default, Debug)]
pub struct Cancellation(Arc<Inner>);

#[derive(Default, Debug)]
struct Inner {
    raised: AtomicBool,
    /// The handler's task, and whoever else holds a clone.
    waiting: Mutex<Waiters>,
}

impl Cancellation {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the handler was asked to stop.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Ready once the handler was asked to stop.
    pub fn poll_raised(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_raised() {
            return Poll::Ready(());
        }
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Looked at again under the lock: `raise` sets the flag before it takes the wakers.
        if self.is_raised() {
            return Poll::Ready(());
        }
        let evicted = waiting.add(cx.waker());
        drop(waiting);
        evicted.wake();
        Poll::Pending
    }

    /// Resolves once the handler was asked to stop.
    pub fn raised(&self) -> impl Future<Output = ()> + Send + 'static {
        let this = self.clone();
        core::future::poll_fn(move |cx| this.poll_raised(cx))
    }

    /// Asks to stop.
    pub(crate) fn raise(&self) {
        self.0.raised.store(true, Ordering::Release);
        let waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        waiting.wake();
    }

    /// Makes this flag usable for the next handler, when nobody else holds a clone of it.
    pub(crate) fn reuse(&mut self) -> bool {
        match Arc::get_mut(&mut self.0) {
            Some(inner) => {
                *inner.raised.get_mut() = false;
                *inner
                    .waiting
                    .get_mut()
                    .unwrap_or_else(PoisonError::into_inner) = Waiters::default();
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Waker;

    use super::*;

    #[test]
    fn raising_wakes_whoever_waits_and_stays() {
        let flag = Cancellation::new();
        let mut raised = Box::pin(flag.raised());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(raised.as_mut().poll(&mut cx).is_pending());
        flag.raise();
        assert!(raised.as_mut().poll(&mut cx).is_ready());
        assert!(flag.is_raised() && flag.poll_raised(&mut cx).is_ready());
    }

    #[test]
    fn a_flag_is_used_again_only_while_nobody_else_holds_it() {
        let mut flag = Cancellation::new();
        let kept = flag.clone();
        assert!(!flag.reuse());
        kept.raise();
        drop(kept);
        assert!(flag.reuse() && !flag.is_raised());
    }
}

//! Wakers of those who wait for one event.

use core::task::Waker;

/// Wakers that are kept at once.
const WAITERS_MAX: usize = 64;

/// Those who wait for one event. Bounded: when there are too many (or one that shows another waker at
/// every poll), all are woken, look again and come back.
#[derive(Debug, Default)]
pub(crate) struct Waiters(Vec<Waker>);

impl Waiters {
    /// Adds a waker. What is returned is to be [woken](Self::wake) after the lock is given back.
    #[must_use]
    pub(crate) fn add(&mut self, waker: &Waker) -> Self {
        let mut evicted = Self::default();
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            if WAITERS_MAX <= self.0.len() {
                evicted = self.take();
            }
            self.0.push(waker.clone());
        }
        evicted
    }

    /// Takes all of them out.
    #[must_use]
    pub(crate) fn take(&mut self) -> Self {
        core::mem::take(self)
    }

    /// Wakes them. Not under a lock: a waker may do anything.
    pub(crate) fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn there_are_never_too_many_and_nobody_is_forgotten() {
        let mut waiters = Waiters::default();
        let counts: Vec<Arc<Count>> = (0..1_000).map(|_| Arc::default()).collect();
        for count in &counts {
            let waker = Waker::from(Arc::clone(count));
            waiters.add(&waker).wake();
            waiters.add(&waker).wake();
            assert!(waiters.0.len() <= WAITERS_MAX);
        }
        waiters.take().wake();
        assert!(counts.iter().all(|c| c.0.load(Ordering::SeqCst) == 1));
    }
}

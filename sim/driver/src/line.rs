//! Whether a port can be reached.

use core::task::{Context, Waker};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether the broker refuses whatever it is to store, because its logs are full; shared by all ports.
#[derive(Clone, Default)]
pub(crate) struct Refusing(Arc<AtomicBool>);

impl Refusing {
    pub(crate) fn set(&self, refuses: bool) {
        self.0.store(refuses, Ordering::Relaxed);
    }

    pub(crate) fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A line to a port; shared by the port and whoever cuts it.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    down: bool,
    waker: Option<Waker>,
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It goes down, or comes back.
    pub(crate) fn set(&self, down: bool) {
        self.lock().down = down;
        self.wake();
    }

    /// Wakes whoever polled last.
    pub(crate) fn wake(&self) {
        let waker = self.lock().waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn is_down(&self) -> bool {
        self.lock().down
    }

    /// Whether it is down; wakes at the next change.
    pub(crate) fn poll_down(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        state.waker = Some(cx.waker().clone());
        state.down
    }
}

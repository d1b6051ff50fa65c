//! Ends the sleep of a thread that polls a producer, or that has none at the moment.

use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

use crate::ffi::producer::Bell;

/// Wakes one thread, wherever it sleeps. It stays rung until that thread looks.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rung: bool,
    /// Of the producer that is polled.
    bell: Option<Bell>,
}

impl Alarm {
    /// From now on the thread sleeps in the poll of this producer, or in [`sleep`](Self::sleep).
    pub(super) fn watch(&self, bell: Option<Bell>) {
        self.state().bell = bell;
    }

    /// Whether it was rung since the last look. Once.
    pub(super) fn take(&self) -> bool {
        core::mem::take(&mut self.state().rung)
    }

    /// Sleeps until it is rung, at most `within`.
    pub(super) fn sleep(&self, within: Duration) {
        let state = self.state();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, within, |state| !state.rung)
            .unwrap_or_else(PoisonError::into_inner);
        state.rung = false;
    }

    pub(crate) fn ring(&self) {
        let mut state = self.state();
        state.rung = true;
        if let Some(bell) = &state.bell {
            bell.ring();
        }
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

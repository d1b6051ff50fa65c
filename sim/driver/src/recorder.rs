//! Where everything that happens is written down.

use std::sync::{Arc, Mutex, PoisonError};

use procession_runtime::Clock;

use crate::event::{Event, What};
use crate::shell::SimShell;

/// The history of a run, while it grows.
pub(crate) type History = Arc<Mutex<Vec<Event>>>;

/// Writes for one process.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) history: History,
    pub(crate) shell: SimShell,
}

impl Recorder {
    /// A process that is dead says nothing more: what its destructors do did not happen.
    pub(crate) fn write(&self, what: What) {
        if self.shell.core.is_dead(self.shell.entity) {
            return;
        }
        let event = Event {
            at: self.shell.now().as_nanos(),
            life: self.shell.entity,
            what,
        };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(event);
    }
}

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
    pub(crate) fn write(&self, what: What) {
        let event = Event {
            at: self.shell.now().as_nanos(),
            life: self.shell.entity,
            what,
        };
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push(event);
    }
}

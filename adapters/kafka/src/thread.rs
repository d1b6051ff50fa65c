//! Threads for broker I/O (L4), counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use procession_runtime::port::{PortError, PortErrorKind};

/// A thread that runs one loop to its end.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Option<JoinHandle<()>>,
    ended: Ended,
}

/// Tells when a thread has dropped everything that it had.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended(Arc<AtomicBool>);

impl Ended {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Sets the end whatever happens, a panic included, after it called what is to be called then.
struct AtEnd<F: FnOnce()> {
    ended: Ended,
    last: Option<F>,
}

impl<F: FnOnce()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            last();
        }
        self.ended.0.store(true, Ordering::Release);
    }
}

impl IoThread {
    /// Starts a thread; `last` runs after `work` and all that it owned are gone.
    pub(crate) fn spawn<W, L>(name: &str, work: W, last: L) -> Result<Self, PortError>
    where
        W: FnOnce() + Send + 'static,
        L: FnOnce() + Send + 'static,
    {
        let ended = Ended::default();
        let at_end = AtEnd {
            ended: ended.clone(),
            last: Some(last),
        };
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _at_end = at_end;
                work();
            })
            .map_err(|error| {
                PortError::new(
                    PortErrorKind::Refused,
                    format!("no thread for the Kafka client: {error}"),
                )
            })?;
        Ok(Self {
            handle: Some(handle),
            ended,
        })
    }

    pub(crate) fn ended(&self) -> Ended {
        self.ended.clone()
    }

    /// Waits for a thread that is at its end.
    pub(crate) fn join(&mut self) {
        if let Some(handle) = self.handle.take() {
            // A panic was reported by the panic hook; the end was told all the same.
            let _ = handle.join();
        }
    }
}

//! Threads for broker I/O (L4): each runs one future on a runtime of its own, and is counted.

use core::future::Future;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use procession_runtime::port::{PortError, PortErrorKind};

/// A thread that runs one future to its end.
#[derive(Debug)]
pub(crate) struct IoThread {
    handle: Option<JoinHandle<()>>,
    ended: Ended,
}

/// Tells when a thread has dropped everything it had: tasks, sockets, timers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Ended {
    pub(crate) fn is_set(&self) -> bool {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self) {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state.1.notify_all();
    }
}

/// Sets the end whatever happens, a panic included, and calls what is to be called at the end.
struct AtEnd<F: FnOnce()> {
    ended: Ended,
    last: Option<F>,
}

impl<F: FnOnce()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            last();
        }
        self.ended.set();
    }
}

impl IoThread {
    /// Starts a thread; `last` runs after the future and its runtime are gone.
    pub(crate) fn spawn<F, L>(name: &str, future: F, last: L) -> Result<Self, PortError>
    where
        F: Future<Output = ()> + Send + 'static,
        L: FnOnce() + Send + 'static,
    {
        let failed = |error: std::io::Error| {
            PortError::new(
                PortErrorKind::Refused,
                format!("no thread for the NATS connection: {error}"),
            )
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(failed)?;
        let ended = Ended::default();
        let at_end = AtEnd {
            ended: ended.clone(),
            last: Some(last),
        };
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Dropped in reverse order: the runtime first.
                let _at_end = at_end;
                let runtime = runtime;
                runtime.block_on(future);
            })
            .map_err(failed)?;
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

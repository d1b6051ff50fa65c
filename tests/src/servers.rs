//! Real servers, started once for all cases that run at the same time.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use procession_cli::brokers::{CannotBeHad, Nats, NatsOptions, RunningNats};

use crate::runner::Skip;

/// A server that others may use at the same time. The last one to let go of it stops it, so that no
/// process outlives the tests.
#[derive(Clone, Debug)]
pub struct Server(Arc<RunningNats>);

impl Deref for Server {
    type Target = RunningNats;

    fn deref(&self) -> &RunningNats {
        &self.0
    }
}

/// The shared NATS server.
///
/// # Errors
/// It cannot be had here.
pub fn nats() -> Result<Server, Skip> {
    static SHARED: Mutex<Weak<RunningNats>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Ok(Server(running));
    }
    let running = Arc::new(own_nats(NatsOptions::default())?);
    *shared = Arc::downgrade(&running);
    Ok(Server(running))
}

/// A NATS server of the caller's own, to stop and to kill.
///
/// # Errors
/// It cannot be had here.
pub fn own_nats(options: NatsOptions) -> Result<RunningNats, Skip> {
    Nats::start(options).map_err(|CannotBeHad { what, fix }| Skip {
        what: "nats".into(),
        reason: format!("{what}; {fix}"),
    })
}

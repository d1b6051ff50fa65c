//! Real servers, started once for all cases that run at the same time.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use procession_cli::brokers::{
    CannotBeHad, Kafka, KafkaOptions, Nats, NatsOptions, RunningKafka, RunningNats, RunningServer,
};

use crate::runner::Skip;

/// A server that others may use at the same time. The last one to let go of it stops it, so that no
/// process outlives the tests.
#[derive(Clone, Debug)]
pub struct Server(Arc<RunningServer>);

impl Deref for Server {
    type Target = RunningServer;

    fn deref(&self) -> &RunningServer {
        &self.0
    }
}

/// The shared NATS server.
///
/// # Errors
/// It cannot be had here.
pub fn nats() -> Result<Server, Skip> {
    static SHARED: Mutex<Weak<RunningServer>> = Mutex::new(Weak::new());
    shared(&SHARED, || own_nats(NatsOptions::default()))
}

/// The shared Apache Kafka, with the short timeouts of tests.
///
/// # Errors
/// It cannot be had here.
pub fn kafka() -> Result<Server, Skip> {
    static SHARED: Mutex<Weak<RunningServer>> = Mutex::new(Weak::new());
    shared(&SHARED, || own_kafka(KafkaOptions::default()))
}

/// A NATS server of the caller's own, to stop and to kill.
///
/// # Errors
/// It cannot be had here.
pub fn own_nats(options: NatsOptions) -> Result<RunningNats, Skip> {
    Nats::start(options).map_err(|cannot| skip("nats", cannot))
}

/// An Apache Kafka of the caller's own, to stop and to kill, with the short timeouts of tests.
///
/// # Errors
/// It cannot be had here.
pub fn own_kafka(options: KafkaOptions) -> Result<RunningKafka, Skip> {
    let options = KafkaOptions {
        for_tests: true,
        ..options
    };
    Kafka::start(options).map_err(|cannot| skip("kafka", cannot))
}

/// While it is there, shared servers run on between the cases that use them: a Kafka takes seconds
/// to start.
#[derive(Debug)]
#[must_use = "dropping it lets the servers go"]
pub struct Keeper(());

/// See [`Keeper`]. There can be one at a time.
pub fn keep() -> Keeper {
    *lock(&KEPT) = Some(Vec::new());
    Keeper(())
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Stopping a server takes time: not under the lock.
        let _kept = lock(&KEPT).take();
    }
}

static KEPT: Mutex<Option<Vec<Server>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shared(
    place: &Mutex<Weak<RunningServer>>,
    start: impl FnOnce() -> Result<RunningServer, Skip>,
) -> Result<Server, Skip> {
    let mut shared = lock(place);
    if let Some(running) = shared.upgrade() {
        return Ok(Server(running));
    }
    let running = Server(Arc::new(start()?));
    *shared = Arc::downgrade(&running.0);
    if let Some(kept) = &mut *lock(&KEPT) {
        kept.push(running.clone());
    }
    Ok(running)
}

fn skip(kind: &str, CannotBeHad { what, fix }: CannotBeHad) -> Skip {
    Skip {
        what: kind.into(),
        reason: format!("{what}; {fix}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_server_runs_on_while_it_is_kept_and_ends_with_its_last_user() {
        let keeper = keep();
        let Ok(server) = nats() else {
            return; // The cases that need one say so in plain sight.
        };
        let pid = server.pid;
        drop(server);
        assert_eq!(nats().unwrap().pid, pid);
        drop(keeper);
        assert_ne!(nats().unwrap().pid, pid);
    }
}

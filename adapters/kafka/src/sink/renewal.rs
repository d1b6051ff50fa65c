//! Ends a producer, and makes the next one when the first one's messages cannot land any more.

use core::time::Duration;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rdkafka::ClientConfig;

use super::alarm::Alarm;
use crate::ffi::producer::Producer;

/// After the leader of a partition has answered the new producer, what the broker had received on
/// the old connections and not yet read is given this long to land.
const SETTLE: Duration = Duration::from_millis(500);
/// How long one question to a leader may take, and the wait before it is asked again.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const ASKED_AGAIN: Duration = Duration::from_millis(100);
/// An end that takes longer is said to be late, and again after each such time.
const LATE: Duration = Duration::from_secs(5);

/// A thread that ends a producer, which may take long, and makes another.
#[derive(Debug)]
pub(super) struct Renewal {
    shared: Arc<Shared>,
    began: Instant,
    warned: u32,
}

/// What the new producer must wait for.
#[derive(Debug, Default)]
pub(super) struct After {
    /// Partitions in which messages of the old one may still land.
    pub(super) uncertain: BTreeSet<(String, u32)>,
    /// A pause, so that one failure after the other does not become a busy loop.
    pub(super) pause: Duration,
}

#[derive(Debug, Default)]
struct Shared {
    made: Mutex<Option<Producer>>,
    /// The old one is gone with its threads and connections.
    ended: AtomicBool,
    /// Nobody waits for a new one.
    stop: AtomicBool,
    finished: AtomicBool,
}

impl Renewal {
    /// Ends `old` and makes a new one from `config`. The alarm is rung when there is news.
    pub(super) fn begin(
        old: Producer,
        config: ClientConfig,
        after: After,
        alarm: Arc<Alarm>,
    ) -> Self {
        Self::spawn(alarm, move |shared| {
            drop(old);
            shared.ended.store(true, Ordering::Release);
            if let Some(producer) = successor(&config, &after, shared) {
                *shared.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(producer);
            }
        })
    }

    /// Ends `old` for good.
    pub(super) fn end(old: Producer, alarm: Arc<Alarm>) -> Self {
        Self::spawn(alarm, move |shared| {
            drop(old);
            shared.ended.store(true, Ordering::Release);
        })
    }

    fn spawn(alarm: Arc<Alarm>, work: impl FnOnce(&Shared) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let spawned = std::thread::Builder::new()
            .name("procession-kafka-renewal".to_owned())
            .spawn(move || {
                work(&theirs);
                theirs.finished.store(true, Ordering::Release);
                alarm.ring();
            });
        if let Err(error) = spawned {
            // What the closure owned was dropped right here. There is no new producer, and no
            // thread to make one: the sender goes on asking.
            tracing::error!(%error, "no thread to renew the Kafka producer");
            shared.finished.store(true, Ordering::Release);
        }
        Self {
            shared,
            began: Instant::now(),
            warned: 0,
        }
    }

    /// The new producer, once.
    pub(super) fn take(&self) -> Option<Producer> {
        self.shared
            .made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Nothing of the thread is left to be waited for.
    pub(super) fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }

    /// No new producer is wanted.
    pub(super) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Release);
    }

    /// Says so when it takes long.
    pub(super) fn watch(&mut self) {
        let late = self.began.elapsed();
        if LATE * (self.warned + 1) <= late && !self.is_finished() {
            self.warned += 1;
            if self.shared.ended.load(Ordering::Acquire) {
                tracing::warn!(
                    seconds = late.as_secs(),
                    "publishing waits: the brokers have not answered a new producer yet"
                );
            } else {
                tracing::warn!(
                    seconds = late.as_secs(),
                    "a Kafka producer does not end: its threads are waited for"
                );
            }
        }
    }
}

/// Makes a producer, and waits until nothing of the old one can land.
///
/// The old connections are closed. What a broker had received on them it may still append, as long
/// as it has not looked at them: a frozen broker does so when it goes on. So each leader that may
/// hold such a message must answer the new producer first, which shows that it runs, and then has
/// [`SETTLE`] to read what lay ready. Kafka offers no stronger fence to a producer without
/// transactions: the producer's number is new, and brokers compare only within one.
fn successor(config: &ClientConfig, after: &After, shared: &Shared) -> Option<Producer> {
    let stopped = || shared.stop.load(Ordering::Acquire);
    let until = Instant::now() + after.pause;
    while Instant::now() < until && !stopped() {
        std::thread::sleep(ASKED_AGAIN.min(until - Instant::now()));
    }
    let producer = loop {
        if stopped() {
            return None;
        }
        match Producer::new(config) {
            Ok(producer) => break producer,
            Err(failure) => {
                tracing::error!(error = failure.text, "no new Kafka producer can be made");
                std::thread::sleep(ANSWERED_WITHIN);
            }
        }
    };
    for (topic, partition) in &after.uncertain {
        while !has_answered(&producer, topic, *partition) {
            if stopped() {
                return None;
            }
            std::thread::sleep(ASKED_AGAIN);
        }
    }
    if !after.uncertain.is_empty() {
        std::thread::sleep(SETTLE);
    }
    Some(producer)
}

/// Any word of a broker counts, a refusal too; what only the client says does not.
fn has_answered(producer: &Producer, topic: &str, partition: u32) -> bool {
    match producer.ask_leader(topic, partition, ANSWERED_WITHIN) {
        Ok(()) => true,
        Err(failure) => failure.is_final(),
    }
}

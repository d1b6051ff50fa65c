//! The publishing side of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use procession::{Bus, Envelope, EnvelopeError, PublishError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Plan, Stamp, Tally};
use crate::args::{Form, Senders};
use crate::history::monotonic_nanos;

/// Publishes under way at once, of however many senders. A sender builds its message when its turn
/// comes: ten thousand messages that wait for the bus's own window would only be memory.
const UNDER_WAY: usize = 2_048;

/// What every sender needs.
#[derive(Clone)]
pub(super) struct Sending {
    pub(super) bus: Bus,
    pub(super) plan: Arc<Plan>,
    pub(super) tally: Arc<Tally>,
    pub(super) form: Form,
    /// Raised when the run is to end early: what was accepted gets its result, no more is sent.
    pub(super) stop: Arc<AtomicBool>,
}

/// Starts the senders. One each for the aggregates, or so many that share them; each waits for the
/// acknowledgement of a version before it sends the next.
pub(super) fn start(sending: &Sending, senders: Senders) -> JoinSet<Result<(), String>> {
    let aggregates = sending.plan.load.aggregates;
    let count = match senders {
        Senders::Aggregate => aggregates,
        Senders::Count(n) => n.min(aggregates),
    };
    let mut running = JoinSet::new();
    let turns = Arc::new(Semaphore::new(UNDER_WAY));
    for first in 0..count {
        let (sending, turns) = (sending.clone(), Arc::clone(&turns));
        running.spawn(async move { sending.send_all(first, count as usize, &turns).await });
    }
    running
}

impl Sending {
    /// Sends every version of the aggregates `first`, `first + step`, ..., version by version.
    async fn send_all(&self, first: u32, step: usize, turns: &Semaphore) -> Result<(), String> {
        let load = &self.plan.load;
        for seq in 1..=load.versions(first) {
            for aggregate in (first..load.aggregates).step_by(step) {
                if seq > load.versions(aggregate) {
                    continue;
                }
                // Never closed; were it, the sender would only lose its turn.
                let _turn = turns.acquire().await.ok();
                if self.stop.load(Relaxed) {
                    return Ok(());
                }
                self.send(aggregate, seq).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, aggregate: u32, seq: u32) -> Result<(), String> {
        let stamp = Stamp {
            aggregate,
            seq,
            published: monotonic_nanos(),
        };
        let id = stamp.id();
        let copies = 1 + u8::from(self.plan.picks.republishes(&id));
        let envelope = self.envelope(stamp, id).map_err(|e| e.to_string())?;
        let topic = self.plan.topic(aggregate);
        for copy in 0..copies {
            loop {
                let sent = self.bus.publish_copy(topic, envelope.clone(), copy).await;
                match sent {
                    Ok(stored) => {
                        let now = monotonic_nanos();
                        self.tally.stored(&self.plan, stamp, stored.duplicate, now);
                    }
                    // Nothing was sent: the same message waits for room once more.
                    Err(PublishError::Full) if !self.stop.load(Relaxed) => continue,
                    Err(PublishError::Full) => {}
                    Err(PublishError::Refused(_)) => drop(self.tally.refused.fetch_add(1, Relaxed)),
                    Err(PublishError::Unknown(_)) => drop(self.tally.unknown.fetch_add(1, Relaxed)),
                    Err(error) => return Err(format!("publishing to {topic}: {error}")),
                }
                break;
            }
        }
        Ok(())
    }

    fn envelope(&self, stamp: Stamp, id: String) -> Result<Envelope, EnvelopeError> {
        let payload = stamp.payload(self.plan.payload);
        match self.form {
            Form::Raw => Envelope::raw(id, Some(&stamp.key()), payload),
            Form::Envelope => Envelope::builder("Compared")
                .key(stamp.key())
                .id(id)
                .sequence(stamp.seq.into())
                .payload(payload, "application/octet-stream"),
        }
    }
}

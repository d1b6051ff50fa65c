//! What a handler may know about its attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_core::Time;
use procession_runtime::subscription::{Attempt, Fence};
use procession_runtime::{BootClock, Clock};

use crate::Envelope;

/// One attempt at a message.
#[derive(Clone, Debug)]
pub struct Context {
    scope: Arc<Scope>,
    attempt: Attempt,
    envelope: Envelope,
}

/// What all attempts of a subscription share.
#[derive(Debug)]
pub(crate) struct Scope {
    pub(crate) topic: Arc<str>,
    pub(crate) group: Arc<str>,
}

impl Context {
    pub(crate) const fn new(scope: Arc<Scope>, attempt: Attempt, envelope: Envelope) -> Self {
        Self {
            scope,
            attempt,
            envelope,
        }
    }

    /// The number of the attempt, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt.number
    }

    /// (partition, epoch, position): what a handler can guard its effects with. Store it with the
    /// effect, and refuse an effect whose epoch is older than the one stored.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        Fence {
            partition: self.attempt.partition,
            epoch: self.attempt.epoch,
            position: self.attempt.position,
        }
    }

    /// When this attempt will be cancelled; `None` for never.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.attempt.deadline == Time::MAX {
            return None;
        }
        let left = self.attempt.deadline.since(BootClock.now());
        Instant::now().checked_add(Duration::from(left))
    }

    /// Whether this attempt was cancelled. Its future is dropped right afterwards: this is for work
    /// that outlives it, in threads or tasks of its own.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.attempt.cancellation.is_raised()
    }

    /// Resolves when this attempt is cancelled.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.attempt.cancellation.raised()
    }

    /// The message with all its fields.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The topic.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.scope.topic
    }

    /// The group.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.scope.group
    }
}

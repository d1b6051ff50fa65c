//! What a handler may know about its attempt.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use procession_core::Time;
use procession_runtime::subscription::{Attempt, Fence};
use procession_runtime::{BootClock, Clock};

use crate::bus::Inner;
use crate::publish::{PublishError, Stored, Terms, publish};
use crate::{Envelope, EnvelopeBuilder};

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
    /// A context that outlives its attempt must not keep the bus from ending.
    pub(crate) bus: Weak<Inner>,
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

    /// Which one of how many messages of its key that are to go into one call of a batch.
    pub(crate) const fn call(&self) -> (u32, u32) {
        self.attempt.call
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

    /// Begins an envelope that this message leads to: trace context, correlation id and tenant are
    /// carried over ([`EnvelopeBuilder::caused_by`]).
    ///
    /// An attempt that failed after it published is made again, and publishes again. Give such an
    /// envelope an id that is made of this message's id ([`EnvelopeBuilder::id`]): copies are handled
    /// once.
    pub fn follow_up(&self, event_type: impl Into<String>) -> EnvelopeBuilder {
        Envelope::builder(event_type).caused_by(&self.envelope)
    }

    /// Publishes on the bus of this subscription; see [`Bus::publish`](crate::Bus::publish).
    ///
    /// ```
    /// # use procession::{Bus, Envelope, raw};
    /// # async fn example(bus: Bus) -> Result<(), procession::Error> {
    /// let subscription = bus.subscribe("orders", "billing", raw(|order, cx| async move {
    ///     let id = format!("{}-billed", order.id());
    ///     let billed = cx.follow_up("OrderBilled").id(id).key("order-42").json(&3)?;
    ///     cx.publish("bills", billed).await?;
    ///     Ok(())
    /// })).await?;
    /// # drop(subscription);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`Bus::publish`](crate::Bus::publish); `Closed` once the bus is gone, too.
    pub fn publish(
        &self,
        topic: &str,
        envelope: Envelope,
    ) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
        let bus = self.scope.bus.upgrade();
        let publish = bus.map(|bus| publish(bus, topic, envelope, Terms::default()));
        async move { publish.ok_or(PublishError::Closed)?.await }
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

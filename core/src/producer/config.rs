//! What an owner of a producer may choose.

use crate::{Backoff, ConfigError, Span};

/// The whole configuration of a [`Producer`](crate::Producer). Plain data, checked once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducerConfig {
    /// Messages held at once, from acceptance to the end of their uncertainty (1 to 4,000,000).
    pub messages: u32,
    /// Bytes held at once. A message larger than this is never accepted.
    pub bytes: u64,
    /// Sends without an answer at once, over all keys (1 to `messages`).
    pub in_flight: u32,
    /// Those who were refused for want of room are woken when the load has fallen to this many
    /// percent of the window (low water mark; 1 to 100).
    pub low_water_percent: u8,
    /// Whether the broker keeps the order of sends by itself (idempotent Kafka producer): several of
    /// one key may then be on their way. Otherwise (JetStream) one per key is, of many keys at once.
    pub pipelining: bool,
    /// Messages of one key that may go together in one request (1 to 256; 1: none do). A request counts
    /// once among the sends. Without effect where `pipelining` has them on their way anyway.
    pub batch: u32,
    /// Waiting time before a message is sent again under the same identity.
    pub backoff: Backoff,
    /// Seed of the jitter. Equal seeds and inputs give equal outputs (S11).
    pub seed: u64,
}

impl Default for ProducerConfig {
    /// 10,000 messages, 64 MiB, 4,096 sends without an answer, one per key and each by itself; 50 ms doubling to 2 s.
    fn default() -> Self {
        Self {
            messages: 10_000,
            bytes: 64 << 20,
            in_flight: 4_096,
            low_water_percent: 75,
            pipelining: false,
            batch: 1,
            backoff: Backoff {
                first: Span::from_millis(50),
                max: Span::from_secs(2),
                jitter_percent: 20,
            },
            seed: 0,
        }
    }
}

impl ProducerConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, field, value: u64, allowed| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError {
                    field,
                    value,
                    allowed,
                })
            }
        };
        check(
            (1..=4_000_000).contains(&self.messages),
            "messages",
            self.messages.into(),
            "1 to 4000000",
        )?;
        check(self.bytes > 0, "bytes", self.bytes, "at least 1")?;
        check(
            (1..=self.messages).contains(&self.in_flight),
            "in_flight",
            self.in_flight.into(),
            "1 to `messages`",
        )?;
        check(
            (1..=256).contains(&self.batch),
            "batch",
            self.batch.into(),
            "1 to 256",
        )?;
        check(
            (1..=100).contains(&self.low_water_percent),
            "low_water_percent",
            self.low_water_percent.into(),
            "1 to 100",
        )?;
        check(
            self.backoff.first <= self.backoff.max && self.backoff.jitter_percent <= 100,
            "backoff",
            self.backoff.first.as_nanos(),
            "first at most max, jitter 0 to 100 percent",
        )
    }
}

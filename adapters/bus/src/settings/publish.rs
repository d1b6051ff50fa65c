//! Table `[publish]`.

use std::time::Duration;

use procession_core::{Backoff, ProducerConfig, Span};

use super::SettingsError;
use super::reader::Reader;

/// Settings of publishing: table `[publish]`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PublishSettings {
    /// Every accepted publish has its result within this time (S10). Default 30 s.
    pub deadline: Duration,
    /// Publishes without a result, at most. Default 10,000.
    pub window_messages: u32,
    /// The same in bytes. Default 64 MiB.
    pub window_bytes: u64,
    /// Sends without an answer, over all keys; one per key. Default 4,096.
    pub in_flight: u32,
    /// Waiting messages of one key that go to the broker in one request, at most (1 to 256). Default 1:
    /// each by itself, so that a key waits for an answer per message. Where the broker keeps the order of
    /// a key whatever is on its way (Kafka), it changes nothing. On NATS the stream must take batches
    /// (`allow_atomic`), and one with a single replica in files does so slowly (`docs/nats.md`).
    pub batch: u32,
    /// When the window is full: `wait` for room until the deadline (default), or `fail` at once.
    pub when_full: WhenFull,
    /// The largest message, header fields included, in bytes; the broker's own limit applies, too.
    /// Default 1 MiB.
    pub message_bytes_max: u64,
    /// Waiting time before a message is sent again under the same identity. Default 50 ms, doubling.
    pub backoff_first: Duration,
    /// The longest such waiting time. Default 2 s.
    pub backoff_max: Duration,
    /// Window of the broker's own dedupe for topics that are created; at least twice the deadline.
    /// Default 2 minutes, or twice the deadline if that is more.
    pub duplicate_window: Option<Duration>,
}

/// What a publish does when there is no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenFull {
    /// Waits for room until its deadline.
    #[default]
    Wait,
    /// Fails at once.
    Fail,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(30),
            window_messages: 10_000,
            window_bytes: 64 << 20,
            in_flight: 4_096,
            batch: 1,
            when_full: WhenFull::Wait,
            message_bytes_max: 1 << 20,
            backoff_first: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
            duplicate_window: None,
        }
    }
}

impl PublishSettings {
    pub(super) fn apply(&mut self, mut r: Reader<'_>) -> Result<(), SettingsError> {
        const WHEN_FULL: &[(&str, WhenFull)] =
            &[("wait", WhenFull::Wait), ("fail", WhenFull::Fail)];
        r.duration("deadline", &mut self.deadline)?;
        r.number("window_messages", &mut self.window_messages)?;
        r.bytes("window_bytes", &mut self.window_bytes)?;
        r.number("in_flight", &mut self.in_flight)?;
        r.number("batch", &mut self.batch)?;
        r.word("when_full", WHEN_FULL, |w| self.when_full = w)?;
        r.bytes("message_bytes_max", &mut self.message_bytes_max)?;
        r.duration("backoff_first", &mut self.backoff_first)?;
        r.duration("backoff_max", &mut self.backoff_max)?;
        let mut window = self.duplicate_window;
        r.some("duplicate_window", &mut window, super::value::duration)?;
        self.duplicate_window = window;
        r.finish()
    }

    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let bad = |field: &str, value: Duration, fix: &str| {
            let (field, value) = (format!("publish.{field}"), format!("{value:?}"));
            Err(SettingsError::new(field, value, "", "out of range", fix))
        };
        if self.deadline.is_zero() || self.deadline > Duration::from_secs(3_600) {
            return bad(
                "deadline",
                self.deadline,
                "allowed is more than 0, at most 1h",
            );
        }
        if self.duplicate_window().checked_div(2) < Some(self.deadline) {
            let fix = "allowed is at least twice `publish.deadline`: a publish may be sent again \
                       under the same id until then";
            return bad("duplicate_window", self.duplicate_window(), fix);
        }
        if self.message_bytes_max > self.window_bytes {
            return Err(SettingsError::new(
                "publish.message_bytes_max",
                self.message_bytes_max.to_string(),
                "",
                "larger than `publish.window_bytes`: such a message could never be sent",
                "lower it, or raise `publish.window_bytes`",
            ));
        }
        let core = self.to_core(0).validate();
        core.map_err(|error| SettingsError::from_core("publish", error))
    }

    /// The window of the broker's own dedupe.
    #[must_use]
    pub fn duplicate_window(&self) -> Duration {
        self.duplicate_window
            .unwrap_or_else(|| Duration::from_secs(120).max(self.deadline.saturating_mul(2)))
    }

    /// What the core's producer is configured with.
    pub(crate) fn to_core(&self, seed: u64) -> ProducerConfig {
        ProducerConfig {
            messages: self.window_messages,
            bytes: self.window_bytes,
            in_flight: self.in_flight.min(self.window_messages),
            batch: self.batch,
            backoff: Backoff {
                first: Span::from(self.backoff_first),
                max: Span::from(self.backoff_max),
                jitter_percent: 20,
            },
            seed,
            ..ProducerConfig::default()
        }
    }
}

//! The raw clients, used the way their users do.

mod kafka;
mod nats;

use super::{Load, Run};
use crate::args::On;
use crate::failure::Failure;

use kafka::RawKafka;
use nats::RawNats;

/// How much of the job is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Depth {
    /// All that the bus does with a message: header fields written and the result of each message
    /// awaited, or header fields read into an owned envelope.
    Equal,
    /// The same, as an expert makes it faster: for Kafka results are counted only, and the client
    /// looks for more at once when its queue has room.
    Tuned,
    /// The loop of `Equal` alone, without header fields.
    Bare,
}

/// A raw client that is connected.
pub(super) enum Raw {
    Nats(RawNats),
    Kafka(RawKafka),
}

/// Whether there is a raw client of this kind.
pub(super) fn has_client(on: &On) -> bool {
    match on {
        On::Nats(_) | On::Kafka(_) => true,
        On::Memory | On::MockKafka => false,
    }
}

/// The clients and their versions, as they are built in.
pub(super) fn clients() -> String {
    format!("async-nats {}, {}", nats::VERSION, kafka::version())
}

impl Raw {
    /// Whether there is anything to tune.
    pub(super) const fn can_be_tuned(&self) -> bool {
        matches!(self, Self::Kafka(_))
    }

    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        if url.starts_with("nats://") {
            RawNats::connect(url).await.map(Self::Nats)
        } else {
            RawKafka::connect(url).map(Self::Kafka)
        }
    }

    /// Publishes everything and waits for every result. The topic is there.
    pub(super) async fn publish(
        &self,
        topic: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        match self {
            Self::Nats(raw) => raw.publish(topic, load, depth).await,
            Self::Kafka(raw) => raw.publish(topic, load, depth).await,
        }
    }

    /// Consumes everything, from the first message to the last, as a group that is new.
    pub(super) async fn consume(
        &self,
        topic: &str,
        group: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        match self {
            Self::Nats(raw) => raw.consume(topic, group, load, depth).await,
            Self::Kafka(raw) => raw.consume(topic, group, load, depth).await,
        }
    }

    /// Removes a topic that the bench has made.
    pub(super) async fn delete(&self, topic: &str) -> Result<(), Failure> {
        match self {
            Self::Nats(raw) => raw.delete(topic).await,
            Self::Kafka(raw) => raw.delete(topic).await,
        }
    }
}

/// What a raw client says when it cannot go on.
fn failed<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::unavailable(format!("the raw client: {what}: {error}"))
}

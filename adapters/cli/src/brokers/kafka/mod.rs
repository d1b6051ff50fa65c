//! Apache Kafka.

mod have;
mod java;
mod options;
mod probe;
mod properties;
mod recipe;

pub use have::{KAFKA_VERSION, KafkaProgram, ensure_kafka_in};
pub use options::{Kafka, KafkaOptions};

/// An Apache Kafka that was started from here. Dropping it kills the server.
pub type RunningKafka = super::RunningServer;

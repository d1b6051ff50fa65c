//! Real brokers as child processes: found or fetched, started, watched and stopped.
//!
//! Used by `procession brokers`, by `compare`, and by tests that need a real server. Everything
//! listens on 127.0.0.1 only, and only processes that were started from here are ever signalled.

mod cannot;
mod dirs;
mod fetch;
mod kafka;
mod nats;
mod port;
mod process;
mod recipe;
mod record;
mod said;
mod server;

pub use cannot::CannotBeHad;
pub use dirs::default_dir;
pub use kafka::{KAFKA_VERSION, Kafka, KafkaOptions, KafkaProgram, RunningKafka, ensure_kafka_in};
pub use nats::{NATS_VERSION, Nats, NatsOptions, RunningNats, ensure_nats, ensure_nats_in};
pub use port::free_port;
pub use process::Identity;
pub use record::{BrokerRecord, find_records};
pub use server::RunningServer;

//! Real brokers as child processes: found or fetched, started, watched and stopped.
//!
//! Used by `procession brokers`, by `compare`, and by tests that need a real server. Everything
//! listens on 127.0.0.1 only, and only processes that were started from here are ever signalled.

mod cannot;
mod have;
mod nats;
mod nats_options;
mod probe;
mod process;
mod record;

pub use cannot::CannotBeHad;
pub use have::{NATS_VERSION, default_dir, ensure_nats, ensure_nats_in};
pub use nats::RunningNats;
pub use nats_options::{Nats, NatsOptions};
pub use process::Identity;
pub use record::{BrokerRecord, find_records};

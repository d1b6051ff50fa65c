//! nats-server.

mod have;
mod options;
mod probe;
mod recipe;

pub use have::{NATS_VERSION, ensure_nats, ensure_nats_in};
pub use options::{Nats, NatsOptions};

/// A NATS server that was started from here. Dropping it kills the server.
pub type RunningNats = super::RunningServer;

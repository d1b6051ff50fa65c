//! NATS JetStream as a broker of Procession: a log with a committed frontier.
//!
//! * Deliveries come from ephemeral consumers without acknowledgements, one per owned partition and
//!   session; each session overlaps the one before by one message, by which the log is recognised.
//! * Progress, lease and fence are one record per (group, stream, topic, partition) in a bucket,
//!   written by compare-and-set on a connection of its own.
//! * Publishes carry a message id and are answered on one inbox.
//!
//! [`NatsBroker`] implements `procession_runtime::port::Broker`. It decides nothing about order,
//! acknowledgement, duplicates, retries or pressure: it carries out commands and reports what
//! happened. All I/O runs on threads of its own (L4); after
//! [`close`](procession_runtime::port::Broker::close) none of them is left, nor a socket.
#![warn(missing_docs)]

mod audit;
mod broker;
mod feed;
mod jetstream;
mod names;
mod options;
mod publish;
mod records;
mod requests;
mod shape;
mod sink;
mod thread;
mod topics;
mod wire;

pub use broker::NatsBroker;
pub use options::{NatsOptions, TlsOptions};

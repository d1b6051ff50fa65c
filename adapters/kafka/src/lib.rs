//! Apache Kafka as a broker of Procession: consumer groups, a log with a committed frontier.
//!
//! * A subscription is two clients of one group id: the *member* takes part in rebalances and commits,
//!   the *fetcher* reads what the member was assigned. So a hand-over that takes time stalls only the
//!   partitions that move, never those that stay.
//! * Each partition has a queue of its own; the core's credit says how much is read from it. Pressure
//!   is not reading: nothing is paused, nothing that was fetched is thrown away.
//! * Commits carry the progress map and the anchor in their metadata; one is outstanding at a time.
//! * Publishes go through an idempotent producer; deadlines live in the core.
//!
//! [`KafkaBroker`] implements `procession_runtime::port::Broker`. It decides nothing about order,
//! acknowledgement, duplicates, retries or pressure: it carries out commands and reports what
//! happened. All I/O runs on threads of its own (L4).
#![warn(missing_docs)]

mod audit;
mod broker;
mod context;
mod control;
mod errors;
mod feed;
mod ffi;
mod metadata;
mod options;
mod partitioner;
mod sink;
mod thread;
mod topics;

pub use broker::KafkaBroker;
pub use options::{GroupProtocol, KafkaOptions};
pub use partitioner::{Partitioner, UnknownPartitioner};

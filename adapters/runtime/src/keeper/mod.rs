//! Claims, leases and progress records for brokers without groups of their own.
//!
//! The decisions are the core's (`procession_core::Claims`); the keeper reads and writes the records
//! for it and speaks [`FeedEvent`](crate::port::FeedEvent) to the driver. It does no I/O itself and
//! reads no clock, so every port can run it on the thread that owns its connection (L4).

mod answers;
mod machine;
mod partition;
mod record;
mod spec;
mod states;
mod store;
#[cfg(test)]
mod tests;

pub use machine::Keeper;
pub use record::{Progress, RecordError, incarnation_of, member_id, record_key};
pub use spec::KeeperSpec;
pub use store::{LogState, RecordStore, StoredRecord, WriteAnswer};

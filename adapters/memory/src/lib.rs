//! The in-process broker: topics, partitions, groups and progress in the memory of one process.
//!
//! It is the default of an embedded bus, the double in tests, and the worked example of a port: the
//! shortest complete answer to `procession_runtime::port`. Whoever writes a port for another broker
//! finds each duty in one place:
//!
//! | duty of a port | here |
//! |---|---|
//! | topics: create, check, read back | `Hub::ensure` |
//! | publish: a queue, a batch, one answer each | `MemorySink` |
//! | own partitions by lease, commit by compare-and-set | `Keeper` over `MemoryRecords` |
//! | sessions with overlap by one, grants, breaks | `Delivery` |
//! | log, retention, recognising a rewritten log | `PartitionLog` |
//! | the broker's own dedupe | `Recent` |
//! | end everything | `MemoryBroker::close` |
//!
//! **Which broker.** `memory://` is a broker of that one connection. `memory://NAME` is shared by
//! all connections of the process to that name, and lives as long as one of them, or one of their
//! feeds and sinks, does.
//!
//! **Nothing runs by itself.** There is no thread and no task: whoever polls a feed or sink does its
//! work, under one lock per topic that is taken once per batch. So closing leaves nothing behind. A
//! process whose runtime is hogged does not renew its leases here, while ports of real brokers do
//! so on threads of their own (L4); another member can only be in the same process, and waits
//! behind the same hog.
//!
//! **Bounded (S7).** [`Settings`] limits everything. When the log is full, what every known group
//! of a topic has committed is freed; when that is nothing, publishers wait, and their
//! own window bounds them. A topic that no group has ever read is kept whole. The last eighth of
//! the log is for dead letters.
//!
//! **Guarantees.** Positions begin at 1 and have no holes. Stamps are unique within a topic and
//! grow. A second publish of an identity within the duplicate window is answered with the first
//! one's place. "Stored" means: in memory, gone with the process.
#![warn(missing_docs)]

mod broker;
mod delivery;
mod feed;
#[cfg(feature = "test-hooks")]
#[doc(hidden)]
pub mod hooks;
mod hub;
mod log;
mod names;
mod recent;
mod records;
mod settings;
mod signal;
mod sink;
mod topic;

pub use broker::MemoryBroker;
pub use settings::Settings;

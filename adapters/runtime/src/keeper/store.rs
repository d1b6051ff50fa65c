//! What a broker must be able to do for the keeper: compare-and-set of one small record.

use bytes::Bytes;
use procession_core::{PartitionId, Position};

use crate::port::{BoxFuture, PortError};

/// Where the records of one (topic, group) are kept: one per partition, changed by compare-and-set.
///
/// The futures run where the port polls its [`Keeper`](super::Keeper): on the port's own thread.
/// The keeper has at most one read and one write of a partition outstanding, and bounds each with a
/// time limit of its own by dropping the future; what a dropped write did is unknown.
pub trait RecordStore: Send + 'static {
    /// Reads the record; `None` when there is none. Must not be served by a stale replica.
    fn read(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'static, Result<Option<StoredRecord>, PortError>>;

    /// Writes the record if its revision is still `expected`; 0 stands for "nothing was ever written".
    fn write(
        &self,
        partition: PartitionId,
        expected: u64,
        bytes: Bytes,
    ) -> BoxFuture<'static, WriteAnswer>;

    /// The log of the partition as it is now.
    fn log(&self, partition: PartitionId) -> BoxFuture<'static, Result<LogState, PortError>>;
}

/// A record as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// Names this state of the record; grows. Never 0.
    pub revision: u64,
    /// Its content; empty for the mark that a deletion left.
    pub bytes: Bytes,
}

/// How a write ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteAnswer {
    /// Stored, under this revision.
    Stored(u64),
    /// Another revision is there. Not stored.
    Refused,
    /// Not stored for another reason, and it never will be. `Denied` and `TooLarge` are told apart
    /// by the kind of the error; everything else is tried again.
    NotStored(PortError),
    /// Nobody knows; it may still land.
    Unknown(PortError),
}

/// A partition's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogState {
    /// What makes positions comparable, as text: the stream's creation time, a topic's id. It goes
    /// into the record; its digest is the [`Incarnation`](procession_core::Incarnation).
    pub created: String,
    /// The first position that the log holds.
    pub start: Position,
    /// One past the last position that the log holds.
    pub end: Position,
}

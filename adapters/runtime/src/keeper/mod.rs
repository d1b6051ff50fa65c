//! Claims, leases and progress records for brokers without groups of their own.
//!
//! The decisions are the core's (`procession_core::Claims`); the keeper reads and writes the records
//! for it and speaks [`FeedEvent`] to the driver.

mod record;
mod store;

use core::task::Context;
use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Time};

use crate::port::{FeedEvent, LeaseSpec, PortError, ProgressWrite, StartAt};

pub use record::{Progress, RecordError, incarnation_of, record_key};
pub use store::{LogState, RecordStore, StoredRecord, WriteAnswer};

/// What a keeper is for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeeperSpec {
    /// How many partitions the topic has.
    pub partitions: u32,
    /// This member's name, unique in the group. Made unique per start by the caller: a name that a
    /// dead process used would let the new one take over a lease that is not its own.
    pub member: Arc<str>,
    /// Where a group without progress begins.
    pub start: StartAt,
    /// Lease and margin.
    pub lease: LeaseSpec,
    /// Seed of the jitter in waiting times.
    pub seed: u64,
}

/// Claims partitions, renews leases and writes progress for one feed.
///
/// The port owns it, calls [`poll`](Self::poll) from the task that serves the feed (on the port's
/// own thread), forwards [`commit`](Self::commit) and [`release`](Self::release), and hands the
/// events on. Between [`FeedEvent::Assigned`] and [`FeedEvent::Lost`] (or the release) the port
/// delivers; the keeper itself knows nothing of deliveries.
pub struct Keeper<S> {
    store: S,
    spec: KeeperSpec,
}

impl<S: RecordStore> Keeper<S> {
    /// A keeper that has claimed nothing. Claiming starts with the first [`poll`](Self::poll).
    ///
    /// # Errors
    /// A lease that cannot work (margin not below the lease, lease of zero), no partitions.
    pub fn new(spec: KeeperSpec, store: S) -> Result<Self, PortError> {
        Ok(Self { store, spec })
    }

    /// Makes all progress that can be made, appends what happened to `into`, and returns when it
    /// wants to be polled again at the latest. Wakes the task whenever an answer of the store came.
    ///
    /// # Errors
    /// The keeper cannot go on (a record of a newer version): report it as
    /// [`FeedEvent::Failed`], then close.
    pub fn poll(
        &mut self,
        _now: Time,
        _cx: &mut Context<'_>,
        _into: &mut Vec<FeedEvent>,
    ) -> Result<Option<Time>, PortError> {
        let _ = (&self.store, &self.spec);
        Ok(None)
    }

    /// Carries out [`FeedCommand::Commit`](crate::port::FeedCommand::Commit). Answered by exactly
    /// one [`FeedEvent::Committed`] from a later [`poll`](Self::poll).
    pub fn commit(&mut self, _now: Time, _write: ProgressWrite) {}

    /// Carries out [`FeedCommand::Release`](crate::port::FeedCommand::Release): gives the lease up,
    /// unless the last commit did so.
    pub fn release(&mut self, _now: Time, _partition: PartitionId, _epoch: Epoch) {}

    /// The connection is there again: every record is read and compared before the next write.
    pub fn reconnected(&mut self, _now: Time) {}

    /// Whether no read or write is outstanding: nothing is lost when the port stops polling.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        true
    }
}

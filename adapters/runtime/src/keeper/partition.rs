//! What the keeper remembers of one partition.

use core::fmt;

use bytes::Bytes;
use procession_core::{Anchor, Epoch, Position, Time};

use super::{LogState, Progress, StoredRecord, WriteAnswer};
use crate::port::{BoxFuture, PortError};

/// One partition: its record's content, what is outstanding, what the driver was told.
#[derive(Default)]
pub(super) struct Partition {
    /// What the next write carries besides its head.
    pub(super) content: Content,
    /// The content of the record as it was read last, whoever wrote it: a take-over goes on from
    /// there, never from what this member remembers of an earlier ownership.
    pub(super) found: Content,
    /// Who owns the record, by its own word.
    pub(super) owner: String,
    /// The driver was told that the partition is ours, in this epoch.
    pub(super) assigned: Option<Epoch>,
    /// The last commit of the epoch was asked for.
    pub(super) last_sent: bool,
    /// The driver gave it up; the claim has not seen that in the record yet.
    pub(super) releasing: bool,
    /// Ours by the claim; the driver is told once the log's state is known.
    pub(super) opening: Option<(Epoch, Time)>,
    /// The owner that the driver was told of.
    pub(super) standby_told: Option<String>,
    /// The log as it was when the partition was opened.
    pub(super) log: Option<LogState>,
    /// The revision whose content could not be read, once reported.
    pub(super) unreadable: Option<u64>,

    pub(super) read: Option<Pending<Result<Option<StoredRecord>, PortError>>>,
    pub(super) write: Option<(u64, Pending<WriteAnswer>)>,
    pub(super) log_read: Option<Pending<Result<LogState, PortError>>>,
    /// The log is not asked again before this time.
    pub(super) log_after: Time,
}

/// The part of a record that is not about ownership.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Content {
    /// The incarnation's mark; empty for a group without progress.
    pub(super) created: String,
    pub(super) frontier: Option<Position>,
    pub(super) anchor: Option<Anchor>,
    pub(super) map: Bytes,
}

impl From<Progress> for Content {
    fn from(progress: Progress) -> Self {
        Self {
            created: progress.created,
            frontier: progress.frontier,
            anchor: progress.anchor,
            map: progress.map,
        }
    }
}

/// An answer that is waited for, and until when.
pub(super) struct Pending<T> {
    pub(super) future: BoxFuture<'static, T>,
    pub(super) until: Time,
}

impl Partition {
    /// Whether the record is this member's to write, as far as it was told.
    pub(super) const fn is_ours(&self) -> bool {
        self.assigned.is_some() || self.opening.is_some() || self.releasing
    }

    /// Forgets what is outstanding. The store's futures are dropped; what they did is unknown.
    pub(super) fn drop_pending(&mut self) {
        self.read = None;
        self.write = None;
        self.log_read = None;
    }

    /// When the first answer is overdue.
    pub(super) fn wake(&self) -> Option<Time> {
        let asked = [
            self.read.as_ref().map(|p| p.until),
            self.write.as_ref().map(|(_, p)| p.until),
            self.log_read.as_ref().map(|p| p.until),
            (self.opening.is_some() && self.log_read.is_none()).then_some(self.log_after),
        ];
        asked.into_iter().flatten().min()
    }
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partition")
            .field("owner", &self.owner)
            .field("assigned", &self.assigned)
            .field("reading", &self.read.is_some())
            .field("writing", &self.write.as_ref().map(|(number, _)| number))
            .finish_non_exhaustive()
    }
}

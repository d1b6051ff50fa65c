//! What a claim remembers.

use super::{ClaimRecord, ClaimWrite, Revision};
use crate::{Epoch, Time};

/// Where a claim stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Somebody else's, or nobody's.
    Standby,
    /// Ours by the record. The lease may have lapsed.
    Owner,
    /// Given up.
    Released {
        /// The record was seen without us as its owner.
        confirmed: bool,
    },
}

/// What the last read of a standby found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) record: Option<ClaimRecord>,
    pub(super) revision: Revision,
    /// When it was found first. The lease of its owner runs from here, on our own clock.
    pub(super) since: Time,
    /// The record went back, or away: even when it names no owner, somebody may still believe in a
    /// later one. It is taken only after a whole lease.
    pub(super) is_suspect: bool,
}

impl Seen {
    /// Whether finding this record after the one in `self` means that the store went back.
    pub(super) fn went_back(&self, record: Option<ClaimRecord>, revision: Revision) -> bool {
        revision < self.revision
            || revision == self.revision && record != self.record
            || record.is_none() && self.record.is_some_and(|old| old.owner.is_some())
    }
}

/// The write that is outstanding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) write: ClaimWrite,
    pub(super) at: Time,
}

/// Own writes since the last that is known to be stored; each may have landed, or land late (LM11).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Doubt {
    /// The first and the last of their numbers, and when these were sent.
    pub(super) first: u64,
    pub(super) first_at: Time,
    pub(super) last: u64,
    pub(super) last_at: Time,
    /// Their epochs: a core may count its epoch up on the way.
    pub(super) epochs: (Epoch, Epoch),
    /// The first that left the record without an owner.
    pub(super) released: Option<u64>,
}

impl Doubt {
    pub(super) fn note(doubt: Option<Self>, record: ClaimRecord, at: Time) -> Self {
        let (write, epoch) = (record.write, record.epoch);
        let doubt = doubt.unwrap_or(Self {
            first: write,
            first_at: at,
            last: write,
            last_at: at,
            epochs: (epoch, epoch),
            released: None,
        });
        let released = doubt
            .released
            .or_else(|| record.owner.is_none().then_some(write));
        let epochs = (doubt.epochs.0, epoch);
        Self {
            last: write,
            last_at: at,
            epochs,
            released,
            ..doubt
        }
    }

    /// Whether one of these writes made `record`, under the name of `member` or as its release.
    pub(super) fn wrote(&self, record: &ClaimRecord, member: super::MemberId) -> bool {
        let is_named = match record.owner {
            Some(owner) => owner == member,
            None => self.released.is_some_and(|first| record.write >= first),
        };
        is_named
            && (self.first..=self.last).contains(&record.write)
            && (self.epochs.0..=self.epochs.1).contains(&record.epoch)
    }

    /// When the write with this number was sent, or earlier.
    pub(super) const fn sent_at(&self, write: u64) -> Time {
        if write == self.last {
            self.last_at
        } else {
            self.first_at
        }
    }
}

/// A commit that waits to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pending {
    pub(super) epoch: Epoch,
    pub(super) number: u64,
    /// The first write that carried it: any later one carries it too.
    pub(super) carried_by: Option<u64>,
}

//! What goes into a [`Claim`](super::Claim) and what comes out.

use core::fmt;

use crate::{ConfigError, Epoch, Span, Time};

/// One process's (or one bus's) part in a group: a 128-bit hash of a name that no other process,
/// and no earlier life of this one, has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MemberId(pub u128);

/// The store's version number of a record, by which writes compare and set. Zero: no record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

/// How ownership is held. The same in all members of a group, except for `member` and `seed`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimConfig {
    /// Who we are.
    pub member: MemberId,
    /// How long an owner may go without renewing. A renewal falls due at a fifth of it.
    pub lease: Span,
    /// An owner stops this long before its lease ends, for clocks that drift. Less than a half of
    /// the lease.
    pub margin: Span,
    /// How long a partition that is given up in an orderly way may take to finish and commit, when
    /// the claim itself asks for it (another partition was lost).
    pub leave_within: Span,
    /// Seed of the jitter. Equal seeds and inputs give equal outputs (S11).
    pub seed: u64,
}

impl ClaimConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, field, span: Span, allowed| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError {
                    field,
                    value: span.as_nanos(),
                    allowed,
                })
            }
        };
        check(
            self.lease >= Span::from_millis(10) && self.lease <= Span::from_secs(86_400),
            "lease",
            self.lease,
            "10 ms to 24 h",
        )?;
        check(
            self.margin < self.lease.div(2),
            "margin",
            self.margin,
            "less than half of the lease",
        )
    }
}

/// What a record says about ownership. Its content (frontier, anchor, map) is the adapter's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClaimRecord {
    /// Who owns it; `None` when it was released.
    pub owner: Option<MemberId>,
    /// The period of ownership.
    pub epoch: Epoch,
    /// Counts the writes of the owner.
    pub write: u64,
}

/// Write the record with this head and the latest content, if its revision is still `expect`.
/// Answered by exactly one [`Claim::written`](super::Claim::written), or by the connection's loss.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct ClaimWrite {
    /// The head of the record. Its write number names this write.
    pub record: ClaimRecord,
    /// The revision to compare with; zero: there must be no record.
    pub expect: Revision,
    /// What the write is for.
    pub kind: WriteKind,
    /// The consumer's number of the commit that it carries.
    pub commit: Option<u64>,
}

/// What a write is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WriteKind {
    /// Take over, or create. Content: that of the record which was read last, else empty.
    Take,
    /// Keep the lease. Content: the latest that was committed, else as taken.
    Renew,
    /// Store progress, which renews too.
    Commit,
    /// Give up: the record is left without an owner. Carries the last commit, if there is one.
    Release,
}

/// How a write ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteResult {
    /// Stored, as this revision.
    Stored(Revision),
    /// The record's revision is not the expected one. Not stored.
    Refused,
    /// Not stored, for a passing reason.
    Retry,
    /// Nobody knows; it may still land.
    Unknown,
    /// Not permitted. Not stored.
    Denied,
    /// Larger than the store takes. Not stored. The adapter makes the content smaller (it drops the
    /// map) for what is written next, until the next commit.
    TooLarge,
}

/// Where a claim stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum ClaimState {
    /// Not ours. What was ours before is lost: `Consumer::lose`.
    Standby {
        /// Who has it, as far as it is known.
        owner: Option<MemberId>,
    },
    /// Ours until then. A new epoch after a standby is an assignment (`Consumer::open`, with the
    /// content that the take wrote); the same or a higher epoch otherwise extends it
    /// (`Consumer::extend`; a core that counted its epoch up knows the new one already).
    Owner {
        /// The period of ownership.
        epoch: Epoch,
        /// The end of the lease, on the caller's clock (one that does not stop in suspend).
        until: Time,
    },
    /// Ours by the record as far as we know, but the lease was not renewed in time. Nothing may
    /// start. `Owner` follows when the record turns out to be still ours.
    Lapsed {
        /// The period of ownership.
        epoch: Epoch,
    },
    /// Ours, and to be given up: `Consumer::revoke`. Ends with a last commit, with
    /// [`Claim::release`](super::Claim::release), or by itself at the deadline.
    Leaving {
        /// The period of ownership.
        epoch: Epoch,
        /// The end of the lease.
        until: Time,
        /// When it is given up at the latest.
        deadline: Time,
    },
    /// Given up. Nothing is read, written or taken until [`Claim::watch`](super::Claim::watch).
    Released {
        /// Whether the record was seen without us as its owner; if not, others wait for the lease.
        confirmed: bool,
    },
}

/// A commit is pending, or its result was not fetched. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a commit of this partition is pending; commit again after its result")
    }
}

impl core::error::Error for Busy {}

/// Counters since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClaimStats {
    /// Records read.
    pub reads: u64,
    /// Reads that failed.
    pub reads_failed: u64,
    /// Writes sent.
    pub writes: u64,
    /// Writes that were answered as stored.
    pub stored: u64,
    /// Writes refused by their revision.
    pub refused: u64,
    /// Writes without a known outcome.
    pub unknown: u64,
    /// Writes that were not permitted.
    pub denied: u64,
    /// Own writes that a later read found in the record.
    pub landed_late: u64,
    /// Times that we became the owner.
    pub taken: u64,
    /// Times that ownership was lost.
    pub lost: u64,
    /// Times that the lease ran out before it was renewed.
    pub lapsed: u64,
    /// Times that the record went back to an older state.
    pub rolled_back: u64,
}

impl ClaimStats {
    /// The sums of both.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            reads: self.reads + other.reads,
            reads_failed: self.reads_failed + other.reads_failed,
            writes: self.writes + other.writes,
            stored: self.stored + other.stored,
            refused: self.refused + other.refused,
            unknown: self.unknown + other.unknown,
            denied: self.denied + other.denied,
            landed_late: self.landed_late + other.landed_late,
            taken: self.taken + other.taken,
            lost: self.lost + other.lost,
            lapsed: self.lapsed + other.lapsed,
            rolled_back: self.rolled_back + other.rolled_back,
        }
    }
}

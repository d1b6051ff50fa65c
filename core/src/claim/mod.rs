//! Ownership of partitions on brokers without groups: leases by compare-and-set records.

mod claims;
mod words;

pub use claims::Claims;
pub use words::{
    Busy, ClaimConfig, ClaimRecord, ClaimState, ClaimStats, ClaimWrite, MemberId, Revision,
    WriteKind, WriteResult,
};

use crate::{CommitResult, ConfigError, Epoch, Time};

/// The claim of one member to one partition: decides when its record is read, taken over, renewed,
/// committed and released.
///
/// - **inputs**: [`observed`](Self::observed) and [`read_failed`](Self::read_failed) answer a read,
///   [`written`](Self::written) answers a write; [`commit`](Self::commit),
///   [`leave`](Self::leave), [`release`](Self::release), [`watch`](Self::watch),
///   [`compete`](Self::compete), [`connection_lost`](Self::connection_lost),
///   [`connection_restored`](Self::connection_restored), [`handle_timeout`](Self::handle_timeout).
/// - **outputs**, after any input: [`poll_state`](Self::poll_state) until it gives `None`,
///   [`poll_commit_result`](Self::poll_commit_result), [`poll_read`](Self::poll_read),
///   [`poll_write`](Self::poll_write), and then [`poll_timeout`](Self::poll_timeout).
///
/// At most one read and one write are outstanding. Every one is answered; the adapter bounds them by
/// timeouts of its own (well below a fifth of the lease) and answers `read_failed` or
/// [`WriteResult::Unknown`]. What is outstanding when the connection is lost needs no answer, and
/// answers that arrive after it are dropped by the adapter.
#[derive(Debug)]
pub struct Claim {
    config: ClaimConfig,
}

#[allow(
    clippy::missing_const_for_fn,
    clippy::unused_self,
    unused_variables,
    clippy::needless_pass_by_ref_mut
)]
impl Claim {
    /// A standby that knows nothing. `number` spreads the jitter (the partition).
    ///
    /// # Errors
    /// The first field of `config` that is out of range.
    pub fn new(config: &ClaimConfig, number: u32) -> Result<Self, ConfigError> {
        config.validate()?;
        Ok(Self { config: *config })
    }

    /// A read found this (`None`: no record). `revision` is the store's (zero when nothing was ever
    /// written; the number of the deletion mark when the record was deleted).
    pub fn observed(&mut self, now: Time, record: Option<ClaimRecord>, revision: Revision) {}

    /// A read had no answer or an error.
    pub fn read_failed(&mut self, now: Time) {}

    /// How the write with this number ended. Any other number is ignored.
    pub fn written(&mut self, now: Time, write: u64, result: WriteResult) {}

    /// New content waits to be written: the consumer's commit `number` of `epoch`. With `last`,
    /// ownership is given up in the same write. An epoch above the claim's own is adopted.
    ///
    /// # Errors
    /// [`Busy`] while an earlier commit has no result that was fetched.
    pub fn commit(&mut self, now: Time, epoch: Epoch, number: u64, last: bool) -> Result<(), Busy> {
        Err(Busy)
    }

    /// Give up in an orderly way: the state becomes [`ClaimState::Leaving`] while ours.
    pub fn leave(&mut self, now: Time, deadline: Time) {}

    /// Give up now, with one answered write; tried until `deadline`. Ends in
    /// [`ClaimState::Released`]. A commit that is pending goes with it.
    pub fn release(&mut self, now: Time, deadline: Time) {}

    /// Stand by again after a release.
    pub fn watch(&mut self, now: Time) {}

    /// Whether to take over what is free (yes, at the beginning). A claim that may not still reads.
    pub fn compete(&mut self, now: Time, compete: bool) {}

    /// The connection is gone; nothing is read or written until it is restored.
    pub fn connection_lost(&mut self, now: Time) {}

    /// The connection is there (again): the record is read and compared before anything is written.
    pub fn connection_restored(&mut self, now: Time) {}

    /// Time passed. Early is harmless.
    pub fn handle_timeout(&mut self, now: Time) {}

    /// When [`handle_timeout`](Self::handle_timeout) and the polls are due again.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Whether to read the record now (from the leader: never stale).
    pub fn poll_read(&mut self, now: Time) -> bool {
        false
    }

    /// The write to send now. The lease counts from `now`.
    pub fn poll_write(&mut self, now: Time) -> Option<ClaimWrite> {
        None
    }

    /// How a commit ended: its epoch, its number, its result.
    pub fn poll_commit_result(&mut self) -> Option<(Epoch, u64, CommitResult)> {
        None
    }

    /// The state, when it changed since the last poll.
    pub fn poll_state(&mut self) -> Option<ClaimState> {
        None
    }

    /// The state as it is.
    pub fn state(&self) -> ClaimState {
        ClaimState::Standby { owner: None }
    }

    /// Whether the partition is ours at this moment: to be asked before every hand-over.
    #[must_use]
    pub fn owns(&self, now: Time) -> bool {
        false
    }

    /// Counters.
    #[must_use]
    pub fn stats(&self) -> ClaimStats {
        ClaimStats::default()
    }

    /// Checks every invariant; for tests and the simulator.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

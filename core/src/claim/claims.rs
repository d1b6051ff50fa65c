//! The claims of one member to all partitions of a subscription.

use alloc::vec::Vec;

use super::{
    Busy, Claim, ClaimConfig, ClaimRecord, ClaimState, ClaimStats, ClaimWrite, Revision,
    WriteResult,
};
use crate::{CommitResult, ConfigError, Epoch, PartitionId, Time};

/// The claims of one member to all partitions, with the rule that one member works and the others
/// stand by: it competes for partition 0 first, and for the others only while it owns that one; when
/// partition 0 is lost, the others are given up in an orderly way.
///
/// The calls are those of [`Claim`] with a partition; a partition that does not exist is ignored.
#[derive(Debug)]
pub struct Claims {
    claims: Vec<Claim>,
}

#[allow(
    clippy::missing_const_for_fn,
    clippy::unused_self,
    unused_variables,
    clippy::needless_pass_by_ref_mut
)]
impl Claims {
    /// Standbys that know nothing. The only allocation.
    ///
    /// # Errors
    /// The first field of `config` that is out of range, or `partitions` (1 to 65,535).
    pub fn new(config: &ClaimConfig, partitions: u32) -> Result<Self, ConfigError> {
        if !(1..=65_535).contains(&partitions) {
            return Err(ConfigError {
                field: "partitions",
                value: partitions.into(),
                allowed: "1 to 65535",
            });
        }
        let claims = (0..partitions)
            .map(|number| Claim::new(config, number))
            .collect::<Result<_, _>>()?;
        Ok(Self { claims })
    }

    /// See [`Claim::observed`].
    pub fn observed(
        &mut self,
        now: Time,
        partition: PartitionId,
        record: Option<ClaimRecord>,
        revision: Revision,
    ) {
    }

    /// See [`Claim::read_failed`].
    pub fn read_failed(&mut self, now: Time, partition: PartitionId) {}

    /// See [`Claim::written`].
    pub fn written(&mut self, now: Time, partition: PartitionId, write: u64, result: WriteResult) {}

    /// See [`Claim::commit`].
    ///
    /// # Errors
    /// [`Busy`] while an earlier commit of this partition has no result that was fetched.
    pub fn commit(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        number: u64,
        last: bool,
    ) -> Result<(), Busy> {
        Err(Busy)
    }

    /// Gives one partition up: see [`Claim::release`].
    pub fn release(&mut self, now: Time, partition: PartitionId, deadline: Time) {}

    /// Gives everything up and competes for nothing any more: see [`Claim::release`].
    pub fn release_all(&mut self, now: Time, deadline: Time) {}

    /// Whether every partition is released.
    #[must_use]
    pub fn is_released(&self) -> bool {
        false
    }

    /// See [`Claim::connection_lost`].
    pub fn connection_lost(&mut self, now: Time) {}

    /// See [`Claim::connection_restored`].
    pub fn connection_restored(&mut self, now: Time) {}

    /// See [`Claim::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Time) {}

    /// See [`Claim::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// A partition whose record is to be read now.
    pub fn poll_read(&mut self, now: Time) -> Option<PartitionId> {
        None
    }

    /// A write to send now.
    pub fn poll_write(&mut self, now: Time) -> Option<(PartitionId, ClaimWrite)> {
        None
    }

    /// How a commit ended: its partition, epoch, number and result.
    pub fn poll_commit_result(&mut self) -> Option<(PartitionId, Epoch, u64, CommitResult)> {
        None
    }

    /// A state that changed since the last poll.
    pub fn poll_state(&mut self) -> Option<(PartitionId, ClaimState)> {
        None
    }

    /// The state of a partition; `None` when there is no such partition.
    #[must_use]
    pub fn state(&self, partition: PartitionId) -> Option<ClaimState> {
        self.claims.get(partition.0 as usize).map(Claim::state)
    }

    /// See [`Claim::owns`].
    #[must_use]
    pub fn owns(&self, now: Time, partition: PartitionId) -> bool {
        false
    }

    /// Counters, over all partitions.
    #[must_use]
    pub fn stats(&self) -> ClaimStats {
        ClaimStats::default()
    }

    /// Checks every invariant; for tests and the simulator.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.claims.iter().try_for_each(Claim::check_invariants)
    }
}

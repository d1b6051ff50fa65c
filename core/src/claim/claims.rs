//! The claims of one member to all partitions of a subscription.

use alloc::vec::Vec;

use super::parts::Phase;
use super::{
    Busy, Claim, ClaimConfig, ClaimRecord, ClaimState, ClaimStats, ClaimWrite, Revision,
    WriteResult,
};
use crate::{CommitResult, ConfigError, Epoch, PartitionId, Time};

/// The claims of one member to all partitions, with the rule that one member works and the others
/// stand by: it competes for partition 0 first, and for the others only while it owns that one; when
/// partition 0 is lost or released, the others are given up in an orderly way.
///
/// The calls are those of [`Claim`] with a partition; a partition that does not exist is ignored.
#[derive(Debug)]
pub struct Claims {
    claims: Vec<Claim>,
    config: ClaimConfig,
    gate: Gate,
    /// Where the next poll looks first, so that no partition starves the others.
    turn: usize,
    is_ending: bool,
}

/// What partition 0 allows for the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gate {
    /// It is owned: compete.
    Open,
    /// Its lease lapsed, or it is about to be given up: keep what there is, take nothing.
    Held,
    /// It is not owned: give up.
    Shut,
}

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
        let claim = |number| {
            let mut claim = Claim::new(config, number)?;
            claim.compete(Time::ZERO, number == 0);
            Ok(claim)
        };
        let claims = (0..partitions).map(claim).collect::<Result<_, _>>()?;
        Ok(Self {
            claims,
            config: *config,
            gate: Gate::Shut,
            turn: 0,
            is_ending: false,
        })
    }

    /// See [`Claim::observed`].
    pub fn observed(
        &mut self,
        now: Time,
        partition: PartitionId,
        record: Option<ClaimRecord>,
        revision: Revision,
    ) {
        self.with(now, partition, |claim| {
            claim.observed(now, record, revision)
        });
    }

    /// See [`Claim::read_failed`].
    pub fn read_failed(&mut self, now: Time, partition: PartitionId) {
        self.with(now, partition, |claim| claim.read_failed(now));
    }

    /// See [`Claim::written`].
    pub fn written(&mut self, now: Time, partition: PartitionId, write: u64, result: WriteResult) {
        self.with(now, partition, |claim| claim.written(now, write, result));
    }

    /// See [`Claim::commit`].
    ///
    /// # Errors
    /// [`Busy`] while an earlier commit of this partition has no result that was fetched, or when
    /// there is no such partition.
    pub fn commit(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        number: u64,
        last: bool,
    ) -> Result<(), Busy> {
        let commit = |claim: &mut Claim| claim.commit(now, epoch, number, last);
        self.with(now, partition, commit).unwrap_or(Err(Busy))
    }

    /// Gives one partition up: see [`Claim::release`].
    pub fn release(&mut self, now: Time, partition: PartitionId, deadline: Time) {
        self.with(now, partition, |claim| claim.release(now, deadline));
    }

    /// Stands by again for a partition that was released: see [`Claim::watch`]. Those that were given
    /// up because partition 0 was lost do so by themselves.
    pub fn watch(&mut self, now: Time, partition: PartitionId) {
        if !self.is_ending {
            self.with(now, partition, |claim| claim.watch(now));
        }
    }

    /// Gives everything up and competes for nothing any more: see [`Claim::release`].
    pub fn release_all(&mut self, now: Time, deadline: Time) {
        self.is_ending = true;
        for claim in &mut self.claims {
            claim.release(now, deadline);
        }
        self.apply(now);
    }

    /// Whether every partition is released.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.claims
            .iter()
            .all(|claim| matches!(claim.phase, Phase::Released { .. }))
    }

    /// See [`Claim::connection_lost`].
    pub fn connection_lost(&mut self, now: Time) {
        for claim in &mut self.claims {
            claim.connection_lost(now);
        }
        self.apply(now);
    }

    /// See [`Claim::connection_restored`].
    pub fn connection_restored(&mut self, now: Time) {
        for claim in &mut self.claims {
            claim.connection_restored(now);
        }
        self.apply(now);
    }

    /// See [`Claim::handle_timeout`].
    pub fn handle_timeout(&mut self, now: Time) {
        for claim in &mut self.claims {
            claim.handle_timeout(now);
        }
        self.apply(now);
    }

    /// See [`Claim::poll_timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.claims.iter().filter_map(Claim::poll_timeout).min()
    }

    /// A partition whose record is to be read now.
    pub fn poll_read(&mut self, now: Time) -> Option<PartitionId> {
        self.first(|claim| claim.poll_read(now).then_some(()))
            .map(|(partition, ())| partition)
    }

    /// A write to send now.
    pub fn poll_write(&mut self, now: Time) -> Option<(PartitionId, ClaimWrite)> {
        self.apply_if_changed(now);
        self.first(|claim| claim.poll_write(now))
    }

    /// How a commit ended: its partition, epoch, number and result.
    pub fn poll_commit_result(&mut self) -> Option<(PartitionId, Epoch, u64, CommitResult)> {
        let (partition, (epoch, number, result)) = self.first(Claim::poll_commit_result)?;
        Some((partition, epoch, number, result))
    }

    /// A state that changed since the last poll.
    pub fn poll_state(&mut self) -> Option<(PartitionId, ClaimState)> {
        self.first(Claim::poll_state)
    }

    /// The state of a partition; `None` when there is no such partition.
    #[must_use]
    pub fn state(&self, partition: PartitionId) -> Option<ClaimState> {
        self.claims.get(partition.0 as usize).map(Claim::state)
    }

    /// See [`Claim::owns`].
    #[must_use]
    pub fn owns(&self, now: Time, partition: PartitionId) -> bool {
        self.claims
            .get(partition.0 as usize)
            .is_some_and(|claim| claim.owns(now))
    }

    /// Counters, over all partitions.
    #[must_use]
    pub fn stats(&self) -> ClaimStats {
        self.claims
            .iter()
            .fold(ClaimStats::default(), |sum, claim| sum.plus(&claim.stats()))
    }

    /// Checks every invariant; for tests and the simulator.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.claims.iter().try_for_each(Claim::check_invariants)?;
        if self.gate != Gate::Open && self.claims.iter().skip(1).any(|claim| claim.take) {
            return Err("a partition is taken over without partition 0");
        }
        Ok(())
    }

    fn with<T>(
        &mut self,
        now: Time,
        partition: PartitionId,
        act: impl FnOnce(&mut Claim) -> T,
    ) -> Option<T> {
        let claim = self.claims.get_mut(partition.0 as usize)?;
        let result = act(claim);
        if partition.0 == 0 {
            self.apply_if_changed(now);
        } else {
            Self::obey(
                claim,
                self.gate,
                self.is_ending,
                now,
                now + self.config.leave_within,
            );
        }
        Some(result)
    }

    /// The first answer of a claim, beginning behind the one that answered last.
    fn first<T>(
        &mut self,
        mut ask: impl FnMut(&mut Claim) -> Option<T>,
    ) -> Option<(PartitionId, T)> {
        let count = self.claims.len();
        for step in 0..count {
            let index = (self.turn + step) % count;
            if let Some(answer) = ask(&mut self.claims[index]) {
                self.turn = index + 1;
                // There are at most 65,535 partitions.
                return Some((
                    PartitionId(u32::try_from(index).unwrap_or(u32::MAX)),
                    answer,
                ));
            }
        }
        None
    }

    fn gate_at(&self, now: Time) -> Gate {
        let claim = &self.claims[0];
        match claim.phase {
            Phase::Owner if claim.owns(now) && claim.leaving.or(claim.releasing).is_none() => {
                Gate::Open
            }
            Phase::Owner => Gate::Held,
            Phase::Standby | Phase::Released { .. } => Gate::Shut,
        }
    }

    fn apply_if_changed(&mut self, now: Time) {
        if self.gate != self.gate_at(now) {
            self.apply(now);
        }
    }

    fn apply(&mut self, now: Time) {
        self.gate = self.gate_at(now);
        let deadline = now + self.config.leave_within;
        for claim in self.claims.iter_mut().skip(1) {
            Self::obey(claim, self.gate, self.is_ending, now, deadline);
        }
    }

    /// Does with one of the others what partition 0 allows.
    fn obey(claim: &mut Claim, gate: Gate, is_ending: bool, now: Time, deadline: Time) {
        claim.compete(now, gate == Gate::Open && !is_ending);
        if gate == Gate::Shut && !is_ending {
            claim.leave(now, deadline);
        }
        // What was given up because of partition 0 stands by again, once it was told.
        let is_told = matches!(claim.reported, ClaimState::Released { .. });
        if claim.was_asked && is_told && !is_ending {
            claim.watch(now);
        }
    }
}

//! Order, acks, dedupe and pressure of one subscription.

mod inputs;
mod outputs;

pub use inputs::*;
pub use outputs::*;

use crate::{Config, ConfigError, Epoch, Limits, PartitionId, Position, Session, Time, Token};

/// stub
pub struct Consumer<M> {
    _m: core::marker::PhantomData<M>,
}

#[allow(missing_docs, unused_variables, clippy::missing_errors_doc)]
impl<M> Consumer<M> {
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        todo!()
    }
    pub fn open(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        resume: &Resume<'_>,
        until: Option<Time>,
    ) {
        todo!()
    }
    pub fn extend(&mut self, now: Time, partition: PartitionId, epoch: Epoch, until: Time) {
        todo!()
    }
    pub fn session(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        continuity: Continuity,
    ) {
        todo!()
    }
    /// The session ended: connection lost, consumer gone, silence, a heartbeat that is ahead.
    pub fn broken(&mut self, now: Time, partition: PartitionId, epoch: Epoch, session: Session) {
        todo!()
    }
    pub fn offer(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        todo!()
    }
    pub fn advance(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        position: Position,
    ) {
        todo!()
    }
    pub fn revoke(&mut self, now: Time, partition: PartitionId, epoch: Epoch, deadline: Time) {
        todo!()
    }
    pub fn lose(&mut self, now: Time, partition: PartitionId, epoch: Epoch) {
        todo!()
    }
    pub fn commit_result(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        write: u64,
        result: CommitResult,
    ) {
        todo!()
    }
    pub fn dead_letter_result(&mut self, now: Time, token: Token, result: Receipt) {
        todo!()
    }
    pub fn settle(&mut self, now: Time, token: Token, outcome: Outcome<M>) -> Result<(), Stale> {
        todo!()
    }
    pub fn set_limits(&mut self, now: Time, limits: &Limits) {
        todo!()
    }
    pub fn drain(&mut self, now: Time, deadline: Time) {
        todo!()
    }
    pub fn handle_timeout(&mut self, now: Time) {
        todo!()
    }
    pub fn poll_timeout(&self) -> Option<Wake> {
        todo!()
    }
    pub fn poll_session(&mut self, now: Time) -> Option<Start> {
        todo!()
    }
    pub fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch<M>> {
        todo!()
    }
    pub fn poll_cancel(&mut self) -> Option<Token> {
        todo!()
    }
    pub fn poll_dead_letter(&mut self) -> Option<DeadLetter<'_, M>> {
        todo!()
    }
    pub fn poll_commit(&mut self, now: Time, map: &mut [u8]) -> Option<Commit> {
        todo!()
    }
    pub fn poll_release(&mut self) -> Option<Release> {
        todo!()
    }
    pub fn poll_drained(&mut self) -> Option<Drained> {
        todo!()
    }
    pub fn poll_flow(&mut self) -> Option<Flow> {
        todo!()
    }
    pub fn credit(&self, partition: PartitionId) -> Credit {
        todo!()
    }
    pub fn poll_notice(&mut self) -> Option<Notice> {
        todo!()
    }
    /// messages finished as duplicates at dispatch time (queued copies)
    pub fn poll_duplicate(&mut self) -> Option<(PartitionId, Position, M)> {
        todo!()
    }
    pub fn stats(&self) -> Stats {
        todo!()
    }
    pub fn frontier(&self, partition: PartitionId) -> Option<Position> {
        todo!()
    }
    /// what is held and not finished
    pub fn held(&self) -> impl Iterator<Item = (PartitionId, Position)> + '_ {
        core::iter::empty()
    }
    /// Checks every invariant; for tests and the simulator.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        todo!()
    }
}

/// Reads a progress map: finished ranges `[from, to)` beyond `frontier`; None when it is not one of ours.
pub fn decode_map(map: &[u8], frontier: Position) -> Option<alloc::vec::Vec<(Position, Position)>> {
    let _ = (map, frontier);
    todo!()
}

//! The core of a subscription, with a flight recorder beside it if the owner wants one.

use core::ops::Deref;

use procession_core::{
    Admit, Arrival, Commit, CommitResult, Config, ConfigError, Consumer, Continuity, Copied,
    DeadLetter, Dispatch, Drained, Epoch, Flow, Grant, Limits, Notice, OnReset, Outcome,
    ParkedMode, PartitionId, Passed, Position, Receipt, Refused, Release, Resume, SequenceGap,
    Session, Stale, Start, Time, Token, Wake,
};
use procession_tape::{Answer, Call, Flight, Open, Poll, Settled};

/// A core that is called, and its calls written down. Without a recorder each call costs one
/// comparison more.
pub(super) struct Recorded<M> {
    core: Consumer<M>,
    pub(super) flight: Option<Box<Flight>>,
}

/// What only looks is asked of the core itself.
impl<M> Deref for Recorded<M> {
    type Target = Consumer<M>;
    fn deref(&self) -> &Consumer<M> {
        &self.core
    }
}

#[cfg(test)]
thread_local! {
    /// What a test lets the cores of its thread say of themselves.
    pub(super) static BREACH: core::cell::Cell<Option<&'static str>> =
        const { core::cell::Cell::new(None) };
}

/// Begins another segment of the recorder with the core as it is.
#[cold]
fn turn<M>(flight: &mut Flight, core: &Consumer<M>) {
    let mut snapshot = flight.spare();
    snapshot.clear();
    // Sealed when somebody asks for it: few are ever read.
    core.snapshot_unsealed(None, |_, _| {}, &mut snapshot);
    flight.turn(snapshot);
}

impl<M> Recorded<M> {
    /// A new core; `bytes` of 0: without a recorder.
    pub(super) fn new(config: &Config, bytes: usize) -> Result<Self, ConfigError> {
        Ok(Self {
            core: Consumer::new(config)?,
            flight: (bytes > 0).then(|| Box::new(Flight::new(config, bytes))),
        })
    }

    /// Whether every invariant of the core holds.
    pub(super) fn check_invariants(&self) -> Result<(), &'static str> {
        #[cfg(test)]
        if let Some(broken) = BREACH.get() {
            return Err(broken);
        }
        self.core.check_invariants()
    }

    // The call is written before it is made: what makes the core panic is there.

    fn tell<A: Answer>(
        &mut self,
        now: Time,
        call: impl FnOnce() -> Call,
        make: impl FnOnce(&mut Consumer<M>) -> A,
    ) -> A {
        if let Some(flight) = self.writes() {
            flight.call(now, call());
        }
        let answer = make(&mut self.core);
        if let Some(flight) = &mut self.flight {
            flight.answered(&answer);
        }
        answer
    }

    #[inline]
    fn ask<A: Answer>(
        &mut self,
        now: Option<Time>,
        poll: Poll,
        make: impl FnOnce(&mut Consumer<M>) -> Option<A>,
    ) -> Option<A> {
        if let Some(flight) = self.writes() {
            flight.poll(now, poll);
        }
        let answer = make(&mut self.core);
        if let Some(flight) = &mut self.flight {
            match &answer {
                None => flight.nothing(),
                Some(answer) => flight.answered(answer),
            }
        }
        answer
    }

    /// The recorder, with room for a call.
    #[inline]
    fn writes(&mut self) -> Option<&mut Flight> {
        let flight = self.flight.as_deref_mut()?;
        if flight.is_full() {
            turn(flight, &self.core);
        }
        Some(flight)
    }

    pub(super) fn open(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        resume: &Resume<'_>,
        until: Option<Time>,
    ) {
        let call = || {
            Call::Open(Box::new(Open {
                partition,
                epoch,
                frontier: resume.frontier.map(|p| p.0),
                anchor: resume.anchor.map(|a| (a.position.0, a.stamp.0)),
                map: resume.map.to_vec(),
                recorded: resume.recorded.map(|i| i.0),
                incarnation: resume.incarnation,
                log_start: resume.log_start,
                log_end: resume.log_end,
                until: until.map(Time::as_nanos),
            }))
        };
        self.tell(now, call, |core| {
            core.open(now, partition, epoch, resume, until);
        });
    }

    pub(super) fn extend(&mut self, now: Time, partition: PartitionId, epoch: Epoch, until: Time) {
        let call = || Call::Extend(partition, epoch, until.as_nanos());
        self.tell(now, call, |core| core.extend(now, partition, epoch, until));
    }

    pub(super) fn session(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        found: Continuity,
    ) {
        let call = || Call::Session(partition, epoch, session, found);
        self.tell(now, call, |core| {
            core.session(now, partition, epoch, session, found);
        });
    }

    pub(super) fn broken(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
    ) {
        let call = || Call::Broken(partition, epoch, session);
        self.tell(now, call, |core| {
            core.broken(now, partition, epoch, session);
        });
    }

    #[inline]
    pub(super) fn offer(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        if let Some(flight) = self.writes() {
            flight.offer(now, &arrival);
        }
        let admit = self.core.offer(now, arrival);
        if let Some(flight) = &mut self.flight {
            flight.offered(match &admit {
                Ok(admit) => Ok(*admit),
                Err(refused) => Err(refused.why),
            });
        }
        admit
    }

    pub(super) fn advance(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        position: Position,
    ) {
        let call = || Call::Advance(partition, epoch, session, position);
        self.tell(now, call, |core| {
            core.advance(now, partition, epoch, session, position);
        });
    }

    pub(super) fn revoke(&mut self, now: Time, partition: PartitionId, epoch: Epoch, by: Time) {
        let call = || Call::Revoke(partition, epoch, by.as_nanos());
        self.tell(now, call, |core| core.revoke(now, partition, epoch, by));
    }

    pub(super) fn lose(&mut self, now: Time, partition: PartitionId, epoch: Epoch) {
        let call = || Call::Lose(partition, epoch);
        self.tell(now, call, |core| core.lose(now, partition, epoch));
    }

    pub(super) fn commit_result(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        write: u64,
        result: CommitResult,
    ) {
        let call = || Call::CommitResult(partition, epoch, write, result);
        self.tell(now, call, |core| {
            core.commit_result(now, partition, epoch, write, result);
        });
    }

    pub(super) fn dead_letter_result(&mut self, now: Time, token: Token, receipt: Receipt) {
        let call = || Call::DeadLetterResult(token.to_bits(), receipt);
        self.tell(now, call, |core| {
            core.dead_letter_result(now, token, receipt);
        });
    }

    #[inline]
    pub(super) fn settle(
        &mut self,
        now: Time,
        token: Token,
        outcome: Outcome<M>,
    ) -> Result<(), Stale> {
        if let Some(flight) = self.writes() {
            let settled = match &outcome {
                Outcome::Done => Settled::Done,
                Outcome::Handled(_) => Settled::Handled,
                Outcome::Retry(_) => Settled::Retry,
                Outcome::Reject(_) => Settled::Reject,
                Outcome::Cancelled(_) => Settled::Cancelled,
            };
            flight.settle(now, token, settled);
        }
        let taken = self.core.settle(now, token, outcome);
        if let Some(flight) = &mut self.flight {
            flight.settled(taken.is_ok());
        }
        taken
    }

    pub(super) fn release(&mut self, now: Time, key: u128) -> bool {
        self.tell(now, || Call::Release(key), |core| core.release(now, key))
    }

    pub(super) fn set_parked(&mut self, now: Time, key: u128, mode: ParkedMode) -> bool {
        let call = || Call::SetParked(key, mode);
        self.tell(now, call, |core| core.set_parked(now, key, mode))
    }

    pub(super) fn reset(&mut self, now: Time, partition: PartitionId, to: OnReset) -> bool {
        let call = || Call::Reset(partition, to);
        self.tell(now, call, |core| core.reset(now, partition, to))
    }

    pub(super) fn set_limits(&mut self, now: Time, limits: &Limits) {
        let call = || Call::SetLimits(*limits);
        self.tell(now, call, |core| core.set_limits(now, limits));
    }

    /// Whether there is such a partition, and such a weight.
    pub(super) fn set_weight(&mut self, now: Time, partition: PartitionId, weight: u32) -> bool {
        let call = || Call::SetWeight(partition, weight);
        self.tell(now, call, |core| {
            core.set_weight(now, partition, weight).is_ok()
        })
    }

    pub(super) fn drain(&mut self, now: Time, by: Time) {
        let call = || Call::Drain(by.as_nanos());
        self.tell(now, call, |core| core.drain(now, by));
    }

    pub(super) fn handle_timeout(&mut self, now: Time) {
        self.tell(now, || Call::Timeout, |core| core.handle_timeout(now));
    }

    pub(super) fn poll_cancel(&mut self) -> Option<Token> {
        self.ask(None, Poll::Cancel, Consumer::poll_cancel)
    }

    pub(super) fn poll_session(&mut self, now: Time) -> Option<Start> {
        self.ask(Some(now), Poll::Session, |core| core.poll_session(now))
    }

    #[inline]
    pub(super) fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch<M>> {
        if let Some(flight) = self.writes() {
            flight.dispatch(now);
        }
        let dispatch = self.core.poll_dispatch(now);
        if let Some(flight) = &mut self.flight {
            match &dispatch {
                None => flight.nothing(),
                Some(dispatch) => flight.dispatched(dispatch),
            }
        }
        dispatch
    }

    pub(super) fn poll_follow(&mut self, now: Time, token: Token) -> Option<Dispatch<M>> {
        let call = || Call::Follow(token.to_bits());
        self.tell(now, call, |core| core.poll_follow(now, token))
    }

    pub(super) fn poll_dead_letter(&mut self) -> Option<DeadLetter<'_, M>> {
        if let Some(flight) = self.writes() {
            flight.poll(None, Poll::Letter);
        }
        let letter = self.core.poll_dead_letter();
        if let Some(flight) = &mut self.flight {
            match &letter {
                None => flight.nothing(),
                Some(letter) => flight.answered(letter),
            }
        }
        letter
    }

    pub(super) fn poll_abandon(&mut self) -> Option<Token> {
        self.ask(None, Poll::Abandon, Consumer::poll_abandon)
    }

    pub(super) fn poll_duplicate(&mut self, now: Time) -> Option<Copied<M>> {
        self.ask(Some(now), Poll::Copy, |core| core.poll_duplicate(now))
    }

    pub(super) fn poll_passed(&mut self, now: Time) -> Option<Passed<M>> {
        self.ask(Some(now), Poll::Passed, |core| core.poll_passed(now))
    }

    pub(super) fn poll_gap(&mut self, now: Time) -> Option<SequenceGap> {
        self.ask(Some(now), Poll::Gap, |core| core.poll_gap(now))
    }

    pub(super) fn poll_commit(&mut self, now: Time, map: &mut [u8]) -> Option<Commit> {
        if let Some(flight) = self.writes() {
            flight.poll(Some(now), Poll::Commit);
        }
        let commit = self.core.poll_commit(now, map);
        if let Some(flight) = &mut self.flight {
            match commit {
                None => flight.nothing(),
                Some(commit) => {
                    let map = map.get(..commit.map_len).unwrap_or_default();
                    flight.answered(&(commit, map));
                }
            }
        }
        commit
    }

    pub(super) fn poll_notice(&mut self) -> Option<Notice> {
        self.ask(None, Poll::Notice, Consumer::poll_notice)
    }

    pub(super) fn poll_release(&mut self) -> Option<Release> {
        self.ask(None, Poll::Release, Consumer::poll_release)
    }

    pub(super) fn poll_flow(&mut self) -> Option<Flow> {
        self.ask(None, Poll::Flow, Consumer::poll_flow)
    }

    pub(super) fn poll_grant(&mut self) -> Option<Grant> {
        self.ask(None, Poll::Grant, Consumer::poll_grant)
    }

    pub(super) fn poll_drained(&mut self) -> Option<Drained> {
        self.ask(None, Poll::Drained, Consumer::poll_drained)
    }

    pub(super) fn poll_timeout(&mut self) -> Option<Wake> {
        self.ask(None, Poll::Timeout, |core| core.poll_timeout())
    }
}

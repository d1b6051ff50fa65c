//! The core of a process, with a tape beside it if somebody wants one.

use std::ops::Deref;

use procession_core::{
    Admit, Arrival, Commit, CommitResult, Config, Consumer, Continuity, Copied, DeadLetter,
    Dispatch, Drained, Epoch, Flow, Grant, Limits, NotRestored, Notice, Outcome, PartitionId,
    Position, Receipt, Refused, Release, Resume, Session, Span, Stale, Start, Time, Token, Wake,
};

use super::answer::Answer;
use super::call::{Call, Open, Poll, Settled};
use super::{Recorder, Step};

/// A core that is called, and its calls written down.
pub(crate) struct Core {
    consumer: Consumer<u32>,
    tape: Option<(Recorder, u32)>,
}

/// What only looks is asked of the core itself.
impl Deref for Core {
    type Target = Consumer<u32>;
    fn deref(&self) -> &Consumer<u32> {
        &self.consumer
    }
}

impl Core {
    /// The core of a process that starts.
    pub(crate) fn new(config: &Config, now: Time, tape: Option<(Recorder, u32)>) -> Self {
        let consumer = Consumer::new(config).expect("invariant: configurations are checked");
        let new = Self { consumer, tape };
        new.tell(now, || Call::Start);
        new.answer(&());
        new
    }

    // Only where there is a tape is anything copied. The call is written before it is made: what
    // makes the core panic is on the tape.
    fn tell(&self, now: Time, call: impl FnOnce() -> Call) {
        if let Some((tape, member)) = &self.tape {
            tape.borrow_mut().call(now.as_nanos(), *member, call());
        }
    }

    fn asks(&self, now: Option<Time>, poll: Poll) {
        if let Some((tape, member)) = &self.tape {
            let mut tape = tape.borrow_mut();
            // A poll without a time takes that of the step before it.
            let before = tape.tape.steps.iter().rev().find(|s| s.member == *member);
            let at = now.map_or_else(|| before.map_or(0, |s: &Step| s.at), Time::as_nanos);
            tape.poll(at, *member, poll);
        }
    }

    fn answer(&self, answer: &impl Answer) {
        if let Some((tape, _)) = &self.tape {
            let mut words = Vec::new();
            answer.words(&mut words);
            tape.borrow_mut().answered(&words);
        }
    }

    pub(crate) fn open(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        resume: &Resume<'_>,
        until: Option<Time>,
    ) {
        self.tell(now, || {
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
        });
        self.consumer.open(now, partition, epoch, resume, until);
        self.answer(&());
    }

    pub(crate) fn extend(&mut self, now: Time, partition: PartitionId, epoch: Epoch, until: Time) {
        self.tell(now, || Call::Extend(partition, epoch, until.as_nanos()));
        self.consumer.extend(now, partition, epoch, until);
        self.answer(&());
    }

    pub(crate) fn session(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        continuity: Continuity,
    ) {
        self.tell(now, || Call::Session(partition, epoch, session, continuity));
        self.consumer
            .session(now, partition, epoch, session, continuity);
        self.answer(&());
    }

    pub(crate) fn broken(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
    ) {
        self.tell(now, || Call::Broken(partition, epoch, session));
        self.consumer.broken(now, partition, epoch, session);
        self.answer(&());
    }

    // As the core's own: what is refused comes back by value.
    #[allow(clippy::result_large_err)]
    pub(crate) fn offer(
        &mut self,
        now: Time,
        arrival: Arrival<u32>,
    ) -> Result<Admit, Refused<u32>> {
        self.tell(now, || Call::Offer(Box::new(arrival.clone())));
        let result = self.consumer.offer(now, arrival);
        self.answer(&result.as_ref().map(|a| *a).map_err(|r| r.why));
        result
    }

    pub(crate) fn advance(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        session: Session,
        position: Position,
    ) {
        self.tell(now, || Call::Advance(partition, epoch, session, position));
        self.consumer
            .advance(now, partition, epoch, session, position);
        self.answer(&());
    }

    pub(crate) fn revoke(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        deadline: Time,
    ) {
        self.tell(now, || Call::Revoke(partition, epoch, deadline.as_nanos()));
        self.consumer.revoke(now, partition, epoch, deadline);
        self.answer(&());
    }

    pub(crate) fn lose(&mut self, now: Time, partition: PartitionId, epoch: Epoch) {
        self.tell(now, || Call::Lose(partition, epoch));
        self.consumer.lose(now, partition, epoch);
        self.answer(&());
    }

    pub(crate) fn commit_result(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        write: u64,
        result: CommitResult,
    ) {
        self.tell(now, || Call::CommitResult(partition, epoch, write, result));
        self.consumer
            .commit_result(now, partition, epoch, write, result);
        self.answer(&());
    }

    pub(crate) fn dead_letter_result(&mut self, now: Time, token: Token, receipt: Receipt) {
        self.tell(now, || Call::DeadLetterResult(token.to_bits(), receipt));
        self.consumer.dead_letter_result(now, token, receipt);
        self.answer(&());
    }

    pub(crate) fn settle(
        &mut self,
        now: Time,
        token: Token,
        outcome: Outcome<u32>,
        message: u32,
    ) -> Result<(), Stale> {
        self.tell(now, || {
            let settled = match outcome {
                Outcome::Done => Settled::Done,
                Outcome::Retry(_) => Settled::Retry,
                Outcome::Reject(_) => Settled::Reject,
                Outcome::Cancelled(_) => Settled::Cancelled,
            };
            Call::Settle(token.to_bits(), settled, message)
        });
        let result = self.consumer.settle(now, token, outcome);
        self.answer(&result.is_ok());
        result
    }

    pub(crate) fn set_limits(&mut self, now: Time, limits: &Limits) {
        self.tell(now, || Call::SetLimits(*limits));
        self.consumer.set_limits(now, limits);
        self.answer(&());
    }

    pub(crate) fn drain(&mut self, now: Time, deadline: Time) {
        self.tell(now, || Call::Drain(deadline.as_nanos()));
        self.consumer.drain(now, deadline);
        self.answer(&());
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.tell(now, || Call::Timeout);
        self.consumer.handle_timeout(now);
        self.answer(&());
    }

    pub(crate) fn import_identities(
        &mut self,
        now: Time,
        elapsed: Span,
        bytes: &[u8],
    ) -> Result<u32, NotRestored> {
        self.tell(now, || Call::Import(elapsed.as_nanos(), bytes.to_vec()));
        let restored = self.consumer.import_identities(now, elapsed, bytes);
        self.answer(&restored);
        restored
    }

    pub(crate) fn poll_timeout(&self) -> Option<Wake> {
        self.asks(None, Poll::Timeout);
        let wake = self.consumer.poll_timeout();
        self.answer(&wake);
        wake
    }

    pub(crate) fn poll_cancel(&mut self) -> Option<Token> {
        self.asks(None, Poll::Cancel);
        let token = self.consumer.poll_cancel();
        self.answer(&token);
        token
    }

    pub(crate) fn poll_session(&mut self, now: Time) -> Option<Start> {
        self.asks(Some(now), Poll::Session);
        let start = self.consumer.poll_session(now);
        self.answer(&start);
        start
    }

    pub(crate) fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch<u32>> {
        self.asks(Some(now), Poll::Dispatch);
        let dispatch = self.consumer.poll_dispatch(now);
        self.answer(&dispatch);
        dispatch
    }

    pub(crate) fn poll_dead_letter(&mut self) -> Option<DeadLetter<'_, u32>> {
        self.asks(None, Poll::Letter);
        let letter = self.consumer.poll_dead_letter();
        if let Some((tape, _)) = &self.tape {
            let mut words = Vec::new();
            letter.words(&mut words);
            tape.borrow_mut().answered(&words);
        }
        letter
    }

    pub(crate) fn poll_duplicate(&mut self, now: Time) -> Option<Copied<u32>> {
        self.asks(Some(now), Poll::Copy);
        let copied = self.consumer.poll_duplicate(now);
        self.answer(&copied);
        copied
    }

    pub(crate) fn poll_commit(&mut self, now: Time, map: &mut [u8]) -> Option<Commit> {
        self.asks(Some(now), Poll::Commit);
        let commit = self.consumer.poll_commit(now, map);
        self.answer(&commit.map(|c| (c, &map[..c.map_len])));
        commit
    }

    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        self.asks(None, Poll::Notice);
        let notice = self.consumer.poll_notice();
        self.answer(&notice);
        notice
    }

    pub(crate) fn poll_release(&mut self) -> Option<Release> {
        self.asks(None, Poll::Release);
        let release = self.consumer.poll_release();
        self.answer(&release);
        release
    }

    pub(crate) fn poll_flow(&mut self) -> Option<Flow> {
        self.asks(None, Poll::Flow);
        let flow = self.consumer.poll_flow();
        self.answer(&flow);
        flow
    }

    pub(crate) fn poll_grant(&mut self) -> Option<Grant> {
        self.asks(None, Poll::Grant);
        let grant = self.consumer.poll_grant();
        self.answer(&grant);
        grant
    }

    pub(crate) fn poll_drained(&mut self) -> Option<Drained> {
        self.asks(None, Poll::Drained);
        let drained = self.consumer.poll_drained();
        self.answer(&drained);
        drained
    }
}

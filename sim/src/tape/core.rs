//! The core of a process, with a tape beside it if somebody wants one.

use std::cell::Cell;
use std::ops::Deref;

use procession_core::{
    Admit, Arrival, Commit, CommitResult, Config, Consumer, Continuity, Copied, DeadLetter,
    Dispatch, Drained, Epoch, Flow, Grant, Limits, NotRestored, Notice, NoticeKind, OnReset,
    Outcome, ParkedMode, PartitionId, Passed, Position, Receipt, Refused, Release, Resume,
    SequenceGap, Session, Span, Stale, Stall, Start, Stats, Time, Token, Wake,
};

use procession_tape::Answer;

use super::news::plain;
use super::{Call, Open, Poll, Recorder, Settled, Step};
use crate::lies::{self, Memory};

/// A core that is called, and its calls written down.
pub(crate) struct Core {
    pub(super) consumer: Consumer<u32>,
    pub(super) tape: Option<(Recorder, u32)>,
    lies: Memory,
    /// It was told something, or may have something to say, since it was last asked for everything.
    pub(super) fresh: Cell<bool>,
    /// How often it was told something, or said something.
    pub(super) turns: Cell<u32>,
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
        let consumer = Consumer::new(&lies::config(config));
        let new = Self {
            consumer: consumer.expect("invariant: configurations are checked"),
            tape,
            lies: Memory::default(),
            fresh: Cell::new(true),
            turns: Cell::new(0),
        };
        new.tell(now, || Call::Start);
        new.answer(&());
        new
    }

    // Only where there is a tape is anything copied. The call is written before it is made: what
    // makes the core panic is on the tape.
    #[inline]
    fn tell(&self, now: Time, call: impl FnOnce() -> Call) {
        self.fresh.set(true);
        self.turn();
        if let Some((tape, member)) = &self.tape {
            tape.borrow_mut().call(now.as_nanos(), *member, call());
        }
    }

    #[inline]
    fn asks(&self, now: Option<Time>, poll: Poll) {
        if self.tape.is_some() {
            self.write_poll(now, poll);
        }
    }

    #[cold]
    fn write_poll(&self, now: Option<Time>, poll: Poll) {
        if let Some((tape, member)) = &self.tape {
            let mut tape = tape.borrow_mut();
            // A poll without a time takes that of the step before it.
            let before = tape.tape.steps.iter().rev().find(|s| s.member == *member);
            let at = now.map_or_else(|| before.map_or(0, |s: &Step| s.at), Time::as_nanos);
            tape.poll(at, *member, poll);
        }
    }

    #[inline]
    fn answer(&self, answer: &impl Answer) {
        if self.tape.is_some() {
            self.write_answer(answer);
        }
    }

    #[cold]
    fn write_answer(&self, answer: &impl Answer) {
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
        self.lies.calls += u64::from(lies::is(137));
        result.map(lies::admit)
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
        let deadline = lies::deadline(now, deadline);
        self.tell(now, || Call::Revoke(partition, epoch, deadline.as_nanos()));
        self.consumer.revoke(now, partition, epoch, deadline);
        self.answer(&());
    }

    pub(crate) fn lose(&mut self, now: Time, partition: PartitionId, epoch: Epoch) {
        self.tell(now, || Call::Lose(partition, epoch));
        self.lies.calls += u64::from(lies::is(136));
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
        self.lies.calls += u64::from(lies::is(135));
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
                Outcome::Handled(_) => Settled::Handled,
                Outcome::Retry(_) => Settled::Retry,
                Outcome::Reject(_) => Settled::Reject,
                Outcome::Cancelled(_) => Settled::Cancelled,
            };
            Call::Settle(token.to_bits(), settled, message)
        });
        let result = self.consumer.settle(now, token, outcome);
        self.answer(&result.is_ok());
        self.lies.calls += u64::from(lies::is(128));
        if lies::is(125) {
            self.lies.settled = Some(token);
        }
        match result {
            Err(_) if lies::is(126) => Ok(()),
            Ok(()) if lies::is(127) => Err(Stale),
            true_one => true_one,
        }
    }

    pub(crate) fn set_limits(&mut self, now: Time, limits: &Limits) {
        self.tell(now, || Call::SetLimits(*limits));
        self.consumer.set_limits(now, limits);
        self.answer(&());
    }

    /// Whether the partition and the weight are such.
    pub(crate) fn set_weight(&mut self, now: Time, partition: PartitionId, weight: u32) -> bool {
        self.tell(now, || Call::SetWeight(partition, weight));
        let weighed = self.consumer.set_weight(now, partition, weight).is_ok();
        self.answer(&weighed);
        weighed
    }

    pub(crate) fn drain(&mut self, now: Time, deadline: Time) {
        self.tell(now, || Call::Drain(deadline.as_nanos()));
        self.consumer.drain(now, deadline);
        self.answer(&());
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.tell(now, || Call::Timeout);
        self.consumer.handle_timeout(now);
        // Counts up to the time, for the one that is due again in no time.
        self.lies.calls = if lies::is(169) {
            now.as_nanos() + 1
        } else {
            self.lies.calls + 1
        };
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

    pub(crate) fn release(&mut self, now: Time, key: u128) -> bool {
        self.tell(now, || Call::Release(key));
        let known = self.consumer.release(now, key);
        self.answer(&known);
        known
    }

    pub(crate) fn set_parked(&mut self, now: Time, key: u128, mode: ParkedMode) -> bool {
        self.tell(now, || Call::SetParked(key, mode));
        let known = if lies::is(193) {
            self.consumer.release(now, key)
        } else {
            self.consumer.set_parked(now, key, mode)
        };
        self.answer(&known);
        known
    }

    pub(crate) fn reset(&mut self, now: Time, partition: PartitionId, to: OnReset) -> bool {
        self.tell(now, || Call::Reset(partition, to));
        let stopped = self.consumer.reset(now, partition, to);
        self.answer(&stopped);
        stopped
    }

    pub(crate) fn pass_gap(&mut self, now: Time, partition: PartitionId, key: u128) -> bool {
        self.tell(now, || Call::PassGap(partition, key));
        let stopped = self.consumer.pass_gap(now, partition, key);
        self.answer(&stopped);
        stopped
    }

    pub(crate) fn poll_gap(&mut self, now: Time) -> Option<SequenceGap> {
        plain!(self.poll_gap(now));
        self.asks(Some(now), Poll::Gap);
        let gap = self.consumer.poll_gap(now);
        self.answer(&gap);
        gap
    }

    pub(crate) fn poll_timeout(&self) -> Option<Wake> {
        self.asks(None, Poll::Timeout);
        if self.tape.is_some() {
            self.write_answer(&self.consumer.poll_timeout());
        }
        self.due()
    }

    /// As [`poll_timeout`](Self::poll_timeout), asked by the world and not by the adapter: no tape tells
    /// of it.
    pub(crate) fn due(&self) -> Option<Wake> {
        match self.consumer.poll_timeout() {
            // Due at once, again and again, or again in no time.
            Some(wake) if lies::is(168) && self.lies.calls % 64 < 8 => Some(Wake {
                at: Time::ZERO,
                ..wake
            }),
            Some(wake) if lies::is(169) => Some(Wake {
                at: Time::ZERO + Span::from_nanos(self.lies.calls),
                ..wake
            }),
            true_one => true_one,
        }
    }

    /// As the core's own: here it can be false.
    pub(crate) fn stats(&self) -> Stats {
        let mut stats = self.consumer.stats();
        if lies::is(135) || lies::is(136) || lies::is(137) {
            stats.void += self.lies.calls;
        }
        if lies::is(128) {
            stats.done += self.lies.calls;
        }
        if lies::is(129) {
            stats.done = 0;
        }
        if lies::is(138) {
            stats.window += 1 << 20;
        }
        if lies::is(139) {
            stats.held += u32::from(self.lies.drained);
        }
        stats
    }

    /// As the core's own: here it can be false.
    pub(crate) fn stall(&mut self, now: Time, partition: PartitionId) -> Option<Stall> {
        plain!(self.stall(partition));
        let found = self.consumer.stall(partition);
        if lies::is(163) || lies::is(164) {
            let held = self.consumer.stats().held;
            return lies::stall(found, (partition, held, now), &mut self.lies);
        }
        found
    }

    pub(crate) fn poll_cancel(&mut self) -> Option<Token> {
        plain!(self.poll_cancel());
        self.asks(None, Poll::Cancel);
        let token = self.consumer.poll_cancel();
        self.answer(&token);
        let token = token.filter(|_| !lies::is(186));
        token.or_else(|| self.lies.settled.take())
    }

    pub(crate) fn poll_abandon(&mut self) -> Option<Token> {
        plain!(self.poll_abandon());
        self.asks(None, Poll::Abandon);
        let token = self.consumer.poll_abandon();
        self.answer(&token);
        token
    }

    pub(crate) fn poll_session(&mut self, now: Time) -> Option<Start> {
        plain!(self.poll_session(now));
        self.asks(Some(now), Poll::Session);
        if (lies::is(131) || self.lies.over)
            && let Some(again) = self.lies.start.take()
        {
            self.lies.over = false;
            return Some(again);
        }
        let start = self.consumer.poll_session(now);
        self.answer(&start);
        if lies::is(118) || (lies::is(131) && start.is_some()) {
            self.lies.start = start.or(self.lies.start);
        }
        start
    }

    pub(crate) fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch<u32>> {
        plain!(self.poll_dispatch(now));
        self.asks(Some(now), Poll::Dispatch);
        let dispatch = self.consumer.poll_dispatch(now);
        self.answer(&dispatch);
        lies::dispatch(dispatch, &mut self.lies)
    }

    pub(crate) fn poll_follow(&mut self, now: Time, token: Token) -> Option<Dispatch<u32>> {
        self.tell(now, || Call::Follow(token.to_bits()));
        let dispatch = self.consumer.poll_follow(now, token);
        self.answer(&dispatch);
        dispatch
    }

    pub(crate) fn poll_dead_letter(&mut self) -> Option<DeadLetter<'_, u32>> {
        plain!(self.poll_dead_letter());
        self.asks(None, Poll::Letter);
        let letter = self.consumer.poll_dead_letter();
        if let Some((tape, _)) = &self.tape {
            let mut words = Vec::new();
            letter.words(&mut words);
            tape.borrow_mut().answered(&words);
        }
        lies::letter(letter, &mut self.lies)
    }

    pub(crate) fn poll_duplicate(&mut self, now: Time) -> Option<Copied<u32>> {
        plain!(self.poll_duplicate(now));
        self.asks(Some(now), Poll::Copy);
        let copied = self.consumer.poll_duplicate(now);
        self.answer(&copied);
        lies::copied(copied, &mut self.lies)
    }

    pub(crate) fn poll_passed(&mut self, now: Time) -> Option<Passed<u32>> {
        plain!(self.poll_passed(now));
        self.asks(Some(now), Poll::Passed);
        let passed = self.consumer.poll_passed(now);
        self.answer(&passed);
        passed.map(lies::passed)
    }

    pub(crate) fn poll_commit(&mut self, now: Time, map: &mut [u8]) -> Option<Commit> {
        plain!(self.poll_commit(now, map));
        self.asks(Some(now), Poll::Commit);
        if lies::is(121)
            && self.lies.over
            && let Some(again) = self.lies.commit.take()
        {
            self.lies.over = false;
            return Some(Commit {
                map_len: 0,
                ..again
            });
        }
        let mut commit = self.consumer.poll_commit(now, map);
        if lies::is(121) {
            self.lies.commit = commit.or(self.lies.commit);
        }
        self.answer(&commit.map(|c| (c, &map[..c.map_len])));
        if let Some(commit) = &mut commit {
            lies::commit(commit);
            if lies::is(106) && commit.map_len > 0 {
                map[0] ^= 0xFF;
            }
        }
        commit
    }

    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        plain!(self.poll_notice());
        self.asks(None, Poll::Notice);
        if lies::is(162) && self.lies.twice {
            self.lies.twice = false;
            return self.lies.notice;
        }
        let mut notice = self.consumer.poll_notice();
        self.answer(&notice);
        if lies::is(167) && notice.is_none() {
            self.lies.twice = !self.lies.twice;
            let partition = PartitionId(0);
            return self.lies.twice.then_some(Notice {
                partition,
                kind: NoticeKind::WindowFull,
                position: Position(0),
                count: 1,
            });
        }
        while notice.is_some_and(|n| lies::keeps_back(n.kind)) {
            notice = self.consumer.poll_notice();
        }
        self.lies.twice = lies::is(162) && notice.is_some_and(|n| n.kind == NoticeKind::Stalled);
        if lies::is(162) {
            self.lies.notice = notice;
        }
        notice
    }

    pub(crate) fn poll_release(&mut self) -> Option<Release> {
        plain!(self.poll_release());
        self.asks(None, Poll::Release);
        if lies::is(122)
            && let Some(again) = self.lies.release.take()
        {
            return Some(again);
        }
        let release = self.consumer.poll_release();
        self.answer(&release);
        if lies::is(122) {
            self.lies.release = release;
        }
        if lies::is(118) || lies::is(121) {
            // Only what was kept of this partition is false now.
            let ended = release.map(|r| r.partition);
            let start = self.lies.start.map(|s| s.partition);
            let commit = self.lies.commit.map(|c| c.partition);
            self.lies.over |= ended.is_some()
                && ((lies::is(118) && start == ended) || (lies::is(121) && commit == ended));
        }
        lies::release(release, &self.consumer, &mut self.lies)
    }

    pub(crate) fn poll_flow(&mut self) -> Option<Flow> {
        plain!(self.poll_flow());
        self.asks(None, Poll::Flow);
        if lies::is(144)
            && let Some(again) = self.lies.flow.take()
        {
            return Some(again);
        }
        let flow = self.consumer.poll_flow();
        self.answer(&flow);
        if lies::is(144) {
            self.lies.flow = flow;
        }
        flow
    }

    pub(crate) fn poll_grant(&mut self) -> Option<Grant> {
        plain!(self.poll_grant());
        self.asks(None, Poll::Grant);
        if (lies::is(140) || lies::is(141))
            && let Some(mut again) = self.lies.grant.take()
        {
            again.session.0 -= u64::from(lies::is(140));
            return Some(again);
        }
        let grant = self.consumer.poll_grant();
        self.answer(&grant);
        if lies::is(140) || lies::is(141) {
            self.lies.grant = grant;
        }
        grant
    }

    pub(crate) fn poll_drained(&mut self) -> Option<Drained> {
        plain!(self.poll_drained());
        self.asks(None, Poll::Drained);
        if lies::is(185) {
            return None;
        }
        let drained = self.consumer.poll_drained();
        self.answer(&drained);
        self.lies.drained = lies::is(139) && drained.is_some();
        drained
    }
}

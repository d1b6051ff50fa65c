//! From a segment's bytes to steps and the digests of their answers.

use procession_core::{Admit, Arrival, Epoch, PartitionId, Position, Refusal, Session, Stamp, Why};

use super::segment::{
    DISPATCH_BYTES, HAS_DELIVERY, HAS_KEY, OFFER_BYTES, QUARANTINE_SHIFT, Segment, op,
};
use crate::call::{Call, Poll, Settled};
use crate::step::POLLS_MAX;
use crate::{Answer, Answers, Step};

/// Makes steps: a call each, and a row of polls together.
pub(super) struct Rows<'a> {
    answers: &'a mut Answers,
    /// Hears of each step, and of the digest after it; none where the core did not answer.
    each: &'a mut dyn FnMut(&Step, Option<u32>),
    at: u64,
    tenure: (PartitionId, Epoch, Session),
    /// The call that the next answer belongs to.
    told: Option<Told>,
    /// Polls that were answered, and the digest after them.
    row: Option<(Step, u32)>,
}

enum Told {
    Poll(Poll),
    Call(Call),
}

/// Reads numbers off the front.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

const WHYS: [Option<Why>; 9] = [
    None,
    Some(Why::Exhausted),
    Some(Why::Rejected),
    Some(Why::Malformed),
    Some(Why::TooLarge),
    Some(Why::Keyless),
    Some(Why::Parked),
    Some(Why::Discarded),
    Some(Why::Expired),
];

const ADMITS: [Result<Admit, Refusal>; 7] = [
    Ok(Admit::Queued),
    Ok(Admit::Duplicate),
    Ok(Admit::Replayed),
    Ok(Admit::Void),
    Err(Refusal::Credit),
    Err(Refusal::Window),
    Err(Refusal::TooLarge),
];

const SETTLED: [Settled; 5] = [
    Settled::Done,
    Settled::Retry,
    Settled::Reject,
    Settled::Cancelled,
    Settled::Handled,
];

impl<'a> Rows<'a> {
    pub(super) fn new(
        answers: &'a mut Answers,
        each: &'a mut dyn FnMut(&Step, Option<u32>),
    ) -> Self {
        Self {
            answers,
            each,
            at: 0,
            tenure: (PartitionId(0), Epoch(0), Session(0)),
            told: None,
            row: None,
        }
    }

    /// All calls of a segment.
    pub(super) fn segment(&mut self, segment: &Segment) {
        self.at = segment.begun();
        let mut bytes = Bytes(segment.entries());
        let mut calls = segment.calls().iter();
        while self.entry(&mut bytes, &mut calls).is_some() {}
        if segment.is_open() {
            self.unanswered();
        }
    }

    /// The end of the last segment.
    pub(super) fn end(mut self) {
        self.nothing();
        self.flush();
    }

    fn entry<'c>(
        &mut self,
        bytes: &mut Bytes<'_>,
        calls: &mut impl Iterator<Item = &'c Call>,
    ) -> Option<()> {
        let [code] = bytes.array()?;
        match code {
            op::TIME => {
                self.nothing();
                self.at = bytes.u64()?;
            }
            op::TENURE => {
                let (partition, epoch) = (PartitionId(bytes.u32()?), Epoch(bytes.u64()?));
                self.tenure = (partition, epoch, Session(bytes.u64()?));
            }
            op::OFFER => {
                self.nothing();
                let arrival = self.arrival(bytes.array()?)?;
                self.told = Some(Told::Call(Call::Offer(Box::new(arrival))));
            }
            op::SETTLE => {
                self.nothing();
                let token = bytes.u64()?;
                let [settled] = bytes.array()?;
                let settled = SETTLED.get(usize::from(settled)).copied()?;
                self.told = Some(Told::Call(Call::Settle(token, settled, 0)));
            }
            op::CALL => {
                self.nothing();
                self.told = Some(Told::Call(calls.next()?.clone()));
            }
            op::WORDS => {
                let count = bytes.u32()? as usize;
                let words: Option<Vec<u64>> = (0..count).map(|_| bytes.u64()).collect();
                self.answer(&words?);
            }
            op::DISPATCHED => {
                let words = dispatched(bytes.array()?)?;
                self.answer(&words);
            }
            op::TAKEN => self.answer_with(&true),
            op::STALE => self.answer_with(&false),
            poll if usize::from(poll) < Poll::LETTERS.len() => {
                self.nothing();
                self.told = Some(Told::Poll(Poll::LETTERS[usize::from(poll)].1));
            }
            offered => {
                let admit = ADMITS.get(usize::from(offered.checked_sub(op::OFFERED)?))?;
                self.answer_with(admit);
            }
        }
        Some(())
    }

    fn arrival(&self, entry: [u8; OFFER_BYTES]) -> Option<Arrival<u32>> {
        let mut bytes = Bytes(&entry);
        let (position, stamp, lane) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let key = u128::from_le_bytes(bytes.array()?);
        let identity = u128::from_le_bytes(bytes.array()?);
        let (charged, delivery) = (bytes.u32()?, bytes.u64()?);
        let [flags] = bytes.array()?;
        let (partition, epoch, session) = self.tenure;
        Some(Arrival {
            partition,
            epoch,
            session,
            delivery: (flags & HAS_DELIVERY > 0).then_some(delivery),
            position: Position(position),
            stamp: Stamp(stamp),
            lane,
            key: (flags & HAS_KEY > 0).then_some(key),
            identity,
            bytes: charged,
            expires: None,
            sequence: None,
            quarantine: WHYS[usize::from(flags >> QUARANTINE_SHIFT) % WHYS.len()],
            // Only a number for people: messages are not kept.
            message: position as u32,
        })
    }

    fn answer_with(&mut self, answer: &impl Answer) {
        let mut words = Vec::new();
        answer.words(&mut words);
        self.answer(&words);
    }

    /// What was told last is answered.
    fn answer(&mut self, words: &[u64]) {
        let Some(told) = self.told.take() else { return };
        self.answers.take(words);
        let digest = self.answers.short();
        match told {
            Told::Poll(poll) => self.join(poll, digest),
            Told::Call(call) => {
                self.flush();
                let step = self.step(call);
                (self.each)(&step, Some(digest));
            }
        }
    }

    /// What was told last was a poll that was answered with nothing.
    fn nothing(&mut self) {
        if self.told.is_some() {
            self.answer(&[0]);
        }
    }

    /// What was told last was not answered at all.
    fn unanswered(&mut self) {
        match self.told.take() {
            Some(Told::Poll(poll)) => {
                self.join(poll, 0);
                if let Some((step, _)) = self.row.take() {
                    (self.each)(&step, None);
                }
            }
            Some(Told::Call(call)) => {
                self.flush();
                let step = self.step(call);
                (self.each)(&step, None);
            }
            None => {}
        }
    }

    const fn step(&self, call: Call) -> Step {
        Step {
            at: self.at,
            member: 0,
            call,
        }
    }

    /// A poll joins the polls before it.
    fn join(&mut self, poll: Poll, digest: u32) {
        let at = self.at;
        if let Some((step, after)) = &mut self.row
            && step.at == at
            && let Call::Polls(polls) = &mut step.call
            && polls.len() < POLLS_MAX
        {
            polls.push(poll);
            *after = digest;
            return;
        }
        self.flush();
        self.row = Some((self.step(Call::Polls(vec![poll])), digest));
    }

    fn flush(&mut self) {
        if let Some((step, digest)) = self.row.take() {
            (self.each)(&step, Some(digest));
        }
    }
}

/// The words of a dispatch, as [`Answer`] has them.
fn dispatched(entry: [u8; DISPATCH_BYTES]) -> Option<Vec<u64>> {
    let mut bytes = Bytes(&entry);
    let (token, partition) = (bytes.u64()?, bytes.u32()?);
    let (epoch, position) = (bytes.u64()?, bytes.u64()?);
    let (attempt, deadline) = (bytes.u32()?, bytes.u64()?);
    let words = [
        token,
        partition.into(),
        epoch,
        position,
        attempt.into(),
        deadline,
    ];
    Some(crate::answer::dispatch_words(words).to_vec())
}

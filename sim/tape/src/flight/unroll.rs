//! From a segment's bytes to steps and the digests of their answers.

use procession_core::{
    Admit, Arrival, Epoch, PartitionId, Position, Refusal, Session, Stamp, Time, Why,
};

use super::op;
use super::segment::{FOREVER, Segment};
use super::track::{Track, Tracks};
use crate::call::{Call, Poll, Settled};
use crate::step::POLLS_MAX;
use crate::{Answer, Answers, Step};

/// Makes steps: a call each, and a row of polls together.
pub(super) struct Rows<'a> {
    answers: &'a mut Answers,
    /// Hears of each step, and of the digest after it; none where the core did not answer.
    each: &'a mut dyn FnMut(&Step, Option<u32>),
    at: u64,
    tracks: Tracks,
    deadline: u64,
    /// The attempt that began last.
    token: u64,
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

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte <= 0x7F {
                return Some(number);
            }
        }
        None
    }
}

const WHYS: [Option<Why>; 11] = [
    None,
    Some(Why::Exhausted),
    Some(Why::Rejected),
    Some(Why::Malformed),
    Some(Why::TooLarge),
    Some(Why::Keyless),
    Some(Why::Parked),
    Some(Why::Discarded),
    Some(Why::Expired),
    Some(Why::Gap),
    Some(Why::Suspect),
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
            tracks: Tracks::new(),
            deadline: FOREVER,
            token: 0,
            told: None,
            row: None,
        }
    }

    /// All calls of a segment.
    pub(super) fn segment(&mut self, segment: &Segment) {
        self.at = segment.begun();
        (self.tracks, self.deadline, self.token) = (Tracks::new(), FOREVER, 0);
        let entries = segment.entries();
        let mut bytes = Bytes(&entries);
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
        match bytes.u8()? {
            poll if poll < op::POLLS => {
                self.ask(Poll::LETTERS.get(usize::from(poll))?.1);
            }
            op::LATER => {
                self.nothing();
                self.at = self.at.wrapping_add(bytes.u16()?.into());
            }
            op::TIME => {
                self.nothing();
                self.at = bytes.u64()?;
            }
            op::TRACK => {
                let (place, partition) = (bytes.u8()?, PartitionId(bytes.u32()?));
                let (epoch, session) = (Epoch(bytes.u64()?), Session(bytes.u64()?));
                *self.tracks.at(place) = Track::new(partition, epoch, session);
            }
            op::OFFER => {
                self.nothing();
                let arrival = self.offer(bytes)?;
                self.told = Some(Told::Call(Call::Offer(Box::new(arrival))));
            }
            op::OFFER_WHOLE => {
                self.nothing();
                let arrival = self.offer_whole(bytes)?;
                self.told = Some(Told::Call(Call::Offer(Box::new(arrival))));
            }
            op::DISPATCH => {
                self.nothing();
                self.at = self.at.wrapping_add(bytes.u16()?.into());
                self.ask(Poll::Dispatch);
            }
            op::DEADLINE => self.deadline = bytes.u64()?,
            op::DISPATCHED => {
                let words = self.dispatched(bytes)?;
                self.answer(&words);
            }
            op::DISPATCHED_WHOLE => {
                let words = dispatched_whole(bytes)?;
                self.token = words[1];
                self.answer(&words);
            }
            op::DONE => {
                self.nothing();
                self.at = self.at.wrapping_add(bytes.u16()?.into());
                let call = Call::Settle(self.token, Settled::Done, 0);
                self.told = Some(Told::Call(call));
            }
            op::SETTLE => {
                self.nothing();
                self.at = self.at.wrapping_add(bytes.u16()?.into());
                let settled = SETTLED.get(usize::from(bytes.u8()?)).copied()?;
                let call = Call::Settle(bytes.u64()?, settled, 0);
                self.told = Some(Told::Call(call));
            }
            op::STALE => self.answer_with(&false),
            op::CALL => {
                self.nothing();
                self.told = Some(Told::Call(calls.next()?.clone()));
            }
            op::WORDS => {
                let count = bytes.number()?;
                let words: Option<Vec<u64>> = (0..count).map(|_| bytes.number()).collect();
                self.answer(&words?);
            }
            offered => {
                let admit = ADMITS.get(usize::from(offered.checked_sub(op::OFFERED)?))?;
                self.answer_with(admit);
            }
        }
        Some(())
    }

    fn ask(&mut self, poll: Poll) {
        self.nothing();
        self.told = Some(Told::Poll(poll));
    }

    fn offer(&mut self, bytes: &mut Bytes<'_>) -> Option<Arrival<u32>> {
        let (place, flags) = (bytes.u8()?, bytes.u8()?);
        let (after, charged, stamped) = (bytes.u16()?, bytes.u16()?, bytes.u32()?);
        let (lane, identity) = (bytes.u64()?, bytes.u64()?);
        let track = self.tracks.at(place);
        let expected = track.delivery.wrapping_add(1);
        let arrival = Arrival {
            partition: track.partition,
            epoch: track.epoch,
            session: track.session,
            delivery: (flags & op::HAS_DELIVERY > 0).then_some(expected),
            position: Position(track.position.wrapping_add(after.into())),
            stamp: Stamp(track.stamp.wrapping_add(stamped.into())),
            lane,
            key: None,
            identity: identity.into(),
            bytes: charged.into(),
            expires: None,
            sequence: None,
            quarantine: None,
            message: 0,
        };
        self.rest_of_offer(arrival, place, flags, bytes)
    }

    fn offer_whole(&mut self, bytes: &mut Bytes<'_>) -> Option<Arrival<u32>> {
        let (place, flags, quarantine) = (bytes.u8()?, bytes.u8()?, bytes.u8()?);
        let (position, stamp, delivery) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let (lane, identity, charged) = (bytes.u64()?, bytes.u64()?, bytes.u32()?);
        let track = self.tracks.at(place);
        let arrival = Arrival {
            partition: track.partition,
            epoch: track.epoch,
            session: track.session,
            delivery: (flags & op::HAS_DELIVERY > 0).then_some(delivery),
            position: Position(position),
            stamp: Stamp(stamp),
            lane,
            key: None,
            identity: identity.into(),
            bytes: charged,
            expires: None,
            sequence: None,
            quarantine: *WHYS.get(usize::from(quarantine))?,
            message: 0,
        };
        self.rest_of_offer(arrival, place, flags, bytes)
    }

    /// Behind both forms of an offer.
    fn rest_of_offer(
        &mut self,
        mut arrival: Arrival<u32>,
        place: u8,
        flags: u8,
        bytes: &mut Bytes<'_>,
    ) -> Option<Arrival<u32>> {
        let (position, stamp) = (arrival.position.0, arrival.stamp.0);
        self.tracks
            .at(place)
            .follow(position, stamp, arrival.delivery);
        // Only a number for people: messages are not kept.
        arrival.message = position as u32;
        if flags & op::HAS_KEY > 0 {
            // A core that does not keep keys asks whether there is one, and nothing else.
            arrival.key = Some(u128::from(arrival.lane).max(1));
        }
        if flags & op::KEY_WRITTEN > 0 {
            arrival.key = Some(bytes.u64()?.into());
        }
        if flags & op::HAS_EXPIRES > 0 {
            arrival.expires = Some(Time::from_nanos(bytes.u64()?));
        }
        if flags & op::HAS_SEQUENCE > 0 {
            arrival.sequence = Some(bytes.u64()?);
        }
        Some(arrival)
    }

    /// The words of a dispatch, as [`Answer`] has them.
    fn dispatched(&mut self, bytes: &mut Bytes<'_>) -> Option<[u64; 7]> {
        let (place, slot) = (bytes.u8()?, bytes.u16()?);
        let (generation, before) = (bytes.u32()?, bytes.u32()?);
        self.token = u64::from(generation) << 32 | u64::from(slot);
        let track = self.tracks.at(place);
        let position = track.position.wrapping_sub(before.into());
        let words = [
            self.token,
            track.partition.0.into(),
            track.epoch.0,
            position,
            1,
            self.deadline,
        ];
        Some(crate::answer::dispatch_words(words))
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

    /// What was told last was answered as expected.
    fn nothing(&mut self) {
        match &self.told {
            Some(Told::Poll(_)) => self.answer(&[0]),
            Some(Told::Call(Call::Offer(_))) => {
                self.answer_with(&Ok::<_, Refusal>(Admit::Queued));
            }
            Some(Told::Call(Call::Settle(..))) => self.answer_with(&true),
            Some(Told::Call(_)) => self.answer_with(&()),
            None => {}
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

fn dispatched_whole(bytes: &mut Bytes<'_>) -> Option<[u64; 7]> {
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
    Some(crate::answer::dispatch_words(words))
}

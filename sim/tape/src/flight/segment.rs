//! Calls and answers as they come, in one buffer.

use procession_core::{
    Admit, Arrival, Dispatch, Epoch, PartitionId, Refusal, Session, Time, Token,
};

use crate::call::{Call, Poll, Settled};

/// What the bytes that follow are. Below [`op::TIME`]: a poll, by its place among
/// [`Poll::LETTERS`].
pub(super) mod op {
    /// The time of what follows.
    pub(in crate::flight) const TIME: u8 = 32;
    /// Partition, epoch and session of the offers that follow.
    pub(in crate::flight) const TENURE: u8 = 33;
    pub(in crate::flight) const OFFER: u8 = 34;
    pub(in crate::flight) const SETTLE: u8 = 35;
    /// The next one of the calls that are kept beside the bytes.
    pub(in crate::flight) const CALL: u8 = 36;
    /// An answer: how many words, and the words.
    pub(in crate::flight) const WORDS: u8 = 37;
    pub(in crate::flight) const DISPATCHED: u8 = 38;
    pub(in crate::flight) const TAKEN: u8 = 39;
    pub(in crate::flight) const STALE: u8 = 40;
    /// What became of an offer; seven of them.
    pub(in crate::flight) const OFFERED: u8 = 41;
}

/// Bytes of an offer after its op.
pub(super) const OFFER_BYTES: usize = 69;
/// Bytes of a dispatch after its op.
pub(super) const DISPATCH_BYTES: usize = 40;

/// Flags of an offer; the reason for quarantine above them.
pub(super) const HAS_KEY: u8 = 1;
pub(super) const HAS_DELIVERY: u8 = 2;
pub(super) const QUARANTINE_SHIFT: u8 = 2;

/// A row of calls that follow a snapshot, or the start.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    snapshot: Option<Vec<u8>>,
    begun: u64,
    time: u64,
    tenure: (PartitionId, Epoch, Session),
    entries: Vec<u8>,
    /// Calls without a short form, in order, and about how many bytes they take.
    calls: Vec<Call>,
    calls_bytes: usize,
    /// The last call was not answered.
    open: bool,
}

impl Segment {
    /// An empty one, in the memory of a used one.
    pub(super) fn new(snapshot: Option<(u64, Vec<u8>)>, bytes: usize, used: Option<Self>) -> Self {
        let (mut entries, mut calls) =
            used.map_or_else(Default::default, |used| (used.entries, used.calls));
        entries.clear();
        calls.clear();
        // One call more than fits is written before somebody looks.
        entries.reserve(bytes + 4_096);
        let (begun, snapshot) = snapshot.map_or((0, None), |(at, s)| (at, Some(s)));
        Self {
            snapshot,
            begun,
            time: begun,
            // That of no offer.
            tenure: (PartitionId(u32::MAX), Epoch(0), Session(0)),
            entries,
            calls,
            calls_bytes: 0,
            open: false,
        }
    }

    #[inline]
    pub(super) const fn bytes(&self) -> usize {
        self.entries.len() + self.calls_bytes
    }

    pub(super) const fn begun(&self) -> u64 {
        self.begun
    }

    pub(super) const fn time(&self) -> u64 {
        self.time
    }

    pub(super) fn snapshot(&self) -> Option<&[u8]> {
        self.snapshot.as_deref()
    }

    pub(super) const fn take_snapshot(&mut self) -> Option<Vec<u8>> {
        self.snapshot.take()
    }

    pub(super) fn entries(&self) -> &[u8] {
        &self.entries
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    #[inline]
    pub(super) fn at(&mut self, at: Time) {
        let at = at.as_nanos();
        if at != self.time {
            self.time = at;
            let mut entry = [op::TIME; 9];
            entry[1..].copy_from_slice(&at.to_le_bytes());
            self.entries.extend_from_slice(&entry);
        }
    }

    pub(super) fn call(&mut self, call: Call) {
        self.calls_bytes += size_of::<Call>() + call.heap_bytes();
        self.calls.push(call);
        self.entries.push(op::CALL);
        self.open = true;
    }

    pub(super) fn words(&mut self, words: &[u64]) {
        self.entries.push(op::WORDS);
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        self.entries.extend_from_slice(&count.to_le_bytes());
        for word in words {
            self.entries.extend_from_slice(&word.to_le_bytes());
        }
        self.open = false;
    }

    #[inline]
    pub(super) fn offer<M>(&mut self, arrival: &Arrival<M>) {
        if arrival.expires.is_some() || arrival.sequence.is_some() {
            return self.call(Call::Offer(Box::new(without_message(arrival))));
        }
        let tenure = (arrival.partition, arrival.epoch, arrival.session);
        if tenure != self.tenure {
            self.tenure = tenure;
            let mut entry = [op::TENURE; 21];
            entry[1..5].copy_from_slice(&tenure.0.0.to_le_bytes());
            entry[5..13].copy_from_slice(&tenure.1.0.to_le_bytes());
            entry[13..21].copy_from_slice(&tenure.2.0.to_le_bytes());
            self.entries.extend_from_slice(&entry);
        }
        let quarantine = arrival.quarantine.map_or(0, |why| why as u8 + 1);
        let mut flags = quarantine << QUARANTINE_SHIFT;
        if arrival.key.is_some() {
            flags |= HAS_KEY;
        }
        if arrival.delivery.is_some() {
            flags |= HAS_DELIVERY;
        }
        let mut entry = [op::OFFER; 1 + OFFER_BYTES];
        entry[1..9].copy_from_slice(&arrival.position.0.to_le_bytes());
        entry[9..17].copy_from_slice(&arrival.stamp.0.to_le_bytes());
        entry[17..25].copy_from_slice(&arrival.lane.to_le_bytes());
        entry[25..41].copy_from_slice(&arrival.key.unwrap_or(0).to_le_bytes());
        entry[41..57].copy_from_slice(&arrival.identity.to_le_bytes());
        entry[57..61].copy_from_slice(&arrival.bytes.to_le_bytes());
        entry[61..69].copy_from_slice(&arrival.delivery.unwrap_or(0).to_le_bytes());
        entry[69] = flags;
        self.entries.extend_from_slice(&entry);
        self.open = true;
    }

    #[inline]
    pub(super) fn offered(&mut self, admit: Result<Admit, Refusal>) {
        let code = match admit {
            Ok(Admit::Queued) => 0,
            Ok(Admit::Duplicate) => 1,
            Ok(Admit::Replayed) => 2,
            Ok(Admit::Void) => 3,
            Err(Refusal::Credit) => 4,
            Err(Refusal::Window) => 5,
            Err(Refusal::TooLarge) => 6,
        };
        self.entries.push(op::OFFERED + code);
        self.open = false;
    }

    #[inline]
    pub(super) fn settle(&mut self, token: Token, settled: Settled) {
        let mut entry = [op::SETTLE; 10];
        entry[1..9].copy_from_slice(&token.to_bits().to_le_bytes());
        entry[9] = settled as u8;
        self.entries.extend_from_slice(&entry);
        self.open = true;
    }

    #[inline]
    pub(super) fn settled(&mut self, taken: bool) {
        self.entries.push(if taken { op::TAKEN } else { op::STALE });
        self.open = false;
    }

    #[inline]
    pub(super) fn poll(&mut self, poll: Poll) {
        self.entries.push(poll as u8);
        self.open = true;
    }

    #[inline]
    pub(super) const fn answered(&mut self) {
        self.open = false;
    }

    #[inline]
    pub(super) fn dispatched<M>(&mut self, dispatch: &Dispatch<M>) {
        let mut entry = [op::DISPATCHED; 1 + DISPATCH_BYTES];
        entry[1..9].copy_from_slice(&dispatch.token.to_bits().to_le_bytes());
        entry[9..13].copy_from_slice(&dispatch.partition.0.to_le_bytes());
        entry[13..21].copy_from_slice(&dispatch.epoch.0.to_le_bytes());
        entry[21..29].copy_from_slice(&dispatch.position.0.to_le_bytes());
        entry[29..33].copy_from_slice(&dispatch.attempt.to_le_bytes());
        entry[33..41].copy_from_slice(&dispatch.deadline.as_nanos().to_le_bytes());
        self.entries.extend_from_slice(&entry);
        self.open = false;
    }
}

/// One that says when it expires, or has a sequence, has no short form.
fn without_message<M>(arrival: &Arrival<M>) -> Arrival<u32> {
    Arrival {
        partition: arrival.partition,
        epoch: arrival.epoch,
        session: arrival.session,
        delivery: arrival.delivery,
        position: arrival.position,
        stamp: arrival.stamp,
        lane: arrival.lane,
        key: arrival.key,
        identity: arrival.identity,
        bytes: arrival.bytes,
        expires: arrival.expires,
        sequence: arrival.sequence,
        quarantine: arrival.quarantine,
        message: arrival.position.0 as u32,
    }
}

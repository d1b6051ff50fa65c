//! Calls and answers as they come, in one buffer.

use procession_core::{Admit, Arrival, Dispatch, Mask, Refusal, Time};

use super::buffer::Buffer;
use super::op;
use super::track::{Track, Tracks};
use crate::call::{Call, Poll, Settled};

/// A row of calls that follow a snapshot, or the start.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    snapshot: Option<Vec<u8>>,
    begun: u64,
    time: u64,
    tracks: Tracks,
    /// When the attempt that began last is to be over. Deadlines are rounded to a grid, so many have the same.
    deadline: u64,
    /// The attempt that began last.
    token: u64,
    /// Keys are written: the core keeps them.
    keyed: bool,
    /// The last call was not answered.
    open: bool,
    entries: Buffer,
    /// Calls without a short form, in order, and about how many bytes they take.
    calls: Vec<Call>,
    calls_bytes: usize,
}

/// The deadline of attempts that have none.
pub(super) const FOREVER: u64 = u64::MAX;

impl Segment {
    /// An empty one that begins at a time, in the memory of a used one.
    pub(super) fn new(begun: u64, keyed: bool, memory: (Buffer, Vec<Call>)) -> Self {
        let (mut entries, mut calls) = memory;
        entries.clear();
        calls.clear();
        Self {
            snapshot: None,
            begun,
            time: begun,
            tracks: Tracks::new(),
            deadline: FOREVER,
            token: 0,
            keyed,
            open: false,
            entries,
            calls,
            calls_bytes: 0,
        }
    }

    /// What it was written in.
    pub(super) fn into_memory(self) -> (Buffer, Vec<Call>) {
        (self.entries, self.calls)
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

    /// What it follows.
    pub(super) const fn snapshot_mut(&mut self) -> &mut Option<Vec<u8>> {
        &mut self.snapshot
    }

    pub(super) fn entries(&self) -> Vec<u8> {
        self.entries.written()
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// The time of what follows.
    #[inline]
    pub(super) fn at(&mut self, at: Time) {
        if at.as_nanos() != self.time {
            let later = self.later(at);
            if later > 0 {
                self.entries.put(|entry: &mut [u8; 3]| {
                    entry[0] = op::LATER;
                    entry[1..].copy_from_slice(&later.to_le_bytes());
                });
            }
        }
    }

    /// How much later it is, in two bytes. If that is too little, the time is written.
    #[inline]
    fn later(&mut self, at: Time) -> u16 {
        let at = at.as_nanos();
        let later = at.wrapping_sub(self.time);
        self.time = at;
        u16::try_from(later).unwrap_or_else(|_| {
            self.long(op::TIME, at);
            0
        })
    }

    /// A number after its op.
    #[cold]
    #[inline(never)]
    fn long(&mut self, code: u8, number: u64) {
        self.entries.put(|entry: &mut [u8; 9]| {
            entry[0] = code;
            entry[1..].copy_from_slice(&number.to_le_bytes());
        });
    }

    #[inline]
    fn short(&mut self, code: u8) {
        self.entries.put(|&mut [ref mut byte]| *byte = code);
    }

    pub(super) fn call(&mut self, call: Call) {
        self.calls_bytes += size_of::<Call>() + call.heap_bytes();
        self.calls.push(call);
        self.short(op::CALL);
        self.open = true;
    }

    pub(super) fn words(&mut self, words: &[u64]) {
        self.short(op::WORDS);
        self.entries.number(words.len() as u64);
        for word in words {
            self.entries.number(*word);
        }
        self.open = false;
    }

    #[inline]
    pub(super) fn offer<M>(&mut self, arrival: &Arrival<M>) {
        let place = Tracks::place(arrival.partition);
        if !self.tracks.at(place).is_of(arrival) {
            self.track(
                place,
                Track::new(arrival.partition, arrival.epoch, arrival.session),
            );
        }
        let keyed = arrival.key.is_some();
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        let flags = flag(keyed, op::HAS_KEY)
            | flag(keyed && self.keyed, op::KEY_WRITTEN)
            | flag(arrival.delivery.is_some(), op::HAS_DELIVERY)
            | flag(arrival.expires.is_some(), op::HAS_EXPIRES)
            | flag(arrival.sequence.is_some(), op::HAS_SEQUENCE);
        let (position, stamp) = (arrival.position.0, arrival.stamp.0);
        let identity = Mask::short_identity(arrival.identity);
        let track = self.tracks.at(place);
        let expected = arrival.quarantine.is_none()
            && arrival
                .delivery
                .is_none_or(|d| d == track.delivery.wrapping_add(1));
        let after = position.wrapping_sub(track.position);
        let (after, stamped, bytes) = (
            u16::try_from(after),
            u32::try_from(stamp.wrapping_sub(track.stamp)),
            u16::try_from(arrival.bytes),
        );
        track.follow(position, stamp, arrival.delivery);
        if let (true, Ok(after), Ok(stamped), Ok(bytes)) = (expected, after, stamped, bytes) {
            self.entries.put(|entry: &mut [u8; 1 + op::OFFER_BYTES]| {
                entry[0] = op::OFFER;
                entry[1] = place;
                entry[2] = flags;
                entry[3..5].copy_from_slice(&after.to_le_bytes());
                entry[5..7].copy_from_slice(&bytes.to_le_bytes());
                entry[7..11].copy_from_slice(&stamped.to_le_bytes());
                entry[11..19].copy_from_slice(&arrival.lane.to_le_bytes());
                entry[19..27].copy_from_slice(&identity.to_le_bytes());
            });
        } else {
            self.offer_whole(arrival, place, flags);
        }
        if flags & !(op::HAS_KEY | op::HAS_DELIVERY) > 0 {
            self.rest_of_offer(arrival, flags);
        }
        self.open = true;
    }

    #[cold]
    fn track(&mut self, place: u8, track: Track) {
        *self.tracks.at(place) = track;
        self.entries.put(|entry: &mut [u8; 22]| {
            entry[0] = op::TRACK;
            entry[1] = place;
            entry[2..6].copy_from_slice(&track.partition.0.to_le_bytes());
            entry[6..14].copy_from_slice(&track.epoch.0.to_le_bytes());
            entry[14..22].copy_from_slice(&track.session.0.to_le_bytes());
        });
    }

    #[inline(never)]
    fn offer_whole<M>(&mut self, arrival: &Arrival<M>, place: u8, flags: u8) {
        self.entries
            .put(|entry: &mut [u8; 1 + op::OFFER_WHOLE_BYTES]| {
                entry[0] = op::OFFER_WHOLE;
                entry[1] = place;
                entry[2] = flags;
                entry[3] = arrival.quarantine.map_or(0, |why| why as u8 + 1);
                entry[4..12].copy_from_slice(&arrival.position.0.to_le_bytes());
                entry[12..20].copy_from_slice(&arrival.stamp.0.to_le_bytes());
                entry[20..28].copy_from_slice(&arrival.delivery.unwrap_or(0).to_le_bytes());
                entry[28..36].copy_from_slice(&arrival.lane.to_le_bytes());
                let identity = Mask::short_identity(arrival.identity);
                entry[36..44].copy_from_slice(&identity.to_le_bytes());
                entry[44..48].copy_from_slice(&arrival.bytes.to_le_bytes());
            });
    }

    /// What few offers have.
    #[inline(never)]
    fn rest_of_offer<M>(&mut self, arrival: &Arrival<M>, flags: u8) {
        for (flag, number) in [
            (op::KEY_WRITTEN, Mask::short_key(arrival.key.unwrap_or(0))),
            (
                op::HAS_EXPIRES,
                arrival.expires.unwrap_or_default().as_nanos(),
            ),
            (op::HAS_SEQUENCE, arrival.sequence.unwrap_or(0)),
        ] {
            if flags & flag > 0 {
                self.entries.put(|entry| *entry = number.to_le_bytes());
            }
        }
    }

    #[inline]
    pub(super) fn offered(&mut self, admit: Result<Admit, Refusal>) {
        if admit != Ok(Admit::Queued) {
            self.not_queued(admit);
        }
        self.open = false;
    }

    #[inline(never)]
    fn not_queued(&mut self, admit: Result<Admit, Refusal>) {
        let code = match admit {
            Ok(Admit::Queued) => 0,
            Ok(Admit::Duplicate) => 1,
            Ok(Admit::Replayed) => 2,
            Ok(Admit::Void) => 3,
            Err(Refusal::Credit) => 4,
            Err(Refusal::Window) => 5,
            Err(Refusal::TooLarge) => 6,
        };
        self.short(op::OFFERED + code);
    }

    #[inline]
    pub(super) fn settle(&mut self, at: Time, token: u64, settled: Settled) {
        let later = self.later(at);
        if token == self.token && settled == Settled::Done {
            self.entries.put(|entry: &mut [u8; 3]| {
                entry[0] = op::DONE;
                entry[1..].copy_from_slice(&later.to_le_bytes());
            });
        } else {
            self.entries.put(|entry: &mut [u8; 12]| {
                entry[0] = op::SETTLE;
                entry[1..3].copy_from_slice(&later.to_le_bytes());
                entry[3] = settled as u8;
                entry[4..12].copy_from_slice(&token.to_le_bytes());
            });
        }
        self.open = true;
    }

    #[inline]
    pub(super) fn settled(&mut self, taken: bool) {
        if !taken {
            self.short(op::STALE);
        }
        self.open = false;
    }

    #[inline]
    pub(super) fn poll(&mut self, poll: Poll) {
        self.short(poll as u8);
        self.open = true;
    }

    #[inline]
    pub(super) fn dispatch(&mut self, at: Time) {
        let later = self.later(at);
        self.entries.put(|entry: &mut [u8; 3]| {
            entry[0] = op::DISPATCH;
            entry[1..].copy_from_slice(&later.to_le_bytes());
        });
        self.open = true;
    }

    #[inline]
    pub(super) const fn answered(&mut self) {
        self.open = false;
    }

    /// `token`: the one that was given out, in bits.
    #[inline]
    pub(super) fn dispatched<M>(&mut self, token: u64, dispatch: &Dispatch<M>) {
        self.open = false;
        let deadline = dispatch.deadline.as_nanos();
        self.token = token;
        let place = Tracks::place(dispatch.partition);
        let track = self.tracks.at(place);
        let before = u32::try_from(track.position.wrapping_sub(dispatch.position.0));
        let slot = u16::try_from(token & u64::from(u32::MAX));
        let expected = dispatch.attempt == 1 && track.has(dispatch);
        let (true, Ok(before), Ok(slot)) = (expected, before, slot) else {
            return self.dispatched_whole(token, dispatch);
        };
        if deadline != self.deadline {
            self.deadline = deadline;
            self.long(op::DEADLINE, deadline);
        }
        let generation = (token >> 32) as u32;
        self.entries
            .put(|entry: &mut [u8; 1 + op::DISPATCHED_BYTES]| {
                entry[0] = op::DISPATCHED;
                entry[1] = place;
                entry[2..4].copy_from_slice(&slot.to_le_bytes());
                entry[4..8].copy_from_slice(&generation.to_le_bytes());
                entry[8..12].copy_from_slice(&before.to_le_bytes());
            });
    }

    #[inline(never)]
    fn dispatched_whole<M>(&mut self, token: u64, dispatch: &Dispatch<M>) {
        self.entries
            .put(|entry: &mut [u8; 1 + op::DISPATCHED_WHOLE_BYTES]| {
                entry[0] = op::DISPATCHED_WHOLE;
                entry[1..9].copy_from_slice(&token.to_le_bytes());
                entry[9..13].copy_from_slice(&dispatch.partition.0.to_le_bytes());
                entry[13..21].copy_from_slice(&dispatch.epoch.0.to_le_bytes());
                entry[21..29].copy_from_slice(&dispatch.position.0.to_le_bytes());
                entry[29..33].copy_from_slice(&dispatch.attempt.to_le_bytes());
                entry[33..41].copy_from_slice(&dispatch.deadline.as_nanos().to_le_bytes());
            });
    }
}

//! Order by sequence: what is ahead waits, what is behind is a copy, what is missing is told, and what
//! comes after it was passed over is late, not lost.
//!
//! ```text
//! key A, next is 4:  [7 AHEAD] -> [9] -> [12]      5 arrives: [5 AHEAD] -> [7] -> [9] -> [12]
//!                                                  4 arrives: [4 READY] -> [5] -> [7] -> ...
//! ```
//! A lane is kept in the order of sequences, key by key, so that its head is the only message that has
//! to be judged, and is judged whenever it may go on. What is ahead keeps its position unfinished: the
//! frontier does not pass it (S3), and a new owner gets it again.

use super::partition::Phase;
use super::sequence::Verdict;
use super::slab::{NONE, QUARANTINED, State};
use super::{Consumer, NoticeKind, SequenceGap, WakeReason, Why};
use crate::marks::mark;
use crate::{OnGap, PartitionId, Time, mutants};

/// What a sequence may be at most: there is one after it.
pub(super) const SEQUENCE_MAX: u64 = u64::MAX - 1;

/// The sequence of an arrival that takes part in the order.
pub(super) fn sequence_of<M>(arrival: &super::Arrival<M>) -> Option<(u128, u64)> {
    let sequence = arrival.sequence.filter(|s| *s <= SEQUENCE_MAX)?;
    Some((arrival.key?, sequence))
}

impl<M> Consumer<M> {
    /// A message with a sequence gets its place.
    pub(super) fn enter_sequence(&mut self, slot: u32, partition: usize, arrival: (u128, u64)) {
        let (key, sequence) = arrival;
        let entry = self.sequences.entry(key, partition as u16);
        self.sequences.hold(slot, entry, sequence, self.now);
    }

    /// A message of a lane that others are in: in front of those of its key that come after it.
    /// O(messages of the lane) when it does not come last.
    pub(super) fn queue_in_sequence(&mut self, index: u32, head: u32) {
        let tail = self.slab.slots[head as usize].hot.tail;
        let entry = self.sequences.place(index).entry;
        let in_order = entry == NONE
            || self.sequences.place(tail).entry == entry
                && !self.sequences.is_after(tail, index)
                && !self.sequences.is_below(tail)
            || mutants::is(175);
        if in_order {
            self.lanes.queue(&mut self.slab, index, head);
            return self.bound_hold(head);
        }
        // In front of what comes after it, behind the last of its key that does not. The two can stand in
        // any order: what was late while a call ran is behind all of that, and then some is given back.
        let (mut before, mut passes, mut follows) = (head, false, false);
        let mut at = self.slab.slots[head as usize].hot.next;
        while at != NONE {
            let slot = self.slab.slots[at as usize].hot;
            // Those that share a call stand together.
            let in_call = slot.state.runs() || slot.state.is_told();
            let same = self.sequences.place(at).entry == entry;
            if !in_call && self.sequences.is_after(at, index) {
                passes = true;
            } else if !passes || same {
                (before, passes) = (at, false);
                follows |= same;
            }
            at = slot.next;
        }
        let head_waits = self.slab.slots[head as usize].hot.state == State::Ahead;
        if head_waits && !follows && self.sequences.is_after(head, index) {
            mark!(MissingArrives);
            return self.lead(index, head);
        }
        let next = self.slab.slots[before as usize].hot.next;
        if next != NONE {
            mark!(SequencedInside);
            self.sequences.places[index as usize].since = self.sequences.place(next).since;
        }
        self.lanes.insert(&mut self.slab, index, (head, before));
        self.bound_hold(head);
    }

    /// Whether a message behind those of a call would be the next one of its key, or has no number, when
    /// all of them are done.
    pub(super) fn follows_in_sequence(&self, first: u32, index: u32) -> bool {
        let place = self.sequences.place(index);
        let Some(entry) = self.sequences.entries.get(place.entry as usize) else {
            return true;
        };
        let (mut then, mut at) = (*entry, first);
        while at != index {
            let before = self.sequences.place(at);
            if before.entry == place.entry {
                then.pass(before.sequence);
            }
            at = self.slab.slots[at as usize].hot.next;
        }
        then.next == Some(place.sequence) || mutants::is(253)
    }

    /// More is held back than is allowed: what the last one has joined is not waited for.
    fn bound_hold(&mut self, head: u32) {
        let slot = &self.slab.slots[head as usize];
        let waits = slot.hot.state == State::Ahead && slot.cold.at != Time::MAX;
        if waits && self.sequences.is_full() {
            mark!(HoldFull);
            self.decide(head);
        }
    }

    /// A message goes in front of the head of its lane, which waits for a missing one.
    fn lead(&mut self, index: u32, head: u32) {
        self.stop_waiting(head);
        self.sequences.places[index as usize].since = self.sequences.place(head).since;
        self.slab.slots[head as usize].hot.state = State::Queued;
        self.lanes.lead(&mut self.slab, index, head);
        self.activate(index);
    }

    /// The head of a lane does not wait for a missing one any more.
    fn stop_waiting(&mut self, index: u32) {
        if self.slab.slots[index as usize].cold.at != Time::MAX {
            self.timers.disarm(&mut self.slab, index);
        }
        self.gaps.remove(index);
        let entry = self.sequences.place(index).entry;
        self.sequences.set_waits(entry, false);
    }

    /// Whether the head of a lane is not the next one of its key. What is behind is reported as a copy;
    /// what is ahead waits.
    pub(super) fn is_out_of_turn(&mut self, index: u32) -> bool {
        match self.sequences.judge(index) {
            Verdict::Accepted => false,
            Verdict::Late => {
                self.tell_late(index);
                false
            }
            // What is given up anyway takes the way of what is given up.
            Verdict::Behind if self.parking.is_on() && self.is_quarantined(index) => false,
            Verdict::Behind if self.parking.is_on() && self.follow(index) => true,
            Verdict::Behind => {
                mark!(SequenceBehind);
                self.slab.slots[index as usize].hot.state = State::Copied;
                self.copies.insert(index);
                true
            }
            Verdict::Ahead => {
                mark!(SequenceAhead);
                let place = self.sequences.place(index);
                let stopped = self.sequences.entries[place.entry as usize].stopped;
                let slot = &mut self.slab.slots[index as usize];
                slot.hot.state = State::Ahead;
                slot.cold.at = Time::MAX;
                if stopped {
                    return true;
                }
                let patience = self.sequences.patience();
                let at = (place.since + patience).max(self.now);
                if !mutants::is(173) {
                    self.timers.arm(&mut self.slab, index, at.min(LAST));
                }
                self.sequences.set_waits(place.entry, true);
                self.bound_hold(index);
                true
            }
        }
    }

    /// A message that its key had passed over is there after all, and is handled (S9), out of order.
    #[cold]
    fn tell_late(&mut self, index: u32) {
        let place = &mut self.sequences.places[index as usize];
        if core::mem::replace(&mut place.late, true) {
            // An attempt at it failed; it was told at the first.
            return;
        }
        mark!(SequenceLate);
        let slot = self.slab.slots[index as usize].hot;
        let position = self.pool.position(slot.entry);
        self.stats.late += 1;
        self.notice(
            usize::from(slot.partition),
            NoticeKind::SequenceLate,
            position,
        );
    }

    fn is_quarantined(&self, index: u32) -> bool {
        self.slab.slots[index as usize].hot.flags & QUARANTINED != 0
    }

    /// A missing one is not waited for any longer: told, and decided, by the next
    /// [`poll_gap`](Self::poll_gap).
    fn decide(&mut self, index: u32) {
        if self.slab.slots[index as usize].cold.at != Time::MAX {
            self.timers.disarm(&mut self.slab, index);
        }
        self.end_patience(index);
    }

    /// The same, when its timer has fired.
    pub(super) fn end_patience(&mut self, index: u32) {
        let slot = &mut self.slab.slots[index as usize];
        slot.cold.at = Time::MAX;
        let partition = usize::from(slot.hot.partition);
        let entry = self.sequences.place(index).entry;
        self.sequences.set_waits(entry, false);
        if self.partitions[partition].phase == Phase::Open {
            mark!(GapDecided);
            self.gaps.insert(index);
        }
    }

    /// A message of a key is missing, and is not waited for any longer: it did not come within
    /// `gap_timeout`, or there is no room to wait in. Every gap that is passed is told here, once, and
    /// is dealt with by this call as [`OnGap`](crate::OnGap) says.
    pub fn poll_gap(&mut self, now: Time) -> Option<SequenceGap> {
        self.tick(now);
        loop {
            let index = self.gaps.pop()?;
            let slot = self.slab.slots[index as usize].hot;
            let partition = usize::from(slot.partition);
            if self.partitions[partition].phase != Phase::Open {
                continue;
            }
            let policy = self.config.sequence.map_or(OnGap::GoOn, |s| s.on_gap);
            let place = self.sequences.place(index);
            let entry = &mut self.sequences.entries[place.entry as usize];
            let expected = entry.next.unwrap_or(place.sequence);
            let position = self.pool.position(slot.entry);
            let gap = SequenceGap {
                partition: PartitionId(slot.partition.into()),
                position,
                lane: slot.lane,
                key: entry.key,
                expected,
                found: place.sequence,
            };
            match policy {
                OnGap::GoOn | OnGap::Park => entry.go_on(place.sequence),
                OnGap::Stop => entry.stopped = true,
            }
            self.stats.gaps += 1;
            self.notice(partition, NoticeKind::SequenceGap, position);
            match policy {
                OnGap::GoOn => self.activate(index),
                OnGap::Stop => {}
                OnGap::Park => {
                    self.sequences.places[index as usize].gap = true;
                    self.bury(index, Why::Gap);
                }
            }
            if mutants::is(174) {
                continue;
            }
            return Some(gap);
        }
    }

    /// Whether a key stops at a gap until its owner was asked ([`OnGap::Stop`](crate::OnGap::Stop)).
    #[must_use]
    pub fn stops_at_gaps(&self) -> bool {
        self.config
            .sequence
            .is_some_and(|s| s.on_gap == OnGap::Stop)
    }

    /// The owner has looked at a gap that [`OnGap::Stop`](crate::OnGap::Stop) stopped a key for: what is
    /// missing is passed, and the key goes on. Whether it had stopped. O(slots).
    pub fn pass_gap(&mut self, now: Time, partition: PartitionId, key: u128) -> bool {
        self.tick(now);
        let Some(entry) = self.sequences.find(key, partition.0 as u16) else {
            return false;
        };
        let stopped = &mut self.sequences.entries[entry as usize].stopped;
        if !core::mem::take(stopped) {
            return false;
        }
        // The first of those that are ahead. It need not be in front: one that is late may be.
        let next = self.sequences.entries[entry as usize].next;
        let (mut first, mut waiting) = (None, None);
        for index in 0..self.slab.capacity() as u32 {
            let place = self.sequences.place(index);
            let state = self.slab.slots[index as usize].hot.state;
            let in_call = state.runs() || state.is_told();
            let held = state == State::Ahead || state == State::Queued || in_call;
            if place.entry != entry || !held {
                continue;
            }
            if state == State::Ahead {
                waiting = Some(index);
            }
            if next.is_none_or(|next| next <= place.sequence)
                && first.is_none_or(|first| place.sequence < first)
            {
                first = Some(place.sequence);
            }
        }
        if let Some(first) = first
            && next != Some(first)
        {
            self.sequences.entries[entry as usize].go_on(first);
        }
        if let Some(index) = waiting {
            self.activate(index);
        }
        true
    }

    /// A partition takes nothing in. If nothing of it can go on but what waits for a missing message, that
    /// is not waited for: it would not be taken in, either.
    #[cold]
    pub(super) fn relent(&mut self, partition: usize, window: bool) {
        if self.sequences.waiting == 0 {
            return;
        }
        let ours = |s: &&super::slab::Slot<M>| {
            usize::from(s.hot.partition) == partition
                && !matches!(s.hot.state, State::Free | State::Orphan)
        };
        let mut held = self.slab.slots.iter().filter(ours);
        let first = self.partitions[partition].window.first_entry();
        let stuck = if window {
            let frontier = held.find(|s| Some(s.hot.entry) == first);
            let head = frontier.and_then(|s| self.lanes.head(&self.slab, s.hot.lane));
            head.is_some_and(|h| self.slab.slots[h as usize].hot.state == State::Ahead)
        } else {
            held.all(|s| matches!(s.hot.state, State::Ahead | State::Queued))
        };
        if stuck {
            mark!(HoldRelents);
            self.partitions[partition].relents = true;
            let now = self.now;
            self.look_at(now, WakeReason::Gap);
        }
    }

    /// Nothing that a partition waits for is waited for any longer. O(slots).
    pub(super) fn decide_all(&mut self, partition: usize) {
        for index in 0..self.slab.capacity() as u32 {
            let slot = &self.slab.slots[index as usize];
            let waits = slot.hot.state == State::Ahead && slot.cold.at != Time::MAX;
            if waits && usize::from(slot.hot.partition) == partition {
                self.decide(index);
            }
        }
    }

    /// A held message is dropped: it does not wait for anything any more.
    pub(super) fn leave_sequence(&mut self, index: u32) {
        if self.slab.slots[index as usize].hot.state == State::Ahead {
            self.stop_waiting(index);
        }
        self.sequences.drop(index);
    }

    /// What is remembered of keys without held messages is brought back to its bound.
    pub(super) fn trim_sequences(&mut self) {
        self.stats.forgotten += u64::from(self.sequences.trim());
    }

    /// A message is finished, in whatever way: its sequence is passed.
    #[cold]
    pub(super) fn pass_sequence(&mut self, index: u32) {
        self.stats.forgotten += u64::from(self.sequences.pass(index));
    }

    /// Why a held message ends as a dead letter, which one of a discarded key never is.
    pub(super) fn why_of(&self, index: u32) -> Why {
        if self.sequences.place(index).gap {
            return Why::Gap;
        }
        let flags = self.slab.slots[index as usize].hot.flags;
        let why = super::letters::why(flags >> super::slab::WHY_SHIFT);
        if why == Why::Discarded {
            return Why::Suspect;
        }
        why
    }
}

/// The last time at which a timer may fire: the one after it means that there is none.
const LAST: Time = Time::from_nanos(u64::MAX - 1);

//! Parked keys: what comes of a key after a message of it was given up follows that message to the
//! dead-letter destination, in order, while other keys and the frontier go on.
//!
//! A key takes a place when a message of it is given up, and is parked when the dead letter is
//! confirmed. Places are few and fixed (S7): where none is left, the message that was given up waits
//! for one, because running its successors is what the owner asked not to do. Parked keys travel with
//! the commit, so that frontier and parked keys change hands together.

use super::partition::Phase;
use super::places::{ParkedKey, ParkedMode, Place};
use super::slab::{QUARANTINED, State, WHY_SHIFT};
use super::{Consumer, NoticeKind, Passed, StallState, Why, letters};
use crate::{PartitionId, Position, Time, mutants};

impl<M> Consumer<M> {
    /// The keys that are parked in a partition, in the order of their hashes.
    pub fn parked(&self, partition: PartitionId) -> impl Iterator<Item = ParkedKey> + '_ {
        let ours = self.partitions.get(partition.0 as usize);
        let ours = ours.is_some_and(super::partition::Partition::is_ours);
        let parked = ours.then(|| self.parking.parked(partition.0 as usize));
        parked.into_iter().flatten()
    }

    /// Lets a parked key run again: what of it is not on its way to the dead-letter destination yet
    /// runs in its turn, and so does what comes. Whether it was parked. The next commit says so.
    /// O(partitions + slots).
    pub fn release(&mut self, now: Time, key: u128) -> bool {
        let now = self.tick(now);
        let mut released = false;
        for index in 0..self.partitions.len() {
            if self.parking.give(index, key) {
                released = true;
                self.gate_parked(index);
                self.admit_crowded(index);
                self.mode_changed(now, index, key);
            }
        }
        released
    }

    /// Says what becomes of the messages of a parked key from now on, until it is
    /// [released](Self::release); those that are on their way to the dead-letter destination still go
    /// there. Whether it was parked. The next commit says so. O(partitions + slots).
    ///
    /// An ordered replay: handle the key's dead letters in their order; near their end let the key
    /// [wait](ParkedMode::Wait), handle the rest, and release it. Nothing of it runs in between.
    pub fn set_parked(&mut self, now: Time, key: u128, mode: ParkedMode) -> bool {
        let now = self.tick(now);
        let mut known = false;
        for index in 0..self.partitions.len() {
            if let Some(place) = self.parking.get(index, key) {
                place.parked.mode = mode;
                known = true;
                self.mode_changed(now, index, key);
            }
        }
        known
    }

    /// A parked key is treated otherwise: the next commit says so, and what waits of it looks again.
    fn mode_changed(&mut self, now: Time, partition: usize, key: u128) {
        self.dirty(now, partition, 0);
        if self.partitions[partition].phase != Phase::Open {
            return;
        }
        for index in 0..self.slab.capacity() as u32 {
            let slot = &self.slab.slots[index as usize].hot;
            let held = slot.state == State::Held && slot.flags & QUARANTINED == 0;
            if held
                && usize::from(slot.partition) == partition
                && self.parking.key(index) == Some(key)
            {
                self.activate(index);
            }
        }
    }

    /// A place is free: of those that wait for one, the message nearest to the frontier takes it. If
    /// others still wait, that is told again.
    fn admit_crowded(&mut self, partition: usize) {
        if !self.partitions[partition].crowded || self.partitions[partition].phase != Phase::Open {
            return;
        }
        loop {
            self.partitions[partition].crowded = false;
            let slots = self.slab.slots.iter().enumerate();
            let waits = slots.filter(|(_, s)| {
                s.hot.state == State::Held
                    && s.hot.flags & QUARANTINED != 0
                    && usize::from(s.hot.partition) == partition
            });
            let first = waits.min_by_key(|(_, s)| self.pool.position(s.hot.entry));
            let Some((index, _)) = first else { return };
            self.stage(index as u32);
            if self.partitions[partition].crowded {
                return;
            }
        }
    }

    /// A message that is finished without running and without a dead letter: of a discarded key, or
    /// expired.
    /// It is finished by this call.
    #[inline]
    pub fn poll_passed(&mut self, now: Time) -> Option<Passed<M>> {
        self.tick(now);
        let index = self.passes.pop()?;
        Some(self.passed(index))
    }

    #[inline(never)]
    fn passed(&mut self, index: u32) -> Passed<M> {
        let slot = self.slab.slots[index as usize].hot;
        let message = self.slab.slots[index as usize]
            .message
            .take()
            .expect("invariant: what is passed is in its slot until it is told");
        let position = self.pool.position(slot.entry);
        self.stats.passed += 1;
        self.finish(index, false, false);
        Passed {
            partition: PartitionId(slot.partition.into()),
            position,
            why: letters::why(slot.flags >> WHY_SHIFT),
            message,
        }
    }

    /// The key of a message that is given up takes a place. Without one the message waits, and its
    /// key with it.
    pub(super) fn take_place(&mut self, index: u32) -> bool {
        let slot = self.slab.slots[index as usize].hot;
        let Some(key) = self.parks(index) else {
            return true;
        };
        let partition = usize::from(slot.partition);
        let since = self.pool.position(slot.entry);
        let parked = ParkedKey {
            key,
            since,
            mode: ParkedMode::Follow,
        };
        let place = Place {
            parked,
            confirmed: false,
        };
        if self.parking.take(partition, place) {
            self.gate_parked(partition);
            return true;
        }
        let slot = &mut self.slab.slots[index as usize].hot;
        slot.state = State::Held;
        slot.flags |= QUARANTINED;
        let part = &mut self.partitions[partition];
        if !core::mem::replace(&mut part.crowded, true) {
            self.notice(partition, NoticeKind::ParkingFull, since);
        }
        false
    }

    /// The key that a message parks when its dead letter is confirmed.
    fn parks(&self, index: u32) -> Option<u128> {
        let key = self.parking.key(index)?;
        letters::parks(self.why_of(index)).then_some(key)
    }

    /// The dead letter of a message is confirmed: its key is parked.
    pub(super) fn park(&mut self, index: u32) {
        let slot = self.slab.slots[index as usize].hot;
        let position = self.pool.position(slot.entry);
        let Some(key) = self.parks(index) else {
            return;
        };
        if let Some(place) = self.parking.get(usize::from(slot.partition), key)
            && !mutants::is(31)
        {
            place.confirmed = true;
            place.parked.since = place.parked.since.min(position);
        }
    }

    /// The place that the key of a message is parked at.
    fn parked_at(&self, index: u32) -> Option<Place> {
        let slot = self.slab.slots[index as usize].hot;
        let key = self.parking.key(index)?;
        let position = self.pool.position(slot.entry);
        let found = self.parking.place(usize::from(slot.partition), key);
        found
            .filter(|p| p.confirmed && position >= p.parked.since)
            .copied()
    }

    /// Whether a message follows when it is next of its key. In order by sequence, one that stood before
    /// what parked the key may come in front of it, and is not concerned.
    pub(super) fn is_parked(&self, index: u32) -> bool {
        self.parked_at(index).is_some()
    }

    /// What a message that is next of its key does if the key is parked. Whether it is.
    pub(super) fn follow(&mut self, index: u32) -> bool {
        let Some(place) = self.parked_at(index) else {
            return false;
        };
        match place.parked.mode {
            ParkedMode::Follow => self.bury(index, Why::Parked),
            ParkedMode::Wait => self.slab.slots[index as usize].hot.state = State::Held,
            ParkedMode::Discard => self.set_aside(index, Why::Discarded),
        }
        true
    }

    /// A message is to be finished as it is, and told.
    pub(super) fn set_aside(&mut self, index: u32, why: Why) {
        self.set_why(index, why);
        self.slab.slots[index as usize].hot.state = State::Passed;
        self.passes.insert(index);
    }

    /// Keys of the recorded progress. What finds no place runs again.
    pub(super) fn keep_parked(&mut self, index: usize, parked: impl Iterator<Item = ParkedKey>) {
        let mut all = true;
        for parked in parked {
            let confirmed = !mutants::is(32);
            all &= self.parking.take(index, Place { parked, confirmed });
        }
        self.gate_parked(index);
        if !all && self.parking.is_on() {
            let frontier = self.partitions[index].frontier;
            self.notice(index, NoticeKind::ParkingFull, frontier);
        }
    }

    /// What was held of a partition is dropped; its log goes on at `from`, or it is not ours any more.
    pub(super) fn keep_parked_only(&mut self, index: usize, from: Option<Position>) {
        self.partitions[index].crowded = false;
        self.parking
            .retain(index, |p| p.confirmed && from.is_some());
        if let Some(from) = from {
            self.parking.rewind(index, from);
        }
        self.gate_parked(index);
    }

    /// Messages of a partition with parked keys are all looked at.
    fn gate_parked(&mut self, index: usize) {
        let part = &mut self.partitions[index];
        part.parked = self.parking.taken(index) > 0;
        part.gate();
    }

    /// Why a message is held back while its partition is open.
    pub(super) fn held_back(&self, index: u32) -> StallState {
        let slot = self.slab.slots[index as usize].hot;
        let partition = usize::from(slot.partition);
        if self.partitions[partition].phase != Phase::Open {
            return StallState::Ready;
        }
        if slot.flags & QUARANTINED != 0 {
            return StallState::Crowded;
        }
        if self.is_watched(partition) {
            return StallState::Suspected;
        }
        let position = self.pool.position(slot.entry);
        let waits = |p: ParkedKey| p.mode == ParkedMode::Wait && position >= p.since;
        let key = self.parking.key(index);
        match self.parking.parked(partition).find(|p| Some(p.key) == key) {
            Some(parked) if waits(parked) => StallState::Waits,
            _ => StallState::Ready,
        }
    }
}

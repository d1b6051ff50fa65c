//! Slots with their lanes, the ready list and the timers.

use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::super::Consumer;
use super::super::slab::{Cold, HEAD, Hot, NONE, Slab, Slot, State};
use super::io::{Fault, Io, Reader, Writer, told};
use super::need;
use crate::Time;

const STATES: [State; 19] = [
    State::Free,
    State::Queued,
    State::Ready,
    State::Held,
    State::Running,
    State::Stopping,
    State::Waiting,
    State::Burying,
    State::Buried,
    State::Reburying,
    State::Copied,
    State::Passed,
    State::Orphan,
    State::Ahead,
    State::Joined,
    State::ToldDone,
    State::ToldRetry,
    State::ToldReject,
    State::ToldCancelled,
];

/// Whether the message is with somebody else.
const fn is_away(state: State) -> bool {
    state.runs() || matches!(state, State::Orphan)
}

impl<M> Slab<M> {
    /// The free slots in the order in which they are used, and the first of those that were never
    /// used: they are the rest, one after the other.
    fn free_slots(&self) -> (Vec<u32>, u32) {
        let mut free = Vec::new();
        let mut at = self.free;
        while let Some(slot) = self.slots.get(at as usize) {
            if slot.hot.generation == NonZeroU32::MIN {
                return (free, at);
            }
            free.push(at);
            at = slot.hot.next;
        }
        (free, self.slots.len() as u32)
    }
}

impl<M> Consumer<M> {
    /// The place of the identity that a slot holds, if it holds one.
    pub(super) fn place_of(&self, hot: &Hot) -> Option<u32> {
        if hot.state == State::Free || hot.state == State::Orphan {
            let is_orphan = hot.state == State::Orphan;
            return (is_orphan && hot.entry != NONE).then_some(hot.entry);
        }
        self.pool.identity(hot.entry)
    }

    pub(super) fn write_slots(
        &self,
        to: &mut Writer<'_>,
        mut message: impl FnMut(&M, &mut Vec<u8>),
    ) {
        let Slab {
            slots,
            free: _,
            used: _,
        } = &self.slab;
        let (free, fresh) = self.slab.free_slots();
        to.put(fresh);
        for (index, slot) in slots.iter().enumerate().take(fresh as usize) {
            let Slot {
                hot,
                cold,
                message: held,
            } = slot;
            let Hot {
                lane,
                next,
                tail: _,
                link: _,
                generation,
                entry,
                partition,
                state,
                flags,
            } = hot;
            to.put(generation.get());
            told(to.choice(&mut { *state }, &STATES));
            if *state == State::Free {
                continue;
            }
            let Cold {
                at,
                stamp,
                bytes,
                counts,
            } = cold;
            // One piece, as `read_slot` takes it apart.
            let lane = to.mask.map_or(*lane, |mask| mask.lane(*lane));
            let mut whole = [0; 43];
            whole[..8].copy_from_slice(&lane.to_le_bytes());
            whole[8..12].copy_from_slice(&next.to_le_bytes());
            whole[12..16].copy_from_slice(&entry.to_le_bytes());
            whole[16..18].copy_from_slice(&partition.to_le_bytes());
            whole[18] = *flags;
            whole[19..27].copy_from_slice(&at.as_nanos().to_le_bytes());
            whole[27..35].copy_from_slice(&stamp.to_le_bytes());
            whole[35..39].copy_from_slice(&bytes.to_le_bytes());
            whole[39..].copy_from_slice(&counts.to_le_bytes());
            told(to.bytes(&mut whole));
            if self.parking.keeps_keys() {
                told(to.key(&mut self.parking.key(index as u32).unwrap_or(0)));
            }
            if let Some(mut expires) = self.expiry.get(index as u32) {
                told(to.time(&mut expires));
            }
            if self.sequences.is_on() {
                told(self.sequences.place(index as u32).fields(to));
            }
            if let Some(held) = held.as_ref().filter(|_| !is_away(*state)) {
                let begin = to.out.len();
                to.put(0);
                message(held, to.out);
                let len = (to.out.len() - begin - 4) as u32;
                to.out[begin..begin + 4].copy_from_slice(&len.to_le_bytes());
            }
        }
        to.put(free.len() as u32);
        free.iter().for_each(|slot| to.put(*slot));
        let mut ready = Vec::new();
        let mut at = self.lanes.ready_first;
        while at != NONE {
            ready.push(at);
            at = slots[at as usize].hot.link;
        }
        to.put(ready.len() as u32);
        ready.iter().for_each(|slot| to.put(*slot));
    }

    pub(super) fn read_slots(
        &mut self,
        from: &mut Reader<'_>,
        mut message: impl FnMut(&[u8]) -> Option<M>,
    ) -> Result<(), Fault> {
        let capacity = self.slab.capacity();
        let fresh = from.get(capacity)?;
        for index in 0..fresh {
            self.read_slot(from, index, &mut message)?;
        }
        self.read_free(from, fresh)?;
        self.link_lanes(fresh)?;
        let ready = from.get(capacity)?;
        for _ in 0..ready {
            let index = from.get(capacity - 1)?;
            let slot = &self.slab.slots[index as usize].hot;
            // Passed on to `Held` for a moment, so that nobody is in the list twice.
            need(
                slot.state == State::Ready,
                "a slot in the ready list is not ready",
            )?;
            self.slab.slots[index as usize].hot.state = State::Held;
            self.lanes.link_ready(&mut self.slab, index);
            self.slab.slots[index as usize].hot.state = State::Copied;
        }
        let mut at = self.lanes.ready_first;
        while at != NONE {
            let slot = &mut self.slab.slots[at as usize].hot;
            slot.state = State::Ready;
            at = slot.link;
        }
        for index in 0..fresh {
            let slot = &self.slab.slots[index as usize];
            let patient = slot.hot.state == State::Ahead && slot.cold.at != Time::MAX;
            if patient || matches!(slot.hot.state, State::Waiting | State::Reburying) {
                let at = slot.cold.at;
                self.timers.arm(&mut self.slab, index, at);
            }
        }
        Ok(())
    }

    fn read_slot(
        &mut self,
        from: &mut Reader<'_>,
        index: u32,
        message: &mut impl FnMut(&[u8]) -> Option<M>,
    ) -> Result<(), Fault> {
        let partitions = self.partitions.len();
        let mut generation = 0;
        from.u32(&mut generation)?;
        let generation = NonZeroU32::new(generation).ok_or("a slot has no generation")?;
        let mut state = State::Free;
        from.choice(&mut state, &STATES)?;
        let parked = self.parking.keeps_keys();
        let slot = &mut self.slab.slots[index as usize];
        slot.hot.generation = generation;
        slot.hot.state = state;
        if state == State::Free {
            return Ok(());
        }
        let hot = &mut slot.hot;
        from.lane(&mut hot.lane)?;
        from.u32(&mut hot.next)?;
        from.u32(&mut hot.entry)?;
        from.u16(&mut hot.partition)?;
        from.u8(&mut hot.flags)?;
        need(
            usize::from(hot.partition) < partitions,
            "a slot is of no partition",
        )?;
        (hot.tail, hot.link) = (index, NONE);
        from.time(&mut slot.cold.at)?;
        from.u64(&mut slot.cold.stamp)?;
        from.u32(&mut slot.cold.bytes)?;
        from.u32(&mut slot.cold.counts)?;
        if parked {
            let mut key = 0;
            from.key(&mut key)?;
            self.parking.set_key(index, Some(key));
        }
        if let Some(mut expires) = self.expiry.get(index) {
            from.time(&mut expires)?;
            self.expiry.set(index, Some(expires));
        }
        if let Some(place) = self.sequences.places.get_mut(index as usize) {
            place.fields(from)?;
        }
        if !is_away(state) {
            let len = from.get(usize::MAX)?;
            let bytes = from.take(len as usize)?;
            let held = message(bytes).ok_or("a message cannot be read")?;
            self.slab.slots[index as usize].message = Some(held);
        }
        self.slab.used += 1;
        Ok(())
    }

    /// The list of free slots: those that were told, then those that were never used.
    fn read_free(&mut self, from: &mut Reader<'_>, fresh: u32) -> Result<(), Fault> {
        const WRONG: Fault = "the free slots are not those that are told";
        let count = from.get(fresh as usize)?;
        need(count + self.slab.used == fresh, WRONG)?;
        let mut seen = vec![false; fresh as usize];
        let rest = if (fresh as usize) < self.slab.capacity() {
            fresh
        } else {
            NONE
        };
        let mut last = NONE;
        self.slab.free = rest;
        for _ in 0..count {
            let index = from.get(fresh.saturating_sub(1) as usize)?;
            let again = core::mem::replace(&mut seen[index as usize], true);
            let hot = &mut self.slab.slots[index as usize].hot;
            let used = hot.generation > NonZeroU32::MIN;
            need(!again && used && hot.state == State::Free, WRONG)?;
            hot.next = rest;
            match last {
                NONE => self.slab.free = index,
                last => self.slab.slots[last as usize].hot.next = index,
            }
            last = index;
        }
        Ok(())
    }

    /// Heads, tails, depths and the table, from what follows what.
    fn link_lanes(&mut self, fresh: u32) -> Result<(), Fault> {
        const WRONG: Fault = "a lane is not a chain";
        let mut followed = vec![false; fresh as usize];
        let live = |slot: &Slot<M>| slot.hot.state != State::Free;
        for slot in self
            .slab
            .slots
            .iter()
            .take(fresh as usize)
            .filter(|s| live(s))
        {
            if slot.hot.next != NONE {
                let place = followed.get_mut(slot.hot.next as usize).ok_or(WRONG)?;
                need(!core::mem::replace(place, true), WRONG)?;
                need(live(&self.slab.slots[slot.hot.next as usize]), WRONG)?;
            }
        }
        let mut linked = 0;
        for head in 0..fresh {
            let hot = self.slab.slots[head as usize].hot;
            let is_head = !followed[head as usize];
            if hot.state == State::Free {
                continue;
            }
            need(is_head == (hot.flags & HEAD > 0), WRONG)?;
            if !is_head {
                continue;
            }
            let (mut tail, mut depth) = (head, 1);
            // Nobody is followed twice, so that this ends.
            while self.slab.slots[tail as usize].hot.next != NONE {
                tail = self.slab.slots[tail as usize].hot.next;
                depth += 1;
            }
            linked += depth;
            self.slab.slots[head as usize].hot.tail = tail;
            let known = self.lanes.head_or_put(&self.slab, head, hot.lane);
            need(known.is_none(), "a lane has two heads")?;
            self.lanes.set_depth(head, depth);
        }
        // What goes round in a circle has no head.
        need(linked == self.slab.used, WRONG)
    }
}

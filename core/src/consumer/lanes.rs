//! Lanes: one chain of slots a key, and the list of keys that may run.
//!
//! ```text
//! table: hash -> head slot           ready: head -> head -> head     (first in, first out)
//!    key A:  [7 RUNNING] -> [9] -> [2]     only the head may run (S1); its `tail` makes append O(1)
//!    key B:  [4 READY  ] -> [5]            when 7 is finished, 9 is head and may run (S2)
//! ```
//! The key's state lives in its head slot. A lane is found by a 64-bit hash: a collision makes two
//! keys share a lane, which can delay a message and never reorder it.

use alloc::vec;
use alloc::vec::Vec;

use super::index::Index;
use super::slab::{HEAD, Hot, NONE, Slab, Slot, State};
use crate::mutants;

#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) table: Index,
    pub(super) ready_first: u32,
    pub(super) ready_last: u32,
    /// By slot, meaningful for heads: messages in the lane. Empty while nothing caps them.
    pub(super) depths: Vec<u32>,
}

/// What the table knows of a lane, which is a hash already: its lower half.
#[inline]
const fn tag(lane: u64) -> u32 {
    lane as u32
}

impl Lanes {
    pub(super) fn new(slots: usize, capped: bool) -> Self {
        Self {
            table: Index::new(slots),
            ready_first: NONE,
            ready_last: NONE,
            depths: vec![0; if capped { slots } else { 0 }],
        }
    }

    /// Messages in a lane, as far as they are counted.
    pub(super) fn depth<M>(&self, slab: &Slab<M>, lane: u64) -> u32 {
        let head = self.head(slab, lane);
        head.and_then(|h| self.depths.get(h as usize).copied())
            .unwrap_or(0)
    }

    /// A slot is the head of a lane of so many messages.
    pub(super) fn set_depth(&mut self, head: u32, depth: u32) {
        if let Some(of) = self.depths.get_mut(head as usize) {
            *of = depth;
        }
    }

    /// Live lanes.
    pub(super) const fn len(&self) -> u32 {
        self.table.len()
    }

    /// The head of a lane. When there is none, the slot `index` is the head of a new lane.
    #[inline(always)]
    pub(super) fn head_or_put<M>(&mut self, slab: &Slab<M>, index: u32, lane: u64) -> Option<u32> {
        let same = |i: u32| slab.slots[i as usize].hot.lane == lane;
        self.table.find_or_put(tag(lane), index, same)
    }

    /// Appends a slot to the lane of this head.
    fn chain<M>(&mut self, slab: &mut Slab<M>, head: u32, index: u32) {
        let head = &mut slab.slots[head as usize].hot;
        let tail = core::mem::replace(&mut head.tail, index);
        slab.slots[tail as usize].hot.next = index;
    }

    /// A new message is behind others of its lane: it waits.
    #[inline(never)]
    pub(super) fn queue<M>(&mut self, slab: &mut Slab<M>, index: u32, head: u32) {
        let slot = &mut slab.slots[index as usize].hot;
        slot.state = State::Queued;
        slot.flags &= !HEAD;
        self.chain(slab, head, index);
        if let Some(depth) = self.depths.get_mut(head as usize) {
            *depth += 1;
        }
        if mutants::is(2) {
            self.push_ready(slab, index);
        }
    }

    /// A new message of a lane goes in behind `before`.
    pub(super) fn insert<M>(&mut self, slab: &mut Slab<M>, index: u32, (head, before): (u32, u32)) {
        let next = core::mem::replace(&mut slab.slots[before as usize].hot.next, index);
        let slot = &mut slab.slots[index as usize].hot;
        slot.state = State::Queued;
        slot.flags &= !HEAD;
        slot.next = next;
        if next == NONE {
            slab.slots[head as usize].hot.tail = index;
        }
        if let Some(depth) = self.depths.get_mut(head as usize) {
            *depth += 1;
        }
    }

    /// A new message is the head of its lane from now on, in front of the one that was.
    pub(super) fn lead<M>(&mut self, slab: &mut Slab<M>, index: u32, head: u32) {
        let was = &mut slab.slots[head as usize].hot;
        was.flags &= !HEAD;
        let (lane, tail) = (was.lane, was.tail);
        let slot = &mut slab.slots[index as usize].hot;
        slot.flags |= HEAD;
        (slot.next, slot.tail) = (head, tail);
        if let Some(depth) = self.depths.get(head as usize) {
            self.depths[index as usize] = depth + 1;
        }
        self.table.replace(tag(lane), head, index);
    }

    /// Takes a slot that is behind others out of its lane. O(messages before it).
    pub(super) fn unlink<M>(&mut self, slab: &mut Slab<M>, index: u32) {
        let slot = slab.slots[index as usize].hot;
        let Some(head) = self.head(slab, slot.lane) else {
            return;
        };
        let mut before = head;
        while slab.slots[before as usize].hot.next != index {
            before = slab.slots[before as usize].hot.next;
        }
        slab.slots[before as usize].hot.next = slot.next;
        if slot.next == NONE {
            slab.slots[head as usize].hot.tail = before;
        }
        if let Some(depth) = self.depths.get_mut(head as usize) {
            *depth -= 1;
        }
    }

    /// Appends a slot to its lane (faults for the simulator only).
    pub(super) fn append<M>(&mut self, slab: &mut Slab<M>, index: u32, lane: u64) {
        match self.head_or_put(slab, index, lane) {
            Some(head) => {
                self.chain(slab, head, index);
                self.set_depth(head, self.depths.get(head as usize).map_or(0, |d| d + 1));
            }
            None => {
                slab.slots[index as usize].hot.flags |= HEAD;
                self.set_depth(index, 1);
            }
        }
    }

    /// Takes the head out of its lane. Returns the new head.
    pub(super) fn pop_head<M>(&mut self, slab: &mut Slab<M>, index: u32, slot: Hot) -> Option<u32> {
        if slot.next == NONE {
            self.close(slab, index, slot.lane, slot.flags);
            return None;
        }
        self.hand_on(slab, slot.lane, index, (slot.next, slot.tail));
        Some(slot.next)
    }

    /// The next of a lane is its head now; the last stays the last.
    #[inline(never)]
    pub(super) fn hand_on<M>(
        &mut self,
        slab: &mut Slab<M>,
        lane: u64,
        head: u32,
        (next, tail): (u32, u32),
    ) {
        let new = &mut slab.slots[next as usize].hot;
        new.tail = tail;
        new.flags |= HEAD;
        if let Some(depth) = self.depths.get(head as usize) {
            self.depths[next as usize] = depth.saturating_sub(1);
        }
        self.table.replace(tag(lane), head, next);
    }

    /// The head was the only one of its lane.
    #[inline(always)]
    pub(super) fn close<M>(&mut self, slab: &Slab<M>, index: u32, lane: u64, flags: u8) {
        debug_assert!(
            flags & HEAD != 0 || mutants::is(2),
            "invariant: only heads are finished"
        );
        if mutants::is(2) && flags & HEAD == 0 {
            return;
        }
        let tag_of = |i: u32| tag(slab.slots[i as usize].hot.lane);
        self.table.remove(tag(lane), index, tag_of);
    }

    /// Moves the head behind all others of its lane (a fault, for the simulator).
    pub(super) fn rotate<M>(&mut self, slab: &mut Slab<M>, index: u32) -> Option<u32> {
        let slot = slab.slots[index as usize].hot;
        let slot_lane = slot.lane;
        let next = self.pop_head(slab, index, slot)?;
        let slot = &mut slab.slots[index as usize].hot;
        slot.flags &= !HEAD;
        slot.next = NONE;
        slot.tail = index;
        slot.state = State::Queued;
        self.append(slab, index, slot_lane);
        Some(next)
    }

    /// Whether another slot of this lane is the head, and which.
    pub(super) fn head<M>(&self, slab: &Slab<M>, lane: u64) -> Option<u32> {
        self.table
            .find(tag(lane), |i| slab.slots[i as usize].hot.lane == lane)
    }

    #[inline]
    pub(super) fn push_ready<M>(&mut self, slab: &mut Slab<M>, index: u32) {
        let slot = &mut slab.slots[index as usize].hot;
        slot.state = State::Ready;
        slot.link = NONE;
        self.link_ready(slab, index);
    }

    /// Appends a slot that is made up as ready to the ready list.
    #[inline]
    pub(super) fn link_ready<M>(&mut self, slab: &mut Slab<M>, index: u32) {
        match slab.slots.get_mut(self.ready_last as usize) {
            Some(last) => last.hot.link = index,
            None => self.ready_first = index,
        }
        self.ready_last = index;
    }

    /// Whether the ready list is empty.
    #[inline]
    pub(super) const fn none_ready(&self) -> bool {
        self.ready_first == NONE
    }

    /// Takes the first slot out of the ready list.
    #[inline]
    pub(super) fn pop_ready<'a, M>(
        &mut self,
        slab: &'a mut Slab<M>,
    ) -> Option<(u32, &'a mut Slot<M>)> {
        let index = self.ready_first;
        let slot = slab.slots.get_mut(index as usize)?;
        self.ready_first = slot.hot.link;
        if self.ready_first == NONE {
            self.ready_last = NONE;
        }
        Some((index, slot))
    }

    /// Keeps in the ready list what `keep` says. Costs a walk over the list.
    pub(super) fn retain_ready<M>(&mut self, slab: &mut Slab<M>, keep: impl Fn(u16) -> bool) {
        let mut at = self.ready_first;
        self.ready_first = NONE;
        self.ready_last = NONE;
        while at != NONE {
            let slot = slab.slots[at as usize].hot;
            if keep(slot.partition) {
                self.push_ready(slab, at);
            }
            at = slot.link;
        }
    }

    pub(super) fn check<M>(&self, slab: &Slab<M>) -> Result<(), &'static str> {
        let slots = &slab.slots;
        let mut in_lanes = 0u32;
        for (i, slot) in slots.iter().map(|s| &s.hot).enumerate() {
            if slot.state == State::Free || slot.flags & HEAD == 0 {
                continue;
            }
            if self.head(slab, slot.lane) != Some(i as u32) {
                return Err("S1: a head is not the head that its lane's table entry names");
            }
            let (mut at, mut depth) = (i as u32, 0);
            let mut before = slot.state;
            loop {
                in_lanes += 1;
                depth += 1;
                if in_lanes > slab.used() {
                    return Err("lanes: a chain has a loop");
                }
                let of = &slots[at as usize].hot;
                if of.lane != slot.lane || of.state == State::Free {
                    return Err("lanes: a chain holds a stranger");
                }
                if at != i as u32 && (!may_follow(before, of.state) || of.flags & HEAD != 0) {
                    return Err("S1: a message behind the head of its lane is not queued");
                }
                before = of.state;
                if of.next == NONE {
                    break;
                }
                at = of.next;
            }
            if self.depths.get(i).is_some_and(|d| *d != depth) {
                return Err("S7: the messages of a lane are miscounted");
            }
            if at != slot.tail {
                return Err("lanes: the tail is not the last of its chain");
            }
        }
        if in_lanes != slab.used() {
            return Err("lanes: a held message is in no lane");
        }
        let (mut at, mut ready) = (self.ready_first, 0);
        while at != NONE {
            let slot = &slots[at as usize].hot;
            if slot.state != State::Ready {
                return Err("lanes: the ready list holds a message that is not ready");
            }
            ready += 1;
            if ready > slab.used() {
                return Err("lanes: the ready list has a loop");
            }
            at = slot.link;
        }
        if ready != slots.iter().filter(|s| s.hot.state == State::Ready).count() as u32 {
            return Err("L1: a ready message is not in the ready list");
        }
        Ok(())
    }

    /// Bytes of the lane index for each live key, with every slot a key of its own.
    #[cfg(test)]
    pub(super) fn bytes_per_key(&self, slots: usize) -> usize {
        self.table.bytes() / slots
    }
}

/// Whether a message in the one state may stand right behind one in the other: those of one call stand
/// together, in front of what waits.
const fn may_follow(before: State, state: State) -> bool {
    if matches!(state, State::Queued) {
        return true;
    }
    if matches!(state, State::Orphan) {
        return matches!(before, State::Orphan);
    }
    // What was told may wait for a dead letter, too.
    let letter = matches!(before, State::Burying | State::Buried | State::Reburying);
    match (state.is_told(), before.runs() || before.is_told()) {
        (true, in_call) => in_call || letter,
        (false, in_call) => in_call && matches!(state, State::Joined | State::Stopping),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_key_costs_at_most_48_bytes() {
        for slots in [1_000, 10_000, 65_536, 100_000] {
            let bytes = Lanes::new(slots, false).bytes_per_key(slots);
            assert!(bytes <= 48, "{bytes} bytes at {slots} keys");
        }
    }
}

//! Timers of held messages: a binary heap of slot numbers, ordered by the time in the slot.

use alloc::vec::Vec;

use super::slab::Slab;
use crate::Time;

/// At most one timer a slot; a slot's `link` is its place in the heap.
#[derive(Clone, Debug)]
pub(super) struct Timers {
    heap: Vec<u32>,
}

impl Timers {
    pub(super) fn new(slots: usize) -> Self {
        Self {
            heap: Vec::with_capacity(slots),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    pub(super) fn first<M>(&self, slab: &Slab<M>) -> Option<Time> {
        self.heap.first().map(|&i| slab.slots[i as usize].cold.at)
    }

    pub(super) fn arm<M>(&mut self, slab: &mut Slab<M>, index: u32, at: Time) {
        slab.slots[index as usize].cold.at = at;
        self.heap.push(index);
        self.up(slab, self.heap.len() - 1);
    }

    pub(super) fn pop_due<M>(&mut self, slab: &mut Slab<M>, now: Time) -> Option<u32> {
        let index = *self.heap.first()?;
        if slab.slots[index as usize].cold.at > now {
            return None;
        }
        self.disarm(slab, index);
        Some(index)
    }

    pub(super) fn disarm<M>(&mut self, slab: &mut Slab<M>, index: u32) {
        let place = slab.slots[index as usize].hot.link as usize;
        debug_assert_eq!(
            self.heap.get(place),
            Some(&index),
            "invariant: link is the heap place"
        );
        let Some(last) = self.heap.pop() else { return };
        if place < self.heap.len() {
            self.heap[place] = last;
            self.down(slab, place);
            self.up(slab, place.min(self.heap.len() - 1));
        }
    }

    /// Ties are broken by slot number: equal inputs give equal outputs (S11).
    fn before<M>(slab: &Slab<M>, a: u32, b: u32) -> bool {
        (slab.slots[a as usize].cold.at, a) < (slab.slots[b as usize].cold.at, b)
    }

    fn up<M>(&mut self, slab: &mut Slab<M>, mut place: usize) {
        let index = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if !Self::before(slab, index, self.heap[parent]) {
                break;
            }
            self.heap[place] = self.heap[parent];
            slab.slots[self.heap[place] as usize].hot.link = place as u32;
            place = parent;
        }
        self.heap[place] = index;
        slab.slots[index as usize].hot.link = place as u32;
    }

    fn down<M>(&mut self, slab: &mut Slab<M>, mut place: usize) {
        let index = self.heap[place];
        loop {
            let mut child = 2 * place + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len()
                && Self::before(slab, self.heap[child + 1], self.heap[child])
            {
                child += 1;
            }
            if !Self::before(slab, self.heap[child], index) {
                break;
            }
            self.heap[place] = self.heap[child];
            slab.slots[self.heap[place] as usize].hot.link = place as u32;
            place = child;
        }
        self.heap[place] = index;
        slab.slots[index as usize].hot.link = place as u32;
    }

    pub(super) fn check<M>(&self, slab: &Slab<M>) -> Result<(), &'static str> {
        for (place, &index) in self.heap.iter().enumerate() {
            if slab.slots[index as usize].hot.link as usize != place {
                return Err("timers: a slot does not know its place");
            }
            if place > 0 && Self::before(slab, index, self.heap[(place - 1) / 2]) {
                return Err("timers: the heap is out of order");
            }
        }
        Ok(())
    }
}

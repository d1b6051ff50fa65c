//! One timer a slot: a binary heap with the times in it.

use alloc::vec::Vec;

use super::slots::{NONE, Slots};
use crate::Time;

/// Ordered by time, then by acceptance: what ends at one time ends in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    at: Time,
    serial: u64,
    index: u32,
}

/// The timers of all slots. A slot's `place` is its index in the heap.
#[derive(Debug)]
pub(super) struct Timers {
    heap: Vec<Entry>,
}

impl Timers {
    pub(super) fn new(slots: u32) -> Self {
        Self {
            heap: Vec::with_capacity(slots as usize),
        }
    }

    pub(super) fn first(&self) -> Option<Time> {
        self.heap.first().map(|entry| entry.at)
    }

    /// Arms the timer of a slot, or moves it.
    pub(super) fn set<M>(&mut self, slots: &mut Slots<M>, index: u32, at: Time) {
        let entry = Entry {
            at,
            serial: slots.get(index).serial,
            index,
        };
        let mut place = slots.get(index).place as usize;
        if place == NONE as usize {
            place = self.heap.len();
            self.heap.push(entry);
        } else {
            self.heap[place] = entry;
        }
        let place = self.up(slots, place);
        self.down(slots, place);
    }

    pub(super) fn clear<M>(&mut self, slots: &mut Slots<M>, index: u32) {
        let place = slots.get(index).place;
        if place == NONE {
            return;
        }
        slots.get_mut(index).place = NONE;
        let place = place as usize;
        let Some(last) = self.heap.pop() else { return };
        if place < self.heap.len() {
            self.heap[place] = last;
            let place = self.up(slots, place);
            self.down(slots, place);
        }
    }

    /// The slot whose timer is due first. It stays armed.
    pub(super) fn due(&self, now: Time) -> Option<(Time, u32)> {
        self.heap
            .first()
            .filter(|entry| entry.at <= now)
            .map(|entry| (entry.at, entry.index))
    }

    fn put<M>(&mut self, slots: &mut Slots<M>, place: usize, entry: Entry) {
        self.heap[place] = entry;
        // The heap is never longer than there are slots, whose number is a u32.
        slots.get_mut(entry.index).place = u32::try_from(place).unwrap_or(NONE);
    }

    fn up<M>(&mut self, slots: &mut Slots<M>, mut place: usize) -> usize {
        let entry = self.heap[place];
        while place > 0 {
            let parent = (place - 1) / 2;
            if self.heap[parent] <= entry {
                break;
            }
            self.put(slots, place, self.heap[parent]);
            place = parent;
        }
        self.put(slots, place, entry);
        place
    }

    fn down<M>(&mut self, slots: &mut Slots<M>, mut place: usize) {
        let entry = self.heap[place];
        loop {
            let mut child = 2 * place + 1;
            if child >= self.heap.len() {
                break;
            }
            if child + 1 < self.heap.len() && self.heap[child + 1] < self.heap[child] {
                child += 1;
            }
            if entry <= self.heap[child] {
                break;
            }
            self.put(slots, place, self.heap[child]);
            place = child;
        }
        self.put(slots, place, entry);
    }

    pub(super) fn check<M>(&self, slots: &Slots<M>) -> Result<(), &'static str> {
        for (place, entry) in self.heap.iter().enumerate() {
            if slots.get(entry.index).place as usize != place {
                return Err("timers: a slot does not know its place");
            }
            if place > 0 && self.heap[(place - 1) / 2] > *entry {
                return Err("timers: the heap is out of order");
            }
        }
        let armed = slots.iter().filter(|(_, slot)| slot.place != NONE).count();
        if armed != self.heap.len() {
            return Err("timers: a slot believes to be armed");
        }
        Ok(())
    }
}

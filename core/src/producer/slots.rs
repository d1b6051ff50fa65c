//! Every publish that is held: fixed slots, named by tokens.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::Published;
use crate::{Time, Token, mutants};

/// No slot, no lane, no place.
pub(super) const NONE: u32 = u32::MAX;

/// Where a publish stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Nobody uses the slot; `next` is the next free one.
    Free,
    /// Accepted, without a result, in its lane.
    Live,
    /// It has its result (unknown) and may still land: it stays in its lane and blocks it (S8).
    Ghost,
    /// Out of its lane; the result waits to be fetched.
    Over,
}

/// What is known of the latest send of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Latest {
    /// There is none, or it is surely not in the log.
    Settled,
    /// On its way; its answer can come.
    Out,
    /// Without an answer; it may be in the log, or still land.
    Open,
    /// Without an answer; it may be in the log, but cannot land any more.
    Void,
}

/// One publish.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// Counts acceptances: the order of the log, and of everything that ends at one time.
    pub(super) serial: u64,
    /// When the result is due.
    pub(super) deadline: Time,
    /// Not sent before.
    pub(super) due: Time,
    pub(super) bytes: u32,
    /// Sends made.
    pub(super) attempt: u32,
    /// The lane, and the neighbours in it (older, newer). `next` also links free slots.
    pub(super) lane: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    /// The next slot whose result waits.
    pub(super) done_next: u32,
    /// Place in the heap of timers.
    pub(super) place: u32,
    pub(super) generation: NonZeroU32,
    pub(super) phase: Phase,
    pub(super) latest: Latest,
    /// A send before the latest may be in the log.
    pub(super) earlier_maybe: bool,
    /// A send before the latest may still land.
    pub(super) earlier_lands: bool,
    /// It was refused for the company it was in: it goes by itself from here on.
    pub(super) alone: bool,
    /// The result, until it is fetched.
    pub(super) result: Option<Published>,
}

impl Slot {
    const fn free(next: u32) -> Self {
        Self {
            serial: 0,
            deadline: Time::MAX,
            due: Time::ZERO,
            bytes: 0,
            attempt: 0,
            lane: NONE,
            prev: NONE,
            next,
            done_next: NONE,
            place: NONE,
            generation: NonZeroU32::MIN,
            phase: Phase::Free,
            latest: Latest::Settled,
            earlier_maybe: false,
            earlier_lands: false,
            alone: false,
            result: None,
        }
    }

    /// Whether the publish may be in the log: then it never ends as refused (S10).
    pub(super) fn maybe_stored(&self) -> bool {
        self.earlier_maybe || self.latest != Latest::Settled
    }

    /// Whether the publish may still get into the log: then nothing newer of its key is sent (S8).
    pub(super) const fn can_land(&self) -> bool {
        self.earlier_lands || matches!(self.latest, Latest::Out | Latest::Open)
    }

    /// Whether it may share a request. What may be in the log may not: a request that holds a copy is
    /// refused as a whole, and its own answer tells more.
    pub(super) fn is_sociable(&self) -> bool {
        self.phase == Phase::Live && (!self.alone || mutants::is(207)) && !self.maybe_stored()
    }

    /// Whether a newer publish of the key may follow it on the wire, in one request or where the broker
    /// keeps order.
    pub(super) fn is_passable(&self) -> bool {
        self.phase == Phase::Live && self.latest == Latest::Out
    }
}

/// Fixed slots with their messages beside them.
#[derive(Debug)]
pub(super) struct Slots<M> {
    all: Vec<Slot>,
    messages: Vec<Option<M>>,
    free: u32,
    used: u32,
}

impl<M> Slots<M> {
    pub(super) fn new(capacity: u32) -> Self {
        let link = |i: u32| if i + 1 < capacity { i + 1 } else { NONE };
        Self {
            all: (0..capacity).map(|i| Slot::free(link(i))).collect(),
            messages: (0..capacity).map(|_| None).collect(),
            free: 0,
            used: 0,
        }
    }

    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    pub(super) const fn is_full(&self) -> bool {
        self.free == NONE
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        (0u32..).zip(&self.all)
    }

    pub(super) fn get(&self, index: u32) -> &Slot {
        &self.all[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: u32) -> &mut Slot {
        &mut self.all[index as usize]
    }

    pub(super) fn message(&self, index: u32) -> Option<&M> {
        self.messages[index as usize].as_ref()
    }

    pub(super) fn take_message(&mut self, index: u32) -> Option<M> {
        self.messages[index as usize].take()
    }

    pub(super) fn token(&self, index: u32) -> Token {
        Token {
            slot: index,
            generation: self.get(index).generation,
        }
    }

    /// The slot that a token names, if it is still in a lane.
    pub(super) fn find(&self, token: Token) -> Option<u32> {
        let slot = self.all.get(token.slot as usize)?;
        let named =
            slot.generation == token.generation && matches!(slot.phase, Phase::Live | Phase::Ghost);
        named.then_some(token.slot)
    }

    /// A free slot for `message`; the caller has asked [`is_full`](Self::is_full).
    pub(super) fn insert(&mut self, message: M) -> u32 {
        let index = self.free;
        let slot = &mut self.all[index as usize];
        let (next, generation) = (slot.next, slot.generation);
        *slot = Slot {
            phase: Phase::Live,
            generation,
            ..Slot::free(NONE)
        };
        self.free = next;
        self.used += 1;
        self.messages[index as usize] = Some(message);
        index
    }

    /// Frees a slot; tokens of it are stale from here on.
    pub(super) fn remove(&mut self, index: u32) {
        let free = self.free;
        let slot = self.get_mut(index);
        let generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        *slot = Slot {
            generation,
            ..Slot::free(free)
        };
        self.free = index;
        self.used -= 1;
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut free = 0;
        let mut index = self.free;
        while index != NONE {
            let slot = self.get(index);
            if slot.phase != Phase::Free || free >= self.all.len() {
                return Err("slots: a used slot is on the free list, or the list is a ring");
            }
            free += 1;
            index = slot.next;
        }
        if free + self.used as usize != self.all.len() {
            return Err("slots: free and used do not add up");
        }
        for (index, slot) in self.iter() {
            let held = self.message(index).is_some();
            let wanted = match slot.phase {
                Phase::Free => false,
                Phase::Live | Phase::Over => true,
                Phase::Ghost => slot.result.is_some(),
            };
            if held != wanted {
                return Err("slots: a message is held by nobody, or missing");
            }
        }
        Ok(())
    }
}

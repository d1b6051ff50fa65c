//! Slots: what the core knows of each held message, in fixed arrays, linked by index.

use alloc::vec::Vec;
use core::num::NonZeroU32;

use crate::{Time, Token};

/// No index.
pub(super) const NONE: u32 = u32::MAX;

/// Where a held message stands. Only the head of a lane is ever beyond `Queued`, and
/// those that share its call (`calls.rs`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum State {
    Free,
    /// Behind another message of its lane.
    Queued,
    /// Next of its lane, in the ready list.
    Ready,
    /// Next of its lane, and its partition may not start anything now.
    Held,
    /// With a handler.
    Running,
    /// With a handler that was asked to stop.
    Stopping,
    /// With the handler of the message before it: behind the head of its lane, in the same call.
    Joined,
    /// Its handler has said that it succeeded; what is before it in its call has not ended yet.
    ToldDone,
    /// The same: it failed.
    ToldRetry,
    /// The same: it failed for good.
    ToldReject,
    /// The same: it was dropped.
    ToldCancelled,
    /// Failed; waits for its next attempt in the timer heap.
    Waiting,
    /// To be stored as a dead letter.
    Burying,
    /// Handed out as a dead letter; waits for the confirmation.
    Buried,
    /// The dead letter was not stored; waits in the timer heap.
    Reburying,
    /// Found to be a copy of an identity that succeeded while it was queued; waits to be reported.
    Copied,
    /// Ends without a handler and without a dead letter; waits to be reported.
    Passed,
    /// Next of its lane, and a message of its key before it is missing: waits in the timer heap, or to
    /// be told.
    Ahead,
    /// With a handler whose partition was lost: keeps its key busy, changes nothing else (S6).
    Orphan,
}

/// The hot half of a slot: 32 bytes, half a cache line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hot {
    /// Hash of its lane.
    pub(super) lane: u64,
    /// Behind it in its lane; of a free slot, the next free one.
    pub(super) next: u32,
    /// Of a head: the last of its lane.
    pub(super) tail: u32,
    /// Behind it in the ready list, or its place in the timer heap.
    pub(super) link: u32,
    /// Counts the uses of this slot.
    pub(super) generation: NonZeroU32,
    /// Its entry in the window; of an orphan, the index of its identity.
    pub(super) entry: u32,
    pub(super) partition: u16,
    pub(super) state: State,
    pub(super) flags: u8,
}

impl Hot {
    /// The head of a new lane, next of the ready list.
    #[inline]
    pub(super) const fn ready(index: u32, lane: u64, entry: u32, partition: u16) -> Self {
        Self {
            lane,
            next: NONE,
            tail: index,
            link: NONE,
            generation: NonZeroU32::MIN,
            entry,
            partition,
            state: State::Ready,
            flags: HEAD,
        }
    }

    /// A free slot from here on; `next` is the one that is free after it.
    #[inline]
    pub(super) fn vacate(&mut self, next: u32) {
        self.state = State::Free;
        self.flags = 0;
        self.renew();
        self.next = next;
    }

    /// Tokens that name this slot are stale from here on. The first generation does not come again: it
    /// tells that a slot was never used.
    #[inline]
    pub(super) fn renew(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or(SECOND);
    }

    #[inline]
    pub(super) const fn token(&self, index: u32) -> Token {
        Token {
            slot: index,
            generation: self.generation,
        }
    }
}

const SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(1);

/// The slot is the first of its lane.
pub(super) const HEAD: u8 = 1;
/// The handler was asked to stop because its time was up: a cancelled attempt is a failed one.
pub(super) const TIMED_OUT: u8 = 1 << 1;
/// It never reaches a handler.
pub(super) const QUARANTINED: u8 = 1 << 2;
/// Bits 3-5: why it ends as a dead letter. Bits 6-7: how far the dead letter is shortened.
pub(super) const WHY_SHIFT: u8 = 3;
pub(super) const SHORTEN_SHIFT: u8 = 6;

/// The cold half: 24 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cold {
    /// When its timer fires: end of the attempt, of the grace, of the waiting time.
    pub(super) at: Time,
    pub(super) stamp: u64,
    pub(super) bytes: u32,
    /// Attempts in the upper 20 bits; tries to bury it below. Both saturate.
    pub(super) counts: u32,
}

// The budget of design section 5 is 64 bytes for each message in flight: 32 + 24 here, 4 in the timer
// heap, and its bits in the window and in three sets of levels.
const _: () = assert!(size_of::<Hot>() == 32 && size_of::<Cold>() == 24);

/// One attempt, as `Cold::counts` counts it.
const ATTEMPT: u32 = 1 << 12;

impl Cold {
    #[inline]
    pub(super) const fn new(stamp: u64, bytes: u32) -> Self {
        Self {
            at: Time::ZERO,
            stamp,
            bytes,
            counts: 0,
        }
    }

    #[inline]
    pub(super) const fn attempts(&self) -> u32 {
        self.counts / ATTEMPT
    }

    /// The last attempt does not count.
    pub(super) const fn uncount_attempt(&mut self) {
        self.counts = self.counts.saturating_sub(ATTEMPT);
    }

    /// Counts another attempt, and returns the count.
    #[inline]
    pub(super) const fn count_attempt(&mut self) -> u32 {
        if let Some(counts) = self.counts.checked_add(ATTEMPT) {
            self.counts = counts;
        }
        self.attempts()
    }

    /// Counts another try to bury it, and returns the count.
    pub(super) fn count_burial(&mut self) -> u32 {
        let tries = (self.counts % ATTEMPT + 1).min(ATTEMPT - 1);
        self.counts = self.counts / ATTEMPT * ATTEMPT + tries;
        tries
    }
}

/// A slot and its message, side by side: every step of a message's life touches both.
#[derive(Clone, Debug)]
pub(super) struct Slot<M> {
    pub(super) hot: Hot,
    pub(super) cold: Cold,
    pub(super) message: Option<M>,
}

/// All slots.
#[derive(Clone, Debug)]
pub(super) struct Slab<M> {
    pub(super) slots: Vec<Slot<M>>,
    pub(super) free: u32,
    pub(super) used: u32,
}

impl<M> Slab<M> {
    pub(super) fn new(capacity: usize) -> Self {
        let slots = (0..capacity)
            .map(|i| Slot {
                hot: Hot {
                    lane: 0,
                    next: if i + 1 < capacity {
                        (i + 1) as u32
                    } else {
                        NONE
                    },
                    tail: NONE,
                    link: NONE,
                    generation: NonZeroU32::MIN,
                    entry: NONE,
                    partition: 0,
                    state: State::Free,
                    flags: 0,
                },
                cold: Cold::new(0, 0),
                message: None,
            })
            .collect();
        Self {
            slots,
            free: if capacity == 0 { NONE } else { 0 },
            used: 0,
        }
    }

    #[inline]
    pub(super) fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    #[inline]
    pub(super) const fn has_room(&self) -> bool {
        self.free != NONE
    }

    /// The slot that the next message gets.
    #[inline]
    pub(super) const fn next(&self) -> u32 {
        self.free
    }

    /// Takes the next free slot for a message; the caller has seen to it that there is one. The
    /// generation stays what it is.
    #[inline(always)]
    pub(super) fn put(&mut self, hot: Hot, cold: Cold, message: M) {
        let slot = &mut self.slots[self.free as usize];
        self.free = slot.hot.next;
        self.used += 1;
        slot.hot = Hot {
            generation: slot.hot.generation,
            ..hot
        };
        slot.cold = cold;
        slot.message = Some(message);
    }

    /// Frees a slot; tokens that named it are stale from here on.
    #[inline]
    pub(super) fn give(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.message = None;
        slot.hot.vacate(self.free);
        self.free = index;
        self.used -= 1;
    }

    #[inline]
    pub(super) fn token(&self, index: u32) -> Token {
        self.slots[index as usize].hot.token(index)
    }

    /// The slot that a token names, if it is not stale.
    #[inline]
    pub(super) fn resolve(&self, token: Token) -> Option<u32> {
        let slot = &self.slots.get(token.slot as usize)?.hot;
        (slot.generation == token.generation && slot.state != State::Free).then_some(token.slot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::window::{BLOCK, Block};
    use super::*;

    #[test]
    fn a_message_in_flight_costs_at_most_64_bytes_beside_itself() {
        // Slot and timer; its bits in three sets of levels; its own bits and links in the window.
        // (Its position and what is known of its identity there, 12 bytes, are counted with the window,
        // which is a budget of its own: it holds finished messages as well.)
        let slot = size_of::<Hot>() + size_of::<Cold>() + size_of::<u32>();
        let window = size_of::<Block>() - 12 * BLOCK as usize;
        let eighths = 8 * slot + 3 + (8 * window).div_ceil(BLOCK as usize);
        assert!(eighths <= 64 * 8, "{eighths} eighths of a byte");
        // Nothing is lost between the halves of a slot and its message.
        let whole = size_of::<Slot<[u64; 4]>>();
        assert_eq!(whole, 32 + 24 + size_of::<Option<[u64; 4]>>());
    }
}

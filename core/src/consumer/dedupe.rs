//! Recognition of copies by identity, in two phases: pending while held, done after success.
//!
//! An identity is marked on success, never before: failure, retry and crash never make a message
//! look like a duplicate (S4). Done identities are kept in the order of their success and forgotten
//! by count and by age; too old is never a reason to drop, only a reason to run again.

use alloc::vec::Vec;

use super::buckets::{Buckets, Put};
use super::slab::NONE;
use crate::{Dedupe, Time, mutants};

/// One identity. 32 bytes, 11 to 22 bytes of table, and 4 bytes in the order of success.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub(super) struct Entry {
    pub(super) identity: u128,
    /// Until when it is remembered (meaningful while it is done).
    pub(super) until: Time,
    /// Its place in the table; of a free entry, the next free one.
    pub(super) place_or_next: u32,
    /// Held messages of this identity, shifted left by one; lowest bit: done.
    pub(super) refs_done: u32,
}

/// What is known of an identity that was just offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Claimed {
    /// It succeeded inside the window.
    Done,
    /// Not yet; the entry holds the place of this message until it is settled.
    Pending(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Identities {
    pub(super) table: Buckets,
    pub(super) entries: Vec<Entry>,
    pub(super) free: u32,
    /// Done entries in the order of their success: a ring of as many as may be remembered.
    pub(super) ring: Vec<u32>,
    /// Where the next one is put: after the newest, and in a full ring instead of the oldest.
    pub(super) cursor: u32,
    pub(super) done: u32,
    /// Held messages that another one of their identity may have made a copy of meanwhile: of a done
    /// identity all, else all but one. While there are none, no start needs to ask.
    pub(super) doubtful: u32,
    /// No done entry is too old before this has passed.
    pub(super) aged_after: Time,
    pub(super) settings: Dedupe,
}

/// The 32 bits of an identity that the table knows, and that are kept for a finished position.
#[inline]
pub(super) const fn digest(identity: u128) -> u32 {
    (fold(identity).wrapping_mul(FOLD) >> 32) as u32
}

/// The factor that spreads what an identity is folded to.
pub(super) const FOLD: u64 = 0x9E37_79B9_7F4A_7C15;

/// An identity in 64 bits.
#[inline]
pub(super) const fn fold(identity: u128) -> u64 {
    (identity as u64) ^ (identity >> 64) as u64
}

impl Entry {
    #[inline]
    pub(super) const fn is_done(&self) -> bool {
        self.refs_done & 1 == 1
    }

    /// It is done from now on, and remembered until this time.
    #[inline]
    const fn finish(&mut self, until: Time) {
        self.refs_done += 1;
        self.until = until;
    }

    /// Held messages that another one of this identity may have made a copy of.
    pub(super) fn copies(&self) -> u32 {
        (self.refs_done / 2).saturating_sub(u32::from(self.refs_done & 1 == 0))
    }
}

impl Identities {
    /// Room for the window of done identities and for one pending identity a slot.
    pub(super) fn new(settings: Dedupe, slots: usize) -> Self {
        let capacity = if settings.ids == 0 {
            0
        } else {
            settings.ids as usize + slots + 1
        };
        let mut entries = Vec::with_capacity(capacity);
        for i in 0..capacity {
            let next = if i + 1 < capacity {
                (i + 1) as u32
            } else {
                NONE
            };
            entries.push(Entry {
                identity: 0,
                until: Time::ZERO,
                place_or_next: next,
                refs_done: 0,
            });
        }
        Self {
            table: Buckets::new(capacity),
            entries,
            free: if capacity == 0 { NONE } else { 0 },
            ring: alloc::vec![NONE; settings.ids as usize],
            cursor: 0,
            done: 0,
            doubtful: 0,
            aged_after: Time::MAX,
            settings,
        }
    }

    /// How many there is room for.
    pub(super) const fn capacity(&self) -> usize {
        self.entries.len()
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.settings.ids > 0
    }

    /// Identities remembered, pending ones included.
    pub(super) const fn len(&self) -> u32 {
        self.table.len()
    }

    /// Looks an identity up and takes a place for it.
    pub(super) fn claim(&mut self, now: Time, identity: u128) -> Claimed {
        match self.claim_first(now, identity, digest(identity)) {
            Some(index) => Claimed::Pending(index),
            None => self.claim_known(identity, digest(identity)),
        }
    }

    /// Takes a place for an identity that cannot be there. One probe. `None`: it has to be
    /// [looked for](Self::claim_known).
    #[inline(always)]
    pub(super) fn claim_first(&mut self, now: Time, identity: u128, digest: u32) -> Option<u32> {
        if now > self.aged_after {
            self.forget_aged(now);
        }
        let new = self.free;
        let place = self.table.put_first(digest, new)?;
        self.enter(new, identity, place).refs_done = 2;
        Some(new)
    }

    /// Looks an identity up that may be there, and takes a place for it.
    #[inline(never)]
    pub(super) fn claim_known(&mut self, identity: u128, digest: u32) -> Claimed {
        let (index, known) = self.find_or_enter(identity, digest);
        if self.is_done(index) {
            return Claimed::Done;
        }
        self.hold(index, known);
        Claimed::Pending(index)
    }

    /// The entry of an identity, and whether it was there; else a new one, which nobody holds yet.
    #[inline]
    fn find_or_enter(&mut self, identity: u128, digest: u32) -> (u32, bool) {
        let new = self.free;
        let entries = &self.entries[..];
        let same = |i: u32| entries[i as usize].identity == identity;
        match self.table.find_or_put(digest, new, same) {
            Put::Found(index) => (index, true),
            Put::At(place) => {
                self.enter(new, identity, place).refs_done = 0;
                (new, false)
            }
        }
    }

    /// Takes the first free entry for an identity that has this place.
    #[inline(always)]
    fn enter(&mut self, new: u32, identity: u128, place: u32) -> &mut Entry {
        let entry = &mut self.entries[new as usize];
        self.free = entry.place_or_next;
        entry.identity = identity;
        entry.place_or_next = place;
        entry
    }

    /// Takes a place for an identity even if it has succeeded: it is found to be a copy in its turn.
    pub(super) fn claim_anyway(&mut self, now: Time, identity: u128) -> u32 {
        let digest = digest(identity);
        if let Some(index) = self.claim_first(now, identity, digest) {
            return index;
        }
        let (index, known) = self.find_or_enter(identity, digest);
        self.hold(index, known);
        index
    }

    /// Another message of this identity is held; where it was known before, it may be a copy.
    fn hold(&mut self, index: u32, known: bool) {
        self.entries[index as usize].refs_done += 2;
        self.doubtful += u32::from(known);
    }

    /// Whether the identity of a held message can be a done one at all.
    #[inline]
    pub(super) const fn has_copies(&self) -> bool {
        self.doubtful > 0
    }

    pub(super) fn is_done(&self, index: u32) -> bool {
        self.entries[index as usize].is_done()
    }

    pub(super) fn identity(&self, index: u32) -> u128 {
        self.entries[index as usize].identity
    }

    /// A held message of this identity succeeded: it is remembered until this time.
    #[inline(always)]
    pub(super) fn succeed(&mut self, until: Time, index: u32) {
        let entry = &mut self.entries[index as usize];
        if mutants::is(6) {
            return self.release(index);
        }
        entry.refs_done -= 2;
        if entry.is_done() {
            self.doubtful -= 1;
            return;
        }
        entry.finish(until);
        self.append(until, index);
    }

    /// Puts a done identity into the order of success.
    #[inline(always)]
    fn append(&mut self, until: Time, index: u32) {
        // Behind all others in the order of success; a full ring forgets its oldest.
        let forgotten = core::mem::replace(&mut self.ring[self.cursor as usize], index);
        self.cursor += 1;
        if self.cursor as usize == self.ring.len() {
            self.cursor = 0;
        }
        match self.entries.get_mut(forgotten as usize) {
            Some(entry) => {
                entry.refs_done -= 1;
                if entry.refs_done == 0 {
                    self.remove(forgotten);
                } else {
                    self.doubtful -= 1;
                }
            }
            None => self.grown(until),
        }
    }

    /// As [`succeed`](Self::succeed), for the ways that few messages go.
    #[inline(never)]
    pub(super) fn succeed_late(&mut self, until: Time, index: u32) {
        self.succeed(until, index);
    }

    /// An identity that succeeded before this machine was made, behind all others in the order of
    /// success. Held messages of it are copies from here on.
    pub(super) fn restore(&mut self, until: Time, identity: u128) {
        let (index, _) = self.find_or_enter(identity, digest(identity));
        let entry = &mut self.entries[index as usize];
        if entry.is_done() {
            return;
        }
        self.doubtful += u32::from(entry.refs_done > 0);
        entry.finish(until);
        self.append(until, index);
    }

    /// Done identities, the last success first, and until when each is remembered.
    pub(super) fn newest(&self) -> impl Iterator<Item = (u128, Time)> + '_ {
        (0..self.done).rev().map(|nth| {
            let entry = &self.entries[self.ring[self.place(nth)] as usize];
            (entry.identity, entry.until)
        })
    }

    pub(super) const fn done(&self) -> u32 {
        self.done
    }

    /// The ring was not full, and holds one more now.
    #[cold]
    fn grown(&mut self, until: Time) {
        if self.done == 0 {
            self.aged_after = until;
        }
        self.done += 1;
        if mutants::is(7) && self.done > 1 {
            self.forget_oldest();
        }
    }

    /// Marks an identity before its message has succeeded (a fault, for the simulator).
    pub(super) fn mark(&mut self, until: Time, index: u32) {
        if !self.entries[index as usize].is_done() {
            self.entries[index as usize].refs_done += 2;
            self.doubtful += 1;
            self.succeed_late(until, index);
        }
    }

    /// A held message of this identity ended without success.
    pub(super) fn release(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        entry.refs_done -= 2;
        if entry.refs_done == 0 {
            self.remove(index);
        } else {
            self.doubtful -= 1;
        }
    }

    #[cold]
    fn forget_aged(&mut self, now: Time) {
        self.aged_after = Time::MAX;
        while self.done > 0 && !mutants::is(63) {
            let oldest = self.ring[self.place(0)];
            let aged_after = self.entries[oldest as usize].until;
            if now <= aged_after {
                self.aged_after = aged_after;
                return;
            }
            self.forget_oldest();
        }
    }

    /// The place in the ring of the `nth` done identity, oldest first.
    pub(super) fn place(&self, nth: u32) -> usize {
        let ring = self.ring.len();
        (self.cursor as usize + ring - self.done as usize + nth as usize) % ring
    }

    fn forget_oldest(&mut self) {
        let place = self.place(0);
        let oldest = core::mem::replace(&mut self.ring[place], NONE);
        self.done -= 1;
        let entry = &mut self.entries[oldest as usize];
        entry.refs_done -= 1;
        if entry.refs_done == 0 {
            self.remove(oldest);
        } else {
            self.doubtful -= 1;
        }
    }

    #[inline(always)]
    fn remove(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        let place = core::mem::replace(&mut entry.place_or_next, self.free);
        self.free = index;
        self.table.remove(place, || digest(entry.identity));
    }

    /// Bytes of all tables, for the memory budget.
    #[cfg(test)]
    pub(super) fn bytes_per_id(&self) -> usize {
        let ring = self.ring.capacity() * size_of::<u32>();
        (self.entries.capacity() * size_of::<Entry>() + self.table.bytes() + ring)
            / self.entries.len().max(1)
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let mut before = Time::ZERO;
        for nth in 0..self.done {
            let entry = &self.entries[self.ring[self.place(nth)] as usize];
            if !entry.is_done() {
                return Err("dedupe: an identity in the order of success is not done");
            }
            if entry.until < before {
                return Err("dedupe: the order of success is not the order of time");
            }
            before = entry.until;
        }
        let (mut done, mut doubtful) = (0, 0);
        for entry in &self.entries {
            done += entry.refs_done & 1;
            doubtful += entry.copies();
        }
        if done != self.done {
            return Err("dedupe: the count of done identities is wrong");
        }
        if self.done > self.settings.ids {
            return Err("S7: more identities than configured");
        }
        if self.doubtful != doubtful {
            return Err("S4: held messages that may be copies are miscounted");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Span;

    fn identities(ids: u32, age_ns: u64) -> Identities {
        Identities::new(
            Dedupe {
                ids,
                age: Span::from_nanos(age_ns),
            },
            4,
        )
    }

    #[test]
    fn s4_an_identity_is_done_after_success_only() {
        let mut set = identities(2, 100);
        let now = Time::ZERO;
        let Claimed::Pending(a) = set.claim(now, 7) else {
            panic!()
        };
        assert_eq!(
            set.claim(now, 7),
            Claimed::Pending(a),
            "a copy of a pending one is not done"
        );
        set.release(a);
        set.succeed(Time::from_nanos(100), a);
        assert_eq!(set.claim(now, 7), Claimed::Done);
        set.check().unwrap();
    }

    #[test]
    fn s4_what_is_held_is_a_copy_of_what_is_restored() {
        let mut set = identities(2, 100);
        let Claimed::Pending(held) = set.claim(Time::ZERO, 7) else {
            panic!()
        };
        set.restore(Time::from_nanos(100), 8);
        assert!(!set.has_copies(), "nobody holds this one");
        set.check().unwrap();
        set.restore(Time::from_nanos(100), 7);
        assert!(set.has_copies() && set.is_done(held));
        set.check().unwrap();
    }

    #[test]
    fn s7_done_identities_are_forgotten_by_count_and_by_age() {
        let mut set = identities(2, 100);
        for id in 1..=3 {
            let Claimed::Pending(i) = set.claim(Time::ZERO, id) else {
                panic!()
            };
            set.succeed(Time::from_nanos(100), i);
        }
        let Claimed::Pending(again) = set.claim(Time::ZERO, 1) else {
            panic!("forgotten by count")
        };
        set.release(again);
        assert_eq!(set.claim(Time::from_nanos(100), 3), Claimed::Done);
        assert!(matches!(
            set.claim(Time::from_nanos(101), 3),
            Claimed::Pending(_)
        ));
        set.check().unwrap();
        assert!(set.len() <= 3);
    }

    #[test]
    fn an_identity_costs_at_most_160_bytes() {
        let set = Identities::new(
            Dedupe {
                ids: 65_536,
                age: Span::MAX,
            },
            10_000,
        );
        assert!(set.bytes_per_id() <= 160, "{}", set.bytes_per_id());
    }
}

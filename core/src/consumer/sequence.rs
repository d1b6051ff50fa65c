//! What is remembered of the sequences of keys: which one comes next.
//!
//! A key has an entry while messages of it are held, and after that until others have pushed it out:
//! the key that was heard of longest ago is forgotten first (S7), and its next message is adopted. An
//! entry is of one partition, and is forgotten with it: whoever owned it in between may have gone on.

use alloc::vec;
use alloc::vec::Vec;

use super::dedupe::digest;
use super::index::Index;
use super::slab::NONE;
use crate::{SequenceOrder, Span, Time, mutants};

/// One key of one partition. 64 bytes, and 12 to 24 of table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) key: u128,
    /// The sequence that comes next, where one is known.
    pub(super) next: Option<u64>,
    /// Every sequence from here to before `next` was passed. What is below was not: it was passed over, or
    /// is older than what is known.
    pub(super) first: u64,
    /// The neighbours in the order of forgetting, while nothing is held; `later` of a free entry: the
    /// next free one.
    pub(super) earlier: u32,
    pub(super) later: u32,
    /// Messages held.
    pub(super) held: u32,
    pub(super) partition: u16,
    /// They wait for one that is missing.
    pub(super) waits: bool,
    /// The owner wants to be asked before what is missing is passed, and was told.
    pub(super) stopped: bool,
}

/// What a held message has to do with sequences.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// The entry of its key; `NONE`: it has no sequence.
    pub(super) entry: u32,
    pub(super) sequence: u64,
    /// Since when it can have waited for a missing one.
    pub(super) since: Time,
    /// It is given up because of a gap.
    pub(super) gap: bool,
    /// It came after it was passed over, and that was told.
    pub(super) late: bool,
}

impl Place {
    pub(super) const NONE: Self = Self {
        entry: NONE,
        sequence: 0,
        since: Time::ZERO,
        gap: false,
        late: false,
    };
}

// What the configuration's page says that they cost.
const _: () = assert!(size_of::<Entry>() <= 64 && size_of::<Place>() <= 24);

/// What becomes of a message whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It is the next one, or the first that is known, or has no sequence.
    Accepted,
    /// One before it is missing.
    Ahead,
    /// It was passed already.
    Behind,
    /// It comes before what is known to be passed: it was passed over, or is from before the key was
    /// adopted. Nobody has handled it, as far as is known (S9).
    Late,
}

impl Entry {
    const EMPTY: Self = Self {
        key: 0,
        next: None,
        first: 0,
        earlier: NONE,
        later: NONE,
        held: 0,
        partition: 0,
        waits: false,
        stopped: false,
    };

    /// A sequence is passed. What lies between it and the one that would have come next is not.
    pub(super) fn pass(&mut self, sequence: u64) {
        match self.next {
            Some(next) if sequence < next => {}
            Some(next) if sequence == next => self.next = Some(sequence + 1),
            Some(_) | None => {
                self.first = sequence;
                self.next = Some(sequence + 1);
            }
        }
    }

    /// The key goes on with this one, whatever comes before it.
    pub(super) fn go_on(&mut self, sequence: u64) {
        self.first = sequence;
        self.next = Some(sequence);
    }

    /// Whether a sequence is known to be passed.
    fn has_passed(&self, sequence: u64) -> bool {
        self.next.is_some_and(|next| sequence < next) && self.first <= sequence
    }
}

/// All entries, and the places of held messages. Empty while nobody asks.
#[derive(Clone, Debug)]
pub(super) struct Sequences {
    pub(super) settings: Option<SequenceOrder>,
    pub(super) table: Index,
    /// Those that were taken so far, or all: what is never needed is never written. There is room for all
    /// of them from the beginning.
    pub(super) entries: Vec<Entry>,
    pub(super) free: u32,
    /// Entries without held messages: the first to be forgotten, the last, how many.
    pub(super) oldest: u32,
    pub(super) newest: u32,
    pub(super) idle: u32,
    /// By slot.
    pub(super) places: Vec<Place>,
    /// Messages of keys that wait.
    pub(super) waiting: u32,
}

impl Sequences {
    pub(super) fn new(settings: Option<SequenceOrder>, slots: usize) -> Self {
        let capacity = Self::most(settings, slots);
        Self {
            settings,
            table: Index::new(capacity),
            entries: Vec::with_capacity(capacity),
            free: NONE,
            oldest: NONE,
            newest: NONE,
            idle: 0,
            places: vec![Place::NONE; if settings.is_some() { slots } else { 0 }],
            waiting: 0,
        }
    }

    /// Keys that are remembered, those of held messages, and one that is about to be forgotten.
    fn most(settings: Option<SequenceOrder>, slots: usize) -> usize {
        settings.map_or(0, |s| s.keys as usize + slots + 1)
    }

    /// All entries are there, as a core that is restored expects them; which are free is to be said.
    pub(super) fn fill(&mut self) {
        let most = Self::most(self.settings, self.places.len());
        self.entries.resize(most, Entry::EMPTY);
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.settings.is_some()
    }

    /// How long a missing one is waited for.
    pub(super) fn patience(&self) -> Span {
        self.settings.map_or(Span::ZERO, |s| s.gap_timeout)
    }

    /// More is held back than is allowed.
    pub(super) fn is_full(&self) -> bool {
        self.settings
            .is_some_and(|s| self.waiting > s.hold_messages)
    }

    pub(super) fn put_free(&mut self, entry: u32) {
        self.entries[entry as usize].later = self.free;
        self.free = entry;
    }

    /// The entry of a key.
    pub(super) fn find(&self, key: u128, partition: u16) -> Option<u32> {
        if !self.is_on() {
            return None;
        }
        self.table.find(digest(key), |i| {
            let entry = &self.entries[i as usize];
            entry.key == key && entry.partition == partition
        })
    }

    /// Puts an entry into the table, in which it is not.
    pub(super) fn tabulate(&mut self, entry: u32) {
        let tag = digest(self.entries[entry as usize].key);
        let _ = self.table.find_or_put(tag, entry, |_| false);
    }

    /// The entry of a key, made if there is none.
    pub(super) fn entry(&mut self, key: u128, partition: u16) -> u32 {
        if let Some(entry) = self.find(key, partition) {
            return entry;
        }
        let new = match self.entries.get(self.free as usize) {
            Some(entry) => core::mem::replace(&mut self.free, entry.later),
            None => {
                debug_assert!(self.entries.len() < self.entries.capacity());
                self.entries.push(Entry::EMPTY);
                self.entries.len() as u32 - 1
            }
        };
        self.entries[new as usize] = Entry {
            key,
            partition,
            ..Entry::EMPTY
        };
        self.tabulate(new);
        self.link(new);
        new
    }

    /// An entry without held messages is the last to be forgotten.
    pub(super) fn link(&mut self, entry: u32) {
        let of = &mut self.entries[entry as usize];
        (of.earlier, of.later) = (self.newest, NONE);
        match self.entries.get_mut(self.newest as usize) {
            Some(newest) => newest.later = entry,
            None => self.oldest = entry,
        }
        self.newest = entry;
        self.idle += 1;
    }

    fn unlink(&mut self, entry: u32) {
        let Entry { earlier, later, .. } = self.entries[entry as usize];
        match self.entries.get_mut(earlier as usize) {
            Some(of) => of.later = later,
            None => self.oldest = later,
        }
        match self.entries.get_mut(later as usize) {
            Some(of) => of.earlier = earlier,
            None => self.newest = earlier,
        }
        self.idle -= 1;
    }

    /// Forgets entries beyond what is to be remembered. How many.
    pub(super) fn trim(&mut self) -> u32 {
        let most = self.settings.map_or(0, |s| s.keys);
        let mut forgotten = 0;
        while self.idle > most {
            self.forget(self.oldest);
            forgotten += 1;
        }
        forgotten
    }

    /// Forgets a key of which nothing is held.
    pub(super) fn forget(&mut self, entry: u32) {
        self.unlink(entry);
        let tag = digest(self.entries[entry as usize].key);
        let entries = &self.entries[..];
        self.table
            .remove(tag, entry, |i| digest(entries[i as usize].key));
        self.put_free(entry);
    }

    /// Takes a message in: it has a place from now on.
    pub(super) fn hold(&mut self, slot: u32, entry: u32, sequence: u64, since: Time) {
        self.places[slot as usize] = Place {
            entry,
            sequence,
            since,
            gap: false,
            late: false,
        };
        if self.entries[entry as usize].held == 0 {
            self.unlink(entry);
        }
        let of = &mut self.entries[entry as usize];
        of.held += 1;
        self.waiting += u32::from(of.waits);
    }

    /// The message in this slot is not held any more, or not ours.
    pub(super) fn drop(&mut self, slot: u32) {
        let Some(place) = self.places.get_mut(slot as usize) else {
            return;
        };
        let entry = core::mem::replace(place, Place::NONE).entry;
        if entry == NONE {
            return;
        }
        let of = &mut self.entries[entry as usize];
        of.held -= 1;
        self.waiting -= u32::from(of.waits);
        if of.held == 0 {
            of.waits = false;
            self.link(entry);
        }
    }

    /// The message in this slot is finished: its sequence is passed. How many keys were forgotten.
    pub(super) fn pass(&mut self, slot: u32) -> u32 {
        let place = self.place(slot);
        if place.entry == NONE {
            return 0;
        }
        self.entries[place.entry as usize].pass(place.sequence);
        self.drop(slot);
        self.trim()
    }

    /// A message that the recorded progress calls finished came again.
    pub(super) fn seen(&mut self, key: u128, partition: u16, sequence: u64) -> u32 {
        let entry = self.entry(key, partition);
        let of = &mut self.entries[entry as usize];
        if of.held == 0 {
            of.pass(sequence);
            self.unlink(entry);
            self.link(entry);
        }
        self.trim()
    }

    pub(super) fn place(&self, slot: u32) -> Place {
        let place = self.places.get(slot as usize);
        place.copied().unwrap_or(Place::NONE)
    }

    /// Whether the message in this slot is behind what its key has passed.
    pub(super) fn is_passed(&self, slot: u32) -> bool {
        let place = self.place(slot);
        let entry = self.entries.get(place.entry as usize);
        entry.is_some_and(|e| e.has_passed(place.sequence))
    }

    /// Whether the message in this slot comes before the next one of its key: it is late, or a copy.
    pub(super) fn is_below(&self, slot: u32) -> bool {
        let place = self.place(slot);
        let next = self.entries.get(place.entry as usize).and_then(|e| e.next);
        next.is_some_and(|next| place.sequence < next)
    }

    /// Passes the sequence of a message that is not finished (a fault, for the simulator).
    pub(super) fn pass_early(&mut self, slot: u32) {
        let place = self.place(slot);
        if let Some(entry) = self.entries.get_mut(place.entry as usize) {
            entry.pass(place.sequence);
        }
    }

    /// Whether two messages are of one key, and the first comes after the second.
    pub(super) fn is_after(&self, slot: u32, than: u32) -> bool {
        let (a, b) = (self.place(slot), self.place(than));
        a.entry != NONE && a.entry == b.entry && a.sequence > b.sequence
    }

    /// Whether the message in this slot is the next one of its key. The first one is adopted.
    pub(super) fn judge(&mut self, slot: u32) -> Verdict {
        let place = self.place(slot);
        let Some(entry) = self.entries.get_mut(place.entry as usize) else {
            return Verdict::Accepted;
        };
        let next = match entry.next {
            Some(next) => next,
            None => {
                entry.go_on(place.sequence);
                place.sequence
            }
        };
        if place.sequence > next && !mutants::is(172) {
            Verdict::Ahead
        } else if place.sequence < next && !mutants::is(171) {
            if entry.has_passed(place.sequence) || mutants::is(177) {
                Verdict::Behind
            } else {
                Verdict::Late
            }
        } else {
            entry.stopped = false;
            Verdict::Accepted
        }
    }

    /// Messages of a key wait for one that is missing, or not any more.
    pub(super) fn set_waits(&mut self, entry: u32, waits: bool) {
        let of = &mut self.entries[entry as usize];
        if core::mem::replace(&mut of.waits, waits) != waits {
            self.waiting = if waits {
                self.waiting + of.held
            } else {
                self.waiting - of.held
            };
        }
    }

    /// A partition is not ours any more, or its log was rewritten: what is known of its keys is void.
    /// Nothing of it is held. O(keys).
    pub(super) fn forget_partition(&mut self, partition: u16) {
        let mut at = self.oldest;
        while let Some(entry) = self.entries.get(at as usize) {
            let later = entry.later;
            if entry.partition == partition {
                self.forget(at);
            }
            at = later;
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        if !self.is_on() && self.table.len() == 0 {
            return Ok(());
        }
        let (mut at, mut idle) = (self.oldest, 0);
        while let Some(entry) = self.entries.get(at as usize) {
            idle += 1;
            if entry.held > 0 || entry.waits || idle > self.idle {
                return Err("sequence: a key with held messages may be forgotten");
            }
            at = entry.later;
        }
        if idle != self.idle {
            return Err("sequence: the keys that may be forgotten are miscounted");
        }
        if self.settings.is_some_and(|s| self.idle > s.keys) {
            return Err("S7: more keys than configured");
        }
        let held = self.places.iter().filter(|p| p.entry != NONE).count();
        let live = self.table.len() - self.idle;
        let busy = || self.entries.iter().filter(|e| e.held > 0);
        if busy().count() as u32 != live || busy().map(|e| e.held as usize).sum::<usize>() != held {
            return Err("sequence: the held messages of keys are miscounted");
        }
        let waiting = busy().filter(|e| e.waits).map(|e| e.held).sum::<u32>();
        if waiting != self.waiting {
            return Err("S7: messages that wait for a missing one are miscounted");
        }
        Ok(())
    }
}

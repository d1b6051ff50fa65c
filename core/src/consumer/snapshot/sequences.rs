//! Sequences: what is known of keys, and the places of held messages.

use alloc::vec;

use super::super::Consumer;
use super::super::gaps::SEQUENCE_MAX;
use super::super::sequence::{Entry, Place, Sequences};
use super::super::slab::{NONE, State};
use super::io::{Fault, Io, Reader, Writer, told};
use super::need;
use crate::Time;

impl Place {
    /// With the slots.
    pub(super) fn fields<I: Io>(&mut self, io: &mut I) -> Result<(), Fault> {
        let Self {
            entry,
            sequence,
            since,
            gap,
            late,
        } = self;
        io.u32(entry)?;
        if *entry == NONE {
            return Ok(());
        }
        io.u64(sequence)?;
        io.time(since)?;
        io.flag(gap)?;
        io.flag(late)?;
        need(
            *sequence <= SEQUENCE_MAX,
            "a sequence has none that comes next",
        )
    }
}

impl Entry {
    fn fields<I: Io>(&mut self, io: &mut I) -> Result<(), Fault> {
        let Self {
            key,
            next,
            first,
            // Links and counts follow from the order, and from the slots.
            earlier: _,
            later: _,
            held: _,
            partition,
            waits: _,
            stopped,
        } = self;
        io.key(key)?;
        io.maybe(next, 0, I::u64)?;
        io.u64(first)?;
        io.u16(partition)?;
        io.flag(stopped)
    }
}

impl Sequences {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let Self {
            // Of the configuration.
            settings: _,
            table: _,
            entries,
            free: _,
            oldest,
            newest: _,
            idle: _,
            // With the slots.
            places: _,
            waiting: _,
        } = self;
        if !self.is_on() {
            return;
        }
        let mut put = |index: u32| {
            to.put(index);
            told(entries[index as usize].clone().fields(to));
        };
        let held = (0..entries.len() as u32).filter(|i| entries[*i as usize].held > 0);
        held.for_each(&mut put);
        let mut at = *oldest;
        while let Some(entry) = entries.get(at as usize) {
            put(at);
            at = entry.later;
        }
        to.put(NONE);
    }
}

impl<M> Consumer<M> {
    /// After the slots, into an empty one.
    pub(super) fn read_sequences(&mut self, from: &mut Reader<'_>) -> Result<(), Fault> {
        const WRONG: Fault = "a key is not where its messages have it";
        let of = &mut self.sequences;
        if !of.is_on() {
            return Ok(());
        }
        of.fill();
        let mut used = vec![false; of.entries.len()];
        for place in of.places.iter().filter(|p| p.entry != NONE) {
            of.entries.get_mut(place.entry as usize).ok_or(WRONG)?.held += 1;
        }
        loop {
            let mut index = 0;
            from.u32(&mut index)?;
            if index == NONE {
                break;
            }
            let taken = used.get_mut(index as usize).ok_or(WRONG)?;
            need(!core::mem::replace(taken, true), WRONG)?;
            let mut entry = of.entries[index as usize];
            entry.fields(from)?;
            need(of.find(entry.key, entry.partition).is_none(), WRONG)?;
            of.entries[index as usize] = entry;
            of.tabulate(index);
            if entry.held == 0 {
                of.link(index);
            }
        }
        for (index, slot) in self.slab.slots.iter().enumerate() {
            let place = of.place(index as u32);
            let known = used.get(place.entry as usize).copied();
            need(place.entry == NONE || known == Some(true), WRONG)?;
            if slot.hot.state == State::Ahead {
                need(place.entry != NONE, WRONG)?;
                if slot.cold.at != Time::MAX {
                    of.set_waits(place.entry, true);
                }
            }
        }
        of.free = NONE;
        for index in (0..used.len()).rev().filter(|i| !used[*i]) {
            of.put_free(index as u32);
        }
        Ok(())
    }
}

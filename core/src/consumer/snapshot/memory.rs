//! What is remembered: identities, and parked keys.

use alloc::vec::Vec;

use super::super::buckets::Put;
use super::super::dedupe::{Entry, Identities, digest};
use super::super::places::{ParkedKey, ParkedMode, Parking, Place};
use super::super::slab::NONE;
use super::io::{Fault, Io, Reader, Writer, told};
use super::need;
use crate::{Position, Time};

impl Identities {
    /// Each at its place, in the order of places: there may be very many of them, and whoever takes
    /// snapshots waits.
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let Self {
            table: _,
            entries,
            free: _,
            ring,
            cursor: _,
            done,
            doubtful: _,
            aged_after,
            // Of the configuration.
            settings: _,
        } = self;
        told(to.time(&mut { *aged_after }));
        to.put(*done);
        if *done > 0 {
            let (newest, oldest) = ring.split_at(self.place(0));
            let wraps = (*done as usize).saturating_sub(oldest.len());
            to.put_all(&oldest[..*done as usize - wraps], |place| {
                place.to_le_bytes()
            });
            to.put_all(&newest[..wraps], |place| place.to_le_bytes());
        }
        let last = entries.iter().rposition(|entry| entry.refs_done > 0);
        let told = last.map_or(0, |last| last + 1);
        to.put(told as u32);
        let mask = to.mask;
        to.put_all(&entries[..told], |entry| {
            let Entry {
                identity,
                until,
                place_or_next: _,
                refs_done,
            } = *entry;
            let mut bytes = [0; 24];
            if refs_done & 1 == 1 {
                bytes[..8].copy_from_slice(&until.as_nanos().to_le_bytes());
            }
            if refs_done > 0 {
                let identity = mask.map_or(identity, |mask| mask.identity(identity));
                bytes[8..].copy_from_slice(&identity.to_le_bytes());
            }
            bytes
        });
    }

    /// Into empty ones. `holds[place]` messages are held of the identity there.
    pub(super) fn read(&mut self, from: &mut Reader<'_>, holds: &[u32]) -> Result<(), Fault> {
        from.time(&mut self.aged_after)?;
        let mut refs: Vec<u32> = holds.iter().map(|held| held << 1).collect();
        self.done = from.get(self.ring.len())?;
        for nth in 0..self.done {
            let place = from.get(self.entries.len().saturating_sub(1))?;
            let refs = refs.get_mut(place as usize);
            let refs = refs.filter(|refs| **refs & 1 == 0);
            *refs.ok_or("a success is told twice")? |= 1;
            self.ring[nth as usize] = place;
        }
        self.cursor = if self.done as usize == self.ring.len() {
            0
        } else {
            self.done
        };
        let told = from.get(self.entries.len())? as usize;
        let last = refs.iter().rposition(|refs| *refs > 0);
        let all = last.map_or(0, |last| last + 1);
        need(
            told == all,
            "identities are told that nobody has, or not told",
        )?;
        for (place, refs) in (0..).zip(refs.iter().take(told)) {
            let (mut until, mut identity) = (Time::ZERO, 0);
            from.time(&mut until)?;
            from.identity(&mut identity)?;
            let timeless = refs & 1 == 1 || until == Time::ZERO;
            let nobody = *refs == 0 && identity != 0;
            need(timeless && !nobody, "an identity is held by nobody")?;
            if *refs > 0 {
                self.put(place, identity, *refs, until)?;
            }
        }
        self.doubtful = self.entries.iter().map(Entry::copies).sum();
        self.free = NONE;
        let entries = self.entries.iter_mut().enumerate().rev();
        for (place, entry) in entries.filter(|(_, entry)| entry.refs_done == 0) {
            entry.place_or_next = self.free;
            self.free = place as u32;
        }
        Ok(())
    }

    fn put(
        &mut self,
        place: u32,
        identity: u128,
        refs_done: u32,
        until: Time,
    ) -> Result<(), Fault> {
        let entries = &self.entries[..];
        let same = |i: u32| entries[i as usize].identity == identity;
        let Put::At(at) = self.table.find_or_put(digest(identity), place, same) else {
            return Err("an identity is told twice");
        };
        self.entries[place as usize] = Entry {
            identity,
            until,
            place_or_next: at,
            refs_done,
        };
        Ok(())
    }
}

impl Parking {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let Self {
            most: _,
            places: _,
            taken,
            // Written with the slots.
            keys: _,
        } = self;
        for partition in 0..taken.len() {
            let row = self.row(partition);
            to.put(row.len() as u32);
            let mut row: Vec<Place> = row.to_vec();
            if let Some(mask) = to.mask {
                row.iter_mut()
                    .for_each(|p| p.parked.key = mask.key(p.parked.key));
                row.sort_unstable_by_key(|p| p.parked.key);
            }
            for place in &mut row {
                let Place {
                    parked: ParkedKey { key, since, mode },
                    confirmed,
                } = place;
                // Masked already.
                told(to.u128(key));
                told(to.position(since));
                told(to.choice(mode, &ParkedMode::ALL));
                told(to.flag(confirmed));
            }
        }
    }

    pub(super) fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Fault> {
        for partition in 0..self.taken.len() {
            let count = from.get(self.most)?;
            for index in 0..count as usize {
                let mut place = Place {
                    parked: ParkedKey {
                        key: 0,
                        since: Position(0),
                        mode: ParkedMode::Follow,
                    },
                    confirmed: false,
                };
                from.u128(&mut place.parked.key)?;
                from.position(&mut place.parked.since)?;
                from.choice(&mut place.parked.mode, &ParkedMode::ALL)?;
                from.flag(&mut place.confirmed)?;
                self.places[partition * self.most + index] = place;
            }
            self.taken[partition] = count;
        }
        Ok(())
    }
}

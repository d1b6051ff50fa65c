//! What is remembered: identities, and parked keys.

use alloc::vec;
use alloc::vec::Vec;

use super::super::dedupe::{Entry, Identities, digest};
use super::super::places::{ParkedKey, ParkedMode, Parking, Place};
use super::super::slab::NONE;
use super::io::{Fault, Io, Reader, Writer, told};
use super::need;
use crate::{Position, Time};

impl Identities {
    /// `held`: the places that held messages and orphans have, one for each of them.
    pub(super) fn write(&self, mut held: Vec<u32>, to: &mut Writer<'_>) {
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
        held.sort_unstable();
        held.dedup();
        to.put(held.len() as u32);
        for place in &held {
            to.put(*place);
            told(to.identity(&mut { entries[*place as usize].identity }));
        }
        // Most that succeeded are not held; those that are have a place above.
        let copies = held.iter().any(|p| entries[*p as usize].refs_done & 1 == 1);
        to.put(*done);
        if *done == 0 {
            return;
        }
        let (newest, oldest) = ring.split_at(self.place(0));
        let places = oldest.iter().chain(newest).take(*done as usize);
        let places = places.map(|place| (*place, &entries[*place as usize]));
        if copies {
            return places.for_each(|(place, entry)| {
                let known = held.binary_search(&place).is_ok();
                told(to.time(&mut { entry.until }));
                told(to.flag(&mut { known }));
                if known {
                    to.put(place);
                } else {
                    told(to.identity(&mut { entry.identity }));
                }
            });
        }
        // Many at once: there may be very many of them, and whoever takes snapshots waits.
        const AT_ONCE: usize = 32;
        let mut some = [[0; 25]; AT_ONCE];
        let mut filled = 0;
        for (_, entry) in places {
            let identity = to
                .mask
                .map_or(entry.identity, |mask| mask.identity(entry.identity));
            let whole = &mut some[filled % AT_ONCE];
            whole[..8].copy_from_slice(&entry.until.as_nanos().to_le_bytes());
            whole[9..].copy_from_slice(&identity.to_le_bytes());
            filled += 1;
            if filled == AT_ONCE {
                to.out.extend_from_slice(some.as_flattened());
                filled = 0;
            }
        }
        to.out.extend_from_slice(some[..filled].as_flattened());
    }

    /// Into empty ones. `holds[place]` messages are held of the identity there.
    pub(super) fn read(&mut self, from: &mut Reader<'_>, holds: &[u32]) -> Result<(), Fault> {
        from.time(&mut self.aged_after)?;
        let mut used = vec![false; self.entries.len()];
        let held = from.get(self.entries.len())?;
        for _ in 0..held {
            let place = from.get(self.entries.len().saturating_sub(1))?;
            let mut identity = 0;
            from.identity(&mut identity)?;
            let refs = holds.get(place as usize).copied().unwrap_or(0);
            need(refs > 0, "an identity is held by nobody")?;
            self.put(&mut used, place, identity, refs << 1)?;
        }
        let known = used.clone();
        let named = holds
            .iter()
            .zip(&known)
            .all(|(refs, known)| *refs == 0 || *known);
        need(named, "an identity that is held is not told")?;
        self.done = from.get(self.ring.len())?;
        let mut next = 0;
        for nth in 0..self.done {
            let (mut until, mut of_held) = (Time::ZERO, false);
            from.time(&mut until)?;
            from.flag(&mut of_held)?;
            let place = if of_held {
                let place = from.get(self.entries.len().saturating_sub(1))?;
                let fits = known.get(place as usize) == Some(&true);
                need(fits, "a success has no place")?;
                place
            } else {
                let free = used[next..].iter().position(|used| !used);
                next += free.ok_or("more identities than the configuration remembers")?;
                let mut identity = 0;
                from.identity(&mut identity)?;
                self.put(&mut used, next as u32, identity, 0)?;
                next as u32
            };
            let entry = &mut self.entries[place as usize];
            need(entry.refs_done & 1 == 0, "a success is told twice")?;
            entry.refs_done |= 1;
            entry.until = until;
            self.ring[nth as usize] = place;
        }
        self.cursor = if self.done as usize == self.ring.len() {
            0
        } else {
            self.done
        };
        self.doubtful = self.entries.iter().map(Entry::copies).sum();
        self.free = NONE;
        let entries = self.entries.iter_mut().zip(&used).enumerate().rev();
        for (place, (entry, _)) in entries.filter(|(_, (_, used))| !**used) {
            entry.tag_or_next = self.free;
            self.free = place as u32;
        }
        Ok(())
    }

    fn put(
        &mut self,
        used: &mut [bool],
        place: u32,
        identity: u128,
        refs_done: u32,
    ) -> Result<(), Fault> {
        const TWICE: Fault = "an identity is told twice";
        let taken = used.get_mut(place as usize).ok_or(TWICE)?;
        need(!core::mem::replace(taken, true), TWICE)?;
        let tag = digest(identity);
        self.entries[place as usize] = Entry {
            identity,
            until: Time::ZERO,
            tag_or_next: tag,
            refs_done,
        };
        let entries = &self.entries[..];
        let same = |i: u32| entries[i as usize].identity == identity;
        need(self.table.find_or_put(tag, place, same).is_none(), TWICE)
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

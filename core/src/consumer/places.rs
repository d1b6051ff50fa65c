//! Places of parked keys: few and fixed, a row for each partition.

use alloc::vec;
use alloc::vec::Vec;

use crate::Position;

/// What becomes of the messages of a parked key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(u8)]
pub enum ParkedMode {
    /// They follow to the dead-letter destination.
    #[default]
    Follow,
    /// They wait, while what is there is replayed.
    Wait,
    /// They are finished without being stored.
    Discard,
}

impl ParkedMode {
    /// By number.
    pub(super) const ALL: [Self; 3] = [Self::Follow, Self::Wait, Self::Discard];
}

/// A key that is parked in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ParkedKey {
    /// The 128-bit hash of (topic, key), as it was offered.
    pub key: u128,
    /// The message that parked it; what stands before it is not concerned.
    pub since: Position,
    /// What becomes of its messages.
    pub mode: ParkedMode,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) parked: ParkedKey,
    /// Its dead letter is confirmed.
    pub(super) confirmed: bool,
}

/// All places, and the key of each held message.
#[derive(Clone, Debug)]
pub(super) struct Parking {
    /// Places of one partition.
    pub(super) most: usize,
    /// A row for each partition; what is taken comes first, in the order of keys.
    pub(super) places: Vec<Place>,
    pub(super) taken: Vec<u32>,
    /// By slot; 0: no key. Empty while neither parking nor calls of several messages are on.
    pub(super) keys: Vec<u128>,
}

impl Parking {
    pub(super) fn new(partitions: usize, most: u32, keyed: bool, slots: usize) -> Self {
        let most = most as usize;
        Self {
            most,
            places: vec![Place::default(); partitions * most],
            taken: vec![0; if most > 0 { partitions } else { 0 }],
            keys: vec![0; if most > 0 || keyed { slots } else { 0 }],
        }
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.most > 0
    }

    /// Whether the keys of held messages are known.
    pub(super) const fn keeps_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    pub(super) fn set_key(&mut self, slot: u32, key: Option<u128>) {
        if let Some(place) = self.keys.get_mut(slot as usize) {
            *place = key.unwrap_or(0);
        }
    }

    pub(super) fn key(&self, slot: u32) -> Option<u128> {
        self.keys.get(slot as usize).copied().filter(|k| *k != 0)
    }

    pub(super) fn row(&self, partition: usize) -> &[Place] {
        let taken = self.taken.get(partition).map_or(0, |t| *t as usize);
        &self.places[partition * self.most..][..taken]
    }

    fn find(&self, partition: usize, key: u128) -> Result<usize, usize> {
        let found = self
            .row(partition)
            .binary_search_by_key(&key, |p| p.parked.key);
        found.map(|at| partition * self.most + at)
    }

    /// How many keys have a place.
    pub(super) fn taken(&self, partition: usize) -> u32 {
        self.taken.get(partition).copied().unwrap_or(0)
    }

    /// Those that are parked, in the order of keys.
    pub(super) fn parked(&self, partition: usize) -> impl Iterator<Item = ParkedKey> + '_ {
        let confirmed = self.row(partition).iter().filter(|p| p.confirmed);
        confirmed.map(|p| p.parked)
    }

    pub(super) fn place(&self, partition: usize, key: u128) -> Option<&Place> {
        let at = self.find(partition, key).ok()?;
        Some(&self.places[at])
    }

    pub(super) fn get(&mut self, partition: usize, key: u128) -> Option<&mut Place> {
        let at = self.find(partition, key).ok()?;
        Some(&mut self.places[at])
    }

    /// Takes a place, if the key has none; whether it has one now.
    pub(super) fn take(&mut self, partition: usize, place: Place) -> bool {
        let Err(at) = self.find(partition, place.parked.key) else {
            return true;
        };
        let taken = self.taken(partition) as usize;
        if taken >= self.most {
            return false;
        }
        let row = &mut self.places[partition * self.most..][..=taken];
        row[at..].rotate_right(1);
        row[at] = place;
        self.taken[partition] += 1;
        true
    }

    pub(super) fn give(&mut self, partition: usize, key: u128) -> bool {
        let before = self.taken(partition);
        self.retain(partition, |p| p.parked.key != key);
        self.taken(partition) < before
    }

    pub(super) fn retain(&mut self, partition: usize, keep: impl Fn(&Place) -> bool) {
        let taken = self.taken(partition) as usize;
        if taken == 0 {
            return;
        }
        let row = &mut self.places[partition * self.most..][..taken];
        let mut kept = 0;
        for at in 0..taken {
            if keep(&row[at]) {
                row[kept] = row[at];
                kept += 1;
            }
        }
        self.taken[partition] = kept as u32;
    }

    /// The log goes on at `from`: what stood behind is concerned as well.
    pub(super) fn rewind(&mut self, partition: usize, from: Position) {
        let taken = self.taken(partition) as usize;
        for place in &mut self.places[partition * self.most..][..taken] {
            place.parked.since = place.parked.since.min(from);
        }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        let sorted = |p| self.row(p).is_sorted_by(|a, b| a.parked.key < b.parked.key);
        if !(0..self.taken.len()).all(sorted) {
            return Err("S2: parked keys are out of order");
        }
        if self.taken.iter().any(|t| *t as usize > self.most) {
            return Err("S7: more keys are parked than configured");
        }
        Ok(())
    }
}

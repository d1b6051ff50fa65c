//! Who is suspected of killing processes: what a record says, and the lot that may run (see `suspicion`).

use alloc::vec;
use alloc::vec::Vec;
use core::num::NonZeroU32;

use super::map;
use super::slab::NONE;
use crate::{Config, Position};

/// What a record has room for at most: a lot, and one more.
pub(super) const ENTRIES: usize = 33;

/// What may start in a partition, going by what its stored record says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Watch {
    /// Anything: nobody suspects.
    Off,
    /// Anything, once a commit is stored that says so.
    Wanted,
    /// That commit is under way: its number.
    Asked(u64),
    /// Anything.
    Free,
    /// Lots only: the owner before did not end cleanly.
    Lots,
}

impl Watch {
    pub(super) const fn is_free(self) -> bool {
        matches!(self, Self::Off | Self::Free)
    }
}

/// What a record says may be running.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(super) enum Mark {
    /// Nothing.
    #[default]
    Nothing,
    /// Anything.
    Anything,
    /// The messages that are named as running, and nothing else.
    Lot,
}

impl Mark {
    pub(super) const ALL: [Self; 3] = [Self::Nothing, Self::Anything, Self::Lot];
}

/// A message that a record names as a suspect ([`Config::suspects`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Accused {
    /// Where it is.
    pub position: Position,
    /// Processes that died while it ran alone (saturates at 127).
    pub deaths: u8,
    /// It may have been running when the record was written.
    pub running: bool,
}

/// What a record says of suspects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked {
    pub(super) mark: Mark,
    pub(super) entries: [Accused; ENTRIES],
    pub(super) len: usize,
}

impl Marked {
    pub(super) const NONE: Self = Self {
        mark: Mark::Nothing,
        entries: [Accused {
            position: Position(0),
            deaths: 0,
            running: false,
        }; ENTRIES],
        len: 0,
    };

    /// In the order of positions.
    pub(super) fn entries(&self) -> &[Accused] {
        &self.entries[..self.len]
    }

    /// Whether it says anything.
    pub(super) fn is_some(&self) -> bool {
        self.mark != Mark::Nothing || self.len > 0
    }

    pub(super) fn push(&mut self, entry: Accused) {
        if let Some(place) = self.entries.get_mut(self.len) {
            *place = entry;
            self.len += 1;
        }
    }

    /// Names a message that may be running. Where `most` are named already, the one is forgotten that the
    /// fewest processes died of.
    pub(super) fn push_running(&mut self, position: Position, most: usize) {
        let named = &mut self.entries[..self.len];
        if let Some(accused) = named.iter_mut().find(|a| a.position == position) {
            accused.running = true;
            return;
        }
        let new = Accused {
            position,
            deaths: 0,
            running: true,
        };
        if self.len < most {
            return self.push(new);
        }
        let least = named.iter_mut().filter(|a| !a.running);
        if let Some(least) = least.min_by_key(|a| a.deaths) {
            *least = new;
        }
    }
}

/// How far the lot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Messages join it.
    Forming,
    /// The commit that names them is under way: its number.
    Asked(u64),
    /// It is stored: they may start.
    Granted,
}

/// The messages under suspicion that may run: at most one lot over all partitions, so that a death is
/// not laid to an innocent one.
#[derive(Clone, Debug)]
pub(super) struct Lot {
    /// Whose ([`NONE`]: there is no lot).
    pub(super) partition: u32,
    pub(super) stage: Stage,
    /// Of one accused message: nothing joins it.
    pub(super) alone: bool,
    /// Slots, and their generations when they joined.
    pub(super) members: Vec<(u32, NonZeroU32)>,
}

#[derive(Clone, Debug)]
pub(super) struct Suspects {
    /// Deaths after which a message is dead-lettered; 0: nobody suspects.
    pub(super) deaths: u8,
    /// Messages that a record can name (at least 2).
    pub(super) places: usize,
    /// A row for each partition, in the order of positions.
    pub(super) rows: Vec<Accused>,
    pub(super) taken: Vec<u8>,
    pub(super) lot: Lot,
}

/// Messages that a record of this configuration can name.
const fn places(config: &Config) -> usize {
    let places = map::suspects(config.map_bytes as usize, config.parked_keys as usize);
    if places < ENTRIES { places } else { ENTRIES }
}

impl Suspects {
    pub(super) fn new(config: &Config) -> Self {
        let on = config.suspects > 0;
        let places = if on { places(config) } else { 0 };
        let partitions = config.partitions as usize;
        Self {
            deaths: config.suspects as u8,
            places,
            rows: vec![Accused::default(); partitions * places],
            taken: vec![0; if on { partitions } else { 0 }],
            lot: Lot {
                partition: NONE,
                stage: Stage::Forming,
                alone: false,
                members: Vec::with_capacity(places),
            },
        }
    }

    #[inline]
    pub(super) const fn is_on(&self) -> bool {
        self.deaths > 0
    }

    pub(super) fn row(&self, partition: usize) -> &[Accused] {
        let taken = self.taken.get(partition).map_or(0, |t| usize::from(*t));
        &self.rows[partition * self.places..][..taken]
    }

    pub(super) fn find(&self, partition: usize, position: Position) -> Option<Accused> {
        let row = self.row(partition);
        let at = row.binary_search_by_key(&position, |a| a.position).ok()?;
        Some(row[at])
    }

    pub(super) fn add(&mut self, partition: usize, accused: Accused) {
        let taken = usize::from(self.taken[partition]);
        // A record of another configuration may name more: they are suspected again.
        if taken < self.places {
            self.rows[partition * self.places + taken] = accused;
            self.taken[partition] += 1;
        }
    }

    pub(super) fn retain(&mut self, partition: usize, mut keep: impl FnMut(&Accused) -> bool) {
        let Some(taken) = self.taken.get_mut(partition) else {
            return;
        };
        let row = &mut self.rows[partition * self.places..][..usize::from(*taken)];
        let mut kept = 0;
        for at in 0..row.len() {
            if keep(&row[at]) {
                row[kept] = row[at];
                kept += 1;
            }
        }
        *taken = kept as u8;
    }

    pub(super) fn has_lot(&self, partition: usize) -> bool {
        self.lot.partition as usize == partition
    }

    pub(super) fn is_member(&self, index: u32, generation: NonZeroU32) -> bool {
        self.lot.members.contains(&(index, generation))
    }
}

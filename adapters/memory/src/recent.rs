//! The broker's own dedupe: identities that were stored not long ago.

use std::collections::VecDeque;

use hashbrown::HashTable;
use procession_core::Position;

/// Identity and copy number: a copy past the broker's dedupe is another message.
pub(crate) type MessageId = (u128, u8);

/// Identities with the place where their message is, bounded by count and by age.
///
/// A ring of 48 bytes an identity, the oldest first, and a table of numbers that finds an entry of
/// the ring: tens of thousands of identities a topic must stay small beside the log.
pub(crate) struct Recent {
    /// Numbers of entries, by identity. An entry's number minus `gone` is its index in `ring`.
    table: HashTable<u32>,
    ring: VecDeque<Entry>,
    /// Entries that have left the ring, wrapping.
    gone: u32,
    most: usize,
}

struct Entry {
    identity: [u64; 2],
    stamp: u64,
    position: Position,
    partition: u32,
    copy: u8,
}

/// Where a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) partition: u32,
    pub(crate) position: Position,
}

impl Entry {
    const fn new((identity, copy): MessageId, stamp: u64, place: Place) -> Self {
        Self {
            identity: halves(identity),
            stamp,
            position: place.position,
            partition: place.partition,
            copy,
        }
    }

    const fn hash(&self) -> u64 {
        fold(self.identity, self.copy)
    }
}

impl Recent {
    /// Remembers at most `most` identities.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            table: HashTable::new(),
            ring: VecDeque::new(),
            gone: 0,
            // Numbers of entries must not meet themselves.
            most: most.min(1 << 30),
        }
    }

    /// Where `id` was stored, if that is not longer ago than `window` (all in nanoseconds).
    pub(crate) fn find(&mut self, id: &MessageId, now: u64, window: u64) -> Option<Place> {
        let oldest = now.saturating_sub(window);
        while self.ring.front().is_some_and(|entry| entry.stamp < oldest) {
            self.forget_oldest();
        }
        let (ring, gone) = (&self.ring, self.gone);
        let identity = halves(id.0);
        let number = self.table.find(fold(identity, id.1), |number| {
            at(ring, gone, *number).is_some_and(|e| e.identity == identity && e.copy == id.1)
        })?;
        at(ring, gone, *number).map(|entry| Place {
            partition: entry.partition,
            position: entry.position,
        })
    }

    /// Remembers that `id`, which is not among the recent ones, was stored at `place`.
    pub(crate) fn insert(&mut self, id: MessageId, now: u64, place: Place) {
        if self.most == 0 {
            return;
        }
        if self.ring.len() >= self.most {
            self.forget_oldest();
        }
        let entry = Entry::new(id, now, place);
        let number = self
            .gone
            .wrapping_add(u32::try_from(self.ring.len()).unwrap_or(u32::MAX));
        let hash = entry.hash();
        self.ring.push_back(entry);
        let (ring, gone) = (&self.ring, self.gone);
        self.table.insert_unique(hash, number, |number| {
            at(ring, gone, *number).map_or(0, Entry::hash)
        });
    }

    fn forget_oldest(&mut self) {
        let Some(entry) = self.ring.front() else {
            return;
        };
        let oldest = self.gone;
        if let Ok(found) = self.table.find_entry(entry.hash(), |n| *n == oldest) {
            found.remove();
        }
        self.ring.pop_front();
        self.gone = self.gone.wrapping_add(1);
    }

    /// Forgets the identities of one partition's positions at and after `from`.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn forget_from(&mut self, partition: u32, from: Position) {
        let ring = core::mem::take(&mut self.ring);
        *self = Self::new(self.most);
        for entry in ring {
            if entry.partition != partition || entry.position < from {
                let [high, low] = entry.identity.map(u128::from);
                let place = Place {
                    partition: entry.partition,
                    position: entry.position,
                };
                self.insert(((high << 64) | low, entry.copy), entry.stamp, place);
            }
        }
    }
}

/// The entry with this number.
fn at(ring: &VecDeque<Entry>, gone: u32, number: u32) -> Option<&Entry> {
    ring.get(number.wrapping_sub(gone) as usize)
}

const fn halves(identity: u128) -> [u64; 2] {
    [(identity >> 64) as u64, identity as u64]
}

/// Identities are XXH3 digests already: folding them is all the hashing that they need.
const fn fold([high, low]: [u64; 2], copy: u8) -> u64 {
    (low ^ high.rotate_left(32)).rotate_left(5) ^ copy as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(position: u64) -> Place {
        Place {
            partition: 0,
            position: Position(position),
        }
    }

    #[test]
    fn forgets_by_age_and_by_count() {
        let mut recent = Recent::new(2);
        recent.insert((1, 0), 100, place(1));
        recent.insert((2, 0), 110, place(2));
        assert_eq!(recent.find(&(1, 0), 120, 50), Some(place(1)));
        assert_eq!(recent.find(&(1, 1), 120, 50), None, "another copy number");
        assert_eq!(recent.find(&(1, 0), 151, 50), None, "too old");
        assert_eq!(recent.find(&(2, 0), 151, 50), Some(place(2)));
        recent.insert((3, 0), 152, place(3));
        recent.insert((4, 0), 153, place(4));
        assert_eq!(recent.find(&(2, 0), 153, 50), None, "pushed out");
        assert_eq!(recent.find(&(4, 0), 153, 50), Some(place(4)));
    }

    #[test]
    fn agrees_with_a_plain_map_however_often_the_ring_goes_round() {
        let mut recent = Recent::new(50);
        // Numbers of entries wrap in the middle.
        recent.gone = u32::MAX - 300;
        for n in 0..1_000_u64 {
            // Identities that share a hash in part, and copies of one identity.
            let id = (u128::from(n / 2) << 70, u8::try_from(n % 2).unwrap());
            recent.insert(id, n, place(n));
            for back in 0..60.min(n) {
                let m = n - back;
                let id = (u128::from(m / 2) << 70, u8::try_from(m % 2).unwrap());
                let expected = (back < 50).then(|| place(m));
                assert_eq!(recent.find(&id, n, u64::MAX), expected, "{m} at {n}");
            }
            assert!(recent.ring.len() <= 50 && recent.table.len() == recent.ring.len());
        }
    }
}

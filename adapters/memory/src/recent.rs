//! The broker's own dedupe: identities that were stored not long ago.

use core::hash::{BuildHasherDefault, Hasher};
use std::collections::VecDeque;

use hashbrown::HashMap;
use procession_core::Position;

/// Identity and copy number: a copy past the broker's dedupe is another message.
pub(crate) type MessageId = (u128, u8);

/// Identities with the place where their message is, bounded by count and by age.
pub(crate) struct Recent {
    places: HashMap<MessageId, Place, BuildHasherDefault<Fold>>,
    /// The same identities, oldest first, with the stamp of their message.
    order: VecDeque<(u64, MessageId)>,
    most: usize,
}

/// Where a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) partition: u32,
    pub(crate) position: Position,
}

impl Recent {
    /// Remembers at most `most` identities.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            places: HashMap::default(),
            order: VecDeque::new(),
            most,
        }
    }

    /// Where `id` was stored, if that is not longer ago than `window` (all in nanoseconds).
    pub(crate) fn find(&mut self, id: &MessageId, now: u64, window: u64) -> Option<Place> {
        let oldest = now.saturating_sub(window);
        while let Some((_, old)) = self.order.pop_front_if(|(stamp, _)| *stamp < oldest) {
            self.places.remove(&old);
        }
        self.places.get(id).copied()
    }

    /// Remembers that `id` was stored at `place`.
    pub(crate) fn insert(&mut self, id: MessageId, now: u64, place: Place) {
        if self.most == 0 {
            return;
        }
        if self.order.len() >= self.most
            && let Some((_, old)) = self.order.pop_front()
        {
            self.places.remove(&old);
        }
        self.order.push_back((now, id));
        self.places.insert(id, place);
    }

    /// Forgets the identities of one partition's positions at and after `from`.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn forget_from(&mut self, partition: u32, from: Position) {
        let places = &mut self.places;
        places.retain(|_, place| place.partition != partition || place.position < from);
        self.order.retain(|(_, id)| places.contains_key(id));
    }
}

/// Identities are XXH3 digests already: folding them is all the hashing that they need.
#[derive(Default)]
pub(crate) struct Fold(u64);

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u8(byte);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.0 = self.0.rotate_left(5) ^ u64::from(value);
    }

    fn write_u128(&mut self, value: u128) {
        // Both halves are evenly spread; the low one alone would do.
        self.0 ^= (value as u64) ^ ((value >> 64) as u64).rotate_left(32);
    }
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
}

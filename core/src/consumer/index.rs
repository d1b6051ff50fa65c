//! A fixed table from hashes to small numbers: linear probing, at most a third full, never growing.
//!
//! Each message enters and leaves two tables. A general map spends about 270 instructions on these
//! four operations (probe groups, tombstones, growth); this one spends about 60, which is what the
//! budget of 450 a message leaves room for (ADR 0004). Removal shifts back what was displaced, so
//! that there are no tombstones and probes stay short for ever.
//!
//! A bucket holds a number, and in the bits that the number leaves free how far it was displaced and
//! some bits of its tag: what merely stands in the way is passed, and moved back, without a look at
//! what it stands for, which lies elsewhere in memory.

use alloc::vec;
use alloc::vec::Vec;

use super::slab::NONE;

/// Where the displacement begins, its largest value (that or more), and its bits.
const AWAY: u32 = 28;
const FAR: u32 = 15;
const AWAY_BITS: u32 = FAR << AWAY;

#[derive(Clone, Debug)]
pub(super) struct Index {
    /// Packed numbers; `NONE`: empty. The search for a tag begins at the place that its lowest bits name.
    buckets: Vec<u32>,
    /// The bits of a number. None has all of them set, so that no bucket looks empty.
    number: u32,
    /// The bits of a tag: what number and displacement leave.
    tag_bits: u32,
    len: u32,
}

impl Index {
    /// Room for `capacity` numbers below `capacity` (at most 2^27), in 12 to 24 bytes each. One without room
    /// is for nobody to look into.
    pub(super) fn new(capacity: usize) -> Self {
        let buckets = if capacity == 0 {
            0
        } else {
            (3 * capacity).next_power_of_two().max(16)
        };
        let number = (capacity + 1).next_power_of_two() as u32 - 1;
        debug_assert!(number & AWAY_BITS == 0, "numbers leave no room for more");
        Self {
            buckets: vec![NONE; buckets],
            number,
            tag_bits: !(number | AWAY_BITS),
            len: 0,
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// Finds the number of this tag that `same` accepts, or puts `new` in its place. Returns the
    /// number that was there.
    #[inline(always)]
    pub(super) fn find_or_put(
        &mut self,
        tag: u32,
        new: u32,
        same: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let buckets = &mut self.buckets[..];
        let at = tag as usize & (buckets.len() - 1);
        if buckets[at] == NONE {
            buckets[at] = new | tag & self.tag_bits;
            self.len += 1;
            return None;
        }
        self.find_or_put_behind(tag, new, same)
    }

    /// Something stands in its place.
    #[inline(always)]
    fn find_or_put_behind(
        &mut self,
        tag: u32,
        new: u32,
        same: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let (number, tag_bits) = (self.number, self.tag_bits);
        let buckets = &mut self.buckets[..];
        let mask = buckets.len() - 1;
        let mut at = tag as usize & mask;
        let mut away = 0;
        while buckets[at] != NONE {
            let found = buckets[at];
            if (found ^ tag) & tag_bits == 0 && same(found & number) {
                return Some(found & number);
            }
            at = (at + 1) & mask;
            away += 1;
        }
        buckets[at] = new | tag & tag_bits | away.min(FAR) << AWAY;
        self.len += 1;
        None
    }

    /// The number of this tag that `same` accepts.
    pub(super) fn find(&self, tag: u32, same: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.place(tag, same)?;
        Some(self.buckets[at] & self.number)
    }

    /// Puts `new` in the place of `old`; both have this tag.
    pub(super) fn replace(&mut self, tag: u32, old: u32, new: u32) {
        if let Some(at) = self.place(tag, |number| number == old) {
            self.buckets[at] = self.buckets[at] & !self.number | new;
        }
    }

    #[inline]
    fn place(&self, tag: u32, same: impl Fn(u32) -> bool) -> Option<usize> {
        let tag_bits = self.tag_bits;
        let mask = self.buckets.len() - 1;
        let mut at = tag as usize & mask;
        while self.buckets[at] != NONE {
            let found = self.buckets[at];
            if (found ^ tag) & tag_bits == 0 && same(found & self.number) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Removes a number, which has this tag. What had been pushed behind it moves up; `tag_of` knows
    /// the tags.
    #[inline(always)]
    pub(super) fn remove(&mut self, tag: u32, number: u32, tag_of: impl Fn(u32) -> u32) {
        let bits = self.number;
        let buckets = &mut self.buckets[..];
        let mask = buckets.len() - 1;
        let mut at = tag as usize & mask;
        while buckets[at] & bits != number {
            if buckets[at] == NONE {
                return;
            }
            at = (at + 1) & mask;
        }
        self.len -= 1;
        buckets[at] = NONE;
        if buckets[(at + 1) & mask] != NONE {
            self.close(at, tag_of);
        }
    }

    /// Closes a hole: what was pushed behind it moves up.
    #[inline(never)]
    fn close(&mut self, mut hole: usize, tag_of: impl Fn(u32) -> u32) {
        let bits = self.number;
        let buckets = &mut self.buckets[..];
        let mask = buckets.len() - 1;
        let mut at = (hole + 1) & mask;
        while buckets[at] != NONE {
            let found = buckets[at];
            let away = match found >> AWAY {
                FAR => at.wrapping_sub(tag_of(found & bits) as usize) & mask,
                away => away as usize,
            };
            // It may move up only if its own place is not behind the hole.
            let gap = at.wrapping_sub(hole) & mask;
            if away >= gap {
                let left = ((away - gap) as u32).min(FAR);
                buckets[hole] = found & !AWAY_BITS | left << AWAY;
                buckets[at] = NONE;
                hole = at;
            }
            at = (at + 1) & mask;
        }
    }

    /// Bytes of the table, for the memory budget.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(ops in proptest::collection::vec((0u8..3, 0u32..24), 1..400)) {
            // Few places, so that runs wrap around and displace each other.
            let hash = |n: u32| n << 8 | (n % 3 + 126);
            let mut index = Index::new(24);
            let mut model = BTreeMap::new();
            for (op, n) in ops {
                match op {
                    0 => {
                        let was = index.find_or_put(hash(n), n, |m| m == n);
                        prop_assert_eq!(was, model.insert(n, n).map(|_| n));
                    }
                    1 => {
                        index.remove(hash(n), n, hash);
                        model.remove(&n);
                    }
                    _ => prop_assert_eq!(index.find(hash(n), |m| m == n), model.get(&n).copied()),
                }
                prop_assert_eq!(index.len() as usize, model.len());
            }
            for n in 0..24 {
                prop_assert_eq!(index.find(hash(n), |m| m == n).is_some(), model.contains_key(&n));
            }
        }
    }
}

//! A fixed table from hashes to small numbers: linear probing, at most half full, never growing.
//!
//! Each message enters and leaves two tables. A general map spends about 270 instructions on these
//! four operations (probe groups, tombstones, growth); this one spends about 60, which is what the
//! budget of 450 a message leaves room for (ADR 0004). Removal shifts back what was displaced, so
//! that there are no tombstones and probes stay short for ever.

use alloc::vec;
use alloc::vec::Vec;

/// Upper half: the upper 32 bits of the hash. Lower half: the number. All ones: empty.
const EMPTY: u64 = u64::MAX;

#[derive(Clone, Debug)]
pub(super) struct Index {
    buckets: Vec<u64>,
    /// The place of a hash is its upper bits.
    shift: u32,
    len: u32,
}

impl Index {
    /// Room for `capacity` numbers, in 16 to 32 bytes each.
    pub(super) fn new(capacity: usize) -> Self {
        let buckets = (2 * capacity.max(1)).next_power_of_two().max(16);
        Self {
            buckets: vec![EMPTY; buckets],
            shift: 64 - buckets.trailing_zeros(),
            len: 0,
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    /// Finds the number of this hash that `same` accepts, or puts `new` in its place. Returns the
    /// number that was there.
    #[inline]
    pub(super) fn find_or_put(
        &mut self,
        hash: u64,
        new: u32,
        same: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let mask = self.buckets.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let bucket = &mut self.buckets[at & mask];
            if *bucket == EMPTY {
                *bucket = (hash & !0xFFFF_FFFF) | u64::from(new);
                self.len += 1;
                return None;
            }
            if (*bucket ^ hash) >> 32 == 0 && same(*bucket as u32) {
                return Some(*bucket as u32);
            }
            at += 1;
        }
    }

    /// The number of this hash that `same` accepts.
    #[inline]
    pub(super) fn find(&self, hash: u64, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.buckets.len() - 1;
        let mut at = (hash >> self.shift) as usize;
        loop {
            let bucket = self.buckets[at & mask];
            if bucket == EMPTY {
                return None;
            }
            if (bucket ^ hash) >> 32 == 0 && same(bucket as u32) {
                return Some(bucket as u32);
            }
            at += 1;
        }
    }

    /// Where this number of this hash is kept.
    #[inline]
    fn place(&self, hash: u64, number: u32) -> Option<usize> {
        let mask = self.buckets.len() - 1;
        let wanted = (hash & !0xFFFF_FFFF) | u64::from(number);
        let mut at = (hash >> self.shift) as usize;
        loop {
            let bucket = self.buckets[at & mask];
            if bucket == wanted {
                return Some(at & mask);
            }
            if bucket == EMPTY {
                return None;
            }
            at += 1;
        }
    }

    /// Puts `new` in the place of `old`; both have this hash.
    #[inline]
    pub(super) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if let Some(place) = self.place(hash, old) {
            self.buckets[place] = (hash & !0xFFFF_FFFF) | u64::from(new);
        }
    }

    /// Removes a number. What had been pushed behind it moves up.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let Some(mut hole) = self.place(hash, number) else {
            return;
        };
        let mask = self.buckets.len() - 1;
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let bucket = self.buckets[at];
            if bucket == EMPTY {
                break;
            }
            // It may move up only if its own place is not behind the hole.
            let home = (bucket >> self.shift) as usize;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                self.buckets[hole] = bucket;
                hole = at;
            }
        }
        self.buckets[hole] = EMPTY;
        self.len -= 1;
    }

    /// Bytes of the table, for the memory budget.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<u64>()
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
            let hash = |n: u32| u64::from(n % 3) << 62 | u64::from(n) << 32;
            let mut index = Index::new(24);
            let mut model = BTreeMap::new();
            for (op, n) in ops {
                match op {
                    0 => {
                        let was = index.find_or_put(hash(n), n, |m| m == n);
                        prop_assert_eq!(was, model.insert(n, n).map(|_| n));
                    }
                    1 => {
                        index.remove(hash(n), n);
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

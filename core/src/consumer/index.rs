//! A fixed table from hashes to small numbers: linear probing, at most a quarter full, never growing.
//!
//! Each message enters and leaves two tables. A general map spends about 270 instructions on these
//! four operations (probe groups, tombstones, growth); this one spends about 60, which is what the
//! budget of 450 a message leaves room for (ADR 0004). Removal shifts back what was displaced, so
//! that there are no tombstones and probes stay short for ever.

use alloc::vec;
use alloc::vec::Vec;

use super::slab::NONE;

#[derive(Clone, Debug)]
pub(super) struct Index {
    /// Numbers; `NONE`: empty. The search for a tag begins at the place that its lowest bits name.
    buckets: Vec<u32>,
    len: u32,
}

impl Index {
    /// Room for `capacity` numbers, in 16 to 32 bytes each.
    pub(super) fn new(capacity: usize) -> Self {
        let buckets = (4 * capacity.max(1)).next_power_of_two().max(16);
        Self {
            buckets: vec![NONE; buckets],
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
        let mask = buckets.len() - 1;
        let mut at = tag as usize & mask;
        while buckets[at] != NONE {
            if same(buckets[at]) {
                return Some(buckets[at]);
            }
            at = (at + 1) & mask;
        }
        buckets[at] = new;
        self.len += 1;
        None
    }

    /// The number of this tag that `same` accepts.
    pub(super) fn find(&self, tag: u32, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mask = self.buckets.len() - 1;
        let mut at = tag as usize & mask;
        while self.buckets[at] != NONE {
            if same(self.buckets[at]) {
                return Some(self.buckets[at]);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Puts `new` in the place of `old`; both have this tag.
    pub(super) fn replace(&mut self, tag: u32, old: u32, new: u32) {
        let mask = self.buckets.len() - 1;
        let mut at = tag as usize & mask;
        while self.buckets[at] != NONE {
            if self.buckets[at] == old {
                self.buckets[at] = new;
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Removes a number, which has this tag. What had been pushed behind it moves up; `tag_of` knows
    /// the tags.
    #[inline(always)]
    pub(super) fn remove(&mut self, tag: u32, number: u32, tag_of: impl Fn(u32) -> u32) {
        let buckets = &mut self.buckets[..];
        let mask = buckets.len() - 1;
        let mut at = tag as usize & mask;
        while buckets[at] != number {
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
        let buckets = &mut self.buckets[..];
        let mask = buckets.len() - 1;
        let mut at = (hole + 1) & mask;
        while buckets[at] != NONE {
            // It may move up only if its own place is not behind the hole.
            let home = tag_of(buckets[at]) as usize;
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(hole) & mask {
                buckets[hole] = buckets[at];
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

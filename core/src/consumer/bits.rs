//! A set of small numbers: outputs are levels, one bit each, so that nothing queues or overflows.

use alloc::vec;
use alloc::vec::Vec;

/// A fixed set of numbers below its capacity, drained round robin.
#[derive(Clone, Debug)]
pub(super) struct BitSet {
    /// Members below 64. Beside the others: a machine has a dozen sets, and what a small one took was
    /// mostly the memory that was asked for.
    first: u64,
    rest: Vec<u64>,
    /// Members, so that the common empty set costs one comparison.
    pub(super) len: u32,
    /// The word where the next search begins: no member waits for more than one round.
    pub(super) cursor: usize,
}

impl BitSet {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            first: 0,
            rest: vec![0; capacity.saturating_sub(1) / 64],
            len: 0,
            cursor: 0,
        }
    }

    #[inline]
    fn word_mut(&mut self, word: usize) -> &mut u64 {
        if word == 0 {
            &mut self.first
        } else {
            &mut self.rest[word - 1]
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, n: u32) {
        let bit = 1u64 << (n % 64);
        let word = self.word_mut(n as usize / 64);
        if *word & bit == 0 {
            *word |= bit;
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, n: u32) {
        if self.len == 0 {
            return;
        }
        let bit = 1u64 << (n % 64);
        let word = self.word_mut(n as usize / 64);
        if *word & bit != 0 {
            *word &= !bit;
            self.len -= 1;
        }
    }

    #[inline]
    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Removes and returns a member.
    #[inline]
    pub(super) fn pop(&mut self) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        loop {
            let cursor = self.cursor;
            let word = self.word_mut(cursor);
            if *word != 0 {
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                self.len -= 1;
                return Some((cursor * 64) as u32 + bit);
            }
            self.cursor = if cursor < self.rest.len() {
                cursor + 1
            } else {
                0
            };
        }
    }

    /// Words of 64 members each.
    pub(super) const fn words(&self) -> usize {
        self.rest.len() + 1
    }

    /// Members `64 * word ..`, one bit each.
    pub(super) fn word(&self, word: usize) -> u64 {
        if word == 0 {
            self.first
        } else {
            self.rest[word - 1]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_comes_out_once() {
        let mut set = BitSet::new(200);
        for n in [0, 63, 64, 199, 63] {
            set.insert(n);
        }
        set.remove(64);
        assert_eq!((set.word(0), set.word(1)), (1 | 1 << 63, 0));
        let mut out: Vec<u32> = core::iter::from_fn(|| set.pop()).collect();
        out.sort_unstable();
        assert_eq!(out, [0, 63, 199]);
        assert!(set.is_empty());
    }

    #[test]
    fn a_set_has_room_for_its_last_number() {
        for capacity in [1, 63, 64, 65, 128, 129] {
            let mut set = BitSet::new(capacity);
            let last = capacity as u32 - 1;
            set.insert(last);
            assert_eq!(set.word(last as usize / 64), 1 << (last % 64));
            assert_eq!(set.words(), capacity.div_ceil(64), "{capacity}");
            assert_eq!(set.pop(), Some(last));
            assert_eq!(set.pop(), None);
        }
    }
}

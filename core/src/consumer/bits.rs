//! A set of small numbers: outputs are levels, one bit each, so that nothing queues or overflows.

use alloc::vec;
use alloc::vec::Vec;

/// A fixed set of numbers below its capacity, drained round robin.
#[derive(Clone, Debug)]
pub(super) struct BitSet {
    pub(super) words: Vec<u64>,
    /// Members, so that the common empty set costs one comparison.
    pub(super) len: u32,
    /// The word where the next search begins: no member waits for more than one round.
    pub(super) cursor: usize,
}

impl BitSet {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            words: vec![0; capacity.div_ceil(64).max(1)],
            len: 0,
            cursor: 0,
        }
    }

    #[inline]
    pub(super) fn insert(&mut self, n: u32) {
        let (word, bit) = (n as usize / 64, 1u64 << (n % 64));
        if self.words[word] & bit == 0 {
            self.words[word] |= bit;
            self.len += 1;
        }
    }

    #[inline]
    pub(super) fn remove(&mut self, n: u32) {
        if self.len == 0 {
            return;
        }
        let (word, bit) = (n as usize / 64, 1u64 << (n % 64));
        if self.words[word] & bit != 0 {
            self.words[word] &= !bit;
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
            let word = self.words[self.cursor];
            if word != 0 {
                let bit = word.trailing_zeros();
                self.words[self.cursor] &= word - 1;
                self.len -= 1;
                return Some((self.cursor * 64) as u32 + bit);
            }
            self.cursor = (self.cursor + 1) % self.words.len();
        }
    }

    /// Members `64 * word ..`, one bit each.
    pub(super) fn word(&self, word: usize) -> u64 {
        self.words[word]
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
}

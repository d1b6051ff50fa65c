//! The blocks of all windows of a consumer.

use alloc::vec::Vec;

use super::slab::NONE;
use super::window::{BLOCK, Block};
use crate::Position;

/// All blocks of a consumer.
#[derive(Debug)]
pub(super) struct Pool {
    /// Those that were taken so far, or all: what is never needed is never written.
    pub(super) blocks: Vec<Block>,
    /// How many there may be. There is room for all of them from the beginning.
    pub(super) most: u32,
    pub(super) free: u32,
    pub(super) free_count: u32,
}

impl Pool {
    pub(super) fn new(arrivals: u32) -> Self {
        let most = arrivals.div_ceil(BLOCK);
        Self {
            blocks: Vec::with_capacity(most as usize),
            most,
            free: NONE,
            free_count: most,
        }
    }

    #[inline]
    pub(super) const fn free_blocks(&self) -> u32 {
        self.free_count
    }

    #[inline]
    pub(super) fn take(&mut self) -> Option<u32> {
        let block = self.free;
        if block == NONE {
            return self.begin();
        }
        self.free = self.blocks[block as usize].next;
        self.free_count -= 1;
        self.blocks[block as usize].reset(0);
        Some(block)
    }

    /// Takes one that was never taken before.
    fn begin(&mut self) -> Option<u32> {
        let block = self.blocks.len() as u32;
        if block == self.most {
            return None;
        }
        self.blocks.push(Block::EMPTY);
        self.free_count -= 1;
        Some(block)
    }

    /// All blocks are there, as a core that is restored expects them; which are free is to be said.
    pub(super) fn fill(&mut self) {
        self.blocks.resize(self.most as usize, Block::EMPTY);
    }

    #[inline]
    pub(super) fn give(&mut self, block: u32) {
        self.blocks[block as usize].next = self.free;
        self.free = block;
        self.free_count += 1;
    }

    /// Uses a block as 64 raw words, for progress maps that are being resumed.
    pub(super) fn set_word(&mut self, block: u32, word: usize, value: u64) {
        let block = &mut self.blocks[block as usize];
        block.deltas[word % BLOCK as usize] = value as u32;
        block.digests[word % BLOCK as usize] = (value >> 32) as u32;
    }

    pub(super) fn word(&self, block: u32, word: usize) -> u64 {
        let block = &self.blocks[block as usize];
        let high = u64::from(block.digests[word % BLOCK as usize]);
        (high << 32) | u64::from(block.deltas[word % BLOCK as usize])
    }

    #[inline]
    pub(super) fn next(&self, block: u32) -> u32 {
        self.blocks[block as usize].next
    }

    pub(super) fn link(&mut self, block: u32, next: u32) {
        self.blocks[block as usize].next = next;
    }

    #[inline]
    pub(super) fn position(&self, entry: u32) -> Position {
        self.blocks[(entry / BLOCK) as usize].position(entry)
    }

    /// Where the identity of a held entry is, if anybody looks at it.
    pub(super) fn identity(&self, entry: u32) -> Option<u32> {
        self.blocks[(entry / BLOCK) as usize].identity(entry)
    }

    /// The digest of the identity at an entry, held or finished.
    pub(super) fn digest(&self, entry: u32) -> u32 {
        self.blocks[(entry / BLOCK) as usize].digests[(entry % BLOCK) as usize]
    }

    /// The block of an entry.
    #[inline]
    pub(super) fn block(&mut self, entry: u32) -> &mut Block {
        &mut self.blocks[(entry / BLOCK) as usize]
    }

    /// Whether an entry is the last of its block.
    #[inline]
    pub(super) const fn is_last(entry: u32) -> bool {
        entry % BLOCK == BLOCK - 1
    }

    #[inline]
    pub(super) fn is_done(&self, entry: u32) -> bool {
        self.blocks[(entry / BLOCK) as usize].done >> (entry % BLOCK) & 1 == 1
    }

    /// Marks an entry finished.
    pub(super) fn finish(&mut self, entry: u32) {
        self.block(entry).finish(entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_so_many_blocks_and_no_more() {
        let mut pool = Pool::new(3 * BLOCK - 1);
        let room = pool.blocks.capacity();
        assert_eq!(pool.free_blocks(), 3);
        assert_eq!([pool.take(), pool.take()], [Some(0), Some(1)]);
        assert_eq!(pool.blocks.len(), 2, "the third was not needed yet");
        // What was given back is taken first, the last one before the others.
        pool.give(0);
        pool.give(1);
        assert_eq!(pool.free_blocks(), 3);
        let all = [pool.take(), pool.take(), pool.take()];
        assert_eq!(all, [Some(1), Some(0), Some(2)]);
        assert_eq!((pool.take(), pool.free_blocks()), (None, 0));
        pool.give(2);
        assert_eq!((pool.take(), pool.take()), (Some(2), None));
        assert_eq!(pool.blocks.capacity(), room, "memory is asked for once");
    }

    #[test]
    fn no_blocks() {
        let mut pool = Pool::new(0);
        assert_eq!((pool.take(), pool.free_blocks()), (None, 0));
    }
}

//! Finished positions of a partition: a list of blocks of 64 arrivals, from one pool.
//!
//! ```text
//! head                                            tail
//! [x x x o x ...64] -> [x o o x ...64] -> [o o . . ]      x finished, o unfinished, . free
//!        ^ first: the frontier
//! ```
//! The ring is indexed by arrival, not by position: partitions of one stream share its sequence, so
//! positions are sparse. A full window is back-pressure, never growth: one stuck message must not
//! grow memory (S7).

use super::pool::Pool;
use super::slab::NONE;
use crate::Position;

pub(super) const BLOCK: u32 = 64;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(super) struct Block {
    /// Position of the first entry; the others are kept as differences to it.
    pub(super) base: u64,
    /// Bit i: entry i is finished.
    pub(super) done: u64,
    pub(super) next: u32,
    pub(super) len: u32,
    /// Positions, as differences to the base.
    pub(super) deltas: [u32; BLOCK as usize],
    /// Digests of identities.
    pub(super) digests: [u32; BLOCK as usize],
    /// Of held entries, where their identities are; `NONE`: nobody looks at it.
    pub(super) identities: [u32; BLOCK as usize],
}

impl Block {
    pub(super) const EMPTY: Self = Self {
        base: 0,
        done: 0,
        next: NONE,
        len: 0,
        deltas: [0; BLOCK as usize],
        digests: [0; BLOCK as usize],
        identities: [NONE; BLOCK as usize],
    };

    /// Begins anew at this position.
    #[inline]
    pub(super) const fn reset(&mut self, base: u64) {
        self.base = base;
        self.done = 0;
        self.len = 0;
    }

    #[inline]
    pub(super) const fn position(&self, entry: u32) -> Position {
        Position(self.base + self.deltas[(entry % BLOCK) as usize] as u64)
    }

    /// Where the identity of a held entry is, if anybody looks at it.
    #[inline]
    pub(super) const fn identity(&self, entry: u32) -> Option<u32> {
        let identity = self.identities[(entry % BLOCK) as usize];
        if identity == NONE {
            None
        } else {
            Some(identity)
        }
    }

    /// Marks an entry finished.
    #[inline]
    pub(super) fn finish(&mut self, entry: u32) {
        self.done |= 1 << (entry % BLOCK);
    }

    /// Whether the next arrival needs another block.
    #[inline]
    pub(super) const fn is_full(&self) -> bool {
        self.len == BLOCK
    }

    /// Whether an arrival at this position can be added.
    #[inline]
    pub(super) const fn takes(&self, position: Position) -> bool {
        self.len < BLOCK && position.0.wrapping_sub(self.base) <= u32::MAX as u64
    }

    /// Takes what a resumed map says was finished at a position, behind those that it has said.
    pub(super) fn keep(&mut self, position: u64, digest: u16) {
        if self.len == 0 {
            self.base = position;
        }
        let index = (self.len % BLOCK) as usize;
        self.deltas[index] = (position - self.base) as u32;
        self.digests[index] = u32::from(digest);
        self.len += 1;
    }

    /// The digest of what was finished at a position.
    pub(super) fn kept(&self, position: Position) -> Option<u16> {
        let delta = u32::try_from(position.0.checked_sub(self.base)?).ok()?;
        let deltas = &self.deltas[..self.len as usize];
        let index = deltas.binary_search(&delta).ok()?;
        Some(self.digests[index] as u16)
    }

    /// The last position.
    pub(super) const fn last(&self) -> Position {
        self.position(self.len.wrapping_sub(1))
    }
}

/// What a window entry knows of its message's identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Note {
    pub(super) digest: u32,
    /// Where it is while the message is held; `NONE`: nobody looks at it.
    pub(super) identity: u32,
}

impl Note {
    /// Of a message that is finished on arrival, or that dedupe does not look at.
    pub(super) const fn digest(digest: u32) -> Self {
        Self {
            digest,
            identity: NONE,
        }
    }
}

/// The window of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The first unfinished entry, in the head block, or the one that the next arrival gets there.
    pub(super) first: u32,
    pub(super) tail: u32,
    pub(super) blocks: u32,
    /// Entries from the head on.
    pub(super) len: u32,
    /// Where the last search ended: redeliveries come in order.
    pub(super) cursor: u32,
}

impl Window {
    pub(super) const EMPTY: Self = Self {
        first: NONE,
        tail: NONE,
        blocks: 0,
        len: 0,
        cursor: NONE,
    };

    #[inline]
    pub(super) const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// Room for arrivals: in the tail block, and in the blocks that may still be taken.
    #[inline]
    pub(super) fn room(&self, pool: &Pool, blocks_max: u32, free: u32) -> u32 {
        let in_tail = if self.tail == NONE {
            0
        } else {
            BLOCK - pool.blocks[self.tail as usize].len
        };
        in_tail
            + blocks_max
                .saturating_sub(self.blocks)
                .min(free)
                .saturating_mul(BLOCK)
    }

    /// Whether the next arrival at `position` needs a new block. An empty window begins its own
    /// block anew.
    #[inline]
    pub(super) fn needs_block(&self, pool: &Pool, position: Position) -> bool {
        match pool.blocks.get(self.tail as usize) {
            Some(tail) => !tail.takes(position) && self.len > 0,
            None => true,
        }
    }

    /// Whether the next arrival needs another block.
    pub(super) fn is_full(&self, pool: &Pool) -> bool {
        pool.blocks
            .get(self.tail as usize)
            .is_some_and(Block::is_full)
    }

    /// Appends an arrival. The caller has seen to it that a block is free when one is needed.
    pub(super) fn push(&mut self, pool: &mut Pool, position: Position, note: Note) -> u32 {
        if self.block_for(pool, position).is_none() {
            self.extend(pool, position);
        }
        let block = &mut pool.blocks[self.tail as usize];
        self.add(block, position, note)
    }

    /// The last block, if an arrival at this position can be added to it.
    #[inline]
    pub(super) fn block_for<'a>(
        &self,
        pool: &'a mut Pool,
        position: Position,
    ) -> Option<&'a mut Block> {
        let block = pool.blocks.get_mut(self.tail as usize)?;
        block.takes(position).then_some(block)
    }

    /// Adds an arrival to the last block, which takes it.
    #[inline(always)]
    pub(super) fn add(&mut self, block: &mut Block, position: Position, note: Note) -> u32 {
        let index = block.len % BLOCK;
        block.deltas[index as usize] = (position.0 - block.base) as u32;
        block.digests[index as usize] = note.digest;
        block.identities[index as usize] = note.identity;
        block.len += 1;
        self.len += 1;
        self.tail * BLOCK + index
    }

    /// Makes room for a position that the last block does not take. The caller has seen to it that a block
    /// is free.
    #[cold]
    pub(super) fn extend(&mut self, pool: &mut Pool, position: Position) {
        if self.len == 0 && self.tail != NONE {
            pool.blocks[self.tail as usize].reset(position.0);
            self.first = self.tail * BLOCK;
            return;
        }
        let block = pool
            .take()
            .expect("invariant: the caller checked that a block is free");
        pool.blocks[block as usize].reset(position.0);
        if self.tail == NONE {
            self.first = block * BLOCK;
        } else {
            pool.blocks[self.tail as usize].next = block;
        }
        self.tail = block;
        self.blocks += 1;
    }

    /// Whether this entry is the first unfinished one.
    #[inline]
    pub(super) const fn is_head(&self, entry: u32) -> bool {
        entry == self.first
    }

    /// The first block (no block at all: a number that no block has).
    #[inline]
    const fn head(&self) -> u32 {
        self.first / BLOCK
    }

    /// The first unfinished entry.
    pub(super) fn first_entry(&self) -> Option<u32> {
        (self.len > 0).then_some(self.first)
    }

    /// Moves the head over its only entry, if that is all that there is to do.
    #[inline(always)]
    pub(super) const fn pass_only(&mut self) -> bool {
        let only = self.len == 1 && !Pool::is_last(self.first);
        if only {
            self.len = 0;
            self.first += 1;
        }
        only
    }

    /// Moves the head over finished entries and gives their blocks back. Returns the first
    /// unfinished position.
    #[inline]
    pub(super) fn advance(&mut self, pool: &mut Pool) -> Option<Position> {
        while let Some(block) = pool.blocks.get(self.head() as usize) {
            let run = (block.done >> (self.first % BLOCK)).trailing_ones();
            let index = self.first % BLOCK + run;
            self.len -= run;
            if index < block.len {
                self.first += run;
                return Some(block.position(index));
            }
            if self.head() == self.tail && block.len < BLOCK {
                self.first += run;
                return None;
            }
            self.pass_block(pool);
        }
        None
    }

    /// Every entry of the head block is passed, and none can be added to it.
    fn pass_block(&mut self, pool: &mut Pool) {
        let head = self.head();
        if self.cursor == head {
            self.cursor = NONE;
        }
        if head == self.tail {
            self.first = NONE;
            self.tail = NONE;
        } else {
            self.first = pool.next(head) * BLOCK;
        }
        pool.give(head);
        self.blocks -= 1;
    }

    /// The first unfinished position.
    #[inline]
    pub(super) fn first(&self, pool: &Pool) -> Option<Position> {
        if self.len == 0 {
            None
        } else {
            Some(pool.position(self.first))
        }
    }

    /// The entry of a position, if it is in the window.
    pub(super) fn find(&mut self, pool: &Pool, position: Position) -> Option<u32> {
        let mut at = if self.first == NONE {
            NONE
        } else {
            self.head()
        };
        if self.cursor != NONE && pool.blocks[self.cursor as usize].base <= position.0 {
            at = self.cursor;
        }
        while at != NONE {
            let block = &pool.blocks[at as usize];
            let first = if at == self.head() {
                self.first % BLOCK
            } else {
                0
            };
            let deltas = &block.deltas[..block.len as usize];
            if let Some(&last) = deltas.last()
                && position.0 <= block.base + u64::from(last)
            {
                self.cursor = at;
                let delta = u32::try_from(position.0.checked_sub(block.base)?).ok()?;
                let found = deltas.binary_search(&delta).ok()? as u32;
                return (found >= first).then_some(at * BLOCK + found);
            }
            if at == self.tail {
                return None;
            }
            at = block.next;
        }
        None
    }

    /// Whether a position is in the window, and finished.
    pub(super) fn has_finished(&mut self, pool: &Pool, position: Position) -> bool {
        let found = self.find(pool, position);
        found.is_some_and(|entry| pool.is_done(entry))
    }

    /// Gives every block back.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        while self.first != NONE {
            self.pass_block(pool);
        }
        *self = Self::EMPTY;
    }

    /// Runs of entries from the head on: for each block its first position, whether its positions
    /// have no holes, and the entries.
    pub(super) fn blocks_from_head<'a>(
        &self,
        pool: &'a Pool,
    ) -> impl Iterator<Item = BlockView<'a>> + 'a {
        let (tail, head, head_index) = (self.tail, self.head(), self.first % BLOCK);
        let mut at = if self.first == NONE { NONE } else { head };
        core::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let block = &pool.blocks[at as usize];
            let first = if at == head { head_index } else { 0 };
            let view = BlockView {
                base: block.base,
                done: block.done,
                deltas: &block.deltas[..block.len as usize],
                digests: &block.digests[..block.len as usize],
                first,
            };
            at = if at == tail { NONE } else { block.next };
            Some(view)
        })
    }

    /// Whether it is sound. Its head is never finished, unless the frontier is `held`.
    pub(super) fn check(&self, pool: &Pool, held: bool) -> Result<(), &'static str> {
        let (mut entries, mut blocks, mut last) = (0, 0, None);
        for view in self.blocks_from_head(pool) {
            blocks += 1;
            entries += view.deltas.len() as u32 - view.first;
            for (i, &delta) in view.deltas.iter().enumerate() {
                let position = view.base + u64::from(delta);
                if last.is_some_and(|l| position <= l) {
                    return Err("window: positions do not grow");
                }
                last = Some(position);
                if !held && blocks == 1 && (i as u32) == view.first && view.done >> i & 1 == 1 {
                    return Err("window: the head is finished");
                }
            }
        }
        if blocks != self.blocks || entries != self.len {
            return Err("window: counts are wrong");
        }
        Ok(())
    }
}

/// One block of a window, as the progress map reads it.
pub(super) struct BlockView<'a> {
    pub(super) base: u64,
    pub(super) done: u64,
    /// Positions, as differences to the base.
    pub(super) deltas: &'a [u32],
    /// Digests of their identities.
    pub(super) digests: &'a [u32],
    pub(super) first: u32,
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_head_moves_over_finished_entries_only() {
        let mut pool = Pool::new(256);
        let mut window = Window::EMPTY;
        let entries: Vec<u32> = (0..200)
            .map(|i| window.push(&mut pool, Position(10 + 3 * i), Note::digest(0)))
            .collect();
        for &entry in &entries[1..130] {
            pool.finish(entry);
        }
        assert_eq!(window.advance(&mut pool), Some(Position(10)));
        assert_eq!(window.first(&pool), Some(Position(10)));
        assert!(window.is_head(entries[0]));
        pool.finish(entries[0]);
        assert_eq!(window.advance(&mut pool), Some(Position(10 + 390)));
        assert_eq!(window.first(&pool), Some(Position(10 + 390)));
        assert_eq!(window.blocks(), 2);
        window.check(&pool, false).unwrap();
        assert_eq!(
            window.find(&pool, Position(10 + 3 * 199)),
            Some(entries[199])
        );
        assert_eq!(
            window.find(&pool, Position(10 + 3 * 140)),
            Some(entries[140])
        );
        assert_eq!(window.find(&pool, Position(11 + 3 * 140)), None);
        assert_eq!(window.find(&pool, Position(13)), None, "below the head");
        for &entry in &entries[130..] {
            pool.finish(entry);
        }
        assert_eq!(window.advance(&mut pool), None);
        assert_eq!((window.len, window.first(&pool)), (0, None));
        window.clear(&mut pool);
        assert_eq!(pool.free_blocks(), 4);
    }

    #[test]
    fn positions_far_apart_take_a_block_each() {
        let mut pool = Pool::new(256);
        let mut window = Window::EMPTY;
        let a = window.push(&mut pool, Position(1), Note::digest(0));
        let b = window.push(&mut pool, Position(1 << 40), Note::digest(0));
        assert_eq!(pool.position(b), Position(1 << 40));
        pool.finish(a);
        window.advance(&mut pool);
        assert_eq!(window.blocks(), 1);
        assert_eq!(window.first(&pool), Some(Position(1 << 40)));
    }
}

//! Finished positions of a partition: a list of blocks of 64 arrivals, from one pool.
//!
//! ```text
//! head                                            tail
//! [x x x o x ...64] -> [x o o x ...64] -> [o o . . ]      x finished, o unfinished, . free
//!        ^ head_index: the frontier
//! ```
//! The ring is indexed by arrival, not by position: partitions of one stream share its sequence, so
//! positions are sparse. A full window is back-pressure, never growth: one stuck message must not
//! grow memory (S7).

use alloc::vec;
use alloc::vec::Vec;

use super::slab::NONE;
use crate::Position;

pub(super) const BLOCK: u32 = 64;

#[derive(Clone, Copy, Debug)]
struct Block {
    /// Position of the first entry; the others are kept as differences to it.
    base: u64,
    /// Bit i: entry i is finished.
    done: u64,
    /// Bit i: the note of entry i is a digest, not the index of an identity.
    plain: u64,
    next: u32,
    len: u32,
    /// Difference to the base (high half) and, of a finished entry, the digest of its identity (low
    /// half); of a held one the place of its identity, or the digest without dedupe.
    entries: [u64; BLOCK as usize],
}

impl Block {
    const EMPTY: Self = Self {
        base: 0,
        done: 0,
        plain: 0,
        next: NONE,
        len: 0,
        entries: [0; BLOCK as usize],
    };

    /// Begins anew at this position.
    #[inline]
    const fn reset(&mut self, base: u64) {
        self.base = base;
        self.done = 0;
        self.plain = 0;
        self.len = 0;
    }

    #[inline]
    const fn entry(&self, index: u32) -> u64 {
        self.entries[(index % BLOCK) as usize]
    }
}

/// What a window entry knows of its message's identity.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Note {
    /// Its place among the identities (held messages, with dedupe).
    Identity(u32),
    /// A digest (finished messages, and those that dedupe does not look at).
    Digest(u32),
}

/// All blocks of a consumer.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    blocks: Vec<Block>,
    free: u32,
    free_count: u32,
}

/// The window of one partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    head: u32,
    /// First unfinished entry of the head block, or one past its last entry.
    head_index: u32,
    tail: u32,
    blocks: u32,
    /// Entries from the head on.
    pub(super) len: u32,
    /// Where the last search ended: redeliveries come in order.
    cursor: u32,
}

impl Pool {
    pub(super) fn new(arrivals: u32) -> Self {
        let count = arrivals.div_ceil(BLOCK);
        let mut blocks = vec![Block::EMPTY; count as usize];
        for (i, block) in blocks.iter_mut().enumerate() {
            block.next = if i + 1 < count as usize {
                (i + 1) as u32
            } else {
                NONE
            };
        }
        Self {
            blocks,
            free: 0,
            free_count: count,
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
            return None;
        }
        self.free = self.blocks[block as usize].next;
        self.free_count -= 1;
        self.blocks[block as usize].reset(0);
        Some(block)
    }

    #[inline]
    pub(super) fn give(&mut self, block: u32) {
        self.blocks[block as usize].next = self.free;
        self.free = block;
        self.free_count += 1;
    }

    /// A block as 64 raw words, for progress maps that are being resumed.
    pub(super) fn words(&mut self, block: u32) -> &mut [u64] {
        &mut self.blocks[block as usize].entries
    }

    pub(super) fn word(&self, block: u32, word: usize) -> u64 {
        self.blocks[block as usize].entries[word % BLOCK as usize]
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
        let block = &self.blocks[(entry / BLOCK) as usize];
        Position(block.base + (block.entry(entry) >> 32))
    }

    /// What is known of the identity at an entry.
    #[inline]
    pub(super) fn note(&self, entry: u32) -> Note {
        let block = &self.blocks[(entry / BLOCK) as usize];
        let value = block.entry(entry) as u32;
        if (block.plain >> (entry % BLOCK)) & 1 == 1 {
            Note::Digest(value)
        } else {
            Note::Identity(value)
        }
    }

    #[inline]
    pub(super) fn is_done(&self, entry: u32) -> bool {
        self.blocks[(entry / BLOCK) as usize].done >> (entry % BLOCK) & 1 == 1
    }

    /// Marks an entry finished and leaves its digest.
    #[inline]
    pub(super) fn finish(&mut self, entry: u32, digest: u32) {
        let block = &mut self.blocks[(entry / BLOCK) as usize];
        let value = &mut block.entries[(entry % BLOCK) as usize];
        *value = (*value & !0xFFFF_FFFF) | u64::from(digest);
        block.done |= 1 << (entry % BLOCK);
        block.plain |= 1 << (entry % BLOCK);
    }
}

impl Window {
    pub(super) const EMPTY: Self = Self {
        head: NONE,
        head_index: 0,
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
        if self.tail == NONE {
            return true;
        }
        let tail = &pool.blocks[self.tail as usize];
        self.len > 0 && (tail.len == BLOCK || position.0 - tail.base > u64::from(u32::MAX))
    }

    /// Appends an arrival. The caller has seen to it that a block is free when one is needed.
    #[inline]
    pub(super) fn push(&mut self, pool: &mut Pool, position: Position, note: Note) -> u32 {
        if self.tail == NONE
            || pool.blocks[self.tail as usize].len == BLOCK
            || position.0 - pool.blocks[self.tail as usize].base > u64::from(u32::MAX)
        {
            self.extend(pool, position);
        }
        let tail = &mut pool.blocks[self.tail as usize];
        let (index, delta) = (tail.len % BLOCK, position.0 - tail.base);
        let value = match note {
            Note::Identity(place) => place,
            Note::Digest(digest) => {
                tail.plain |= 1 << index;
                digest
            }
        };
        tail.entries[index as usize] = (delta << 32) | u64::from(value);
        tail.len += 1;
        self.len += 1;
        self.tail * BLOCK + index
    }

    #[cold]
    fn extend(&mut self, pool: &mut Pool, position: Position) {
        if self.len == 0 && self.tail != NONE {
            pool.blocks[self.tail as usize].reset(position.0);
            self.head_index = 0;
            return;
        }
        let block = pool
            .take()
            .expect("invariant: the caller checked that a block is free");
        pool.blocks[block as usize].reset(position.0);
        if self.tail == NONE {
            self.head = block;
            self.head_index = 0;
        } else {
            pool.blocks[self.tail as usize].next = block;
        }
        self.tail = block;
        self.blocks += 1;
    }

    /// Whether this entry is the first unfinished one.
    #[inline]
    pub(super) const fn is_head(&self, entry: u32) -> bool {
        entry / BLOCK == self.head && entry % BLOCK == self.head_index
    }

    /// Moves the head over finished entries and gives their blocks back. Returns how many entries
    /// were passed.
    #[inline]
    pub(super) fn advance(&mut self, pool: &mut Pool) -> u32 {
        let mut passed = 0;
        while self.head != NONE {
            let block = &pool.blocks[self.head as usize];
            let (len, next) = (block.len, block.next);
            let run = (block.done.checked_shr(self.head_index).unwrap_or(0)).trailing_ones();
            let run = run.min(len - self.head_index);
            self.head_index += run;
            self.len -= run;
            passed += run;
            let whole = self.head_index == len && (len == BLOCK || self.head != self.tail);
            if !whole {
                break;
            }
            // Every entry of the block is passed, and none can be added to it.
            let next = if self.head == self.tail { NONE } else { next };
            if self.cursor == self.head {
                self.cursor = NONE;
            }
            pool.give(self.head);
            self.blocks -= 1;
            self.head = next;
            self.head_index = 0;
            if next == NONE {
                self.tail = NONE;
            }
        }
        passed
    }

    /// The first unfinished position.
    #[inline]
    pub(super) fn first(&self, pool: &Pool) -> Option<Position> {
        if self.len == 0 {
            None
        } else {
            Some(pool.position(self.head * BLOCK + self.head_index))
        }
    }

    /// The entry of a position, if it is in the window.
    pub(super) fn find(&mut self, pool: &Pool, position: Position) -> Option<u32> {
        let mut at = self.head;
        if self.cursor != NONE && pool.blocks[self.cursor as usize].base <= position.0 {
            at = self.cursor;
        }
        while at != NONE {
            let block = &pool.blocks[at as usize];
            let first = if at == self.head { self.head_index } else { 0 };
            let entries = &block.entries[..block.len as usize];
            if let Some(last) = entries.last()
                && position.0 <= block.base + (last >> 32)
            {
                self.cursor = at;
                let delta = position.0.checked_sub(block.base)?;
                let found = entries.binary_search_by_key(&delta, |e| e >> 32).ok()? as u32;
                return (found >= first).then_some(at * BLOCK + found);
            }
            if at == self.tail {
                return None;
            }
            at = block.next;
        }
        None
    }

    /// Gives every block back.
    pub(super) fn clear(&mut self, pool: &mut Pool) {
        while self.head != NONE {
            let next = if self.head == self.tail {
                NONE
            } else {
                pool.next(self.head)
            };
            pool.give(self.head);
            self.head = next;
        }
        *self = Self::EMPTY;
    }

    /// Runs of entries from the head on: for each block its first position, whether its positions
    /// have no holes, and the entries as (bits finished, count).
    pub(super) fn blocks_from_head<'a>(
        &self,
        pool: &'a Pool,
    ) -> impl Iterator<Item = BlockView<'a>> + 'a {
        let (tail, head, head_index) = (self.tail, self.head, self.head_index);
        let mut at = head;
        core::iter::from_fn(move || {
            if at == NONE {
                return None;
            }
            let block = &pool.blocks[at as usize];
            let first = if at == head { head_index } else { 0 };
            let view = BlockView {
                base: block.base,
                done: block.done,
                entries: &block.entries[..block.len as usize],
                first,
            };
            at = if at == tail { NONE } else { block.next };
            Some(view)
        })
    }

    pub(super) fn check(&self, pool: &Pool) -> Result<(), &'static str> {
        let (mut entries, mut blocks, mut last) = (0, 0, None);
        for view in self.blocks_from_head(pool) {
            blocks += 1;
            entries += view.entries.len() as u32 - view.first;
            for (i, &entry) in view.entries.iter().enumerate() {
                let position = view.base + (entry >> 32);
                if last.is_some_and(|l| position <= l) {
                    return Err("window: positions do not grow");
                }
                last = Some(position);
                if blocks == 1 && (i as u32) == view.first && view.done >> i & 1 == 1 {
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
    pub(super) entries: &'a [u64],
    pub(super) first: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_moves_over_finished_entries_only() {
        let mut pool = Pool::new(256);
        let mut window = Window::EMPTY;
        let entries: Vec<u32> = (0..200)
            .map(|i| window.push(&mut pool, Position(10 + 3 * i), Note::Digest(0)))
            .collect();
        for &entry in &entries[1..130] {
            pool.finish(entry, 9);
        }
        assert_eq!(window.advance(&mut pool), 0);
        assert_eq!(window.first(&pool), Some(Position(10)));
        assert!(window.is_head(entries[0]));
        pool.finish(entries[0], 9);
        assert_eq!(window.advance(&mut pool), 130);
        assert_eq!(window.first(&pool), Some(Position(10 + 390)));
        assert_eq!(window.blocks(), 2);
        window.check(&pool).unwrap();
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
            pool.finish(entry, 9);
        }
        assert_eq!(window.advance(&mut pool), 70);
        assert_eq!((window.len, window.first(&pool)), (0, None));
        window.clear(&mut pool);
        assert_eq!(pool.free_blocks(), 4);
    }

    #[test]
    fn positions_far_apart_take_a_block_each() {
        let mut pool = Pool::new(256);
        let mut window = Window::EMPTY;
        let a = window.push(&mut pool, Position(1), Note::Digest(0));
        let b = window.push(&mut pool, Position(1 << 40), Note::Digest(0));
        assert_eq!(pool.position(b), Position(1 << 40));
        pool.finish(a, 0);
        window.advance(&mut pool);
        assert_eq!(window.blocks(), 1);
        assert_eq!(window.first(&pool), Some(Position(1 << 40)));
    }
}

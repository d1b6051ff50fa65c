//! A progress map that is being resumed: in blocks of the window pool, until what it speaks of has come.
//!
//! Without digests a block is 4,096 bits. With digests it is 64 positions, each beside what was finished
//! there, as in a window: whoever wrote them down held them in as many blocks.

use super::Consumer;
use super::dedupe::digest;
use super::digests::short;
use super::map::Sound;
use super::partition::Resumed;
use super::window::BLOCK;
use crate::marks::mark;
use crate::{Position, mutants};

/// Positions that one block of a resumed map without digests speaks of.
pub(super) const MAP_SPAN: u64 = BLOCK as u64 * 64;

/// What a resumed map says of an arrival.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Says {
    /// Nothing.
    Nothing,
    /// It is finished.
    Finished,
    /// Another one was finished where it stands: the log was rewritten.
    Another,
}

impl<M> Consumer<M> {
    /// Keeps a resumed map in blocks of the window pool. What does not fit is forgotten.
    pub(super) fn keep_map(&mut self, index: usize, base: Position, sound: &Sound<'_>) {
        let base = base.0;
        let digests = sound.has_digests();
        let mut words = sound.finished.words().peekable();
        let mut named = sound.digests().peekable();
        let mut last = None;
        while (digests && named.peek().is_some()) || (!digests && words.peek().is_some()) {
            if self.pool.free_blocks() <= self.blockless {
                mark!(MapForgotten);
                return;
            }
            let Some(block) = self.pool.take() else {
                return;
            };
            if digests {
                // Distances are small: each block takes as many as it has places.
                for (distance, digest) in named.by_ref().take(BLOCK as usize) {
                    self.pool.blocks[block as usize].keep(base + distance, digest);
                }
            } else {
                for word in 0..BLOCK as usize {
                    self.pool.set_word(block, word, words.next().unwrap_or(0));
                }
            }
            let part = &mut self.partitions[index];
            match (last, &mut part.resumed) {
                (Some(before), Some(resumed)) => {
                    self.pool.link(before, block);
                    resumed.blocks += 1;
                }
                _ => {
                    part.resumed = Some(Resumed {
                        block,
                        blocks: 1,
                        base,
                        digests,
                    })
                }
            }
            last = Some(block);
        }
    }

    /// What a resumed map says of an arrival of this identity. O(blocks of the map).
    pub(super) fn resumed_says(&self, index: usize, position: Position, identity: u128) -> Says {
        let Some(resumed) = self.partitions[index].resumed else {
            return Says::Nothing;
        };
        if !resumed.digests {
            return if self.resumed_bit(&resumed, position) {
                Says::Finished
            } else {
                Says::Nothing
            };
        }
        let mut block = resumed.block;
        for _ in 0..resumed.blocks {
            let named = &self.pool.blocks[block as usize];
            if position <= named.last() {
                return match named.kept(position) {
                    None => Says::Nothing,
                    Some(kept) if kept == short(digest(identity)) || mutants::is(250) => {
                        Says::Finished
                    }
                    Some(_) if mutants::is(252) => Says::Nothing,
                    Some(_) => Says::Another,
                };
            }
            block = named.next;
        }
        Says::Nothing
    }

    /// Whether a map without digests says that `position` is finished.
    fn resumed_bit(&self, resumed: &Resumed, position: Position) -> bool {
        let Some(bit) = position.0.checked_sub(resumed.base) else {
            return false;
        };
        if bit / MAP_SPAN >= u64::from(resumed.blocks) {
            return false;
        }
        let mut block = resumed.block;
        for _ in 0..bit / MAP_SPAN {
            block = self.pool.next(block);
        }
        let bit = bit % MAP_SPAN;
        self.pool.word(block, (bit / 64) as usize) >> (bit % 64) & 1 == 1
    }

    /// `position` was taken in: what a resumed map says of positions well behind it is not needed.
    pub(super) fn pass_map(&mut self, index: usize, position: Position) {
        while let Some(resumed) = self.partitions[index].resumed {
            let passed = if resumed.digests {
                self.pool.blocks[resumed.block as usize].last() <= position
            } else {
                position.0.saturating_sub(resumed.base) >= MAP_SPAN
            };
            if !passed {
                return;
            }
            self.drop_map_block(index);
        }
    }

    fn drop_map_block(&mut self, index: usize) {
        let part = &mut self.partitions[index];
        let Some(resumed) = &mut part.resumed else {
            return;
        };
        let (block, next) = (resumed.block, self.pool.next(resumed.block));
        self.pool.give(block);
        resumed.blocks -= 1;
        resumed.block = next;
        resumed.base = resumed.base.saturating_add(MAP_SPAN);
        if resumed.blocks == 0 {
            part.resumed = None;
            part.gate();
        }
    }

    pub(super) fn drop_map(&mut self, index: usize) {
        while self.partitions[index].resumed.is_some() {
            self.drop_map_block(index);
        }
    }
}

//! Windows and resumed maps: blocks of the pool, as they are chained.

use alloc::vec;
use alloc::vec::Vec;

use super::super::dedupe::{Identities, digest};
use super::super::partition::Resumed;
use super::super::pool::Pool;
use super::super::resumed::MAP_SPAN;
use super::super::slab::NONE;
use super::super::window::{BLOCK, Block, Window};
use super::io::{Fault, Io, Reader, Writer, told};
use super::need;

const USED_TWICE: Fault = "a block of the window pool is used twice";

/// Which blocks of the pool are in use, while it is being read.
pub(super) struct Taken(Vec<bool>);

impl Taken {
    fn take(&mut self, block: u32) -> Result<(), Fault> {
        let taken = self.0.get_mut(block as usize).ok_or(USED_TWICE)?;
        need(!core::mem::replace(taken, true), USED_TWICE)
    }
}

impl Pool {
    pub(super) fn none_taken(&self) -> Taken {
        Taken(vec![false; self.blocks.len()])
    }

    /// The list of free blocks, from what is taken.
    pub(super) fn free_rest(&mut self, taken: &Taken) {
        let Self {
            blocks,
            most: _,
            free,
            free_count,
        } = self;
        (*free, *free_count) = (NONE, 0);
        let rest = blocks.iter_mut().zip(&taken.0).enumerate().rev();
        for (index, (block, _)) in rest.filter(|(_, (_, taken))| !**taken) {
            block.next = *free;
            *free = index as u32;
            *free_count += 1;
        }
    }
}

impl Pool {
    /// The digest of a held entry, if its identity is known.
    pub(super) fn tell_digest(&mut self, entry: u32, identities: &Identities) {
        let block = self.block(entry);
        if let Some(identity) = block.identity(entry) {
            block.digests[(entry % BLOCK) as usize] = digest(identities.identity(identity));
        }
    }
}

impl Block {
    fn write(&self, to: &mut Writer<'_>) {
        let Self {
            base,
            done,
            next: _,
            len,
            deltas,
            digests,
            identities,
        } = self;
        // Those of which no identity is told.
        let plain = |i: u32| u64::from(identities[i as usize] == NONE) << i;
        let plain = (0..*len).map(plain).fold(0, |all, bit| all | bit);
        told(to.u64(&mut { *base }));
        told(to.u64(&mut { *done }));
        told(to.u64(&mut { plain }));
        to.put(*len);
        for index in 0..*len {
            to.put(deltas[index as usize]);
            if (done | plain) >> index & 1 == 1 {
                told(to.digest(&mut { digests[index as usize] }));
            } else {
                to.put(identities[index as usize]);
            }
        }
    }

    fn read(&mut self, from: &mut Reader<'_>, identities: usize) -> Result<(), Fault> {
        from.u64(&mut self.base)?;
        from.u64(&mut self.done)?;
        let mut plain = 0;
        from.u64(&mut plain)?;
        self.len = from.get(BLOCK as usize)?;
        let beyond = self.len < BLOCK && (self.done | plain) >> self.len != 0;
        need(!beyond, "a window says something of no position")?;
        for index in 0..self.len {
            let (delta, note) = (from.get(u32::MAX as usize)?, from.get(u32::MAX as usize)?);
            let position = self.base.checked_add(delta.into());
            need(position.is_some(), "a position is beyond all")?;
            let is = |bits: u64| bits >> index & 1 == 1;
            self.deltas[index as usize] = delta;
            // The digest of a held one follows from its identity, which is read later.
            self.digests[index as usize] = note;
            self.identities[index as usize] = match (is(plain), is(self.done)) {
                (true, _) => NONE,
                // Nobody asks for it any more.
                (false, true) => 0,
                (false, false) => note,
            };
            let known = is(self.done | plain) || (note as usize) < identities;
            need(known, "an identity is nowhere")?;
        }
        Ok(())
    }
}

/// A block of a resumed map with digests.
impl Block {
    fn write_kept(&self, to: &mut Writer<'_>) {
        told(to.u64(&mut { self.base }));
        to.put(self.len);
        for index in 0..self.len as usize {
            to.put(self.deltas[index]);
            let digest = self.digests[index] as u16;
            let digest = to.mask.map_or(digest, |mask| mask.short(digest));
            told(to.u16(&mut { digest }));
        }
    }

    fn read_kept(&mut self, from: &mut Reader<'_>) -> Result<(), Fault> {
        self.done = 0;
        from.u64(&mut self.base)?;
        self.len = from.get(BLOCK as usize)?;
        need(self.len > 0, "a map names nothing")?;
        for index in 0..self.len as usize {
            let (delta, mut digest) = (from.get(u32::MAX as usize)?, 0);
            from.u16(&mut digest)?;
            let position = self.base.checked_add(delta.into());
            need(position.is_some(), "a position is beyond all")?;
            (self.deltas[index], self.digests[index]) = (delta, digest.into());
        }
        let deltas = &self.deltas[..self.len as usize];
        let rising = deltas.is_sorted_by(|a, b| a < b);
        need(rising, "a map is out of order")
    }
}

impl Window {
    pub(super) fn write(&self, pool: &Pool, to: &mut Writer<'_>) {
        let Self {
            first,
            tail: _,
            blocks,
            len: _,
            // Where the last search ended: what is found does not depend on it.
            cursor: _,
        } = self;
        to.put(*blocks);
        let mut at = *first / BLOCK;
        for _ in 0..*blocks {
            to.put(at);
            let block = &pool.blocks[at as usize];
            block.write(to);
            at = block.next;
        }
        if *blocks > 0 {
            to.put(*first % BLOCK);
        }
    }

    pub(super) fn read(
        from: &mut Reader<'_>,
        pool: &mut Pool,
        taken: &mut Taken,
        identities: usize,
    ) -> Result<Self, Fault> {
        let mut new = Self::EMPTY;
        let blocks = from.get(pool.blocks.len())?;
        let (mut head, mut entries) = (NONE, 0_u64);
        for _ in 0..blocks {
            let number = from.get(pool.blocks.len().saturating_sub(1))?;
            taken.take(number)?;
            pool.blocks[number as usize].read(from, identities)?;
            entries += u64::from(pool.blocks[number as usize].len);
            match new.tail {
                NONE => head = number,
                tail => pool.blocks[tail as usize].next = number,
            }
            new.tail = number;
            new.blocks += 1;
        }
        if blocks > 0 {
            let index = from.get(BLOCK as usize - 1)?;
            let inside = index <= pool.blocks[head as usize].len;
            need(inside, "a window begins beyond its first block")?;
            new.first = head * BLOCK + index;
            let len = u32::try_from(entries - u64::from(index));
            new.len = len.map_err(|_| "a window is too long")?;
            let at_end = index == pool.blocks[head as usize].len;
            need(!at_end || new.len == 0, "a window begins with nothing")?;
        }
        Ok(new)
    }

    /// Whether an entry is one of this window's, not before the first unfinished one.
    pub(super) fn holds(&self, pool: &Pool, entry: u32, owners: &[u32], owner: u32) -> bool {
        let (number, index) = (entry / BLOCK, entry % BLOCK);
        let Some(block) = pool.blocks.get(number as usize) else {
            return false;
        };
        owners.get(number as usize) == Some(&owner)
            && index < block.len
            && (number != self.first / BLOCK || index >= self.first % BLOCK)
            && block.done >> index & 1 == 0
    }

    /// Marks the blocks of this window as `owner`'s.
    pub(super) fn own(&self, pool: &Pool, owners: &mut [u32], owner: u32) {
        let mut at = self.first / BLOCK;
        for _ in 0..self.blocks {
            owners[at as usize] = owner;
            at = pool.blocks[at as usize].next;
        }
    }
}

impl Resumed {
    pub(super) fn write(&self, pool: &Pool, to: &mut Writer<'_>) {
        let Self {
            block,
            blocks,
            base,
            digests,
        } = self;
        to.put(*blocks);
        told(to.u64(&mut { *base }));
        told(to.flag(&mut { *digests }));
        let mut at = *block;
        for _ in 0..*blocks {
            to.put(at);
            if *digests {
                pool.blocks[at as usize].write_kept(to);
            }
            for word in 0..BLOCK as usize * usize::from(!*digests) {
                told(to.u64(&mut pool.word(at, word)));
            }
            at = pool.next(at);
        }
    }

    pub(super) fn read(
        from: &mut Reader<'_>,
        pool: &mut Pool,
        taken: &mut Taken,
    ) -> Result<Option<Self>, Fault> {
        let blocks = from.get(pool.blocks.len())?;
        if blocks == 0 {
            return Ok(None);
        }
        let mut new = Self {
            block: NONE,
            blocks,
            base: 0,
            digests: false,
        };
        from.u64(&mut new.base)?;
        from.flag(&mut new.digests)?;
        let end = new.base.checked_add(u64::from(blocks) * MAP_SPAN);
        need(
            new.digests || end.is_some(),
            "a map reaches beyond all positions",
        )?;
        let mut last = NONE;
        for _ in 0..blocks {
            let number = from.get(pool.blocks.len().saturating_sub(1))?;
            taken.take(number)?;
            if new.digests {
                pool.blocks[number as usize].read_kept(from)?;
            }
            for word in 0..BLOCK as usize * usize::from(!new.digests) {
                let mut value = 0;
                from.u64(&mut value)?;
                pool.set_word(number, word, value);
            }
            match last {
                NONE => new.block = number,
                last => pool.link(last, number),
            }
            last = number;
        }
        pool.link(last, NONE);
        Ok(Some(new))
    }
}

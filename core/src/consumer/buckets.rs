//! A fixed table of identities, in buckets of half a cache line, at most half full, never growing.
//!
//! Tens of thousands are remembered, and each message enters one and removes one: neither may hang on
//! how full the place is that its hash names, because a branch that is guessed wrong every fourth time
//! costs more than all the rest (ADR 0004). A bucket has room for six numbers, with six bits of the
//! hash of each, which are compared all at once. What finds no room goes on to the next bucket that has
//! some, and is counted by those that it has passed. Nothing moves while it is there, so that whoever
//! remembers its place takes it out without a search.

use alloc::vec;
use alloc::vec::Vec;

/// Numbers in a bucket.
const ROOM: usize = 6;
/// The lowest bit of each tag, and the highest, which none has.
const LOW: u64 = 0x0000_0101_0101_0101;
const HIGH: u64 = LOW << 7;
/// Where the count of those that went on begins, and its highest value.
const PASSED: u32 = 48;
const MOST: u64 = 0xFFFF;
/// A place: the bits from `BUCKET` on say which bucket, those below where its tag begins, and the lowest
/// that the bucket is another one than its hash names.
const BEYOND: u32 = 1;
const BUCKET: u32 = 6;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
struct Bucket {
    /// Of each number a byte: 0 where there is none. Above these, how many numbers found no room here
    /// and went on.
    tags: u64,
    numbers: [u32; ROOM],
}

impl Bucket {
    const EMPTY: Self = Self {
        tags: 0,
        numbers: [0; ROOM],
    };

    /// Where a byte of `bytes` is 0, as highest bits. One that is 1 may be among them, behind one that is 0.
    #[inline(always)]
    const fn zeros(bytes: u64) -> u64 {
        bytes.wrapping_sub(LOW) & HIGH
    }

    /// The places that may be of this tag. None of them is free.
    #[inline(always)]
    const fn places_of(&self, tag: u32) -> u64 {
        Self::zeros(self.tags ^ (LOW * byte(tag)))
    }

    /// The number of this tag that `same` accepts.
    #[inline]
    fn find(&self, tag: u32, same: &impl Fn(u32) -> bool) -> Option<u32> {
        let mut places = self.places_of(tag);
        while places != 0 {
            let number = self.numbers[places.trailing_zeros() as usize / 8];
            if same(number) {
                return Some(number);
            }
            places &= places - 1;
        }
        None
    }

    /// Puts a number into the first free place. Returns where its tag is.
    #[inline(always)]
    fn put(&mut self, tag: u32, number: u32) -> Option<u32> {
        let free = Self::zeros(self.tags);
        if free == 0 {
            return None;
        }
        let place = free.trailing_zeros() / 8;
        self.numbers[place as usize] = number;
        self.tags |= byte(tag) << (8 * place);
        Some(8 * place)
    }

    /// How many numbers went on to the next bucket.
    #[inline(always)]
    const fn passed(&self) -> u64 {
        self.tags >> PASSED
    }

    /// One more has gone on. A count that has reached its highest value stays there.
    const fn pass(&mut self) {
        if self.passed() < MOST {
            self.tags += 1 << PASSED;
        }
    }

    /// One that went on is not there any more.
    const fn unpass(&mut self) {
        if self.passed() < MOST {
            self.tags -= 1 << PASSED;
        }
    }
}

/// What a bucket keeps of a hash: six of its upper bits, as the lower ones choose the bucket. Never 0, and
/// never 1: that would make a free place look like [one of this tag](Bucket::zeros).
#[inline(always)]
const fn byte(tag: u32) -> u64 {
    (tag >> 25 | 2) as u64
}

/// What became of a number that was to be put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Put {
    /// It has this place now.
    At(u32),
    /// This one is there already.
    Found(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Buckets {
    /// A power of two. The lowest bits of a tag name the bucket that is looked at first.
    buckets: Vec<Bucket>,
    len: u32,
}

impl Buckets {
    /// Room for `capacity` numbers (at most 2^27), in 11 to 22 bytes each.
    pub(super) fn new(capacity: usize) -> Self {
        let buckets = capacity.div_ceil(ROOM / 2).max(1).next_power_of_two();
        Self {
            buckets: vec![Bucket::EMPTY; buckets],
            len: 0,
        }
    }

    #[inline]
    pub(super) const fn len(&self) -> u32 {
        self.len
    }

    #[inline(always)]
    const fn home(&self, tag: u32) -> usize {
        tag as usize & (self.buckets.len() - 1)
    }

    /// Gives a number a place, if none can be there that has the tag of what it stands for. `None`: it
    /// has to be [looked for](Self::find_or_put).
    #[inline(always)]
    pub(super) fn put_first(&mut self, tag: u32, new: u32) -> Option<u32> {
        let home = self.home(tag);
        let bucket = &mut self.buckets[home];
        if bucket.places_of(tag) | bucket.passed() != 0 {
            return None;
        }
        let at = bucket.put(tag, new)?;
        self.len += 1;
        Some((home as u32) << BUCKET | at)
    }

    /// Finds the number of this tag that `same` accepts, or gives `new` a place.
    pub(super) fn find_or_put(&mut self, tag: u32, new: u32, same: impl Fn(u32) -> bool) -> Put {
        let home = self.home(tag);
        let bucket = &mut self.buckets[home];
        if let Some(found) = bucket.find(tag, &same) {
            return Put::Found(found);
        }
        if bucket.passed() > 0
            && let Some(found) = self.find(tag, same)
        {
            return Put::Found(found);
        }
        self.len += 1;
        let mut at = home;
        loop {
            if let Some(place) = self.buckets[at].put(tag, new) {
                let beyond = if at == home { 0 } else { BEYOND };
                return Put::At((at as u32) << BUCKET | place | beyond);
            }
            self.buckets[at].pass();
            at = self.after(at);
        }
    }

    const fn after(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    /// The number of this tag that `same` accepts.
    pub(super) fn find(&self, tag: u32, same: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(tag);
        for _ in 0..self.buckets.len() {
            let bucket = &self.buckets[at];
            let found = bucket.find(tag, &same);
            if found.is_some() || bucket.passed() == 0 {
                return found;
            }
            at = self.after(at);
        }
        None
    }

    /// Takes out what is at a place; `tag` knows its tag.
    #[inline(always)]
    pub(super) fn remove(&mut self, mut place: u32, tag: impl FnOnce() -> u32) {
        if place & BEYOND != 0 {
            place -= BEYOND;
            self.unpass(self.home(tag()), (place >> BUCKET) as usize);
        }
        let bucket = &mut self.buckets[(place >> BUCKET) as usize];
        // By the lowest bits of a place, which say where its tag begins.
        bucket.tags &= (!0xFF_u64).rotate_left(place);
        self.len -= 1;
    }

    /// One that went from here to there is taken out.
    #[cold]
    fn unpass(&mut self, home: usize, to: usize) {
        let mut at = home;
        while at != to {
            self.buckets[at].unpass();
            at = self.after(at);
        }
    }

    /// Bytes of the table, for the memory budget.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.buckets.capacity() * size_of::<Bucket>()
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
            // Few buckets and few tags, so that they are full, and what goes on wraps around.
            let hash = |n: u32| (n & 3) << 25 | (n % 3 + 126);
            let mut table = Buckets::new(24);
            let mut model = BTreeMap::new();
            for (op, n) in ops {
                match op {
                    0 => match table.put_first(hash(n), n) {
                        Some(place) => prop_assert_eq!(model.insert(n, place), None),
                        None => match table.find_or_put(hash(n), n, |m| m == n) {
                            Put::At(place) => prop_assert_eq!(model.insert(n, place), None),
                            Put::Found(m) => prop_assert!(m == n && model.contains_key(&n)),
                        },
                    },
                    1 => if let Some(place) = model.remove(&n) {
                        table.remove(place, || hash(n));
                    },
                    _ => prop_assert_eq!(table.find(hash(n), |m| m == n).is_some(), model.contains_key(&n)),
                }
                prop_assert_eq!(table.len() as usize, model.len());
            }
            for n in 0..24 {
                prop_assert_eq!(table.find(hash(n), |m| m == n).is_some(), model.contains_key(&n));
            }
            for (n, place) in model {
                table.remove(place, || hash(n));
            }
            prop_assert!(table.buckets.iter().all(|b| b.tags == 0), "nothing is left behind");
        }
    }

    #[test]
    fn all_of_one_hash_are_found() {
        let mut table = Buckets::new(1_000);
        let put = |n| match table.find_or_put(7, n, |_| false) {
            Put::At(place) => place,
            Put::Found(_) => panic!("{n}"),
        };
        let places: Vec<u32> = (0..1_000).map(put).collect();
        for (n, place) in (0..).zip(places) {
            assert_eq!(table.find(7, |m| m == n), Some(n));
            table.remove(place, || 7);
            assert_eq!(table.find(7, |m| m == n), None);
        }
        assert!(table.buckets.iter().all(|b| b.tags == 0));
    }

    #[test]
    fn most_are_put_at_once() {
        let mut table = Buckets::new(3_000);
        let mut at_once = 0;
        for n in 0..3_000_u32 {
            let tag = (u64::from(n).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as u32;
            match table.put_first(tag, n) {
                Some(_) => at_once += 1,
                None => assert!(matches!(table.find_or_put(tag, n, |_| false), Put::At(_))),
            }
        }
        assert!(at_once > 2_700, "only {at_once} without a search");
    }

    #[test]
    fn a_count_that_is_too_high_stays() {
        let mut bucket = Bucket::EMPTY;
        (0..70_000).for_each(|_| bucket.pass());
        (0..70_000).for_each(|_| bucket.unpass());
        assert_eq!(bucket.passed(), MOST);
    }
}

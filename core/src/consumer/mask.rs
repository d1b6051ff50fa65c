//! Keys and identities under a salt: for reports that leave the machine.
//!
//! What the core does depends on which of these numbers are equal, never on the numbers. They are
//! replaced by others here, so that equal ones stay equal; and because the window keeps digests of
//! identities only, and copies without a key share a lane that follows from the identity, digests and
//! lanes of the replacements follow from digests and lanes of what they replace.

use alloc::vec::Vec;

use super::dedupe::{FOLD, fold};
use super::map;
use crate::Position;

/// Replaces keys, lanes and identities. `hash` is a hash under a secret salt: what comes out tells
/// nothing of what went in.
#[derive(Clone, Copy)]
pub struct Mask<'a> {
    hash: &'a dyn Fn(u128) -> u128,
}

/// What a number is, so that equal numbers of different kinds have nothing in common afterwards.
const KEY: u128 = 1 << 126;
const IDENTITY: u128 = 2 << 126;
const LANE: u128 = 3 << 126;

impl<'a> Mask<'a> {
    /// A mask over this salted hash.
    pub const fn new(hash: &'a dyn Fn(u128) -> u128) -> Self {
        Self { hash }
    }

    /// All that is looked at of a key: whoever keeps 64 bits of keys masks them as the keys themselves
    /// are masked. 0 for 0 only.
    #[inline]
    #[must_use]
    pub const fn short_key(key: u128) -> u64 {
        match fold(key) {
            0 => (key > 0) as u64,
            short => short,
        }
    }

    /// All that is looked at of an identity.
    #[inline]
    #[must_use]
    pub const fn short_identity(identity: u128) -> u64 {
        fold(identity)
    }

    /// For the hash of a key. 0, which stands for no key in places, stays 0.
    #[must_use]
    pub fn key(&self, key: u128) -> u128 {
        match Self::short_key(key) {
            0 => 0,
            short => (self.hash)(u128::from(short) ^ KEY).max(1),
        }
    }

    /// For a lane. 0, the lane of all messages without a key, stays 0.
    #[must_use]
    pub fn lane(&self, lane: u64) -> u64 {
        if lane == 0 {
            return 0;
        }
        // The upper half of the product is the digest of identities with this lane.
        let product = lane.wrapping_mul(FOLD);
        let upper = u64::from(self.digest((product >> 32) as u32));
        let lower = (self.hash)(u128::from(lane) ^ LANE) as u32;
        (upper << 32 | u64::from(lower)).wrapping_mul(INVERSE)
    }

    /// For the hash of an identity.
    #[must_use]
    pub fn identity(&self, identity: u128) -> u128 {
        let short = Self::short_identity(identity);
        let low = (self.hash)(u128::from(short) ^ IDENTITY) as u64;
        let high = low ^ self.lane(short);
        u128::from(high) << 64 | u128::from(low)
    }

    /// For the digest of an identity, half by half: the upper one is all that a progress map keeps
    /// ([`short`](Self::short)). One to one. 0 stays 0.
    pub(super) fn digest(&self, digest: u32) -> u32 {
        let (upper, lower) = ((digest >> 16) as u16, digest as u16);
        // What the upper half was says which permutation of the lower half it is.
        let lower = self.permuted(u32::from(upper) + 1, lower, upper == 0);
        u32::from(self.short(upper)) << 16 | u32::from(lower)
    }

    /// For the upper half of a digest. One to one. 0 stays 0.
    pub(super) fn short(&self, upper: u16) -> u16 {
        self.permuted(0, upper, true)
    }

    /// One of many permutations: four rounds of a Feistel network. In some, 0 stays 0.
    fn permuted(&self, which: u32, number: u16, zero: bool) -> u16 {
        let permuted = |number: u16| {
            let [mut left, mut right] = number.to_be_bytes();
            for round in 0..4_u128 {
                let drawn = u128::from(which) << 8 | u128::from(right) | round << 64;
                (left, right) = (right, left ^ (self.hash)(drawn) as u8);
            }
            u16::from_be_bytes([left, right])
        };
        match (number, permuted(number)) {
            (0, _) if zero => 0,
            // What stands where 0 stays takes the place of 0.
            (_, 0) if zero => permuted(0),
            (_, other) => other,
        }
    }

    /// For a progress map: its parked keys and its digests are replaced. One that is not sound becomes another one
    /// that is not sound.
    #[must_use]
    pub fn map(&self, bytes: &[u8]) -> Vec<u8> {
        if bytes.is_empty() {
            return Vec::new();
        }
        let frontier = bytes
            .get(10..18)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u64::from_le_bytes);
        let end = Position(u64::MAX);
        let Some(sound) = map::decode(bytes, Position(frontier), None, end) else {
            return alloc::vec![0];
        };
        let mut keys: Vec<_> = sound.parked().collect();
        for parked in &mut keys {
            parked.key = self.key(parked.key);
        }
        keys.sort_unstable_by_key(|k| k.key);
        map::replaced(bytes, &sound, &keys, |digest| self.short(digest))
    }
}

/// What the factor of digests is undone by.
const INVERSE: u64 = {
    // Newton: each step doubles the bits that are right, from the five that every odd number has.
    let mut inverse = FOLD.wrapping_mul(3) ^ 2;
    let mut step = 0;
    while step < 4 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(FOLD.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
};
const _: () = assert!(FOLD.wrapping_mul(INVERSE) == 1);

impl core::fmt::Debug for Mask<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Mask").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::dedupe::digest;
    use super::super::digests::short;
    use super::*;
    use crate::backoff::mix;
    use proptest::prelude::*;

    fn hash(n: u128) -> u128 {
        let (low, high) = (mix(n as u64 ^ 77), mix((n >> 64) as u64 ^ mix(n as u64)));
        u128::from(high) << 64 | u128::from(low)
    }

    proptest! {
        #[test]
        fn digests_and_lanes_follow_from_what_they_replace(identity in any::<u128>()) {
            let mask = Mask::new(&hash);
            let other = mask.identity(identity);
            prop_assert_ne!(other, identity);
            prop_assert_eq!(digest(other), mask.digest(digest(identity)));
            prop_assert_eq!(short(digest(other)), mask.short(short(digest(identity))));
            prop_assert_eq!(fold(other), mask.lane(fold(identity)));
        }

        #[test]
        fn short_ones_are_masked_as_what_they_are_of(number in any::<u128>(), half in any::<u64>()) {
            let mask = Mask::new(&hash);
            for number in [number, u128::from(half) << 64 | u128::from(half)] {
                let (key, identity) = (Mask::short_key(number), Mask::short_identity(number));
                prop_assert_eq!(mask.key(key.into()), mask.key(number));
                prop_assert_eq!(mask.identity(identity.into()), mask.identity(number));
            }
        }
    }

    #[test]
    fn digests_stay_apart_and_0_stays() {
        let mask = Mask::new(&hash);
        for step in [1, 1 << 16, 40_503] {
            let digests = (0..65_536_u32).map(|n| n.wrapping_mul(step));
            let mut all: Vec<u32> = digests.map(|d| mask.digest(d)).collect();
            all.sort_unstable();
            all.dedup();
            assert_eq!((all.len(), all[0]), (65_536, 0));
        }
        let zero = mask.digest(0);
        assert_eq!((zero, mask.lane(0), mask.key(0)), (0, 0, 0));
    }
}

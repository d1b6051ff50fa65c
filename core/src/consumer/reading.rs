//! Progress maps, read by others than their core: histories, tools, simulators.

use alloc::vec::Vec;

use super::map::{Sound, decode};
use super::suspects::{Accused, Mark};
use super::{ParkedKey, Position};

/// A progress map that is whole and sound: looked through once, and asked as often as one likes.
#[derive(Clone, Copy, Debug)]
pub struct ProgressMap<'a> {
    sound: Sound<'a>,
    frontier: Position,
}

impl<'a> ProgressMap<'a> {
    /// `None` when it is not a sound map of that frontier. Of what incarnation it is, and whether it claims
    /// more than its log holds, is not looked at.
    #[must_use]
    pub fn read(map: &'a [u8], frontier: Position) -> Option<Self> {
        let sound = decode(map, frontier, None, Position(u64::MAX))?;
        Some(Self { sound, frontier })
    }

    /// The finished ranges `[from, to)` beyond the frontier, in order. Holes count as finished.
    #[must_use]
    pub fn ranges(&self) -> Vec<(Position, Position)> {
        let mut ranges = Vec::new();
        let mut from = None;
        for (word, nth) in self.sound.finished.words().chain([0]).zip(0u64..) {
            let at = |bit: u32| Position(self.frontier.0 + 64 * nth + u64::from(bit));
            let mut bit = 0;
            while bit < 64 {
                let rest = word >> bit;
                if let Some(start) = from {
                    // Ones end with the word at the latest: zeros come in from above.
                    bit += (!rest).trailing_zeros();
                    if bit < 64 {
                        ranges.push((start, at(bit)));
                        from = None;
                    }
                } else if rest == 0 {
                    break;
                } else {
                    bit += rest.trailing_zeros();
                    from = Some(at(bit));
                }
            }
        }
        ranges
    }

    /// The finished positions that it names, each with 16 bits of the identity that was finished there;
    /// nothing where it has no digests ([`Config::map_digests`](crate::Config::map_digests)).
    pub fn digests(&self) -> impl Iterator<Item = (Position, u16)> + 'a {
        let frontier = self.frontier.0;
        let at = move |(distance, digest)| (Position(frontier + distance), digest);
        self.sound.digests().map(at)
    }

    /// The keys that are parked, in the order of their hashes.
    pub fn parked(&self) -> impl Iterator<Item = ParkedKey> + 'a {
        self.sound.parked()
    }

    /// What it says of suspects ([`Config::suspects`](crate::Config::suspects)): whether anything may have
    /// been running, and the messages that are named.
    #[must_use]
    pub fn suspects(&self) -> (bool, Vec<Accused>) {
        let marked = self.sound.marked();
        (marked.mark == Mark::Anything, marked.entries().to_vec())
    }
}

/// The finished ranges of a map, as [`ProgressMap::ranges`] has them.
#[must_use]
pub fn decode_map(map: &[u8], frontier: Position) -> Option<Vec<(Position, Position)>> {
    ProgressMap::read(map, frontier).map(|read| read.ranges())
}

/// The digests of a map, as [`ProgressMap::digests`] has them.
#[must_use]
pub fn decode_digests(map: &[u8], frontier: Position) -> Option<Vec<(Position, u16)>> {
    ProgressMap::read(map, frontier).map(|read| read.digests().collect())
}

/// The parked keys of a map, as [`ProgressMap::parked`] has them.
#[must_use]
pub fn decode_parked(map: &[u8], frontier: Position) -> Option<Vec<ParkedKey>> {
    ProgressMap::read(map, frontier).map(|read| read.parked().collect())
}

/// What a map says of suspects, as [`ProgressMap::suspects`] has it.
#[must_use]
pub fn decode_suspects(map: &[u8], frontier: Position) -> Option<(bool, Vec<Accused>)> {
    ProgressMap::read(map, frontier).map(|read| read.suspects())
}

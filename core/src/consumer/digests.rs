//! Digests in a progress map: what was finished is recognised when it comes again, or is not, because the
//! log was rewritten there.
//!
//! ```text
//! 0..2   how many positions are named, at least 1
//! 2..    bits or run lengths, as in a map without digests; but holes are not named
//! then   for each named position, in order, the digest of the identity that was finished there (2)
//! ```
//! The digest is the upper half of the one that the window keeps ([`short`]). Where not all fit, the far
//! end is forgotten, as ever: no position is named without its digest.

use super::pool::Pool;
use super::runs::{SPAN, length, put};
use super::window::Window;
use crate::mutants;

/// What each named position costs, besides.
const EACH: usize = 2;
/// How many there are.
pub(super) const COUNT: usize = 2;

/// The digest of an identity in a map.
#[inline]
pub(super) const fn short(digest: u32) -> u16 {
    (digest >> 16) as u16
}

/// How positions are named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Bits,
    Runs,
}

/// What fits into a map.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Extent {
    pub(super) form: Form,
    /// Positions that are named.
    count: usize,
    /// Bytes that their names take.
    names: usize,
}

impl Extent {
    /// Bytes that all of it takes.
    pub(super) const fn bytes(&self) -> usize {
        COUNT + self.names + EACH * self.count
    }
}

/// Finished arrivals as distances from `frontier`, with their digests, until `each` says no.
fn each_finished(
    window: &Window,
    pool: &Pool,
    frontier: u64,
    mut each: impl FnMut(u64, u16) -> bool,
) {
    for view in window.blocks_from_head(pool) {
        let entries = view.deltas.iter().zip(view.digests).enumerate();
        for (i, (&delta, &digest)) in entries.skip(view.first as usize) {
            let at = (view.base + u64::from(delta)).saturating_sub(frontier);
            // The frontier itself is named by no map, even where it stands still at something finished.
            if view.done >> i & 1 == 1 && at > 0 && !each(at, short(digest)) {
                return;
            }
        }
    }
}

/// What of a window fits into so much room; nothing where nothing does.
pub(super) fn measure(window: &Window, pool: &Pool, frontier: u64, room: usize) -> Option<Extent> {
    let most = room.saturating_sub(COUNT).min(usize::from(u16::MAX));
    let (mut bits, mut runs) = ([0, 0], [0, 0]);
    // Where the last run begins, what those before it take, and one past its end.
    let (mut from, mut before, mut end) = (0, 0, 0);
    let (mut count, mut open) = (0, true);
    each_finished(window, pool, frontier, |at, _| {
        count += 1;
        let size = (at / 8) as usize + 1;
        let more = size + EACH * count <= most;
        if more {
            bits = [count, size];
        }
        if at > end || count == 1 {
            before = runs[1];
            before += length(at - end);
            from = at;
        }
        end = at + 1;
        let size = before + length(end - from);
        open &= end <= SPAN && size + EACH * count <= most;
        if open {
            runs = [count, size];
        }
        more || open
    });
    let (form, [count, names]) = if runs[0] > bits[0] || (runs[0] == bits[0] && runs[1] < bits[1]) {
        (Form::Runs, runs)
    } else {
        (Form::Bits, bits)
    };
    (count > 0).then_some(Extent { form, count, names })
}

/// Writes what was measured into `out`, which is all zeros and has room for it.
pub(super) fn write(window: &Window, pool: &Pool, frontier: u64, extent: Extent, out: &mut [u8]) {
    let (count, rest) = out.split_at_mut(COUNT);
    count.copy_from_slice(&(extent.count as u16).to_le_bytes());
    let (names, digests) = rest.split_at_mut(extent.names);
    let mut places = digests.chunks_exact_mut(EACH).take(extent.count);
    let (mut at_name, mut run) = (0, (0, 0));
    let mut last_end = 0;
    each_finished(window, pool, frontier, |at, digest| {
        let Some(place) = places.next() else {
            return false;
        };
        place.copy_from_slice(&digest.to_le_bytes());
        match extent.form {
            Form::Bits => names[(at / 8) as usize] |= 1 << (at % 8),
            Form::Runs if at == run.1 && run.1 > 0 => run.1 = at + 1,
            Form::Runs => {
                put_run(names, &mut at_name, last_end, run);
                last_end = run.1;
                run = (at, at + 1);
            }
        }
        true
    });
    if extent.form == Form::Runs {
        put_run(names, &mut at_name, last_end, run);
    }
    if mutants::is(251)
        && let Some(first) = digests.first_mut()
    {
        *first = !*first;
    }
}

fn put_run(names: &mut [u8], at: &mut usize, end: u64, (from, to): (u64, u64)) {
    if to > 0 {
        put(names, at, from - end);
        put(names, at, to - from);
    }
}

/// Splits names from digests.
pub(super) fn split(bytes: &[u8]) -> Option<(&[u8], &[[u8; EACH]])> {
    let (count, rest) = bytes.split_first_chunk::<COUNT>()?;
    let count = usize::from(u16::from_le_bytes(*count));
    let names = rest.len().checked_sub(EACH * count)?;
    let (names, digests) = rest.split_at(names);
    (count > 0).then_some((names, digests.as_chunks().0))
}

#[cfg(test)]
mod tests {
    use super::super::map::{Kept, decode, encode};
    use super::super::places::ParkedKey;
    use super::super::reading::{decode_digests, decode_map};
    use super::super::suspects::Marked;
    use super::super::window::Note;
    use super::*;
    use crate::{Incarnation, Position};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// A map of these arrivals in so much room, and what it may say: what is finished behind the frontier.
    fn written(arrivals: &[(u64, bool)], room: usize) -> (Vec<u8>, Position, Vec<(Position, u16)>) {
        let mut pool = Pool::new(32_768);
        let mut window = Window::EMPTY;
        for &(position, done) in arrivals {
            let note = Note::digest(position as u32 * 0x0001_F00D);
            let entry = window.push(&mut pool, Position(position), note);
            if done {
                pool.finish(entry);
            }
        }
        window.advance(&mut pool);
        let frontier = window.first(&pool).unwrap_or_default();
        let named = arrivals.iter().filter(|a| a.1 && a.0 > frontier.0);
        let named = named.map(|a| (Position(a.0), short(a.0 as u32 * 0x0001_F00D)));
        let mut out = alloc::vec![0; room];
        let said = (core::iter::empty::<ParkedKey>(), &Marked::NONE);
        let len = encode(
            (&window, &pool),
            frontier,
            Incarnation(5),
            said,
            Kept::Digests,
            &mut out,
        );
        out.truncate(len);
        (out, frontier, named.collect())
    }

    /// Arrivals of which every stretch is finished or not, with holes before some.
    fn arrivals(stretches: &[(u64, u64, u64)]) -> Vec<(u64, bool)> {
        let mut at = 1;
        let mut arrivals = Vec::new();
        for &(waits, done, hole) in stretches {
            arrivals.extend((at..at + waits).map(|p| (p, false)));
            arrivals.extend((at + waits..at + waits + done).map(|p| (p, true)));
            at += waits + done + hole;
        }
        arrivals
    }

    proptest! {
        #[test]
        fn what_fits_comes_back_with_its_digest_and_the_far_end_is_forgotten(
            stretches in proptest::collection::vec((1u64..40, 0u64..60, 0u64..200), 1..30),
            room in 0usize..1_500,
        ) {
            let arrivals = arrivals(&stretches);
            let (map, frontier, all) = written(&arrivals, room);
            prop_assert!(map.len() <= room);
            if map.is_empty() {
                // Not even the first one: as a bit, or as the shortest run.
                let least = all.first().map(|a| (a.0.0 - frontier.0) / 8 + 1);
                prop_assert!(least.is_none_or(|l| 22 + 2 + 2 + l as usize > room));
                return Ok(());
            }
            let said = decode_digests(&map, frontier).unwrap();
            prop_assert_eq!(&said[..], &all[..said.len()]);
            // Holes are not named.
            let ranges = decode_map(&map, frontier).unwrap();
            prop_assert_eq!(ranges.iter().map(|r| r.1.0 - r.0.0).sum::<u64>(), said.len() as u64);
            if let Some(next) = all.get(said.len()) {
                let bits = (next.0.0 - frontier.0) as usize / 8 + 1;
                prop_assert!(22 + 2 + bits + 2 * (said.len() + 1) > room, "it had fitted");
            }
        }

        #[test]
        fn anything_else_is_refused_as_a_whole(
            flip in any::<usize>(), bit in 0u8..8, cut in any::<usize>(), dense in any::<bool>(),
        ) {
            let hole = if dense { 0 } else { 90 };
            let (map, frontier, _) = written(&arrivals(&[(1, 9, hole), (2, 80, 0)]), 400);
            let sound = |m: &[u8]| decode(m, frontier, Some(Incarnation(5)), Position(400)).is_some();
            prop_assert!(sound(&map));
            prop_assert!(!sound(&map[..cut % map.len()]));
            let mut bad = map.clone();
            bad[flip % map.len()] ^= 1 << bit;
            prop_assert!(!sound(&bad));
            // Signed as if it were right: there are as many digests as names, or it is none.
            let at = 22 + flip % (map.len() - 22);
            let mut signed = map;
            signed[at] ^= 1 << bit;
            let (head, body) = signed.split_at_mut(22);
            let sum = super::super::map::checksum(&head[..18], body);
            head[18..22].copy_from_slice(&sum.to_le_bytes());
            if let Some(said) = decode_digests(&signed, frontier) {
                let ranges = decode_map(&signed, frontier).unwrap();
                prop_assert_eq!(ranges.iter().map(|r| r.1.0 - r.0.0).sum::<u64>(), said.len() as u64);
                prop_assert!(said.is_sorted_by(|a, b| a.0 < b.0) && said[0].0 > frontier);
            }
        }
    }
}

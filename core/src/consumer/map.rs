//! The progress map: which positions beyond the frontier are finished already.
//!
//! It travels with the commit and is read back as an untrusted input. Layout, all numbers little
//! endian:
//! ```text
//!  0      version (1; 2 for run lengths, which older readers refuse)
//!  1      kind (0: nothing, 1: bitmap, 2: run lengths); 128 more where keys are parked
//!  2..10  incarnation of the log
//! 10..18  frontier, as committed beside it
//! 18..22  checksum over everything else
//! 22..    where keys are parked: their number (2), and for each, in the order of hashes, its hash (16),
//!         the position that parked it (8), what becomes of its messages (1: 0 follow, 1 wait, 2 discard)
//! then    bits: bit i (lowest first) of byte i/8 says that position `frontier + i` is finished or a
//!         hole between two finished ones; bit 0 is 0, the last byte is not 0
//! or      run lengths: see `runs`
//! ```
//! Of the two, that is written which reaches further, or is shorter where both say everything.
//! A map that does not fit forgets its far end, never its near one: what is forgotten runs again. Parked
//! keys are never forgotten: there is room for them, or there is no commit.

use super::places::{ParkedKey, ParkedMode};
use super::runs::{self, RunWords, Runs};
use super::window::{BLOCK, Pool, Window};
use crate::backoff::mix;
use crate::{Incarnation, Position};

const VERSION: u8 = 1;
const VERSION_RUNS: u8 = 2;
const NOTHING: u8 = 0;
const BITMAP: u8 = 1;
const RUNS: u8 = 2;
const PARKED: u8 = 128;
const HEADER: usize = 22;
/// What a parked key takes.
const KEY: usize = 25;

/// What a map says beside the finished positions, or instead of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// All that fits.
    All,
    /// Parked keys only.
    Keys,
}

/// Bytes of a map that says nothing but which keys are parked.
pub(super) const fn least(parked: usize) -> usize {
    if parked == 0 {
        0
    } else {
        HEADER + 2 + KEY * parked
    }
}

/// Sets bits in a byte buffer; whatever lies beyond its end is forgotten.
struct Bits<'a> {
    bytes: &'a mut [u8],
    /// One past the last bit that was set.
    end: u64,
}

impl Bits<'_> {
    const fn capacity(&self) -> u64 {
        self.bytes.len() as u64 * 8
    }

    /// Sets `from..to`.
    fn fill(&mut self, from: u64, to: u64) {
        let to = to.min(self.capacity());
        for bit in from..to {
            self.bytes[(bit / 8) as usize] |= 1 << (bit % 8);
        }
        if from < to {
            self.end = self.end.max(to);
        }
    }

    /// Sets the bits of `word` from `from` on.
    fn fill_word(&mut self, from: u64, word: u64) {
        if word == 0 || from >= self.capacity() {
            return;
        }
        let (byte, shift) = ((from / 8) as usize, from % 8);
        let wide = u128::from(word) << shift;
        for (i, target) in self.bytes.iter_mut().skip(byte).take(9).enumerate() {
            *target |= (wide >> (8 * i)) as u8;
        }
        self.end = self
            .end
            .max((from + 64 - u64::from(word.leading_zeros())).min(self.capacity()));
    }
}

/// Writes the map of a window into `out`, which has [`least`] room for the keys. Returns its length; 0
/// when there is nothing to say or nothing fits.
pub(super) fn encode(
    (window, pool): (&Window, &Pool),
    frontier: Position,
    incarnation: Incarnation,
    keys: impl Iterator<Item = ParkedKey>,
    kept: Kept,
    out: &mut [u8],
) -> usize {
    if out.len() <= HEADER {
        return 0;
    }
    out.fill(0);
    let (header, body) = out.split_at_mut(HEADER);
    let parked = encode_keys(keys, body);
    let (kind, used) = match kept {
        Kept::All => encode_finished(window, pool, frontier, &mut body[parked..]),
        Kept::Keys => (NOTHING, 0),
    };
    if parked + used == 0 {
        return 0;
    }
    header[0] = if kind == RUNS { VERSION_RUNS } else { VERSION };
    header[1] = kind | if parked > 0 { PARKED } else { 0 };
    header[2..10].copy_from_slice(&incarnation.0.to_le_bytes());
    header[10..18].copy_from_slice(&frontier.0.to_le_bytes());
    let sum = checksum(&header[..18], &body[..parked + used]);
    header[18..22].copy_from_slice(&sum.to_le_bytes());
    HEADER + parked + used
}

fn encode_keys(keys: impl Iterator<Item = ParkedKey>, body: &mut [u8]) -> usize {
    let (mut at, places) = (2, body.get_mut(2..).unwrap_or_default());
    for (parked, place) in keys.zip(places.chunks_exact_mut(KEY)) {
        place[..16].copy_from_slice(&parked.key.to_le_bytes());
        place[16..24].copy_from_slice(&parked.since.0.to_le_bytes());
        place[24] = parked.mode as u8;
        at += KEY;
    }
    if at == 2 {
        return 0;
    }
    let count = ((at - 2) / KEY) as u16;
    body[..2].copy_from_slice(&count.to_le_bytes());
    at
}

/// Writes what is finished, one way or the other. Returns which, and how many bytes it takes.
fn encode_finished(
    window: &Window,
    pool: &Pool,
    frontier: Position,
    body: &mut [u8],
) -> (u8, usize) {
    let (used, reach) = encode_bits(window, pool, frontier, body);
    let (bytes, end) = runs::measure(window, pool, frontier.0, body.len());
    if bytes > 0 && (end > reach || (end == reach && bytes < used)) {
        body[..used].fill(0);
        runs::write(window, pool, frontier.0, &mut body[..bytes]);
        return (RUNS, bytes);
    }
    (if used > 0 { BITMAP } else { NOTHING }, used)
}

/// Writes the bits of a window. Returns how many bytes they take, and one past the last position that
/// they say is finished.
fn encode_bits(window: &Window, pool: &Pool, frontier: Position, body: &mut [u8]) -> (usize, u64) {
    let mut bits = Bits {
        bytes: body,
        end: 0,
    };
    // The last finished arrival, while nothing unfinished has come since: holes between two
    // finished arrivals count as finished.
    let mut run_from = None;
    for view in window.blocks_from_head(pool) {
        let start = view.base.saturating_sub(frontier.0);
        if start >= bits.capacity() {
            break;
        }
        let len = view.deltas.len() as u32;
        let span = view.deltas.last().map_or(0, |&d| u64::from(d));
        let done = view.done & (!0u64).checked_shl(view.first).unwrap_or(0);
        let done = if len < BLOCK {
            done & ((1 << len) - 1)
        } else {
            done
        };
        if span + 1 == u64::from(len) {
            // No holes: the whole block is one shift. The block's base may lie below the frontier.
            if view.base >= frontier.0 {
                if let Some(from) = run_from
                    && done & 1 == 1
                {
                    bits.fill(from, start);
                }
                bits.fill_word(start, done);
            } else {
                let below = frontier.0 - view.base;
                bits.fill_word(0, done.checked_shr(below as u32).unwrap_or(0));
            }
            let last_done = len > view.first && done >> (len - 1) & 1 == 1;
            run_from = last_done.then(|| view.base + span + 1 - frontier.0);
            continue;
        }
        for (i, &delta) in view.deltas.iter().enumerate().skip(view.first as usize) {
            let at = (view.base + u64::from(delta)).saturating_sub(frontier.0);
            if done >> i & 1 == 0 {
                run_from = None;
                continue;
            }
            bits.fill(run_from.unwrap_or(at), at + 1);
            run_from = Some(at + 1);
        }
    }
    // A word that reached over the end may have left nothing below it.
    let reached = bits.end.div_ceil(8) as usize;
    let last = body[..reached].iter().rposition(|&b| b != 0);
    last.map_or((0, 0), |last| {
        let bits = 8 - u64::from(body[last].leading_zeros());
        (last + 1, last as u64 * 8 + bits)
    })
}

/// The finished positions of a map.
#[derive(Clone, Copy, Debug)]
pub(super) enum Finished<'a> {
    /// Bits from the frontier on; none when nothing beyond it is finished.
    Bits(&'a [u8]),
    /// Run lengths.
    Runs(Runs<'a>),
}

impl<'a> Finished<'a> {
    /// Words of 64 positions each, from the frontier on.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> + 'a {
        let (bits, runs) = match *self {
            Finished::Bits(bits) => (bits, None),
            Finished::Runs(runs) => (&[][..], Some(RunWords::new(runs))),
        };
        let words = bits.chunks(8).map(|bytes| {
            let mut whole = [0; 8];
            whole[..bytes.len()].copy_from_slice(bytes);
            u64::from_le_bytes(whole)
        });
        words.chain(runs.into_iter().flatten())
    }
}

/// A map that is whole and sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound<'a> {
    keys: &'a [u8],
    pub(super) finished: Finished<'a>,
}

impl<'a> Sound<'a> {
    /// The parked keys, in the order of their hashes.
    pub(super) fn parked(&self) -> impl Iterator<Item = ParkedKey> + 'a {
        self.keys.chunks_exact(KEY).map(|place| {
            let (mut key, mut since) = ([0; 16], [0; 8]);
            key.copy_from_slice(&place[..16]);
            since.copy_from_slice(&place[16..24]);
            ParkedKey {
                key: u128::from_le_bytes(key),
                since: Position(u64::from_le_bytes(since)),
                mode: ParkedMode::ALL[usize::from(place[24]) % ParkedMode::ALL.len()],
            }
        })
    }
}

/// What a map says, if it is a whole and sound map of this frontier and incarnation that claims
/// nothing at or beyond `log_end`.
pub(super) fn decode(
    map: &[u8],
    frontier: Position,
    incarnation: Option<Incarnation>,
    log_end: Position,
) -> Option<Sound<'_>> {
    let (header, body) = map.split_at_checked(HEADER)?;
    let word = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let sum = u32::from_le_bytes(header[18..22].try_into().ok()?);
    if !matches!(header[0], VERSION | VERSION_RUNS)
        || incarnation.is_some_and(|i| word(2) != Some(i.0))
        || word(10)? != frontier.0
        || sum != checksum(&header[..18], body)
    {
        return None;
    }
    let (keys, bits) = if header[1] & PARKED > 0 {
        let (count, rest) = body.split_at_checked(2)?;
        let count = usize::from(u16::from_le_bytes(count.try_into().ok()?));
        rest.split_at_checked(count * KEY).filter(|_| count > 0)?
    } else {
        (&[][..], body)
    };
    let modes = keys.chunks_exact(KEY).map(|place| usize::from(place[24]));
    let finished = Finished::Bits(bits);
    let sound = Sound { keys, finished };
    let rising = sound.parked().map(|p| p.key);
    if !rising.is_sorted_by(|a, b| a < b) || !modes.clone().all(|m| m < ParkedMode::ALL.len()) {
        return None;
    }
    match header[1] & !PARKED {
        RUNS if header[0] == VERSION_RUNS => {
            let end = Runs::sound_end(bits)?;
            let finished = Finished::Runs(Runs::new(bits));
            (frontier.0.checked_add(end)? <= log_end.0).then_some(Sound { keys, finished })
        }
        _ if header[0] != VERSION => None,
        NOTHING => (bits.is_empty() && !keys.is_empty()).then_some(sound),
        BITMAP => {
            let last = *bits.last()?;
            if bits[0] & 1 == 1 || last == 0 {
                return None;
            }
            let highest = (bits.len() as u64 - 1) * 8 + 7 - u64::from(last.leading_zeros());
            (frontier.0.checked_add(highest)? < log_end.0).then_some(sound)
        }
        _ => None,
    }
}

/// A sound map with other keys in the places of its own; in the order of hashes.
pub(super) fn with_keys(map: &[u8], keys: &[ParkedKey]) -> alloc::vec::Vec<u8> {
    let mut new = map.to_vec();
    if let Some(body) = new.get_mut(HEADER..)
        && !keys.is_empty()
    {
        encode_keys(keys.iter().copied(), body);
    }
    if let Some((header, body)) = new.split_at_mut_checked(HEADER) {
        let sum = checksum(&header[..18], body);
        header[18..22].copy_from_slice(&sum.to_le_bytes());
    }
    new
}

/// 32 bits over the head and the body: SplitMix64 over words of 8 bytes.
pub(super) fn checksum(header: &[u8], body: &[u8]) -> u32 {
    let mut sum = mix(header.len() as u64 ^ (body.len() as u64) << 32);
    for part in [header, body] {
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum = mix(sum ^ u64::from_le_bytes(word));
        }
    }
    (sum >> 32) as u32
}

/// Reads a progress map: the finished ranges `[from, to)` beyond `frontier`, or `None` when it is
/// not a sound map of that frontier. For histories and tools; ranges count holes as finished.
#[must_use]
pub fn decode_map(map: &[u8], frontier: Position) -> Option<alloc::vec::Vec<(Position, Position)>> {
    let finished = decode(map, frontier, None, Position(u64::MAX))?.finished;
    let mut ranges = alloc::vec::Vec::new();
    let mut from = None;
    let bits = finished.words().chain([0]).zip(0u64..);
    for (bit, set) in bits.flat_map(|(w, n)| (0..64).map(move |i| (64 * n + i, w >> i & 1 == 1))) {
        match (from, set) {
            (None, true) => from = Some(bit),
            (Some(start), false) => {
                ranges.push((Position(frontier.0 + start), Position(frontier.0 + bit)));
                from = None;
            }
            (None, false) | (Some(_), true) => {}
        }
    }
    Some(ranges)
}

/// Reads which keys a progress map says are parked, or `None` when it is not a sound map of that
/// frontier. For histories and tools.
#[must_use]
pub fn decode_parked(map: &[u8], frontier: Position) -> Option<alloc::vec::Vec<ParkedKey>> {
    let sound = decode(map, frontier, None, Position(u64::MAX))?;
    Some(sound.parked().collect())
}

#[cfg(test)]
mod tests {
    use super::super::window::Note;
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn window(pool: &mut Pool, arrivals: &[(u64, bool)]) -> Window {
        let mut window = Window::EMPTY;
        for &(position, done) in arrivals {
            let entry = window.push(pool, Position(position), Note::Digest(0));
            if done {
                pool.finish(entry, 0);
            }
        }
        window.advance(pool);
        window
    }

    fn all(
        window: &Window,
        pool: &Pool,
        frontier: Position,
        keys: &[ParkedKey],
        out: &mut [u8],
    ) -> usize {
        let keys = keys.iter().copied();
        encode(
            (window, pool),
            frontier,
            Incarnation(5),
            keys,
            Kept::All,
            out,
        )
    }

    fn keys(count: u8) -> Vec<ParkedKey> {
        let key = |i: u8| ParkedKey {
            key: u128::from(i) * 7 + 1,
            since: Position(u64::from(i) * 3),
            mode: ParkedMode::ALL[usize::from(i) % 3],
        };
        (0..count).map(key).collect()
    }

    /// The ranges that the map must say, by definition.
    fn expected(arrivals: &[(u64, bool)]) -> Vec<(Position, Position)> {
        let mut ranges: Vec<(Position, Position)> = Vec::new();
        let mut before_done = false;
        for &(position, done) in arrivals.iter().skip_while(|(_, done)| *done) {
            if done {
                match ranges.last_mut() {
                    Some(last) if before_done => last.1 = Position(position + 1),
                    _ => ranges.push((Position(position), Position(position + 1))),
                }
            }
            before_done = done;
        }
        ranges
    }

    proptest! {
        #[test]
        fn what_is_finished_beyond_the_frontier_comes_back(
            steps in proptest::collection::vec((1u64..4, any::<bool>()), 1..400),
            dense in any::<bool>(),
        ) {
            let mut at = 0;
            let arrivals: Vec<(u64, bool)> = steps.iter()
                .map(|&(step, done)| { at += if dense { 1 } else { step }; (at, done) }).collect();
            let mut pool = Pool::new(1024);
            let window = window(&mut pool, &arrivals);
            let Some(frontier) = window.first(&pool) else { return Ok(()) };
            let mut out = [0; 512];
            let len = all(&window, &pool, frontier, &[], &mut out);
            let want = expected(&arrivals);
            if want.is_empty() {
                prop_assert_eq!(len, 0);
            } else {
                prop_assert_eq!(decode_map(&out[..len], frontier).unwrap(), want);
            }
        }

        #[test]
        fn a_short_buffer_forgets_the_far_end_only(
            dones in proptest::collection::vec(any::<bool>(), 1..400), room in 23usize..60,
        ) {
            let arrivals: Vec<(u64, bool)> =
                dones.iter().enumerate().map(|(i, &d)| (i as u64 + 1, d)).collect();
            let mut pool = Pool::new(1024);
            let window = window(&mut pool, &arrivals);
            let Some(frontier) = window.first(&pool) else { return Ok(()) };
            let mut out = alloc::vec![0; room];
            let len = all(&window, &pool, frontier, &[], &mut out);
            let got = if len == 0 { Vec::new() } else { decode_map(&out[..len], frontier).unwrap() };
            // At least as far as a bitmap of this room.
            let end = frontier.0 + (room as u64 - 22) * 8;
            let end = got.last().map_or(end, |r| r.1.0.max(end));
            let want: Vec<_> = expected(&arrivals).into_iter()
                .filter(|r| r.0.0 < end).map(|r| (r.0, Position(r.1.0.min(end)))).collect();
            prop_assert_eq!(got, want);
        }

        #[test]
        fn parked_keys_come_back_whatever_else_is_forgotten(
            dones in proptest::collection::vec(any::<bool>(), 1..400), count in 0u8..20, room in 0usize..100,
        ) {
            let arrivals: Vec<(u64, bool)> =
                dones.iter().enumerate().map(|(i, &d)| (i as u64 + 1, d)).collect();
            let mut pool = Pool::new(1024);
            let window = window(&mut pool, &arrivals);
            let Some(frontier) = window.first(&pool) else { return Ok(()) };
            let keys = keys(count);
            let mut out = alloc::vec![0; least(keys.len()) + room];
            let len = all(&window, &pool, frontier, &keys, &mut out);
            let map = &out[..len];
            if len == 0 {
                prop_assert!(keys.is_empty());
                return Ok(());
            }
            prop_assert_eq!(decode_parked(map, frontier).unwrap(), keys);
            let done = |at: u64| arrivals.contains(&(at, true));
            for (from, to) in decode_map(map, frontier).unwrap() {
                prop_assert!((from.0..to.0).all(done));
            }
        }

        #[test]
        fn anything_else_is_refused_as_a_whole(
            flip in 0usize..150, bit in 0u8..8, cut in 0usize..80, count in 0u8..3,
        ) {
            let keys = keys(count);
            let arrivals: Vec<(u64, bool)> = (1..300).map(|i| (i, i % 3 == 0)).collect();
            let mut pool = Pool::new(1024);
            let window = window(&mut pool, &arrivals);
            let mut out = [0; 256];
            let len = all(&window, &pool, Position(1), &keys, &mut out);
            let good = &out[..len];
            let sound = |m: &[u8]| decode(m, Position(1), Some(Incarnation(5)), Position(300)).is_some();
            prop_assert!(sound(good));
            prop_assert!(!sound(&good[..(len - 1).saturating_sub(cut)]));
            let mut bad = good.to_vec();
            bad[flip % len] ^= 1 << bit;
            prop_assert!(!sound(&bad));
            prop_assert!(decode(good, Position(2), Some(Incarnation(5)), Position(300)).is_none());
            prop_assert!(decode(good, Position(1), Some(Incarnation(6)), Position(300)).is_none());
            prop_assert!(decode(good, Position(1), Some(Incarnation(5)), Position(297)).is_none());
        }

        #[test]
        fn of_bits_and_runs_that_is_written_which_is_shorter(
            runs in proptest::collection::vec((1u64..90, 1u64..200), 1..30), room in 23usize..300,
        ) {
            let mut arrivals = Vec::new();
            let mut at = 1;
            for &(waits, done) in &runs {
                arrivals.extend((at..at + waits).map(|p| (p, false)));
                arrivals.extend((at + waits..at + waits + done).map(|p| (p, true)));
                at += waits + done;
            }
            let mut pool = Pool::new(16_384);
            let window = window(&mut pool, &arrivals);
            let mut out = alloc::vec![0; room];
            let len = all(&window, &pool, Position(1), &[], &mut out);
            let got = if len == 0 { Vec::new() } else { decode_map(&out[..len], Position(1)).unwrap() };
            let want = expected(&arrivals);
            let bits = HEADER + (at as usize - 1).div_ceil(8);
            if got == want {
                prop_assert!(len <= bits);
            } else {
                // Neither fits: the near end is told, and no less of it than bits would tell.
                prop_assert!(bits > room && want.starts_with(&got[..got.len().saturating_sub(1)]));
                let reach = 1 + (room as u64 - HEADER as u64) * 8;
                let near = want.iter().filter(|r| r.0.0 < reach);
                let told: u64 = got.iter().map(|r| r.1.0 - r.0.0).sum();
                prop_assert!(near.map(|r| r.1.0.min(reach) - r.0.0).sum::<u64>() <= told);
            }
            if len > 0 && out[0] == VERSION_RUNS {
                // Strict: what is longer than it must be, or ends elsewhere, is no map.
                let end = got.last().map_or(0, |r| r.1.0);
                let sound = |end| decode(&out[..len], Position(1), None, Position(end)).is_some();
                prop_assert!(sound(end) && !sound(end - 1));
                let body = &out[HEADER..len];
                prop_assert_eq!(Runs::sound_end(body), Some(end - 1));
                for cut in 1..body.len() {
                    let whole = Runs::sound_end(&body[..cut]);
                    prop_assert!(whole.is_none_or(|e| got.iter().any(|r| r.1.0 == e + 1)));
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode_map(&bytes, Position(u64::MAX));
            let _ = decode_map(&bytes, Position(0));
        }
    }
}

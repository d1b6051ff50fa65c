//! The progress map: which positions beyond the frontier are finished already.
//!
//! It travels with the commit and is read back as an untrusted input. Layout, all numbers little
//! endian:
//! ```text
//!  0      version (1; 2 for run lengths, 3 for digests, which older readers refuse)
//!  1      kind (0: nothing, 1: bitmap, 2: run lengths); 128 more where keys are parked, 64
//!         more where suspects are looked for, 32 more where there are digests
//!  2..10  incarnation of the log
//! 10..18  frontier, as committed beside it
//! 18..22  checksum over everything else
//! 22..    where keys are parked: their number (2), and for each, in the order of hashes, its hash (16),
//!         the position that parked it (8), what becomes of its messages (1: 0 follow, 1 wait, 2 discard)
//! then    where suspects are looked for: what may be running (1: 0 nothing, 1 anything, 2 the messages
//!         named as running), how many messages are named (1), and for each, in the order of positions,
//!         its position (8), processes that died while it ran alone (1; 128 more where it may be running)
//! then    bits: bit i (lowest first) of byte i/8 says that position `frontier + i` is finished or a
//!         hole between two finished ones; bit 0 is 0, the last byte is not 0
//! or      run lengths: see `runs`
//! or      one of them with digests of what was finished: see `digests`
//! ```
//! Of the two, that is written which reaches further, or is shorter where both say everything.
//! A map that does not fit forgets its far end, never its near one: what is forgotten runs again. Parked
//! keys and suspects are never forgotten: there is room for them, or there is no commit.

use super::digests::{self, Form};
use super::places::{ParkedKey, ParkedMode};
use super::pool::Pool;
use super::runs::{self, RunWords, Runs};
use super::suspects::{Accused, Mark, Marked};
use super::window::{BLOCK, Window};
use crate::backoff::mix;
use crate::{Incarnation, Position};

const VERSION: u8 = 1;
const VERSION_RUNS: u8 = 2;
const VERSION_DIGESTS: u8 = 3;
const NOTHING: u8 = 0;
const BITMAP: u8 = 1;
const RUNS: u8 = 2;
const PARKED: u8 = 128;
const MARKED: u8 = 64;
const DIGESTS: u8 = 32;
const HEADER: usize = 22;
/// What a parked key takes.
const KEY: usize = 25;
/// What a message takes that is named among suspects.
pub(super) const ACCUSED: usize = 9;
const RUNNING: u8 = 128;

/// What a map says beside the finished positions, or instead of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kept {
    /// All that fits.
    All,
    /// The same, with digests of what was finished.
    Digests,
    /// Parked keys only.
    Keys,
}

/// Bytes of a map that says nothing but which keys are parked, and who is suspected.
pub(super) const fn least(parked: usize, suspects: usize) -> usize {
    let keys = if parked == 0 { 0 } else { 2 + KEY * parked };
    let marks = if suspects == 0 {
        0
    } else {
        2 + ACCUSED * suspects
    };
    if keys + marks == 0 {
        0
    } else {
        HEADER + keys + marks
    }
}

/// Suspects that there is room for beside so many parked keys.
pub(super) const fn suspects(bytes: usize, parked: usize) -> usize {
    let keys = if parked == 0 { 0 } else { 2 + KEY * parked };
    bytes.saturating_sub(HEADER + keys + 2) / ACCUSED
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
    (keys, marked): (impl Iterator<Item = ParkedKey>, &Marked),
    kept: Kept,
    out: &mut [u8],
) -> usize {
    if out.len() <= HEADER {
        return 0;
    }
    out.fill(0);
    let (header, body) = out.split_at_mut(HEADER);
    let parked = encode_keys(keys, body);
    let marks = encode_marks(marked, frontier, &mut body[parked..]);
    let (kind, used) = match kept {
        Kept::All => encode_finished(window, pool, frontier, &mut body[parked + marks..]),
        Kept::Digests => encode_digests(window, pool, frontier, &mut body[parked + marks..]),
        Kept::Keys => (NOTHING, 0),
    };
    let used = marks + used;
    if parked + used == 0 {
        return 0;
    }
    header[0] = version(kind);
    header[1] = kind | if parked > 0 { PARKED } else { 0 } | if marks > 0 { MARKED } else { 0 };
    header[2..10].copy_from_slice(&incarnation.0.to_le_bytes());
    header[10..18].copy_from_slice(&frontier.0.to_le_bytes());
    let sum = checksum(&header[..18], &body[..parked + used]);
    header[18..22].copy_from_slice(&sum.to_le_bytes());
    HEADER + parked + used
}

/// The first version that knows a kind.
const fn version(kind: u8) -> u8 {
    match kind {
        RUNS => VERSION_RUNS,
        kind if kind & DIGESTS > 0 => VERSION_DIGESTS,
        _ => VERSION,
    }
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

fn encode_marks(marked: &Marked, frontier: Position, body: &mut [u8]) -> usize {
    let entries = marked.entries().iter();
    let named = entries.clone().filter(|a| a.position >= frontier).count();
    if !marked.is_some() || body.len() < 2 + ACCUSED * named {
        return 0;
    }
    (body[0], body[1]) = (marked.mark as u8, named as u8);
    let places = body[2..].chunks_exact_mut(ACCUSED);
    for (accused, place) in entries.filter(|a| a.position >= frontier).zip(places) {
        place[..8].copy_from_slice(&accused.position.0.to_le_bytes());
        place[8] = accused.deaths.min(RUNNING - 1) | if accused.running { RUNNING } else { 0 };
    }
    2 + ACCUSED * named
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

/// The same, with digests.
fn encode_digests(
    window: &Window,
    pool: &Pool,
    frontier: Position,
    body: &mut [u8],
) -> (u8, usize) {
    let Some(extent) = digests::measure(window, pool, frontier.0, body.len()) else {
        return (NOTHING, 0);
    };
    let used = extent.bytes();
    digests::write(window, pool, frontier.0, extent, &mut body[..used]);
    let kind = match extent.form {
        Form::Bits => BITMAP,
        Form::Runs => RUNS,
    };
    (kind | DIGESTS, used)
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
        let (words, rest) = bits.as_chunks();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        let last = (!rest.is_empty()).then(|| short_word(rest));
        words.chain(last).chain(runs.into_iter().flatten())
    }
}

/// A map that is whole and sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sound<'a> {
    keys: &'a [u8],
    marks: &'a [u8],
    pub(super) finished: Finished<'a>,
    /// Of each finished position, where the map has them.
    digests: &'a [[u8; 2]],
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

impl<'a> Sound<'a> {
    /// Whether it says what was finished, and not only where.
    pub(super) const fn has_digests(&self) -> bool {
        !self.digests.is_empty()
    }

    /// What it has digests of: distances from the frontier, in order.
    pub(super) fn digests(&self) -> impl Iterator<Item = (u64, u16)> + 'a {
        let words = self.finished.words().zip(0u64..);
        let bits = words.flat_map(|(word, n)| {
            let set = (0..64).filter(move |i| word >> i & 1 == 1);
            set.map(move |i| 64 * n + i)
        });
        bits.zip(self.digests.iter().map(|d| u16::from_le_bytes(*d)))
    }
}

impl Sound<'_> {
    /// What it says of suspects.
    pub(super) fn marked(&self) -> Marked {
        let mut marked = Marked::NONE;
        let Some((head, entries)) = self.marks.split_at_checked(2) else {
            return marked;
        };
        marked.mark = Mark::ALL[usize::from(head[0]) % Mark::ALL.len()];
        for place in entries.chunks_exact(ACCUSED) {
            let mut position = [0; 8];
            position.copy_from_slice(&place[..8]);
            marked.push(Accused {
                position: Position(u64::from_le_bytes(position)),
                deaths: place[8] & !RUNNING,
                running: place[8] & RUNNING > 0,
            });
        }
        marked
    }

    /// Whether what it says of suspects makes sense.
    fn is_marked_soundly(&self, frontier: Position) -> bool {
        let Some(&[mark, count]) = self.marks.first_chunk() else {
            return self.marks.is_empty();
        };
        let marked = self.marked();
        let entries = marked.entries();
        usize::from(mark) < Mark::ALL.len()
            && marked.is_some()
            && entries.len() == usize::from(count)
            && entries.is_sorted_by(|a, b| a.position < b.position)
            && entries.first().is_none_or(|a| a.position >= frontier)
            && (marked.mark == Mark::Lot || entries.iter().all(|a| !a.running))
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
    let kind = header[1] & !(PARKED | MARKED);
    if header[0] != version(kind)
        || incarnation.is_some_and(|i| word(2) != Some(i.0))
        || word(10)? != frontier.0
        || sum != checksum(&header[..18], body)
    {
        return None;
    }
    let (keys, rest) = if header[1] & PARKED > 0 {
        let (count, rest) = body.split_at_checked(2)?;
        let count = usize::from(u16::from_le_bytes(count.try_into().ok()?));
        rest.split_at_checked(count * KEY).filter(|_| count > 0)?
    } else {
        (&[][..], body)
    };
    let (marks, rest) = if header[1] & MARKED > 0 {
        let count = usize::from(*rest.get(1)?);
        rest.split_at_checked(2 + count * ACCUSED)?
    } else {
        (&[][..], rest)
    };
    let (names, digests) = if kind & DIGESTS > 0 {
        digests::split(rest)?
    } else {
        (rest, &[][..])
    };
    let (finished, end) = decode_finished(kind & !DIGESTS, names)?;
    let sound = Sound {
        keys,
        marks,
        finished,
        digests,
    };
    if !sound.is_marked_soundly(frontier) {
        return None;
    }
    let mut modes = keys.chunks_exact(KEY).map(|place| usize::from(place[24]));
    let rising = sound.parked().map(|p| p.key);
    if !rising.is_sorted_by(|a, b| a < b) || !modes.all(|m| m < ParkedMode::ALL.len()) {
        return None;
    }
    let named = || {
        finished
            .words()
            .map(|w| w.count_ones() as usize)
            .sum::<usize>()
    };
    let whole = match end {
        // Keys and suspects only.
        0 => keys.len() + marks.len() > 0,
        _ => frontier.0.checked_add(end)? <= log_end.0,
    };
    (whole && (digests.is_empty() || digests.len() == named())).then_some(sound)
}

/// What is finished, and one past the last of it, as a distance from the frontier; 0 where nothing is.
fn decode_finished(kind: u8, names: &[u8]) -> Option<(Finished<'_>, u64)> {
    match kind {
        NOTHING if names.is_empty() => Some((Finished::Bits(names), 0)),
        RUNS => Some((Finished::Runs(Runs::new(names)), Runs::sound_end(names)?)),
        BITMAP => {
            let last = *names.last()?;
            let sound = names[0] & 1 == 0 && last != 0;
            let end = names.len() as u64 * 8 - u64::from(last.leading_zeros());
            sound.then_some((Finished::Bits(names), end))
        }
        _ => None,
    }
}

/// A sound map with other keys in the places of its own, in the order of hashes, and other digests.
pub(super) fn replaced(
    map: &[u8],
    sound: &Sound<'_>,
    keys: &[ParkedKey],
    digest: impl Fn(u16) -> u16,
) -> alloc::vec::Vec<u8> {
    let mut new = map.to_vec();
    if let Some(body) = new.get_mut(HEADER..)
        && !keys.is_empty()
    {
        encode_keys(keys.iter().copied(), body);
    }
    for place in new
        .as_rchunks_mut()
        .1
        .iter_mut()
        .rev()
        .take(sound.digests.len())
    {
        *place = digest(u16::from_le_bytes(*place)).to_le_bytes();
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
        let (words, rest) = part.as_chunks();
        for &word in words {
            sum = mix(sum ^ u64::from_le_bytes(word));
        }
        if !rest.is_empty() {
            sum = mix(sum ^ short_word(rest));
        }
    }
    (sum >> 32) as u32
}

/// Less than 8 bytes, the lowest first.
fn short_word(bytes: &[u8]) -> u64 {
    let bytes = bytes.iter().rev();
    bytes.fold(0, |word, &byte| word << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests;

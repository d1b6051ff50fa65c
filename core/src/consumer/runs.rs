//! Finished positions as run lengths: short where a few long runs are finished, however far ahead.
//!
//! Pairs of numbers (LEB128, in their shortest form): how many positions are not finished, then how
//! many are; both at least 1, from the frontier on.

use super::pool::Pool;
use super::window::Window;

/// How far ahead of the frontier runs may end: as far as the longest bitmap, so that a map that is
/// resumed takes no more of the window pool than one of those.
pub(super) const SPAN: u64 = 65_535 * 8;

/// Calls `each` with the finished runs of a window, as distances from `frontier`, until it says no.
/// Holes between two finished arrivals count as finished.
pub(super) fn each_run(
    window: &Window,
    pool: &Pool,
    frontier: u64,
    mut each: impl FnMut(u64, u64) -> bool,
) {
    let mut run: Option<(u64, u64)> = None;
    // The last arrival that was looked at is finished.
    let mut open = false;
    for view in window.blocks_from_head(pool) {
        let at = |i: u32| (view.base + u64::from(view.deltas[i as usize])).saturating_sub(frontier);
        let (mut i, len) = (view.first, view.deltas.len() as u32);
        while i < len {
            let rest = view.done >> i;
            let done = rest.trailing_ones().min(len - i);
            if done == 0 {
                open = false;
                i += rest.trailing_zeros().min(len - i);
                continue;
            }
            let (from, to) = (at(i), at(i + done - 1) + 1);
            run = match run {
                Some((first, _)) if open => Some((first, to)),
                Some((first, last)) => {
                    if !each(first, last) {
                        return;
                    }
                    Some((from, to))
                }
                None => Some((from, to)),
            };
            open = true;
            i += done;
        }
    }
    if let Some((from, to)) = run {
        each(from, to);
    }
}

/// What runs take in a map of so much room: bytes, and one past the last position that they reach.
pub(super) fn measure(window: &Window, pool: &Pool, frontier: u64, room: usize) -> (usize, u64) {
    let (mut bytes, mut end) = (0, 0);
    each_run(window, pool, frontier, |from, to| {
        let to = to.min(SPAN);
        if from >= to {
            return false;
        }
        let size = length(from - end) + length(to - from);
        if bytes + size > room {
            return false;
        }
        (bytes, end) = (bytes + size, to);
        true
    });
    (bytes, end)
}

/// Writes runs into `out`, which is as long as [`measure`] said.
pub(super) fn write(window: &Window, pool: &Pool, frontier: u64, out: &mut [u8]) {
    let (mut at, mut end) = (0, 0);
    each_run(window, pool, frontier, |from, to| {
        let to = to.min(SPAN);
        if from >= to || at == out.len() {
            return false;
        }
        put(out, &mut at, from - end);
        put(out, &mut at, to - from);
        end = to;
        true
    });
}

/// Writes a number at `at`, which is behind it then.
pub(super) const fn put(out: &mut [u8], at: &mut usize, mut number: u64) {
    while number >= 128 {
        out[*at] = number as u8 | 128;
        number >>= 7;
        *at += 1;
    }
    out[*at] = number as u8;
    *at += 1;
}

/// Bytes that a number takes.
pub(super) const fn length(number: u64) -> usize {
    (64 - (number | 1).leading_zeros()).div_ceil(7) as usize
}

/// Reads runs that were found to be sound, as distances from the frontier.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs<'a> {
    bytes: &'a [u8],
    end: u64,
}

impl<'a> Runs<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, end: 0 }
    }

    /// One past the last finished position, if the bytes are nothing but runs that are written as
    /// short as can be and end within the span.
    pub(super) fn sound_end(bytes: &'a [u8]) -> Option<u64> {
        let mut runs = Self::new(bytes);
        while !runs.bytes.is_empty() {
            runs.next()?;
        }
        (runs.end > 0).then_some(runs.end)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        // Three bytes hold what the span allows.
        for i in 0..3 {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            number |= u64::from(byte & 127) << (7 * i);
            if byte < 128 {
                let shortest = i == 0 || byte > 0;
                return (shortest && number > 0).then_some(number);
            }
        }
        None
    }
}

impl Iterator for Runs<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        let from = self.end + self.number()?;
        let to = from + self.number()?;
        self.end = to;
        (to <= SPAN).then_some((from, to))
    }
}

/// The same as words of 64 positions each.
#[derive(Clone, Copy, Debug)]
pub(super) struct RunWords<'a> {
    runs: Runs<'a>,
    run: Option<(u64, u64)>,
    /// Position of the next word.
    at: u64,
}

impl<'a> RunWords<'a> {
    pub(super) fn new(mut runs: Runs<'a>) -> Self {
        let run = runs.next();
        Self { runs, run, at: 0 }
    }
}

impl Iterator for RunWords<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (start, end) = (self.at, self.at + 64);
        self.run?;
        let mut word = 0;
        while let Some((from, to)) = self.run.filter(|r| r.0 < end) {
            let (low, high) = (from.max(start) - start, to.min(end) - start);
            word |= (!0u64 >> (64 - (high - low))) << low;
            if to > end {
                break;
            }
            self.run = self.runs.next();
        }
        self.at = end;
        Some(word)
    }
}

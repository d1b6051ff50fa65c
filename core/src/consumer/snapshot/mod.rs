//! The whole state as bytes, and back: a core that goes on from a snapshot answers as one that never
//! stopped.
//!
//! ```text
//!  0      version (2)
//!  1      kind (3: a consumer)
//!  2..10  digest of the configuration
//! 10..18  checksum over everything else
//! 18..    the state, all numbers little endian
//! ```
//! Written is what answers depend on. Tables, heaps, lists of what is free and sums follow from it
//! and are made anew; so the order of a hash table matters to nobody, and what is read cannot disagree
//! with itself. It is read as an untrusted input: no more memory is asked for than the configuration
//! asks for, whatever is not whole and sound is refused, and nothing panics.
//!
//! Every structure is taken apart without `..`: a new field must be written here, or this does not
//! compile.

mod config;
mod io;
mod levels;
mod memory;
mod partitions;
mod sequences;
mod slots;
mod state;
mod suspects;
#[cfg(test)]
mod tests;
mod windows;

use alloc::vec::Vec;
use core::fmt;

use super::slab::State;
use super::{Consumer, Mask};
use crate::backoff::mix;
use crate::{Config, ConfigError, Token};
use io::{Fault, Reader, Writer};

const VERSION: u8 = 2;
const KIND: u8 = 3;
const HEADER: usize = 18;

/// Why a snapshot was not restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SnapshotError {
    /// The configuration cannot work.
    Config(ConfigError),
    /// Of another version; the version.
    Version(u8),
    /// Of another configuration: a snapshot is restored under the very configuration that it was
    /// taken under.
    Foreign,
    /// Not a snapshot, truncated or corrupt: what was found first.
    Unsound(&'static str),
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Version(version) => {
                write!(f, "a snapshot of version {version}; {VERSION} is read")
            }
            Self::Foreign => f.write_str("the snapshot was taken under another configuration"),
            Self::Unsound(what) => write!(f, "the snapshot is not sound: {what}"),
        }
    }
}

impl core::error::Error for SnapshotError {}

impl<M> Consumer<M> {
    /// Appends the whole state to `out`. `message` writes a message that is held; those with handlers
    /// are not held. With a mask, keys and identities are replaced as they are written: for reports.
    /// O(everything).
    pub fn snapshot(
        &self,
        mask: Option<&Mask<'_>>,
        message: impl FnMut(&M, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        let begin = out.len();
        self.snapshot_unsealed(mask, message, out);
        seal_snapshot(&mut out[begin..]);
    }

    /// [`snapshot`](Self::snapshot) without its checksum, which takes a fifth of the time: for whoever
    /// takes many and reads few. [`seal_snapshot`] makes one of it that can be restored.
    pub fn snapshot_unsealed(
        &self,
        mask: Option<&Mask<'_>>,
        message: impl FnMut(&M, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&[VERSION, KIND]);
        out.extend_from_slice(&config::digest(&self.config).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        self.write(&mut Writer { out, mask }, message);
    }

    /// A machine that goes on where a snapshot was taken: from here on equal inputs give equal outputs
    /// (S11). `config` is that of the machine that was written; `message` reads what was written of a
    /// message. Tokens that were handed out stay good: [`outstanding`](Self::outstanding).
    ///
    /// # Errors
    /// [`SnapshotError`]: the bytes are an untrusted input, and refused as a whole unless they are whole
    /// and sound.
    pub fn restore(
        config: &Config,
        bytes: &[u8],
        message: impl FnMut(&[u8]) -> Option<M>,
    ) -> Result<Self, SnapshotError> {
        let unsound = SnapshotError::Unsound;
        let (header, body) = bytes
            .split_at_checked(HEADER)
            .ok_or_else(|| unsound("it is too short"))?;
        match header[..2] {
            [VERSION, KIND] => {}
            [version, KIND] if version > 0 => return Err(SnapshotError::Version(version)),
            _ => return Err(unsound("it is something else")),
        }
        let number = |at: usize| header[at..at + 8].try_into().map_or(0, u64::from_le_bytes);
        if number(10) != checksum(&header[..10], body) {
            return Err(unsound("the checksum is wrong"));
        }
        if number(2) != config::digest(config) {
            return Err(SnapshotError::Foreign);
        }
        let mut new = Self::new(config).map_err(SnapshotError::Config)?;
        new.read(&mut Reader(body), message).map_err(unsound)?;
        new.check_invariants().map_err(unsound)?;
        Ok(new)
    }

    /// Tokens that were handed out and are not settled: of handlers that run, those of lost partitions
    /// included, and of dead letters that are on their way. O(slots).
    pub fn outstanding(&self) -> impl Iterator<Item = Token> + '_ {
        let slots = (0..).zip(&self.slab.slots);
        slots.filter_map(|(index, slot)| {
            let out = matches!(
                slot.hot.state,
                State::Running | State::Stopping | State::Joined | State::Buried | State::Orphan
            );
            out.then(|| slot.hot.token(index))
        })
    }
}

/// Puts the checksum into what [`Consumer::snapshot_unsealed`] wrote.
pub fn seal_snapshot(snapshot: &mut [u8]) {
    if let Some((header, body)) = snapshot.split_at_mut_checked(HEADER) {
        let sum = checksum(&header[..10], body);
        header[10..].copy_from_slice(&sum.to_le_bytes());
    }
}

/// Four sums side by side, so that none waits for another.
fn checksum(header: &[u8], body: &[u8]) -> u64 {
    let mut sums = [1, 2, 3, body.len() as u64];
    for part in [header, body] {
        let (chunks, rest) = part.as_chunks();
        for chunk in chunks {
            add(&mut sums, chunk);
        }
        if !rest.is_empty() {
            let mut padded = [0; 32];
            padded[..rest.len()].copy_from_slice(rest);
            add(&mut sums, &padded);
        }
    }
    sums.iter().fold(0, |all, sum| mix(all ^ sum))
}

fn add(sums: &mut [u64; 4], chunk: &[u8; 32]) {
    for (sum, bytes) in sums.iter_mut().zip(chunk.as_chunks().0) {
        let spread = (*sum ^ u64::from_le_bytes(*bytes)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        *sum = spread ^ (spread >> 29);
    }
}

const fn need(holds: bool, what: Fault) -> Result<(), Fault> {
    if holds { Ok(()) } else { Err(what) }
}

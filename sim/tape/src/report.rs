//! The parts of a failure report that need no world around the core.

use std::fmt::Write as _;

use procession_core::Config;

use crate::mix;
use crate::text::{Writer, told};

/// The version that is written, and the highest that is read.
pub const VERSION: u32 = 1;

/// The first lines of a report.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Version of the core that it was found in.
    pub core: &'a str,
    /// Who wrote it.
    pub origin: &'a str,
    /// The deliberate fault that was switched on; 0: none.
    pub mutant: u8,
    /// The broken promise: its id and shape. `None`: nothing was wrong.
    pub verdict: Option<(&'a str, &'a str)>,
    /// The verdict in words, on one line.
    pub detail: &'a str,
    /// What shrinking did; empty before.
    pub shrunk: &'a str,
    /// What it was drawn from.
    pub seed: u64,
}

impl Head<'_> {
    /// Writes the lines.
    pub fn write(&self, out: &mut String) {
        let Self {
            core,
            origin,
            mutant,
            verdict,
            detail,
            shrunk,
            seed,
        } = self;
        let _ = writeln!(out, "procession-failure {VERSION}");
        let _ = writeln!(out, "core {core}\norigin {origin}");
        if *mutant > 0 {
            let _ = writeln!(out, "mutant {mutant}");
        }
        match verdict {
            Some((id, shape)) => {
                let _ = writeln!(out, "verdict {id} {shape}");
            }
            None => out.push_str("verdict clean\n"),
        }
        for (word, text) in [("detail", detail), ("shrunk", shrunk)] {
            if !text.is_empty() {
                let _ = writeln!(out, "{word} {text}");
            }
        }
        let _ = writeln!(out, "seed {seed}");
    }
}

/// Writes `[config]`.
pub fn write_config(config: &Config, out: &mut String) {
    out.push_str("[config]\n");
    let mut all = config.clone();
    told(crate::config::config(&mut all, &mut Writer::lines(out)));
}

/// Writes `[outputs]`: 32 bits of the digest of all answers after each input.
pub fn write_outputs(digests: &[u32], out: &mut String) {
    out.push_str("[outputs]\n");
    for row in digests.chunks(8) {
        for (place, digest) in row.iter().enumerate() {
            let between = if place == 0 { "" } else { " " };
            let _ = write!(out, "{between}{digest:08x}");
        }
        out.push('\n');
    }
}

/// Writes `[digest]`, which ends a report.
pub fn write_end(out: &mut String) {
    let digest = digest(out);
    let _ = writeln!(out, "[digest]\n{digest:016x}");
}

/// Of everything above `[digest]`: shows a file that was torn or changed.
#[must_use]
pub fn digest(text: &str) -> u64 {
    let start = mix(text.len() as u64);
    text.as_bytes().chunks(8).fold(start, |h, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(h.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from_le_bytes(word))
    })
}

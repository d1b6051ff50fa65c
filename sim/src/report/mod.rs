//! Failure reports: everything that it takes to see a failure again, in one text file.
//!
//! ```text
//! procession-failure 1
//! core 0.1.0
//! origin sim
//! verdict S2 start-before-its-predecessor-is-finished
//! detail key=Some(0) msg=3 …
//! seed 17
//! [config]     every value of the core's configuration
//! [world]      every value of the world around it
//! [workload]   what is published: one publish a line
//! [faults]     the faults that happen: site, entity, occurrence
//! [inputs]     what the cores are told and asked: one call a line; this is what counts
//! [outputs]    32 bits of the digest of all answers, after each line of [inputs]
//! [digest]     of all of the above
//! ```
//! The inputs suffice to see the answers again, on any machine. World, workload and faults let the
//! whole run happen again around a core that answers differently: then the seed is what latencies
//! and durations are drawn from. A report of the flight recorder has no world.

mod parse;
mod print;
mod world;

pub use parse::{ParseError, parse};
pub use print::{print, step_text};

use procession_core::Config;

use crate::plan::Plan;
use crate::tape::Tape;

pub use procession_tape::VERSION;

/// The largest file that is read, in bytes.
pub const BYTES_MAX: usize = 64 << 20;

/// A failure, or a run that went well.
#[derive(Clone, PartialEq, Debug)]
pub struct Failure {
    /// Version of the core that it was found in.
    pub core: String,
    /// Who wrote it: `sim`, `fuzz`, `proptest`, `recorder`.
    pub origin: String,
    /// The deliberate fault that was switched on; 0: none.
    pub mutant: u8,
    /// The broken promise: its id and shape, with dashes for spaces. `None`: nothing was wrong.
    pub verdict: Option<(String, String)>,
    /// The verdict in words.
    pub detail: String,
    /// What it was drawn from, and what latencies are drawn from when the world runs again.
    pub seed: u64,
    /// What shrinking did, in words; empty before.
    pub shrunk: String,
    /// Configuration of every core.
    pub config: Config,
    /// The world around them; none for what was recorded in production.
    pub world: Option<Plan>,
    /// What the cores were told, and digests of what they answered.
    pub tape: Tape,
}

impl Failure {
    /// The broken promise on one line, as it is compared; `clean` for none.
    #[must_use]
    pub fn verdict_id(&self) -> String {
        match &self.verdict {
            Some((id, shape)) => format!("{id}:{shape}"),
            None => "clean".into(),
        }
    }
}

/// A shape as it is written: words with dashes.
pub(crate) fn dashed(shape: &str) -> String {
    let keep = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let text: String = shape.chars().map(keep).collect();
    let words = text.split('-').filter(|w| !w.is_empty());
    words.collect::<Vec<_>>().join("-")
}

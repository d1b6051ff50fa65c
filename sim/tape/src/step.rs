//! One call of one core, and its line.

use std::fmt::Write as _;

use crate::call::{Call, Poll};
use crate::text::Writer;

/// One call, or one row of polls, of one process's core.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// When, in nanoseconds.
    pub at: u64,
    /// Which process.
    pub member: u32,
    /// What.
    pub call: Call,
}

/// Polls of one step; more begin another.
pub const POLLS_MAX: usize = 64;

impl Step {
    /// As its line in a report, without the end of the line.
    pub fn line(&self, out: &mut String) {
        let _ = write!(out, "{} m{} {}", self.at, self.member, self.call.word());
        if let Call::Polls(polls) = &self.call {
            out.push(' ');
            let letter = |poll: &Poll| Poll::LETTERS.iter().find(|l| l.1 == *poll);
            out.extend(polls.iter().filter_map(letter).map(|l| l.0));
        } else {
            let mut call = self.call.clone();
            crate::text::told(call.fields(&mut Writer::line(out)));
        }
    }
}

//! Reads histories and says which promises they keep.
//!
//! It is a second opinion: nothing here is shared with the bus, the harness or the writer of the
//! histories. It knows the format from its description alone, and uses the standard library and a
//! JSON reader; a test holds that.
//!
//! All events of all files are put into one order (by time, within a file by line) and walked once.
//! Four judges watch: `Publishing` (S10, what was stored), `Effects` (losses, duplicates, gaps,
//! inversions), `Lanes` (S1, S5, S9) and `Commits` (S3, S3b).

// Each judge looks at the few kinds of events that concern it; a new kind concerns none of them.
#![allow(clippy::wildcard_enum_match_arm)]

mod commits;
mod effects;
mod event;
mod lanes;
mod names;
mod publishing;
mod read;
mod report;

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use self::commits::Commits;
use self::effects::Effects;
use self::lanes::Lanes;
use self::publishing::Publishing;
pub use self::read::{Source, Unreadable};
pub use self::report::{Report, RunReport};

/// Reads the histories and judges them.
///
/// # Errors
/// A file that cannot be read, is no history, or does not belong with the others.
pub fn check(files: &[PathBuf]) -> Result<Report, Unreadable> {
    let read = read::read(files)?;
    let context = Context {
        sources: &read.sources,
        names: &read.names,
    };
    let mut findings = report::Findings::default();
    let mut publishing = Publishing::default();
    let mut effects = Effects::default();
    let mut lanes = Lanes::new(&read.entries, &read.sources);
    let mut commits = Commits::new(&read.entries);
    for entry in &read.entries {
        publishing.see(&context, entry, &mut findings);
        lanes.see(&context, entry, &mut findings);
        commits.see(&context, entry, &mut findings);
        effects.see(&context, entry, &lanes, &commits);
    }
    publishing.end(&context, &mut findings);
    lanes.end(&context, &mut findings);
    Ok(report::build(&read, &publishing, &effects, findings))
}

/// What every judge may look up.
#[derive(Clone, Copy)]
struct Context<'a> {
    sources: &'a [Source],
    names: &'a names::Names,
}

//! Whether a report leads where it led when it was written.

use std::fmt;

use crate::record::verdict_id;
use crate::replay::{Replayed, replay};
use crate::report::Failure;
use crate::run::run_plan;
use crate::tape::{Played, Step};

/// What became of a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Judged {
    /// Every answer was as recorded, and the verdict came again.
    Again,
    /// Every answer was as recorded; the verdict is another one now.
    Otherwise(String),
    /// The answers to this input, from 0, are others now; what they are, in words.
    Diverged(usize, String),
    /// Every answer was as recorded, but the file is not as it was written.
    Changed,
}

impl Judged {
    /// The exit status that says so.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::Again => 0,
            Self::Otherwise(_) => 1,
            Self::Diverged(..) | Self::Changed => 3,
        }
    }
}

impl fmt::Display for Judged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Again => f.write_str("as recorded"),
            Self::Otherwise(verdict) => write!(f, "not as recorded: now it is {verdict}"),
            Self::Diverged(input, _) => write!(f, "diverged at input {input}"),
            Self::Changed => f.write_str("the file was changed after it was written"),
        }
    }
}

/// Plays the inputs of a report; where they lead where they led, lets its world happen again.
/// `right`: the file's digest is.
pub fn judge(
    failure: &Failure,
    right: bool,
    aloud: bool,
    show: &mut dyn FnMut(usize, &Step, &Played),
) -> Judged {
    let expected = failure.verdict_id();
    let found = match replay(failure, None, aloud, show) {
        Replayed::Differs(input, story) => return Judged::Diverged(input, story),
        Replayed::SamePanic => "core:panic".into(),
        Replayed::Broken(_, what) => format!("core:{}", crate::report::dashed(what)),
        Replayed::Same => match &failure.world {
            Some(world) => verdict_id(&run_plan(world.clone())),
            // Without a world the answers are all there is.
            None => expected.clone(),
        },
    };
    if found != expected {
        Judged::Otherwise(found)
    } else if right {
        Judged::Again
    } else {
        Judged::Changed
    }
}

/// Switches a report's deliberate fault on while `f` runs; without the feature `mutants` there is
/// none, and the report meets a sound core.
pub fn with_its_mutant<T>(failure: &Failure, f: impl FnOnce() -> T) -> T {
    #[cfg(feature = "mutants")]
    if failure.mutant > 0 {
        return crate::mutants::with_mutant(failure.mutant, f);
    }
    let _none = failure;
    f()
}

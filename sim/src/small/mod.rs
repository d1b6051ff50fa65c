//! Small worlds: one machine of the core before a broker that does with its calls what it likes.
//!
//! [`Small::Publishers`] is a [`Producer`](procession_core::Producer) before a log that is the truth;
//! [`Small::Claims`] are members with their [`Claims`](procession_core::Claims) before a store that
//! compares and sets. What happens is drawn step by step from the seed. Books of their own hold S1, S3,
//! S6, S8, S10 and the liveness of both against it, after every step.

mod claims;
mod dice;
mod publishers;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use dice::Dice;

/// Which small world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Small {
    /// Publishing: sends that land late or never, lost answers, connections, restarts (P1, P2, P4, P5,
    /// P7, J1, J6).
    Publishers,
    /// Owning partitions by records: races of compare-and-set, unknown and late writes, leases that run
    /// out, pauses, stores that go back (LM4, LM5, LM6, LM11, LM12, LM13).
    Claims,
}

/// A promise that a small world found broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// The promise.
    pub promise: &'static str,
    /// What happened.
    pub what: String,
}

/// How one seed of a small world went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// What was broken.
    pub broken: Option<Broken>,
    /// Things that happened.
    pub steps: u64,
    /// What came of it, to see that something did: results and take-overs.
    pub outcomes: u64,
    /// Digest of everything: equal for equal seeds (S11).
    pub hash: u64,
}

type Held = Result<(), Broken>;

/// Says what is broken unless it holds.
fn hold(promise: &'static str, holds: bool, what: impl FnOnce() -> String) -> Held {
    if holds {
        return Ok(());
    }
    Err(Broken {
        promise,
        what: what(),
    })
}

/// The core's own checks, unless a deliberate fault is hunted for.
fn sound(check: impl FnOnce() -> Result<(), &'static str>) -> Held {
    if !crate::lies::none() {
        return Ok(());
    }
    check().or_else(|what| hold("core", false, || format!("invariant: {what}")))
}

impl Small {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Publishers, Self::Claims];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publishers => "publishers",
            Self::Claims => "claims",
        }
    }

    /// Runs one seed.
    #[must_use]
    pub fn run(self, seed: u64) -> Told {
        let mut told = Told {
            broken: None,
            steps: 0,
            outcomes: 0,
            hash: seed,
        };
        let dice = Dice::new(seed, self as u64);
        let ended = catch_unwind(AssertUnwindSafe(|| match self {
            Self::Publishers => publishers::run(dice, &mut told),
            Self::Claims => claims::run(dice, &mut told),
        }));
        let panicked = |_| {
            Err(Broken {
                promise: "core",
                what: "panic".into(),
            })
        };
        told.broken = ended.unwrap_or_else(panicked).err();
        told
    }
}

impl Told {
    fn mark(&mut self, a: u64, b: u64) {
        self.hash = crate::fate::mix(self.hash ^ a.rotate_left(32) ^ b);
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

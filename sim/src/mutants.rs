//! Deliberate faults in the core: each must be caught, or the simulator is blind in that eye.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::plan::Profile;
use crate::run::run_unaudited;

/// A deliberate fault, by its number in the core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mutant {
    /// Its number in `procession_core::mutants`.
    pub number: u8,
    /// What it does.
    pub what: &'static str,
    /// Seeds within which it must be caught.
    pub within: u64,
}

/// How a mutant was caught.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Caught {
    /// The seed that did it.
    pub seed: u64,
    /// The promise that was broken.
    pub verdict: String,
}

const fn mutant(number: u8, within: u64, what: &'static str) -> Mutant {
    Mutant {
        number,
        what,
        within,
    }
}

/// All mutants, with room of about ten times what they were seen to need.
pub const MUTANTS: [Mutant; 26] = [
    mutant(
        1,
        500,
        "commits the furthest finished position instead of the frontier",
    ),
    mutant(2, 500, "runs two messages of a key at once"),
    mutant(
        3,
        5_000,
        "takes a held position that comes again for a new message",
    ),
    mutant(4, 500, "takes a failed attempt for a success"),
    mutant(5, 500, "puts a failed message behind the others of its key"),
    mutant(6, 500, "does not remember a success"),
    mutant(7, 500, "remembers one identity only"),
    mutant(8, 500, "leaks the credit of a dead letter"),
    mutant(
        9,
        20_000,
        "takes an old epoch's result for a new epoch's progress",
    ),
    mutant(10, 500, "passes a dead letter that was not stored"),
    mutant(11, 1_000, "releases a partition while its handlers run"),
    mutant(12, 1_000, "writes a second commit while one is outstanding"),
    mutant(13, 5_000, "takes a commit of unknown outcome for stored"),
    mutant(14, 1_000, "goes on starting messages after a revoke"),
    mutant(15, 2_000, "takes deliveries of an old session in"),
    mutant(16, 20_000, "begins a session without overlap"),
    mutant(17, 2_000, "hands messages out after the lease has run out"),
    mutant(18, 1_000, "overlooks a lost delivery"),
    mutant(
        19,
        1_000,
        "remembers an identity when it starts instead of when it succeeds",
    ),
    mutant(
        20,
        5_000,
        "does not keep the key of a lost partition's handler busy",
    ),
    mutant(21, 5_000, "commits after it lost the partition"),
    mutant(22, 2_000, "does not set the timer of the second retry"),
    mutant(
        23,
        20_000,
        "trusts the progress of another incarnation of the log",
    ),
    mutant(24, 2_000, "commits unfinished messages when it drains"),
    mutant(
        25,
        500,
        "grants to each partition what was granted to others already",
    ),
    mutant(
        26,
        5_000,
        "grants nothing to a partition while others have everything",
    ),
];

/// One mutant at a time: they are switched on for the whole process.
static HUNTING: Mutex<()> = Mutex::new(());

/// Runs seeds with a mutant switched on until the checker finds a promise broken. The core's own
/// `check_invariants` is not asked.
#[must_use]
pub fn hunt(mutant: &Mutant) -> Option<Caught> {
    let _alone = HUNTING.lock().unwrap_or_else(PoisonError::into_inner);
    procession_core::mutants::set(mutant.number);
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = (0..mutant.within).find_map(|seed| {
        // A mutant may break the core's own bookkeeping so badly that it panics: caught as well.
        let verdict = match catch_unwind(AssertUnwindSafe(|| run_unaudited(seed, Profile::Mixed))) {
            Ok(report) => report.verdict?.to_string(),
            Err(_) => "a panic in the core".into(),
        };
        Some(Caught { seed, verdict })
    });
    std::panic::set_hook(quiet);
    procession_core::mutants::set(0);
    found
}

//! Deterministic simulator of a Procession subscription.
//!
//! A world of partition logs, processes and faults around the real core, in virtual time. One seed
//! is one run: the configuration, the workload and every fault follow from it by keyed hashes, and
//! the same seed gives the same run on every machine (S11). After every event a checker with books
//! of its own holds the promises of the design against what the core did; when faults have stopped,
//! everything must come to its end (L1), and a last drain must leave nothing behind (L5).
//!
//! ```
//! use procession_sim::{Profile, run};
//!
//! let report = run(1, Profile::Mixed);
//! assert!(report.verdict.is_none(), "{:?}", report.verdict);
//! assert_eq!(report.hash, run(1, Profile::Mixed).hash);
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]

mod checker;
mod coverage;
mod emit;
mod event;
mod explain;
mod fate;
mod grid;
mod heap;
mod html;
mod item;
mod judge;
mod lies;
mod log;
mod member;
#[cfg(feature = "mutants")]
mod mutants;
mod plan;
#[cfg(feature = "mutants")]
mod proofs;
mod record;
mod replay;
mod report;
mod rule;
mod run;
mod shrink;
mod site;
mod small;
mod tape;
mod timeline;
pub mod trace;
mod verdict;
mod world;

// What is read and written, under the name that it has here.
use procession_tape::text;

pub use checker::Tally;
pub use coverage::{COVERAGE_LEAST, Coverage, MARKS, Mark, STATES, State, TABLE_LEAST};
pub use emit::emit_test;
pub use explain::explain_failure;
pub use fate::{Decision, Fate, hash, log_uniform, mix};
pub use html::draw;
pub use item::Item;
pub use judge::{Judged, judge, with_its_mutant};
#[cfg(feature = "mutants")]
pub use mutants::{
    CANARY, Caught, MUTANTS, Mutant, SMALL_MUTANTS, SmallMutant, first_broken, hunt, hunt_small,
    prove, with_mutant,
};
pub use plan::{Flavour, Plan, Profile};
#[cfg(feature = "mutants")]
pub use proofs::{Bite, PROOFS, Proof, UNPROVED, forgotten};
pub use record::{must_hold, record, verdict_id};
pub use replay::{Replayed, replay};
pub use report::{BYTES_MAX, Failure, ParseError, VERSION, parse, print, step_text};
pub use rule::{RULES, Rule};
pub use run::{Batch, Fired, Report, Summary, explain, run, run_plan};
pub use shrink::{RUNS_MAX, shrink};
pub use site::{SITES, Site};
pub use small::{Broken, Small, Told};
pub use tape::{Call, Event, Open, Played, Player, Poll, Settled, Step, Tape};
pub use verdict::Verdict;

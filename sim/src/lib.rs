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
mod event;
mod fate;
mod heap;
mod log;
mod member;
#[cfg(feature = "mutants")]
mod mutants;
mod plan;
mod run;
mod site;
mod verdict;
mod world;

pub use checker::Tally;
pub use fate::{Fate, hash, log_uniform, mix};
#[cfg(feature = "mutants")]
pub use mutants::{Caught, MUTANTS, Mutant, hunt};
pub use plan::{Flavour, Plan, Profile};
pub use run::{Report, Summary, explain, run, run_plan, run_range};
pub use site::{SITES, Site};
pub use verdict::Verdict;

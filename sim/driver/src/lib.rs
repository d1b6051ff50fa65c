//! Deterministic simulator of the drivers: the real subscription and publisher drivers of
//! `procession-runtime`, several members of a group, over the real in-process broker, on an executor
//! of its own with virtual time.
//!
//! Where the simulator of the core puts a world around `procession_core::Consumer`, this one puts
//! one around the glue: mailboxes, wake-ups, tasks of handlers, timers, leases and progress records.
//! One seed is one run, and the same seed gives the same run on every machine.
//!
//! ```
//! let outcome = procession_sim_driver::run(1);
//! assert!(outcome.breach.is_none(), "{:?}", outcome.breach);
//! assert_eq!(outcome.digest, procession_sim_driver::run(1).digest);
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule looks at a few of many kinds of events"
)]

mod callers;
mod check;
mod dice;
mod event;
mod executor;
mod feed;
mod history;
mod lag;
mod line;
mod observer;
mod outcome;
mod plan;
mod recorder;
mod sabotage;
mod shell;
mod sink;
mod work;
mod world;

pub use check::Breach;
pub use event::{Event, Outcome as HandlerOutcome, Reason, Seen, Told, What};
pub use history::Stored;
pub use outcome::{Outcome, Tally, describe, run, run_with};
pub use sabotage::{SABOTAGES, Sabotage};

//! What a batch of runs has been to: rules that were asked, marks of the models and the core, and in
//! which states of a core each fault struck.

use std::fmt;

use crate::rule::{RULES, Rule};
use crate::site::{SITES, Site};

macro_rules! named {
    ($(#[$outer:meta])* $type:ident $count:ident { $($(#[$doc:meta])* $name:ident),+ $(,)? }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum $type { $($(#[$doc])* $name),+ }

        impl $type {
            /// All of them.
            pub const ALL: [Self; $count] = [$(Self::$name),+];
        }

        /// How many there are.
        pub const $count: usize = [$(stringify!($name)),+].len();
    };
}

named! {
    /// A place in the models.
    Mark MARKS {
        /// An eager rebalance.
        Eager,
        /// A cooperative rebalance.
        Cooperative,
        /// A rebalance by the broker.
        BrokerDriven,
        /// Nobody gets a partition before all have given up.
        BehindBarrier,
        /// A commit of an ended generation.
        OldGeneration,
        /// A commit of a former owner.
        FormerOwner,
        /// A commit behind a later one of its own.
        Overtaken,
        /// A commit that lands after its answer was lost.
        LandsLate,
        /// A session finds what it expected.
        Continues,
        /// A session finds something else.
        Rewritten,
        /// A session finds nothing to tell by.
        CannotTell,
        /// A record of another incarnation is read.
        RecordForeign,
        /// A record beyond the end of its log is read.
        RecordBeyond,
        /// A lease runs out, or a hand-over takes too long.
        TakenOver,
        /// A heartbeat shows a lost tail.
        LostTail,
        /// A heartbeat tells of trailing holes.
        TrailingHoles,
        /// A delivery of an ended session arrives.
        Straggler,
        /// An offer is refused and comes again.
        OfferedAgain,
        /// A process remembers identities of its last life.
        Remembered,
        /// What its last life has left is broken.
        RememberedBroken,
        /// A partition goes to a member that drains.
        AssignedDraining,
        /// A member lost a partition and does not know when it gets it again.
        Unaware,
        /// A dead letter is answered when its partition is gone.
        LetterTooLate,
        /// A handler ends after its process had lost the partition.
        EndsOrphaned,
    }
}

named! {
    /// A state of a core, as its checker sees it. Several hold at once.
    State STATES {
        /// The process is dead.
        Dead,
        /// It owns nothing.
        Free,
        /// It owns something and holds nothing.
        Empty,
        /// Messages wait.
        Waiting,
        /// Handlers run.
        Running,
        /// Handlers run whose partition is gone.
        Orphans,
        /// A partition takes nothing in.
        Full,
        /// A partition has no session.
        Apart,
        /// A commit has no answer.
        Writing,
        /// A partition is being given up.
        Stopping,
        /// The process drains.
        Draining,
    }
}

/// How often a batch of 40,000 seeds must have been everywhere.
pub const COVERAGE_LEAST: u64 = 20;

/// How much of the table of faults and states such a batch must have filled, in percent.
pub const TABLE_LEAST: usize = 80;

/// Places that are counted, and so rare that a batch may miss them: sessions notice a rewritten log
/// before the core looks at identities. Only what is rewritten ahead of a recorded frontier, while nobody
/// owns it, is left to the digests of a map.
const RARE: [&str; 2] = ["core OtherIdentity", "core RewrittenByMap"];

/// What one run, or many, has been to.
#[derive(Clone, Debug)]
pub struct Coverage {
    /// How often each rule was asked.
    pub rules: [u64; RULES],
    /// How often each place of the models was reached.
    pub marks: [u64; MARKS],
    /// How often each fault struck in each state.
    pub table: [[u64; STATES]; SITES],
}

impl Default for Coverage {
    fn default() -> Self {
        Self {
            rules: [0; RULES],
            marks: [0; MARKS],
            table: [[0; STATES]; SITES],
        }
    }
}

impl Coverage {
    /// Adds what another run has been to.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.rules.iter_mut().zip(&other.rules);
        let pairs = pairs.chain(self.marks.iter_mut().zip(&other.marks));
        let cells = self.table.iter_mut().flatten();
        for (mine, theirs) in pairs.chain(cells.zip(other.table.iter().flatten())) {
            *mine += theirs;
        }
    }

    /// The share of the table that is filled, in percent: each fault in each state.
    #[must_use]
    pub fn filled_percent(&self) -> usize {
        let faults = Site::FIRST_DRAW as usize;
        let cells = self.table[..faults].iter().flatten();
        let filled = cells.filter(|n| **n > 0).count();
        filled * 100 / (faults * STATES)
    }

    /// Everything that was reached less than `least` times: rules, places of the models, places of
    /// the core (in builds that count them).
    #[must_use]
    pub fn short_of(&self, least: u64) -> Vec<String> {
        let all = self.rows().into_iter();
        let short = all.filter(|(name, n)| *n < least && !RARE.contains(&name.as_str()));
        short.map(|(name, n)| format!("{name} ({n})")).collect()
    }

    /// Everything that is counted, and how often it was reached; not the table.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, u64)> {
        let rules = Rule::ALL.iter().zip(self.rules);
        let rules = rules.map(|(r, n)| (format!("rule {} {}", r.id(), r.shape()), n));
        let marks = Mark::ALL.iter().zip(self.marks);
        let marks = marks.map(|(m, n)| (format!("model {m:?}"), n));
        rules.chain(marks).chain(core_marks()).collect()
    }
}

/// The places of the core: counted over the whole process.
#[cfg(feature = "marks")]
fn core_marks() -> Vec<(String, u64)> {
    let all = procession_core::marks::Mark::ALL.iter();
    all.map(|m| (format!("core {m:?}"), m.hits())).collect()
}

#[cfg(not(feature = "marks"))]
fn core_marks() -> Vec<(String, u64)> {
    Vec::new()
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, n) in self.rows() {
            writeln!(f, "{n:>12}  {name}")?;
        }
        if !cfg!(feature = "marks") {
            writeln!(f, "places of the core are counted with `--features marks`")?;
        }
        write!(f, "\n{:<18}", "fault in state")?;
        for state in State::ALL {
            write!(f, "{:>10}", format!("{state:?}").to_lowercase())?;
        }
        writeln!(f)?;
        for site in Site::ALL.into_iter().filter(|s| s.is_fault()) {
            write!(f, "{:<18}", site.name())?;
            for n in self.table[site as usize] {
                write!(f, "{n:>10}")?;
            }
            writeln!(f)?;
        }
        write!(f, "{} % of the table filled", self.filled_percent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_reached_often_enough_is_named() {
        let mut coverage = Coverage {
            rules: [7; RULES],
            marks: [7; MARKS],
            ..Coverage::default()
        };
        coverage.marks[Mark::Eager as usize] = 6;
        let mut short = coverage.short_of(7);
        short.retain(|s| !s.starts_with("core"));
        assert_eq!(short, ["model Eager (6)"]);
        assert_eq!(coverage.filled_percent(), 0);
        coverage.add(&coverage.clone());
        assert_eq!(coverage.marks[Mark::Eager as usize], 12);
    }
}

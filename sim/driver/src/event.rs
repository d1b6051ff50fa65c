//! What happened in a run.

use core::fmt;

use procession_runtime::subscription::Ending;
pub(crate) use procession_runtime::subscription::Incident;

pub(crate) use crate::history::Stored;

/// One thing that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// When, in nanoseconds.
    pub at: u64,
    /// To which process: 0 is the publisher, others are lives of members.
    pub life: u32,
    /// What.
    pub what: What,
}

/// What happened. Positions and epochs are those of the runtime; messages are numbered by the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names of the fields say what they are")]
pub enum What {
    /// A member started.
    Started {
        seat: u32,
    },
    /// It died.
    Crashed,
    /// It stands still.
    Paused,
    /// It goes on.
    Resumed,
    /// It is to end by then.
    Drain {
        deadline: u64,
    },
    /// It was aborted.
    Aborted,
    /// Its driver ended.
    Ended {
        ok: bool,
    },
    /// The feed said how long a partition is ours.
    Lease {
        partition: u32,
        epoch: u64,
        until: u64,
    },
    /// The feed said where a partition stands.
    Resumes {
        partition: u32,
        epoch: u64,
        frontier: Option<u64>,
        /// The position of the message that the log is recognised by.
        anchor: Option<u64>,
        map_bytes: usize,
        /// Where the log begins, and one past its end.
        log: (u64, u64),
    },
    /// The feed said until when a partition is to be given up.
    Asked {
        partition: u32,
        epoch: u64,
        deadline: u64,
    },
    /// The broker holds a commit: before anybody hears of it.
    Recorded {
        partition: u32,
        epoch: u64,
        frontier: u64,
    },
    /// The driver asks for a session, which begins at a position: one that must be found there, or else it is
    /// blind.
    Looks {
        partition: u32,
        epoch: u64,
        session: u64,
        at: u64,
        blind: bool,
    },
    /// The driver is told that a partition is its own.
    Given {
        partition: u32,
        epoch: u64,
    },
    /// The driver is told what the session found.
    Looked {
        partition: u32,
        epoch: u64,
        session: u64,
        seen: Seen,
    },
    /// The feed hangs, or goes on.
    Hangs {
        hangs: bool,
    },
    /// Hooks of the subscription's observer.
    Assigned {
        partition: u32,
        epoch: u64,
        position: u64,
    },
    Revoked {
        partition: u32,
        epoch: u64,
    },
    Lost {
        partition: u32,
        epoch: u64,
    },
    Released {
        partition: u32,
        epoch: u64,
    },
    AttemptEnded {
        partition: u32,
        epoch: u64,
        position: u64,
        ending: Ending,
    },
    Duplicate {
        partition: u32,
        position: u64,
        publish: u32,
    },
    Passed {
        partition: u32,
        position: u64,
        publish: u32,
    },
    Buried {
        partition: u32,
        position: u64,
        message: u32,
        publish: u32,
        why: Reason,
    },
    Commit {
        partition: u32,
        epoch: u64,
        frontier: u64,
        beyond: Vec<(u64, u64)>,
    },
    Committed {
        partition: u32,
        epoch: u64,
        frontier: u64,
        beyond: Vec<(u64, u64)>,
    },
    Drained {
        left: u32,
    },
    Incident {
        partition: u32,
        position: u64,
        incident: Incident,
        why: String,
    },
    /// A handler's first poll: its own view.
    Begin {
        run: u64,
        partition: u32,
        epoch: u64,
        position: u64,
        message: u32,
        publish: u32,
        /// Which one of how many messages of one call.
        call: (u32, u32),
    },
    /// The end of a handler, or of its future.
    End {
        run: u64,
        outcome: Outcome,
    },
    /// A publish was handed to the driver.
    Called {
        publish: u32,
        message: u32,
        deadline: u64,
    },
    /// The driver accepted a publish.
    Accepted {
        publish: u32,
        message: u32,
    },
    /// The driver says how an accepted publish ended.
    Resolved {
        publish: u32,
        result: Told,
    },
    /// The caller learned how its publish ended.
    Heard {
        publish: u32,
        result: Told,
    },
    /// A connection or a delivery was harmed.
    Harmed {
        how: &'static str,
    },
    /// The broker lost the tail of a log, and uses its positions again from `end` on.
    TailLost {
        partition: u32,
        end: u64,
        lost: Vec<Stored>,
    },
    /// Retention took what a log held below `start`, finished or not.
    Purged {
        partition: u32,
        start: u64,
        gone: Vec<Stored>,
    },
    /// The owner says where a partition goes on that has stopped: behind everything, or at the start.
    Decided {
        partition: u32,
        latest: bool,
    },
    /// The logs have no room for anything, or have room again.
    Full {
        full: bool,
    },
    /// The port could not store a dead letter.
    NotBuried,
    /// No fault happens any more.
    Healed,
}

/// What a session found where it was to begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// What it was to find, or nothing was to be found.
    Continues,
    /// Something else.
    Rewritten,
    /// Nothing any more.
    CannotTell,
}

/// Why a message ended as a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its time was over.
    Expired,
    /// Processes have died of it.
    Suspect,
    /// Something else.
    Other,
}

/// How a handler ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It succeeded.
    Done,
    /// It failed, for now.
    Failed,
    /// It failed for good.
    Rejected,
    /// It panicked.
    Panicked,
    /// Its future was dropped.
    Dropped,
}

/// How a publish ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told {
    /// In the log, there.
    Stored {
        /// The partition.
        partition: u32,
        /// The position.
        position: u64,
    },
    /// Not in the log, and it never will be.
    Refused,
    /// In the log or not.
    Unknown,
    /// No room.
    Full,
    /// The publisher is closed.
    Closed,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.at / 1_000;
        write!(
            f,
            "{:>6}.{:06} {:>3} {:?}",
            micros / 1_000_000,
            micros % 1_000_000,
            self.life,
            self.what
        )
    }
}

//! An event of a history, names replaced by numbers.

use super::names::{Id, Key, Part};

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// CLOCK_MONOTONIC, made non-decreasing within a file.
    pub(super) t: u64,
    /// Index of the file.
    pub(super) file: usize,
    /// Line number, from 1.
    pub(super) line: usize,
    /// Index of the run.
    pub(super) run: usize,
    pub(super) event: Event,
}

/// One attempt of a handler.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Attempt {
    pub(super) part: Part,
    pub(super) position: u64,
    pub(super) epoch: u64,
    pub(super) key: Option<Key>,
    pub(super) id: Id,
    pub(super) attempt: u64,
}

/// How a message ended without an effective attempt of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// Recognised as a copy, not run.
    Duplicate,
    Dead,
    Parked,
    Expired,
    Quarantined,
}

/// What a line says.
#[derive(Clone, Debug)]
pub(super) enum Event {
    Accepted {
        id: Id,
    },
    Stored {
        id: Id,
        part: Part,
        position: u64,
    },
    Refused {
        id: Id,
    },
    Unknown {
        id: Id,
    },
    Logged {
        id: Id,
        part: Part,
        position: u64,
    },
    Assigned {
        part: Part,
        position: Option<u64>,
    },
    Released {
        part: Part,
        epoch: u64,
    },
    Start(Attempt),
    End {
        attempt: Attempt,
        done: bool,
    },
    Ended {
        id: Id,
        part: Part,
        position: u64,
        ending: Ending,
    },
    Commit {
        part: Part,
        epoch: u64,
        frontier: u64,
    },
    Committed {
        part: Part,
        epoch: u64,
        frontier: u64,
        beyond: Box<[(u64, u64)]>,
    },
    NewGeneration {
        part: Part,
        position: u64,
    },
    /// Says nothing that a judge needs.
    Other,
}

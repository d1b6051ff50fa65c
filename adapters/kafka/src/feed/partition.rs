//! What the feed knows of one partition that the group gave it.

use std::time::Instant;

use procession_core::{Epoch, Incarnation, PartitionId, Session, Start};

use super::reading::Reading;

/// A partition that this member was assigned.
pub(super) struct Partition {
    /// The epoch; a core that found its log rewritten counts it up by itself.
    pub(super) epoch: Epoch,
    /// The epoch that the core was told.
    pub(super) opened: Epoch,
    pub(super) phase: Phase,
    /// When it was opened, in questions and commits.
    pub(super) ticket: u64,
    pub(super) incarnation: Incarnation,
    /// The session that delivers.
    pub(super) reading: Option<Reading>,
    /// A session that is to begin.
    pub(super) wanted: Option<Start>,
    /// The fetcher needs a moment between giving a partition up and taking it again: without it one
    /// in fourteen stalled in silence.
    pub(super) not_before: Option<Instant>,
    pub(super) granted: Granted,
}

/// How far a partition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// It is looked up where it stands. Asked again at `again`, if there was no answer.
    Looking { again: Option<Instant> },
    /// The core has it.
    Open,
    /// The core gave it up, and the group has not taken it yet.
    Left,
}

/// Totals that a session may deliver.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Granted {
    session: Session,
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl Partition {
    pub(super) const fn looking(ticket: u64) -> Self {
        Self {
            epoch: Epoch(0),
            opened: Epoch(0),
            phase: Phase::Looking { again: None },
            ticket,
            incarnation: Incarnation(0),
            reading: None,
            wanted: None,
            not_before: None,
            granted: Granted {
                session: Session(0),
                messages: 0,
                bytes: 0,
            },
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// A new session: what was granted to the one before is void.
    pub(super) const fn want(&mut self, start: Start) {
        self.epoch = start.epoch;
        self.granted = Granted {
            session: start.session,
            messages: 0,
            bytes: 0,
        };
        self.wanted = Some(start);
    }

    /// Totals only grow.
    pub(super) fn grant(&mut self, session: Session, messages: u64, bytes: u64) {
        if self.granted.session == session {
            self.granted.messages = self.granted.messages.max(messages);
            self.granted.bytes = self.granted.bytes.max(bytes);
        }
    }
}

/// The partition's number as the core has it.
pub(super) const fn id(partition: i32) -> PartitionId {
    PartitionId(partition.unsigned_abs())
}

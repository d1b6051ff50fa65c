//! What is seen of a core from outside, for timelines.

use procession_core::{
    Admit, Arrival, Commit, Dispatch, Drained, Flow, Notice, PartitionId, Position, Refusal,
    Release, Start, Why,
};

use procession_tape::Settled;

/// Something that came of a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A message arrived.
    Offered {
        /// The message.
        arrival: Box<Arrival<u32>>,
        /// What became of it.
        admit: Result<Admit, Refusal>,
    },
    /// A handler is to start.
    Started(Dispatch<u32>),
    /// A handler is to stop; its token.
    Cancel(u64),
    /// A result was given to the core.
    Settled {
        /// Of this attempt.
        token: u64,
        /// How it ended.
        settled: Settled,
        /// The core knew the token.
        taken: bool,
    },
    /// Delivery is to start.
    Session(Start),
    /// A dead letter is to be stored.
    Letter {
        /// Of this partition.
        partition: PartitionId,
        /// At this position.
        position: Position,
        /// For this reason.
        why: Why,
    },
    /// A message was a copy, and did not run.
    Copied(PartitionId, Position),
    /// A message ended without a handler and without a dead letter.
    Passed(PartitionId, Position),
    /// Progress is to be written.
    Commit(Commit),
    /// An operator is told.
    Notice(Notice),
    /// A partition is given up.
    Release(Release),
    /// A feed is to stop, or to go on.
    Flow(Flow),
    /// A drain is over.
    Drained(Drained),
}

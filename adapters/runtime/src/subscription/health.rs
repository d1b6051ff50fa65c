//! A state that one can read: is it running, how far, and who blocks.

use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Position, Span, Stats};

/// A snapshot of a subscription. Taken by the driver at most 20 times a second.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// What it is doing.
    pub state: State,
    /// Whether the port says that the broker is connected.
    pub connected: bool,
    /// The partitions that it owns, and those that it waits for.
    pub partitions: Vec<PartitionHealth>,
    /// The core's counters.
    pub stats: Stats,
    /// Tasks of handlers that exist now.
    pub tasks: usize,
    /// Commits that were not permitted, dead letters that are not stored, handlers that do not stop:
    /// what must not stay as it is. Empty when all is well.
    pub alarms: Vec<Arc<str>>,
}

/// What a subscription is doing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum State {
    /// It owns nothing yet.
    #[default]
    Starting,
    /// Another member owns its partitions; it waits.
    Standby,
    /// It owns partitions.
    Running,
    /// It finishes what it holds.
    Draining,
    /// It has ended.
    Ended,
}

/// One partition of a subscription.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionHealth {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch; `None` while another member owns it.
    pub epoch: Option<Epoch>,
    /// First position that is not finished.
    pub frontier: Option<Position>,
    /// The owner's name, where it is not this member.
    pub owner: Option<Arc<str>>,
    /// The message at the frontier, when it has run for a while or failed.
    pub blocker: Option<Blocker>,
}

/// The message that everything behind it waits for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blocker {
    /// Its position.
    pub position: Position,
    /// Its key and id, as [`Work::describe`](super::Work::describe) names them.
    pub name: Arc<str>,
    /// The attempt that runs.
    pub attempt: u32,
    /// How long it has run.
    pub running_for: Span,
}

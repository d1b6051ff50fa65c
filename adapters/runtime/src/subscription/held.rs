//! What the driver lets the core hold.

use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Position, Time, Token, Why};

use super::Fence;
use crate::Cancellation;

/// A message and the text of its last error, for its dead letter.
#[derive(Clone, Debug)]
pub(super) struct Held<M> {
    pub(super) message: M,
    pub(super) error: Option<Arc<str>>,
}

/// An attempt that became a task: what settles it, whatever becomes of its future.
#[derive(Debug)]
pub(super) struct Running<M> {
    pub(super) token: Token,
    pub(super) fence: Fence,
    pub(super) attempt: u32,
    pub(super) since: Time,
    pub(super) deadline: Time,
    pub(super) cancellation: Cancellation,
    /// The core asked it to stop because its time was up.
    pub(super) timed_out: bool,
    /// The driver's own copy: a panic or an abort can always retry.
    pub(super) held: Held<M>,
}

/// A dead letter on its way.
#[derive(Debug)]
pub(super) struct Burial<M> {
    pub(super) partition: PartitionId,
    pub(super) position: Position,
    pub(super) why: Why,
    /// Only kept when somebody observes.
    pub(super) message: Option<M>,
}

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Committing {
    pub(super) epoch: Epoch,
    pub(super) write: u64,
    pub(super) frontier: Position,
    pub(super) beyond: Vec<(Position, Position)>,
}

//! What the driver remembers of one partition: who owns it, and what the core has refused.

use std::collections::VecDeque;
use std::sync::Arc;

use procession_core::{Anchor, Arrival, Epoch, Position, Session};

use super::held::{Committing, Held};
use crate::port::Record;

/// One partition of the subscription.
#[derive(Debug)]
pub(super) struct Partition<M> {
    /// The epoch that the observer knows; `None` while the partition is not ours.
    pub(super) epoch: Option<Epoch>,
    /// The epoch whose release was announced.
    pub(super) released: Option<Epoch>,
    /// The owner, where it is somebody else.
    pub(super) owner: Option<Arc<str>>,
    /// The session that may deliver.
    pub(super) session: Option<(Epoch, Session)>,
    /// Deliveries that the core has not taken yet, in their order. Bounded by what was granted.
    pub(super) kept: VecDeque<Kept<M>>,
    pub(super) committing: Option<Committing>,
    /// Where the partition was opened, for `hold_commits`.
    pub(super) opened_at: (Position, Option<Anchor>),
}

/// Deliveries that wait for the core.
#[derive(Debug)]
pub(super) enum Kept<M> {
    /// Records; the first of them may be decoded already.
    Records {
        epoch: Epoch,
        session: Session,
        head: Option<Arrival<Held<M>>>,
        rest: std::vec::IntoIter<Record>,
    },
    /// Nothing below the position is still to come: true for the core only behind what is kept.
    Advance {
        epoch: Epoch,
        session: Session,
        position: Position,
    },
}

impl<M> Default for Partition<M> {
    fn default() -> Self {
        Self {
            epoch: None,
            released: None,
            owner: None,
            session: None,
            kept: VecDeque::new(),
            committing: None,
            opened_at: (Position(0), None),
        }
    }
}

impl<M> Partition<M> {
    /// Ends the session: what it delivered and the core has not taken is void.
    pub(super) fn end_session(&mut self) {
        self.session = None;
        self.kept.clear();
    }

    /// Ends ownership.
    pub(super) fn end_epoch(&mut self) {
        self.end_session();
        self.epoch = None;
        self.committing = None;
    }
}

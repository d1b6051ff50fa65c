//! What the driver remembers of one partition: what it granted, and what the core has refused.

use std::collections::VecDeque;
use std::sync::Arc;

use procession_core::{Anchor, Arrival, Credit, Epoch, Position, Session};

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
    pub(super) grants: Grants,
    pub(super) committing: Option<Committing>,
    /// Where the partition was opened, for `hold_commits`.
    pub(super) opened_at: (Position, Option<Anchor>),
}

/// Deliveries that wait for the core.
#[derive(Debug)]
pub(super) enum Kept<M> {
    /// Records; the first of them may be decoded already. Beside it stands what it was charged as
    /// a delivery.
    Records {
        epoch: Epoch,
        session: Session,
        head: Option<(u32, Arrival<Held<M>>)>,
        rest: std::vec::IntoIter<Record>,
    },
    /// Nothing below the position is still to come: true for the core only behind what is kept.
    Advance {
        epoch: Epoch,
        session: Session,
        position: Position,
    },
}

/// Totals of one session, in messages and bytes.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Grants {
    granted: Amount,
    delivered: Amount,
    offered: Amount,
    /// The credit at the last grant.
    window: Amount,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

impl<M> Default for Partition<M> {
    fn default() -> Self {
        Self {
            epoch: None,
            released: None,
            owner: None,
            session: None,
            kept: VecDeque::new(),
            grants: Grants::default(),
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
        self.grants = Grants::default();
    }

    /// Ends ownership.
    pub(super) fn end_epoch(&mut self) {
        self.end_session();
        self.epoch = None;
        self.committing = None;
    }
}

impl Grants {
    pub(super) const fn delivered(&mut self, bytes: u32) {
        self.delivered.messages += 1;
        self.delivered.bytes += bytes as u64;
    }

    pub(super) const fn offered(&mut self, bytes: u32) {
        self.offered.messages += 1;
        self.offered.bytes += bytes as u64;
    }

    /// What was granted and has not reached the core yet: on the way, or kept.
    pub(super) const fn outstanding(&self) -> Amount {
        Amount {
            messages: self.granted.messages.saturating_sub(self.offered.messages),
            bytes: self.granted.bytes.saturating_sub(self.offered.bytes),
        }
    }

    /// The new totals, when they are worth a command: they grew by an eighth of the last window, or
    /// the port has nothing left to pull, or (`idle`) nothing else will ever make them grow.
    ///
    /// `credit` is what the core would take of this partition now. It does not know what was granted
    /// to the others: `free` is what that leaves of the whole credit, and `share` what the partition
    /// may have outstanding even so, because the core keeps that much for it.
    pub(super) fn grow(
        &mut self,
        credit: Credit,
        free: Amount,
        share: Amount,
        idle: bool,
    ) -> Option<Amount> {
        let outstanding = self.outstanding();
        let more = |credit: u64, outstanding: u64, free: u64, share: u64| {
            let open = credit.saturating_sub(outstanding);
            open.min(free.max(share.saturating_sub(outstanding)))
        };
        // A grant is never taken back, so totals that shrank are left alone.
        let more = Amount {
            messages: more(
                credit.messages.into(),
                outstanding.messages,
                free.messages,
                share.messages,
            ),
            bytes: more(credit.bytes, outstanding.bytes, free.bytes, share.bytes),
        };
        if more == Amount::default() {
            return None;
        }
        let nothing_left = self.granted.messages <= self.delivered.messages
            || self.granted.bytes <= self.delivered.bytes;
        let useful = |more: u64, window: u64| 0 < more && window / 8 <= more;
        if !(idle
            || nothing_left
            || useful(more.messages, self.window.messages)
            || useful(more.bytes, self.window.bytes))
        {
            return None;
        }
        self.granted.messages += more.messages;
        self.granted.bytes = self.granted.bytes.saturating_add(more.bytes);
        self.window = self.outstanding();
        Some(self.granted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: Amount = Amount {
        messages: u64::MAX,
        bytes: u64::MAX,
    };
    const NOTHING: Amount = Amount {
        messages: 0,
        bytes: 0,
    };

    const fn credit(messages: u32) -> Credit {
        Credit {
            messages,
            bytes: 100 * messages as u64,
        }
    }

    fn take(grants: &mut Grants, count: u32) {
        for _ in 0..count {
            grants.delivered(100);
            grants.offered(100);
        }
    }

    #[test]
    fn totals_follow_the_credit_and_never_exceed_it() {
        let mut grants = Grants::default();
        let first = grants.grow(credit(80), NO_LIMIT, NOTHING, false).unwrap();
        assert_eq!((first.messages, first.bytes), (80, 8_000));
        // What was taken and not finished shrinks the credit; the totals stand.
        take(&mut grants, 9);
        assert_eq!(grants.grow(credit(71), NO_LIMIT, NOTHING, true), None);
        // One of the nine is finished: not worth a command, except when nothing else will come.
        assert_eq!(grants.grow(credit(72), NO_LIMIT, NOTHING, false), None);
        let idle = grants.grow(credit(72), NO_LIMIT, NOTHING, true);
        assert_eq!(idle.map(|a| a.messages), Some(81));
        // An eighth is.
        take(&mut grants, 20);
        let eighth = grants.grow(credit(62), NO_LIMIT, NOTHING, false);
        assert_eq!(eighth.map(|a| a.messages), Some(91));
    }

    #[test]
    fn a_port_without_anything_to_pull_hears_of_every_message() {
        let mut grants = Grants::default();
        assert!(grants.grow(credit(80), NO_LIMIT, NOTHING, false).is_some());
        take(&mut grants, 80);
        assert_eq!(grants.grow(credit(0), NO_LIMIT, NOTHING, false), None);
        let one = grants.grow(credit(1), NO_LIMIT, NOTHING, false);
        assert_eq!(one.map(|a| a.messages), Some(81));
    }

    #[test]
    fn other_partitions_leave_at_least_the_share() {
        let share = Amount {
            messages: 10,
            bytes: 1_000,
        };
        let mut grants = Grants::default();
        let first = grants.grow(credit(80), NOTHING, share, false).unwrap();
        assert_eq!((first.messages, first.bytes), (10, 1_000));
        assert_eq!(grants.grow(credit(80), NOTHING, share, true), None);
        let free = Amount {
            messages: 5,
            bytes: 500,
        };
        let second = grants.grow(credit(80), free, share, true).unwrap();
        assert_eq!((second.messages, second.bytes), (15, 1_500));
    }
}

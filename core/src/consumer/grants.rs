//! Grants: how much a feed that pulls may deliver before it hears more.
//!
//! `credit` is what the core would take of one partition if nothing were on its way to any other. A
//! grant is handed out before the messages come, so what all partitions were granted has to be counted
//! together: beyond its share, a partition is granted only what is neither held nor granted to others
//! (S7). Its share is granted whatever the others have outstanding, because the core keeps that much
//! for it: no partition starves (L1).

use super::partition::{Delivery, Partition};
use super::{Consumer, Grant};
use crate::{Limits, PartitionId, mutants};

/// Messages and bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Amount {
    pub(super) messages: u64,
    pub(super) bytes: u64,
}

/// Totals of one session.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Totals {
    /// What was offered and taken: held, or known already.
    pub(super) taken: Amount,
    pub(super) granted: Amount,
    /// What was outstanding right after the last grant.
    pub(super) window: Amount,
}

/// A walk over all partitions, begun at another one each time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Round {
    pub(super) first: usize,
    /// Partitions that are still to be looked at.
    pub(super) left: usize,
    /// What is neither held nor granted.
    pub(super) free: Amount,
}

impl Totals {
    /// What was granted and has not come yet.
    pub(super) const fn outstanding(&self) -> Amount {
        Amount {
            messages: self.granted.messages.saturating_sub(self.taken.messages),
            bytes: self.granted.bytes.saturating_sub(self.taken.bytes),
        }
    }

    /// Whether a grant of so much more is worth a command: the feed has nothing left to deliver, or
    /// it is an eighth of what was outstanding.
    fn is_worth(&self, more: Amount) -> bool {
        let outstanding = self.outstanding();
        let useful = |more: u64, window: u64| more > 0 && more >= window / 8;
        outstanding.messages == 0
            || outstanding.bytes == 0
            || useful(more.messages, self.window.messages)
            || useful(more.bytes, self.window.bytes)
    }
}

impl Partition {
    /// Whether its own limits let more come than what was granted. One that holds nothing may always have a
    /// message.
    const fn may_hold(&self, limits: &Limits, granted: Amount) -> bool {
        let messages = limits.partition_messages.saturating_sub(self.used_messages) as u64;
        let bytes = limits.partition_bytes.saturating_sub(self.used_bytes);
        messages > 0 && bytes > 0 && (messages > granted.messages || bytes > granted.bytes)
    }

    /// Whether a session delivers, or is about to.
    const fn is_fed(&self) -> bool {
        matches!(self.delivery, Delivery::Starting | Delivery::Live)
    }
}

impl<M> Consumer<M> {
    /// More that a feed that pulls may deliver: totals of its session, which only grow. Feeds that
    /// push do not need it; for them there is [`poll_flow`](Self::poll_flow).
    ///
    /// What is held and granted of all partitions together stays within the limits; beyond them a
    /// partition is only granted up to its share (half of the limits, shared out by
    /// [`weight`](Self::set_weight) over the open partitions, and at least one message of the largest size). Small increments are saved up while
    /// the feed has something left to deliver and anything is held. Ask until `None`, which ends a
    /// round over all partitions: O(partitions), and O(1) where nothing has changed since the last one.
    #[inline]
    pub fn poll_grant(&mut self) -> Option<Grant> {
        if self.round.left == 0 && !self.credit.moved {
            return None;
        }
        self.next_grant()
    }

    fn next_grant(&mut self) -> Option<Grant> {
        if self.round.left == 0 {
            self.begin_round();
        }
        let partitions = self.partitions.len();
        while self.round.left > 0 {
            let index = self.round.first + partitions - self.round.left;
            let index = if index < partitions {
                index
            } else {
                index - partitions
            };
            self.round.left -= 1;
            if self.partitions[index].is_fed()
                && let Some(grant) = self.grant(index)
            {
                return Some(grant);
            }
        }
        None
    }

    /// What is free may be more than a round knows, never less: limits and shares end it.
    pub(super) fn end_round(&mut self) {
        self.round.left = 0;
        self.credit.moved = true;
    }

    fn begin_round(&mut self) {
        self.credit.moved = false;
        let mut used = Amount {
            messages: self.slab.used().into(),
            bytes: self.credit.used_bytes,
        };
        // A session that has ended may still have messages on their way, until the next one begins.
        for part in self.partitions.iter().filter(|p| p.is_ours()) {
            let outstanding = part.totals.outstanding();
            used.messages += outstanding.messages;
            used.bytes = used.bytes.saturating_add(outstanding.bytes);
        }
        let limits = Amount {
            messages: self.limits.messages.into(),
            bytes: self.limits.bytes,
        };
        let free = Amount {
            messages: limits.messages.saturating_sub(used.messages),
            bytes: limits.bytes.saturating_sub(used.bytes),
        };
        self.round = Round {
            first: if self.round.first + 1 < self.partitions.len() {
                self.round.first + 1
            } else {
                0
            },
            left: self.partitions.len(),
            free: if mutants::is(25) { limits } else { free },
        };
    }

    fn grant(&mut self, index: usize) -> Option<Grant> {
        let partition = PartitionId(index as u32);
        let share = self.share(index);
        let totals = &self.partitions[index].totals;
        let outstanding = totals.outstanding();
        let free = self.round.free;
        let most = |outstanding: u64, free: u64, share: u64| {
            let share = if mutants::is(26) { 0 } else { share };
            free.max(share.saturating_sub(outstanding))
        };
        let most = Amount {
            messages: most(outstanding.messages, free.messages, share.messages),
            bytes: most(outstanding.bytes, free.bytes, share.bytes),
        };
        // While nothing is held, nothing else will ever make the totals grow.
        let now_or_never = self.slab.used() == 0;
        // Mostly there is so little that the credit, which takes longer to reckon, does not matter.
        if most == Amount::default() || !(now_or_never || totals.is_worth(most)) {
            return None;
        }
        let part = &self.partitions[index];
        if part.used_messages > 0 && !part.may_hold(&self.limits, outstanding) {
            return None;
        }
        let credit = self.credit(partition);
        let totals = &mut self.partitions[index].totals;
        let more =
            |credit: u64, outstanding: u64, most: u64| credit.saturating_sub(outstanding).min(most);
        // A grant is never taken back: where the credit has fallen, the totals stand.
        let more = Amount {
            messages: more(credit.messages.into(), outstanding.messages, most.messages),
            bytes: more(credit.bytes, outstanding.bytes, most.bytes),
        };
        if more == Amount::default() || !(now_or_never || totals.is_worth(more)) {
            return None;
        }
        // More may have come than was granted: one message of any size always may.
        let beyond = |granted: u64, taken: u64, more: u64| match more {
            0 => granted,
            _ => granted.max(taken).saturating_add(more),
        };
        let (granted, taken) = (totals.granted, totals.taken);
        totals.granted = Amount {
            messages: beyond(granted.messages, taken.messages, more.messages),
            bytes: beyond(granted.bytes, taken.bytes, more.bytes),
        };
        totals.window = totals.outstanding();
        self.round.free = Amount {
            messages: free.messages.saturating_sub(more.messages),
            bytes: free.bytes.saturating_sub(more.bytes),
        };
        let Amount { messages, bytes } = totals.granted;
        let part = &self.partitions[index];
        Some(Grant {
            partition,
            epoch: part.epoch,
            session: part.session,
            messages,
            bytes,
        })
    }
}

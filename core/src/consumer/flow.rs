//! Pressure: credit in messages and bytes, shares, water marks.
//!
//! Half of the credit is shared out evenly over the open partitions, the other half goes to whoever
//! comes first: no open partition starves (L1), and a single busy one can use more than half. A
//! partition that holds nothing may take one message beyond the credit, one partition at a time, so
//! that the message at the frontier can always get in: the cap is the credit plus one message of the
//! largest size (S7).

use super::partition::Partition;
use super::slab::NONE;
use super::{Consumer, Credit, Flow, NoticeKind};
use crate::{Limits, PartitionId, Time};

/// What is used, and what is kept free for partitions that have not used their share.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) used_messages: u32,
    pub(super) used_bytes: u64,
    /// Sum over open partitions of what is missing to their share.
    unfilled_messages: u32,
    unfilled_bytes: u64,
    share_messages: u32,
    share_bytes: u64,
    open: u32,
    /// The slot that was admitted beyond the credit.
    overdraft: u32,
    /// Something was given back since the shut partitions were last looked at.
    refunded: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            used_messages: 0,
            used_bytes: 0,
            unfilled_messages: 0,
            unfilled_bytes: 0,
            share_messages: 0,
            share_bytes: 0,
            open: 0,
            overdraft: NONE,
            refunded: false,
        }
    }
}

/// How a message would be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Payment {
    Credit,
    Overdraft,
}

impl Account {
    /// Whether a message of `bytes` can be paid for, and how.
    #[inline]
    pub(super) fn price(&self, limits: &Limits, part: &Partition, bytes: u32) -> Option<Payment> {
        let bytes = u64::from(bytes);
        let own_messages = self.share_messages.saturating_sub(part.used_messages);
        let own_bytes = self.share_bytes.saturating_sub(part.used_bytes);
        // What the others' unfilled shares leave.
        let messages = self.used_messages + self.unfilled_messages + 1 - own_messages.min(1);
        let bytes_all = self.used_bytes + self.unfilled_bytes + bytes - own_bytes.min(bytes);
        let fits = messages <= limits.messages
            && bytes_all <= limits.bytes
            && part.used_messages < limits.partition_messages
            && part.used_bytes + bytes <= limits.partition_bytes;
        if fits {
            Some(Payment::Credit)
        } else {
            (part.used_messages == 0 && self.overdraft == NONE).then_some(Payment::Overdraft)
        }
    }

    #[inline]
    pub(super) fn charge(&mut self, part: &mut Partition, slot: u32, bytes: u32, by: Payment) {
        let bytes = u64::from(bytes);
        self.unfilled_messages -= u32::from(part.used_messages < self.share_messages);
        self.unfilled_bytes -= self.share_bytes.saturating_sub(part.used_bytes).min(bytes);
        part.used_messages += 1;
        part.used_bytes += bytes;
        self.used_messages += 1;
        self.used_bytes += bytes;
        if by == Payment::Overdraft {
            self.overdraft = slot;
        }
    }

    /// Takes a message out of its partition's account; it stays in the bus's until
    /// [`refund`](Self::refund).
    #[inline]
    pub(super) fn disown(&mut self, part: &mut Partition, bytes: u32) {
        let before = self.share_bytes.saturating_sub(part.used_bytes);
        part.used_messages -= 1;
        part.used_bytes -= u64::from(bytes);
        if part.is_ours() {
            self.unfilled_messages += u32::from(part.used_messages < self.share_messages);
            self.unfilled_bytes += self.share_bytes.saturating_sub(part.used_bytes) - before;
        }
    }

    #[inline]
    pub(super) fn refund(&mut self, slot: u32, bytes: u32) {
        self.used_messages -= 1;
        self.used_bytes -= u64::from(bytes);
        self.refunded = true;
        if self.overdraft == slot {
            self.overdraft = NONE;
        }
    }
}

impl<M> Consumer<M> {
    /// Changes the limits. Messages are bounded by the figure given at construction. What is held
    /// beyond lower limits stays held; nothing more is taken in until it has drained. O(partitions).
    pub fn set_limits(&mut self, now: Time, limits: &Limits) {
        self.tick(now);
        self.limits = Limits {
            messages: limits.messages.clamp(1, self.config.limits.messages),
            bytes: limits.bytes.max(1),
            partition_messages: limits.partition_messages.max(1),
            partition_bytes: limits.partition_bytes.max(1),
            low_water_percent: limits.low_water_percent.clamp(1, 100),
        };
        self.share_out(0);
    }

    /// Shares half of the credit out again, after the number of open partitions has changed by
    /// `change` or the limits have.
    pub(super) fn share_out(&mut self, change: i32) {
        let account = &mut self.credit;
        account.open = account.open.saturating_add_signed(change);
        let twice = 2 * account.open.max(1);
        account.share_messages = self.limits.messages / twice;
        account.share_bytes = self.limits.bytes / u64::from(twice);
        account.unfilled_messages = 0;
        account.unfilled_bytes = 0;
        for part in self.partitions.iter().filter(|p| p.is_ours()) {
            account.unfilled_messages += account.share_messages.saturating_sub(part.used_messages);
            account.unfilled_bytes += account.share_bytes.saturating_sub(part.used_bytes);
        }
        account.refunded = true;
    }

    /// Blocks of the window pool that a partition may still take.
    #[inline]
    pub(super) fn blocks_free(&self, partition: usize) -> u32 {
        let own = u32::from(self.partitions[partition].window.blocks() == 0);
        self.pool
            .free_blocks()
            .saturating_sub(self.blockless - own.min(self.blockless))
    }

    #[inline]
    pub(super) fn blocks_max(&self) -> u32 {
        // One more than the window, because the first block may be half passed.
        self.config.window.div_ceil(super::window::BLOCK) + 1
    }

    /// Shuts the intake of a partition until the load has fallen to the low water mark.
    pub(super) fn shut(&mut self, partition: usize) {
        let part = &mut self.partitions[partition];
        if !part.shut {
            part.shut = true;
            self.shut.insert(partition as u32);
            self.credit.refunded = false;
            if part.paused {
                self.flows.remove(partition as u32);
            } else {
                self.flows.insert(partition as u32);
            }
        }
    }

    /// Whether the load has fallen so far that a shut partition may take in again.
    fn is_low(&self, partition: usize) -> bool {
        let part = &self.partitions[partition];
        let percent = u64::from(self.limits.low_water_percent);
        let low = |used: u64, limit: u64| used.saturating_mul(100) <= limit.saturating_mul(percent);
        let all = low(
            self.credit.used_messages.into(),
            self.limits.messages.into(),
        ) && low(self.credit.used_bytes, self.limits.bytes);
        let share = low(part.used_messages.into(), self.credit.share_messages.into())
            && low(part.used_bytes, self.credit.share_bytes);
        let own = low(
            part.used_messages.into(),
            self.limits.partition_messages.into(),
        ) && low(part.used_bytes, self.limits.partition_bytes);
        let window = part.window.blocks() == 0
            || part
                .window
                .room(&self.pool, self.blocks_max(), self.blocks_free(partition))
                > 0;
        (all || share) && own && window
    }

    /// How much more a partition may deliver now, for feeds that pull. Zero while the intake is
    /// shut (high water), until the load has fallen to the low water mark. What was asked for and
    /// has not been offered yet is the caller's to subtract.
    #[must_use]
    pub fn credit(&self, partition: PartitionId) -> Credit {
        let index = partition.0 as usize;
        let Some(part) = self.partitions.get(index) else {
            return Credit::default();
        };
        if part.phase != super::partition::Phase::Open || part.lapsed {
            return Credit::default();
        }
        let room = part
            .window
            .room(&self.pool, self.blocks_max(), self.blocks_free(index));
        if room == 0 {
            return Credit::default();
        }
        let account = &self.credit;
        let mut credit = Credit::default();
        if !part.shut || self.is_low(index) {
            let own = account.share_messages.saturating_sub(part.used_messages);
            let shared = u64::from(self.limits.messages)
                .saturating_sub(u64::from(account.used_messages))
                .saturating_sub(account.unfilled_messages.into()) as u32;
            credit.messages = (own + shared)
                .min(
                    self.limits
                        .partition_messages
                        .saturating_sub(part.used_messages),
                )
                .min((self.slab.capacity() as u32).saturating_sub(self.slab.used()));
            let own = account.share_bytes.saturating_sub(part.used_bytes);
            let shared = self
                .limits
                .bytes
                .saturating_sub(account.used_bytes)
                .saturating_sub(account.unfilled_bytes);
            credit.bytes =
                (own + shared).min(self.limits.partition_bytes.saturating_sub(part.used_bytes));
        }
        if part.used_messages == 0 && account.overdraft == NONE && self.slab.has_room() {
            credit.messages = credit.messages.max(1);
            credit.bytes = credit.bytes.max(self.config.message_bytes_max.into());
        }
        credit.messages = credit.messages.min(room);
        if credit.messages == 0 || credit.bytes == 0 {
            Credit::default()
        } else {
            credit
        }
    }

    /// Back-pressure for feeds that push. Pause and resume alternate for each partition. O(shut
    /// partitions), and only after something was given back.
    pub fn poll_flow(&mut self) -> Option<Flow> {
        if self.credit.refunded && !self.shut.is_empty() {
            self.credit.refunded = false;
            for word in 0..self.partitions.len().div_ceil(64) {
                let mut bits = self.shut.word(word);
                while bits != 0 {
                    let partition = word * 64 + bits.trailing_zeros() as usize;
                    bits &= bits - 1;
                    if self.is_low(partition) {
                        self.unshut(partition);
                    }
                }
            }
        }
        let partition = self.flows.pop()?;
        let part = &mut self.partitions[partition as usize];
        part.paused = part.shut;
        let id = PartitionId(partition);
        Some(if part.paused {
            Flow::Pause(id)
        } else {
            Flow::Resume(id)
        })
    }

    pub(super) fn unshut(&mut self, partition: usize) {
        let part = &mut self.partitions[partition];
        if part.shut {
            part.shut = false;
            self.shut.remove(partition as u32);
            if part.paused && part.phase == super::partition::Phase::Open {
                self.flows.insert(partition as u32);
            } else {
                self.flows.remove(partition as u32);
            }
        }
    }

    pub(super) fn notice(&mut self, partition: usize, kind: NoticeKind, position: crate::Position) {
        self.notices.raise(partition, kind, position);
    }

    pub(super) fn check_account(&self) -> Result<(), &'static str> {
        let account = &self.credit;
        let held = self.slab.slots.iter().map(|s| (&s.hot, &s.cold));
        let held = held.filter(|(s, _)| s.state != super::slab::State::Free);
        let (messages, bytes) = held.fold((0u32, 0u64), |(m, b), (_, c)| {
            (m + 1, b + u64::from(c.bytes))
        });
        if (messages, bytes) != (account.used_messages, account.used_bytes) {
            return Err("S7: what is charged is not what is held");
        }
        let mut unfilled = (0, 0);
        for part in self.partitions.iter().filter(|p| p.is_ours()) {
            unfilled.0 += account.share_messages.saturating_sub(part.used_messages);
            unfilled.1 += account.share_bytes.saturating_sub(part.used_bytes);
        }
        if unfilled != (account.unfilled_messages, account.unfilled_bytes) {
            return Err("S7: the unfilled shares are not what is missing to them");
        }
        if account.used_bytes
            > self.config.limits.bytes.max(self.limits.bytes)
                + u64::from(self.config.message_bytes_max)
        {
            return Err("S7: more bytes are held than the credit and one message");
        }
        Ok(())
    }
}

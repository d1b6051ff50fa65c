//! Pressure: credit in messages and bytes, shares, water marks.
//!
//! Half of the credit is shared out evenly over the open partitions, the other half goes to whoever
//! comes first: no open partition starves (L1), and a single busy one can use more than half. A
//! partition that holds nothing may take one message beyond the credit, one partition at a time, so
//! that the message at the frontier can always get in: the cap is the credit plus one message of the
//! largest size (S7).
//!
//! Messages of one key may have a cap of their own, so that a hot key cannot take all credit. Because a
//! feed is ordered, its partition's intake is shut until the key has room again; other partitions and
//! everything that is held go on.

use super::grants::Amount;
use super::partition::{Doubt, Partition};
use super::slab::NONE;
use super::{Consumer, Credit, Flow, NoticeKind};
use crate::marks::mark;
use crate::{Limits, PartitionId, Time};

/// What is used, and what is kept free for partitions that have not used their share.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// What is left of the limits after everything held and what is missing to the shares of open
    /// partitions. Below zero after the limits were lowered.
    pub(super) spare_messages: i64,
    pub(super) spare_bytes: i64,
    pub(super) used_bytes: u64,
    pub(super) share_messages: u32,
    pub(super) share_bytes: u64,
    /// A partition that holds less than this takes from its share only, whatever the others do.
    /// Zero while anything is unusual: limits that were lowered, a message beyond the credit.
    pub(super) covered_messages: u32,
    pub(super) covered_bytes: u64,
    /// The share, or what one partition may hold if that is less.
    pub(super) cap_messages: u32,
    pub(super) cap_bytes: u64,
    pub(super) open: u32,
    /// The slot that was admitted beyond the credit.
    pub(super) overdraft: u32,
    /// Something was given back since the shut partitions were last looked at.
    pub(super) refunded: bool,
}

impl Default for Account {
    fn default() -> Self {
        Self {
            spare_messages: 0,
            spare_bytes: 0,
            used_bytes: 0,
            share_messages: 0,
            share_bytes: 0,
            covered_messages: 0,
            covered_bytes: 0,
            cap_messages: 0,
            cap_bytes: 0,
            open: 0,
            overdraft: NONE,
            refunded: false,
        }
    }
}

/// A limit as a signed number, so that what is spare can be.
fn signed(limit: u64) -> i64 {
    limit.min(1 << 62) as i64
}

/// How a message would be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Payment {
    Credit,
    Overdraft,
}

impl Account {
    /// What a partition takes from the spare bytes when it holds `used`: the share is set aside for
    /// it, used or not.
    #[inline]
    fn taken(&self, used: u64) -> i64 {
        used.max(self.share_bytes) as i64
    }

    /// Whether the share of a partition pays for a message of `bytes`.
    #[inline(always)]
    pub(super) fn covers(&self, part: &Partition, bytes: u32) -> bool {
        part.used_messages < self.covered_messages
            && part.used_bytes + u64::from(bytes) <= self.covered_bytes
    }

    /// Charges a message that the share of its partition pays for.
    #[inline(always)]
    pub(super) fn charge_covered(&mut self, part: &mut Partition, bytes: u32) {
        part.used_messages += 1;
        part.used_bytes += u64::from(bytes);
        self.used_bytes += u64::from(bytes);
    }

    /// Whether a message of `bytes` can be paid for, and how.
    pub(super) fn price(&self, limits: &Limits, part: &Partition, bytes: u32) -> Option<Payment> {
        let after = part.used_bytes + u64::from(bytes);
        let fits = i64::from(part.used_messages >= self.share_messages) <= self.spare_messages
            && self.taken(after) - self.taken(part.used_bytes) <= self.spare_bytes
            && part.used_messages < limits.partition_messages
            && after <= limits.partition_bytes;
        if fits {
            Some(Payment::Credit)
        } else {
            (part.used_messages == 0 && self.overdraft == NONE).then_some(Payment::Overdraft)
        }
    }

    pub(super) fn charge(&mut self, part: &mut Partition, slot: u32, bytes: u32, by: Payment) {
        self.spare_messages -= i64::from(part.used_messages >= self.share_messages);
        let before = self.taken(part.used_bytes);
        self.charge_covered(part, bytes);
        self.spare_bytes -= self.taken(part.used_bytes) - before;
        if by == Payment::Overdraft {
            self.overdraft = slot;
        }
        self.recover();
    }

    /// Gives back what a message of a partition was charged.
    #[inline(always)]
    pub(super) fn credit(&mut self, part: &mut Partition, slot: u32, bytes: u32) {
        self.refunded = true;
        if part.used_messages <= self.covered_messages && part.used_bytes <= self.covered_bytes {
            part.used_messages -= 1;
            part.used_bytes -= u64::from(bytes);
            self.used_bytes -= u64::from(bytes);
        } else {
            self.credit_rest(part, slot, bytes);
        }
    }

    #[inline(never)]
    fn credit_rest(&mut self, part: &mut Partition, slot: u32, bytes: u32) {
        self.disown(part, bytes);
        self.refund(slot, bytes);
    }

    /// Takes a message out of its partition's account; it stays in the bus's until
    /// [`refund`](Self::refund).
    pub(super) fn disown(&mut self, part: &mut Partition, bytes: u32) {
        let before = self.taken(part.used_bytes);
        part.used_messages -= 1;
        part.used_bytes -= u64::from(bytes);
        self.spare_messages -= i64::from(part.used_messages < self.share_messages);
        self.spare_bytes -= i64::from(bytes) - (before - self.taken(part.used_bytes));
        self.recover();
    }

    /// Gives back what was charged for a message that no partition owns any more.
    pub(super) fn refund(&mut self, slot: u32, bytes: u32) {
        self.spare_messages += 1;
        self.spare_bytes += i64::from(bytes);
        self.used_bytes -= u64::from(bytes);
        self.refunded = true;
        if self.overdraft == slot {
            self.overdraft = NONE;
        }
        self.recover();
    }

    /// What a partition may be granted whatever the others hold: one message of the largest size gets
    /// in even beyond its share.
    pub(super) fn share(&self, message_bytes_max: u32) -> Amount {
        Amount {
            messages: self.share_messages.max(1).into(),
            bytes: self.share_bytes.max(message_bytes_max.into()),
        }
    }

    /// Never gives back the credit of a message (a fault, for the simulator).
    pub(super) fn leak(&mut self) {
        self.spare_messages -= 1;
        self.recover();
    }

    /// Room was made by something else than a refund: shut partitions are looked at again.
    pub(super) fn look_again(&mut self) {
        self.refunded = true;
    }

    /// What a share covers without a look at the rest of the account, after that has changed.
    fn recover(&mut self) {
        let usual = self.spare_messages >= 0 && self.spare_bytes >= 0 && self.overdraft == NONE;
        self.covered_messages = if usual { self.cap_messages } else { 0 };
        self.covered_bytes = if usual { self.cap_bytes } else { 0 };
    }
}

impl<M> Consumer<M> {
    /// Changes the limits. Those of all partitions are bounded by the figures given at construction. What is held
    /// beyond lower limits stays held; nothing more is taken in until it has drained. O(partitions).
    pub fn set_limits(&mut self, now: Time, limits: &Limits) {
        self.tick(now);
        self.limits = Limits {
            messages: limits.messages.clamp(1, self.config.limits.messages),
            bytes: limits.bytes.clamp(1, self.config.limits.bytes),
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
        account.share_bytes = signed(self.limits.bytes) as u64 / u64::from(twice);
        account.cap_messages = account.share_messages.min(self.limits.partition_messages);
        account.cap_bytes = account.share_bytes.min(self.limits.partition_bytes);
        account.refunded = true;
        (self.credit.spare_messages, self.credit.spare_bytes) = self.spare();
        self.credit.recover();
        self.end_round();
    }

    /// What is spare, from what is held.
    fn spare(&self) -> (i64, i64) {
        let account = &self.credit;
        let (mut messages, mut bytes) = (i64::from(self.slab.used()), account.used_bytes);
        for part in self.partitions.iter().filter(|p| p.is_ours()) {
            messages += i64::from(account.share_messages.saturating_sub(part.used_messages));
            bytes += account.share_bytes.saturating_sub(part.used_bytes);
        }
        (
            i64::from(self.limits.messages) - messages,
            signed(self.limits.bytes) - signed(bytes),
        )
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
        let all = low(self.slab.used().into(), self.limits.messages.into())
            && low(self.credit.used_bytes, self.limits.bytes);
        let share = low(part.used_messages.into(), self.credit.share_messages.into())
            && low(part.used_bytes, self.credit.share_bytes);
        let own = low(
            part.used_messages.into(),
            self.limits.partition_messages.into(),
        ) && low(part.used_bytes, self.limits.partition_bytes);
        let window = part.window.blocks() == 0
            || part.doubt != Doubt::No
            || part
                .window
                .room(&self.pool, self.blocks_max(), self.blocks_free(partition))
                > 0;
        let hot = part.hot.is_none_or(|lane| {
            let (depth, most) = (self.lanes.depth(&self.slab, lane), self.config.key_messages);
            part.used_messages == 0
                || (depth < most && low(depth.into(), most.into()))
                || depth == 0
        });
        (all || share) && own && window && hot
    }

    /// How much more of a partition would be taken in now. Zero while the intake is shut (high water),
    /// until the load has fallen to the low water mark. It knows nothing of what is on its way: what a
    /// feed may ask for, [`poll_grant`](Self::poll_grant) says.
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
        // What comes again to end a doubt needs no room.
        let room = room.max(u32::from(part.doubt != Doubt::No));
        if room == 0 {
            return Credit::default();
        }
        let account = &self.credit;
        let mut credit = Credit::default();
        if !part.shut || self.is_low(index) {
            // While more is held than the limits allow, shares are not paid out either.
            let paid = account.spare_messages >= 0 && account.spare_bytes >= 0;
            let own = account.share_messages.saturating_sub(part.used_messages);
            let all = if paid {
                own + account.spare_messages as u32
            } else {
                0
            };
            credit.messages = all
                .min(
                    self.limits
                        .partition_messages
                        .saturating_sub(part.used_messages),
                )
                .min((self.slab.capacity() as u32).saturating_sub(self.slab.used()));
            let own = account.share_bytes.saturating_sub(part.used_bytes);
            let all = if paid {
                own + account.spare_bytes as u64
            } else {
                0
            };
            credit.bytes = all.min(self.limits.partition_bytes.saturating_sub(part.used_bytes));
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
    #[inline]
    pub fn poll_flow(&mut self) -> Option<Flow> {
        if self.flows.is_empty() && (!self.credit.refunded || self.shut.is_empty()) {
            return None;
        }
        self.next_flow()
    }

    fn next_flow(&mut self) -> Option<Flow> {
        if self.credit.refunded && !self.shut.is_empty() && !crate::mutants::is(48) {
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
            mark!(Paused);
            Flow::Pause(id)
        } else {
            mark!(Resumed);
            Flow::Resume(id)
        })
    }

    pub(super) fn unshut(&mut self, partition: usize) {
        let part = &mut self.partitions[partition];
        if part.shut {
            part.shut = false;
            part.hot = None;
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
        if (messages, bytes) != (self.slab.used(), account.used_bytes) {
            return Err("S7: what is charged is not what is held");
        }
        if self.spare() != (account.spare_messages, account.spare_bytes) {
            return Err("S7: what is spare is not what holdings and shares leave");
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

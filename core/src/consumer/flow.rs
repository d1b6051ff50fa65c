//! Pressure: credit in messages and bytes, shares, water marks.
//!
//! Half of the credit is shared out over the open partitions by their weights (`weights.rs`), the other
//! half goes to whoever comes first: no open partition starves (L1), and a single busy one can use more
//! than half. A partition that holds nothing may take one message beyond the credit, one partition at a
//! time, so that the message at the frontier can always get in: the cap is the credit plus one message
//! of the largest size (S7).
//!
//! Messages of one key may have a cap of their own, so that a hot key cannot take all credit. Because a
//! feed is ordered, its partition's intake is shut until the key has room again; other partitions and
//! everything that is held go on.

use super::partition::{Doubt, Partition};
use super::slab::NONE;
use super::{Consumer, Credit, Flow, NoticeKind};
use crate::marks::mark;
use crate::{Limits, PartitionId, Time, mutants};

/// What is used, and what is kept free for partitions that have not used their share.
#[derive(Clone, Debug)]
pub(super) struct Account {
    /// What is left of the limits after everything held and what is missing to the shares of open
    /// partitions. Below zero after the limits were lowered.
    pub(super) spare_messages: i64,
    pub(super) spare_bytes: i64,
    pub(super) used_bytes: u64,
    /// One more than the bytes that a message may have in the usual way of `offer`; 0 when nothing may
    /// take that: see [`Consumer::new`].
    pub(super) plain_bytes: u64,
    /// The same; 0 as well while more is held or set aside than the limits allow.
    pub(super) plain_bytes_end: u64,
    /// The slot that was admitted beyond the credit.
    pub(super) overdraft: u32,
    /// Something was given back since the shut partitions were last looked at.
    pub(super) refunded: bool,
    /// Something that grants follow from has changed since a round of them began.
    pub(super) moved: bool,
}

impl Account {
    pub(super) const fn new(plain_bytes: u64) -> Self {
        Self {
            spare_messages: 0,
            spare_bytes: 0,
            used_bytes: 0,
            plain_bytes,
            plain_bytes_end: plain_bytes,
            overdraft: NONE,
            refunded: false,
            moved: true,
        }
    }
}

/// A limit as a signed number, so that what is spare can be.
pub(super) fn signed(limit: u64) -> i64 {
    limit.min(1 << 62) as i64
}

impl Partition {
    /// What it takes from the spare bytes when it holds `used`: the share is set aside for it, used or
    /// not.
    #[inline]
    fn taken(&self, used: u64) -> i64 {
        used.max(self.share_bytes) as i64
    }

    /// What its share covers without a look at the rest of the account: nothing while it holds the
    /// message beyond the credit, so that the end of that one is noticed.
    pub(super) fn cover(&mut self, limits: &Limits) {
        self.covered_messages = self.share_messages.min(limits.partition_messages);
        self.covered_bytes = self.share_bytes.min(limits.partition_bytes);
    }
}

/// How a message would be paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Payment {
    Credit,
    Overdraft,
}

impl Account {
    /// Whether a message of `bytes` may come in the usual way: the share of its partition pays for it.
    #[inline(always)]
    pub(super) fn covers(&self, part: &Partition, bytes: u32) -> bool {
        part.used_messages < part.covered_messages
            && part.used_bytes + u64::from(bytes) <= part.covered_bytes
            && u64::from(bytes) < self.plain_bytes_end
    }

    /// Charges a message that the share of its partition pays for.
    #[inline(always)]
    pub(super) fn charge_covered(&mut self, part: &mut Partition, bytes: u32) {
        self.moved = true;
        part.used_messages += 1;
        part.used_bytes += u64::from(bytes);
        self.used_bytes += u64::from(bytes);
    }

    /// Whether a message of `bytes` can be paid for, and how, while so many are held.
    pub(super) fn price(
        &self,
        limits: &Limits,
        part: &Partition,
        bytes: u32,
        held: u32,
    ) -> Option<Payment> {
        let after = part.used_bytes + u64::from(bytes);
        let own = part.used_messages < limits.partition_messages && after <= limits.partition_bytes;
        let fits = i64::from(part.used_messages >= part.share_messages) <= self.spare_messages
            && part.taken(after) - part.taken(part.used_bytes) <= self.spare_bytes;
        // While shares are not paid out, because limits or weights have changed, what lets the message
        // at a frontier in still is: it was kept free under the shares before, too.
        let first = part.used_messages == 0
            && part.share_messages > 0
            && after <= part.share_bytes
            && held < limits.messages
            && self.used_bytes + u64::from(bytes) <= limits.bytes;
        if own && (fits || (first && !mutants::is(203))) {
            Some(Payment::Credit)
        } else {
            (part.used_messages == 0 && self.overdraft == NONE).then_some(Payment::Overdraft)
        }
    }

    pub(super) fn charge(&mut self, part: &mut Partition, slot: u32, bytes: u32, by: Payment) {
        self.spare_messages -= i64::from(part.used_messages >= part.share_messages);
        let before = part.taken(part.used_bytes);
        self.charge_covered(part, bytes);
        self.spare_bytes -= part.taken(part.used_bytes) - before;
        if by == Payment::Overdraft {
            self.overdraft = slot;
            part.covered_messages = 0;
        }
        self.recover();
    }

    /// Gives back what a message of a partition was charged.
    #[inline(always)]
    pub(super) fn credit(&mut self, part: &mut Partition, slot: u32, bytes: u32, limits: &Limits) {
        self.refunded = true;
        if !mutants::is(245) {
            self.moved = true;
        }
        if part.used_messages <= part.covered_messages && part.used_bytes <= part.covered_bytes {
            part.used_messages -= 1;
            part.used_bytes -= u64::from(bytes);
            self.used_bytes -= u64::from(bytes);
        } else {
            self.credit_rest(part, slot, bytes, limits);
        }
    }

    #[inline(never)]
    fn credit_rest(&mut self, part: &mut Partition, slot: u32, bytes: u32, limits: &Limits) {
        self.disown(part, bytes);
        self.refund(part, slot, bytes, limits);
    }

    /// Takes a message out of its partition's account; it stays in the bus's until
    /// [`refund`](Self::refund).
    pub(super) fn disown(&mut self, part: &mut Partition, bytes: u32) {
        let before = part.taken(part.used_bytes);
        part.used_messages -= 1;
        part.used_bytes -= u64::from(bytes);
        self.spare_messages -= i64::from(part.used_messages < part.share_messages);
        self.spare_bytes -= i64::from(bytes) - (before - part.taken(part.used_bytes));
        self.recover();
    }

    /// Gives back what was charged for a message that its partition does not own any more.
    pub(super) fn refund(&mut self, part: &mut Partition, slot: u32, bytes: u32, limits: &Limits) {
        self.spare_messages += 1;
        self.spare_bytes += i64::from(bytes);
        self.used_bytes -= u64::from(bytes);
        self.refunded = true;
        self.moved = true;
        if self.overdraft == slot {
            self.overdraft = NONE;
            part.cover(limits);
        }
        self.recover();
    }

    /// Never gives back the credit of a message (a fault, for the simulator).
    pub(super) fn leak(&mut self) {
        self.spare_messages -= 1;
        self.recover();
    }

    /// Room was made by something else than a refund: shut partitions are looked at again.
    pub(super) fn look_again(&mut self) {
        self.refunded = true;
        self.moved = true;
    }

    /// Whether shares are paid out, after what is spare has changed.
    pub(super) fn recover(&mut self) {
        let paid = self.spare_messages >= 0 && self.spare_bytes >= 0;
        self.plain_bytes_end = if paid { self.plain_bytes } else { 0 };
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
        self.share_out();
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
        let all = || {
            low(self.slab.used().into(), self.limits.messages.into())
                && low(self.credit.used_bytes, self.limits.bytes)
        };
        let share = low(part.used_messages.into(), part.share_messages.into())
            && low(part.used_bytes, part.share_bytes);
        let own = low(
            part.used_messages.into(),
            self.limits.partition_messages.into(),
        ) && low(part.used_bytes, self.limits.partition_bytes);
        if !own || !(share || all()) {
            return false;
        }
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
        window && hot
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
        let account = &self.credit;
        let shut = part.shut && !self.is_low(index);
        let beyond = part.used_messages == 0 && account.overdraft == NONE && self.slab.has_room();
        if shut && !beyond {
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
        let mut credit = Credit::default();
        if !shut {
            // While more is held and set aside than the limits allow, shares are not paid out either,
            // but for the first message of each.
            let paid = account.spare_messages >= 0 && account.spare_bytes >= 0;
            let own = part.share_messages.saturating_sub(part.used_messages);
            let all = if paid {
                own + account.spare_messages as u32
            } else if part.used_messages == 0 {
                own.min(1)
                    .min(self.limits.messages.saturating_sub(self.slab.used()))
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
            let own = part.share_bytes.saturating_sub(part.used_bytes);
            let all = if paid {
                own + account.spare_bytes as u64
            } else if part.used_messages == 0 {
                own.min(self.limits.bytes.saturating_sub(account.used_bytes))
            } else {
                0
            };
            credit.bytes = all.min(self.limits.partition_bytes.saturating_sub(part.used_bytes));
        }
        if beyond {
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
        if self.credit.refunded && !self.shut.is_empty() && !mutants::is(48) {
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
            self.credit.moved = true;
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

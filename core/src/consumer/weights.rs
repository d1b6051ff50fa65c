//! Shares: which part of the credit each open partition can count on.
//!
//! Half of the credit is shared out by weight. Nobody's share is less than what lets the message at its
//! frontier in, as long as even shares would not be: what such a floor costs is taken from those that
//! have more, in proportion.

use super::flow::signed;
use super::grants::Amount;
use super::partition::Partition;
use super::{Consumer, NotWeighed};
use crate::{PartitionId, Time, mutants};

/// The heaviest weight of a partition.
pub const WEIGHT_MAX: u32 = 1_000;

/// How one dimension of the credit, messages or bytes, is shared out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Scale {
    /// What is shared out among those above the floor, and their weights together.
    rest: u64,
    weights: u64,
    /// No share is less.
    floor: u64,
}

impl Scale {
    /// Shares `half` out over partitions of these weights; `one` is what one message takes. Each turn
    /// finds somebody who is below the floor, so there are at most as many turns as weights.
    fn new(half: u64, one: u64, weights: impl Iterator<Item = u32> + Clone) -> Self {
        let (count, sum) = weights
            .clone()
            .fold((0, 0), |(n, sum), w| (n + 1, sum + u64::from(w)));
        let floor = one.min(half / count.max(1));
        let mut scale = Self {
            rest: half,
            weights: sum.max(1),
            floor,
        };
        loop {
            let light = weights.clone().filter(|w| scale.is_light(*w));
            let (floored, light) = light.fold((0, 0), |(n, sum), w| (n + 1, sum + u64::from(w)));
            let next = Self {
                rest: half - floor * floored,
                weights: (sum - light).max(1),
                floor,
            };
            if next == scale || mutants::is(201) {
                return scale;
            }
            scale = next;
        }
    }

    /// Whether what is there in proportion to this weight is less than the floor.
    fn is_light(&self, weight: u32) -> bool {
        u128::from(self.rest) * u128::from(weight)
            < u128::from(self.floor) * u128::from(self.weights)
    }

    fn share(&self, weight: u32) -> u64 {
        let share = u128::from(self.rest) * u128::from(weight) / u128::from(self.weights);
        if mutants::is(201) {
            return share as u64;
        }
        // Not more than `rest`, which is a `u64`.
        (share as u64).max(self.floor)
    }
}

impl<M> Consumer<M> {
    /// Says how much of the credit a partition may count on, beside the others: its share of the half
    /// that is shared out is in proportion to its weight among the open partitions, and at least what
    /// lets the message at its frontier in. Weights go from 1 (what a partition has that nobody spoke
    /// of) to [`WEIGHT_MAX`]; they stay when the partition is given up and taken again. Whatever is held
    /// stays held: while that and what the new shares set aside is more than the limits, only what a
    /// frontier waits for is taken in. May be said at any time, before the partition is opened, too. O(partitions).
    ///
    /// # Errors
    /// [`NotWeighed`]; nothing was changed.
    pub fn set_weight(
        &mut self,
        now: Time,
        partition: PartitionId,
        weight: u32,
    ) -> Result<(), NotWeighed> {
        self.tick(now);
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(NotWeighed::Weight);
        }
        let part = self.partitions.get_mut(partition.0 as usize);
        part.ok_or(NotWeighed::Partition)?.weight = weight;
        if !mutants::is(202) {
            self.share_out();
        }
        Ok(())
    }

    /// The weight of a partition; `None` for one that cannot be.
    #[must_use]
    pub fn weight(&self, partition: PartitionId) -> Option<u32> {
        Some(self.partitions.get(partition.0 as usize)?.weight)
    }

    /// Shares half of the credit out again, after the open partitions have changed, or their weights,
    /// or the limits.
    pub(super) fn share_out(&mut self) {
        let weigh = |part: &Partition| if mutants::is(200) { 1 } else { part.weight };
        let ours = self.partitions.iter().filter(|p| p.is_ours());
        let weights = ours.map(weigh);
        let messages = Scale::new(u64::from(self.limits.messages) / 2, 1, weights.clone());
        let half = signed(self.limits.bytes) as u64 / 2;
        let bytes = Scale::new(half, self.config.message_bytes_max.into(), weights);
        for part in &mut self.partitions {
            let share = part.is_ours().then(|| {
                let weight = weigh(part);
                // Not more than half of the messages, which are a `u32`.
                (messages.share(weight) as u32, bytes.share(weight))
            });
            (part.share_messages, part.share_bytes) = share.unwrap_or_default();
            part.cover(&self.limits);
        }
        self.mark_overdraft();
        self.credit.refunded = true;
        (self.credit.spare_messages, self.credit.spare_bytes) = self.spare();
        self.credit.recover();
        self.end_round();
    }

    /// The end of the message beyond the credit must be noticed.
    fn mark_overdraft(&mut self) {
        let slot = self.slab.slots.get(self.credit.overdraft as usize);
        if let Some(slot) = slot {
            self.partitions[usize::from(slot.hot.partition)].covered_messages = 0;
        }
    }

    /// What is spare, from what is held.
    pub(super) fn spare(&self) -> (i64, i64) {
        let account = &self.credit;
        let (mut messages, mut bytes) = (i64::from(self.slab.used()), account.used_bytes);
        for part in self.partitions.iter().filter(|p| p.is_ours()) {
            messages += i64::from(part.share_messages.saturating_sub(part.used_messages));
            bytes += part.share_bytes.saturating_sub(part.used_bytes);
        }
        (
            i64::from(self.limits.messages) - messages,
            signed(self.limits.bytes) - signed(bytes),
        )
    }

    /// What a partition may be granted whatever the others hold: one message of the largest size gets
    /// in even beyond its share.
    pub(super) fn share(&self, index: usize) -> Amount {
        let part = &self.partitions[index];
        Amount {
            messages: part.share_messages.max(1).into(),
            bytes: part.share_bytes.max(self.config.message_bytes_max.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn shares(half: u64, one: u64, weights: &[u32]) -> Vec<u64> {
        let scale = Scale::new(half, one, weights.iter().copied());
        weights.iter().map(|w| scale.share(*w)).collect()
    }

    #[test]
    fn shares_are_in_proportion() {
        assert_eq!(shares(100, 1, &[1, 1, 2]), [25, 25, 50]);
        assert_eq!(shares(100, 1, &[7, 7, 14]), [25, 25, 50]);
        assert_eq!(shares(100, 1, &[5]), [100]);
        assert_eq!(shares(100, 1, &[]), []);
        let most = u64::from(u32::MAX) << 30;
        assert_eq!(shares(most, 1, &[1_000, 1_000]), [most / 2; 2]);
    }

    #[test]
    fn nobody_is_below_the_floor_and_all_together_have_half() {
        // The light one gets one, the others share what is left.
        assert_eq!(shares(100, 1, &[1, 1_000, 1_000]), [1, 49, 49]);
        assert_eq!(shares(100, 20, &[1, 10, 1_000]), [20, 20, 60]);
        // The floor of the first makes the second fall below it.
        assert_eq!(shares(100, 30, &[1, 40, 50]), [30, 31, 38]);
        assert_eq!(shares(100, 32, &[1, 40, 50]), [32, 32, 36]);
        // With too little for one each, all have the same.
        assert_eq!(shares(100, 40, &[1, 1_000, 1_000]), [33, 33, 33]);
        assert_eq!(shares(2, 1, &[1, 1_000, 1_000]), [0, 0, 0]);
    }
}

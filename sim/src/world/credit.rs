//! Shares of the credit, and weights: what a partition may count on, whatever the others hold.

use procession_core::{Arrival, Grant, PartitionId, Refusal};
use smallvec::SmallVec;

use super::World;
use crate::checker::{Checked, State};
use crate::member::{Delivery, Shares};
use crate::rule::Rule;

/// What half is shared out into: in proportion to weights, but nobody has less than `one`, or than an
/// even share if that is less; the lightest have just that, and the others share what is left.
fn share_out(half: u64, one: u64, weights: &[u32]) -> impl Fn(u32) -> u64 {
    let floor = u128::from(one.min(half / weights.len().max(1) as u64));
    let mut sorted: SmallVec<[u32; 4]> = weights.into();
    sorted.sort_unstable();
    let sum = sorted.iter().map(|w| u64::from(*w)).sum::<u64>();
    let (mut rest, mut sum) = (u128::from(half), u128::from(sum));
    for weight in sorted {
        let weight = u128::from(weight);
        if rest * weight >= floor * sum {
            break;
        }
        (rest, sum) = (rest - floor, sum - weight);
    }
    move |weight| (rest * u128::from(weight) / sum.max(1)).max(floor) as u64
}

/// What one partition holds, and what its share is: messages and bytes.
struct Holding {
    partition: u32,
    held: (u64, u64),
    share: (u64, u64),
}

/// Few enough, mostly, to need no memory of their own.
type Holdings = SmallVec<[Holding; 4]>;

impl World {
    /// The partitions that a core has open, and what each holds as the checker knows it.
    fn holdings(&self, member: u32) -> Holdings {
        let member = &self.members[member as usize];
        let Some(core) = &member.core else {
            return Holdings::new();
        };
        let most = self.plan.config.message_bytes_max;
        let limits = member.limits.unwrap_or(self.plan.config.limits);
        let open: SmallVec<[u32; 4]> = (0..self.plan.config.partitions)
            .filter(|p| core.epoch(PartitionId(*p)).is_some())
            .collect();
        let weights: SmallVec<[u32; 4]> =
            open.iter().map(|p| member.weights[*p as usize]).collect();
        let messages = share_out(u64::from(limits.messages) / 2, 1, &weights);
        let bytes = share_out(limits.bytes / 2, most.into(), &weights);
        let holding = |(&partition, &weight): (&u32, &u32)| Holding {
            partition,
            held: (0, 0),
            share: (messages(weight), bytes(weight)),
        };
        open.iter().zip(&weights).map(holding).collect()
    }

    /// The share of one partition: reckoned anew when others are open, or weights or limits have changed.
    fn share_of(&mut self, member: u32, partition: u32) -> (u64, u64) {
        let process = &self.members[member as usize];
        let Some(core) = &process.core else {
            return (0, 0);
        };
        let open = (0..self.plan.config.partitions)
            .filter(|p| core.epoch(PartitionId(*p)).is_some())
            .fold(0u64, |open, p| open | 1 << (p % 64));
        let limits = process.limits.unwrap_or(self.plan.config.limits);
        let shares = &process.shares;
        let same = shares.open == open && shares.limits == Some(limits);
        if !same || shares.weights != process.weights {
            let holdings = self.holdings(member);
            let process = &mut self.members[member as usize];
            let Shares { of, weights, .. } = &mut process.shares;
            of.clear();
            of.resize(self.plan.config.partitions as usize, (0, 0));
            for holding in holdings {
                of[holding.partition as usize] = holding.share;
            }
            weights.clone_from(&process.weights);
            (process.shares.open, process.shares.limits) = (open, Some(limits));
        }
        self.members[member as usize].shares.of[partition as usize]
    }

    /// Adds what each holds.
    fn with_held(&self, member: u32, mut of: Holdings) -> Holdings {
        let tenures = &self.checker.processes[member as usize].tenures;
        let most = self.plan.config.message_bytes_max;
        for holding in &mut of {
            let Some(tenure) = &tenures[holding.partition as usize] else {
                continue;
            };
            for (entry, e) in self.entries.iter().zip(0..) {
                if tenure.state(e) == State::Held {
                    holding.held.0 += 1;
                    holding.held.1 += u64::from(entry.bytes.min(most));
                }
            }
        }
        of
    }

    /// A feed may deliver more. All that is held and granted is within the limits; beyond them nobody
    /// has more than its share outstanding (S7).
    #[inline(never)]
    pub(super) fn granted(&mut self, member: u32, grant: Grant) -> Checked {
        let m = member as usize;
        let p = grant.partition.0;
        let story = || format!("member={member} {grant:?} at={}", self.now);
        let rules = &self.checker.rules;
        let feeds = &self.members[m].feeds;
        let delivery = feeds[p as usize].delivery.as_ref();
        let this = delivery.filter(|d| d.session() == (grant.epoch, grant.session));
        let Some(before) = this.map(|d| d.granted) else {
            return rules.hold(Rule::GrantOfOldSession, false, story);
        };
        rules.hold(Rule::GrantOfOldSession, true, story)?;
        let after = (grant.messages, grant.bytes);
        let grows = after != before && after.0 >= before.0 && after.1 >= before.1;
        rules.hold(Rule::GrantDidNotGrow, grows, story)?;
        if let Some(delivery) = &mut self.members[m].feeds[p as usize].delivery {
            delivery.granted = after;
        }
        let Some(core) = &self.members[m].core else {
            return Ok(());
        };
        let limits = self.members[m].limits.unwrap_or(self.plan.config.limits);
        let stats = core.stats();
        let mut all = (u64::from(stats.held), stats.held_bytes);
        let mut mine = (0, 0);
        for (q, feed) in self.members[m].feeds.iter().enumerate() {
            let outstanding = feed.delivery.as_ref().map_or((0, 0), Delivery::outstanding);
            all = (all.0 + outstanding.0, all.1 + outstanding.1);
            if q == p as usize {
                mine = outstanding;
            }
        }
        let most = u64::from(self.plan.config.message_bytes_max);
        let share = self.share_of(member, p);
        let messages = mine.0 <= share.0.max(1) || all.0 <= u64::from(limits.messages);
        let bytes = mine.1 <= share.1.max(most) || all.1 <= limits.bytes;
        let fits = (after.0 == before.0 || messages) && (after.1 == before.1 || bytes);
        let rules = &self.checker.rules;
        rules.hold(Rule::MoreGranted, fits, || {
            format!("{grant:?} at={}: {mine:?} of {all:?}, {limits:?}", self.now)
        })
    }

    /// The core has refused a message for want of credit: then its partition has used its share up, or
    /// shares are not paid out because limits or weights have changed, and it holds something (L1).
    pub(super) fn refused(&self, member: u32, why: Refusal, arrival: &Arrival<u32>) -> Checked {
        let (m, p) = (member as usize, arrival.partition.0);
        let config = &self.plan.config;
        let tenure = self.checker.processes[m].tenures[p as usize].as_ref();
        let leased = tenure.is_some_and(|t| self.now < t.until);
        let held = tenure.map_or(0, |t| u64::from(t.held));
        // What only one key waits for is another matter, and so is a rewrite that nobody knows of yet.
        let counted = config.key_messages < u32::MAX || self.logs.iter().any(|l| l.rewrites > 0);
        if why != Refusal::Credit || !leased || counted {
            return Ok(());
        }
        let Some(core) = &self.members[m].core else {
            return Ok(());
        };
        let limits = self.members[m].limits.unwrap_or(config.limits);
        if 2 * held >= u64::from(limits.messages) {
            return Ok(());
        }
        let holdings = self.holdings(member);
        let own = holdings.iter().find(|h| h.partition == p);
        if own.is_none_or(|h| held >= h.share.0) {
            return Ok(());
        }
        let holdings = self.with_held(member, holdings);
        let stats = core.stats();
        let all = (u64::from(stats.held), stats.held_bytes);
        let reserved = holdings.iter().fold(all, |sum, h| {
            (
                sum.0 + h.share.0.saturating_sub(h.held.0),
                sum.1 + h.share.1.saturating_sub(h.held.1),
            )
        });
        let Some(own) = holdings.iter().find(|h| h.partition == p) else {
            return Ok(());
        };
        let bytes = u64::from(arrival.bytes.min(config.message_bytes_max));
        let after = own.held.1 + bytes;
        let may = own.held.0 < u64::from(limits.partition_messages)
            && after <= limits.partition_bytes
            && own.held.0 < own.share.0
            && after <= own.share.1;
        let paid = reserved.0 <= u64::from(limits.messages) && reserved.1 <= limits.bytes;
        let first =
            own.held.0 == 0 && all.0 < u64::from(limits.messages) && all.1 + bytes <= limits.bytes;
        let rules = &self.checker.rules;
        rules.hold(Rule::RefusedItsShare, !(may && (paid || first)), || {
            format!(
                "member={member} msg={} partition={p} at={}: it holds {:?} of {:?}, {limits:?}",
                arrival.message, self.now, own.held, own.share
            )
        })
    }

    /// A process that starts weighs its partitions, where the run does that.
    pub(super) fn weigh_all(&mut self, member: u32, n: u64) {
        let time = self.time();
        for p in 0..self.plan.config.partitions {
            let Some(weight) = self.plan.weight(p, n) else {
                return;
            };
            let process = &mut self.members[member as usize];
            let Some(core) = &mut process.core else {
                return;
            };
            if core.set_weight(time, PartitionId(p), weight) {
                process.weights[p as usize] = weight;
            }
            // Neither is there such a weight, nor such a partition.
            let beyond = PartitionId(self.plan.config.partitions);
            let nothing =
                !core.set_weight(time, PartitionId(p), 0) && !core.set_weight(time, beyond, 1);
            debug_assert!(nothing, "invariant: wrong weights are refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::share_out;

    #[test]
    fn shares_are_in_proportion_above_the_floor() {
        let shares = |half, one, weights: &[u32]| -> Vec<u64> {
            let share = share_out(half, one, weights);
            weights.iter().map(|w| share(*w)).collect()
        };
        assert_eq!(shares(100, 1, &[1, 2, 1]), [25, 50, 25]);
        assert_eq!(shares(100, 20, &[1_000, 1, 10]), [60, 20, 20]);
        assert_eq!(shares(2, 1, &[1, 1, 1]), [0, 0, 0]);
    }
}

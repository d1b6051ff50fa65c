//! What the group decides: partitions come, go in order, or are lost.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use procession_core::Epoch;
use procession_runtime::port::FeedEvent;
use procession_runtime::{BootClock, Clock as _};
use rdkafka::Offset;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol};

use super::engine::Engine;
use super::partition::{Partition, Phase, id};
use crate::context::Rebalance;

/// How long past its deadline a hand-over may wait for the core, and for a commit on its way.
const GRACE: Duration = Duration::from_secs(2);

/// Partitions that the group takes away as soon as we say so. Until then it waits, and so does the
/// next owner.
#[derive(Debug)]
pub(super) struct HandOver {
    partitions: BTreeSet<i32>,
    /// Those that the core has not released yet.
    waiting: BTreeSet<i32>,
    until: Instant,
}

impl Engine {
    pub(super) fn rebalance(&mut self, now: Instant, rebalance: Rebalance) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(&partitions),
            Rebalance::Revoke { partitions, lost } => self.revoke(now, &partitions, lost),
        }
    }

    fn assign(&mut self, partitions: &[i32]) {
        let list = self.list(partitions, Offset::End);
        let assigned = match self.member.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.member.incremental_assign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.member.assign(&list),
        };
        // The other client reads. What the member has fetched by now is dropped.
        let paused = assigned.and_then(|()| self.member.pause(&list));
        if let Err(error) = paused {
            tracing::warn!(%error, ?partitions, "the member cannot take partitions");
        }
        for number in partitions {
            self.owned.insert(*number, Partition::looking(self.ticket));
        }
        self.look_up(partitions.to_vec());
        let all = 0..i32::try_from(self.partitions_of_topic).unwrap_or(i32::MAX);
        for number in all.filter(|number| !self.owned.contains_key(number)) {
            self.out.push(FeedEvent::Standby {
                partition: id(number),
                owner: "another member of the group".to_owned(),
            });
        }
    }

    fn revoke(&mut self, now: Instant, partitions: &[i32], lost: bool) {
        let mut hand_over = self.handing.take().unwrap_or_else(|| HandOver {
            partitions: BTreeSet::new(),
            waiting: BTreeSet::new(),
            until: now + Duration::from(self.hand_over) + GRACE,
        });
        let deadline = BootClock.now() + self.hand_over;
        hand_over.partitions.extend(partitions);
        for number in partitions {
            // Reading stops at once; what runs may end.
            self.stop_reading(*number);
            let Some(partition) = self.owned.get_mut(number) else {
                continue;
            };
            let (epoch, open) = (partition.epoch, partition.is_open());
            if !open {
                partition.phase = Phase::Left;
            } else if lost {
                self.lose(*number);
                hand_over.waiting.remove(number);
            } else if hand_over.waiting.insert(*number) {
                self.out.push(FeedEvent::Revoked {
                    partition: id(*number),
                    epoch,
                    deadline,
                });
            }
        }
        self.handing = Some(hand_over);
        self.step_hand_over(now);
    }

    /// Whatever the partition had is void: the core drops it.
    pub(super) fn lose(&mut self, number: i32) {
        self.stop_reading(number);
        self.commits.forget(number, &mut self.out);
        if let Some(partition) = self.owned.get_mut(&number)
            && partition.is_open()
        {
            partition.phase = Phase::Left;
            self.out.push(FeedEvent::Lost {
                partition: id(number),
                epoch: partition.epoch,
            });
        }
    }

    /// The group does not know us any more: what was opened before it said so is lost. A revoke that
    /// says the same may follow, or a rebalance.
    pub(super) fn expelled(&mut self, before: u64) {
        let lost = self
            .owned
            .iter()
            .filter(|(_, partition)| partition.ticket <= before);
        let lost: Vec<i32> = lost.map(|(number, _)| *number).collect();
        for number in lost {
            self.lose(number);
            if let Some(hand_over) = &mut self.handing {
                hand_over.waiting.remove(&number);
            }
        }
    }

    /// The core gives a partition up: because the group asked for it, or because it drains. In the
    /// latter case it stays ours in name until the member leaves, and nobody else reads it before.
    pub(super) fn release(&mut self, number: i32, epoch: Epoch) {
        let Some(partition) = self.owned.get_mut(&number) else {
            return;
        };
        if epoch < partition.opened || !partition.is_open() {
            return;
        }
        partition.phase = Phase::Left;
        self.stop_reading(number);
        if let Some(hand_over) = &mut self.handing {
            hand_over.waiting.remove(&number);
        }
    }

    /// Lets the group have what the core has released. Not while a commit of it is on its way: that
    /// one would land behind those of the next owner.
    pub(super) fn step_hand_over(&mut self, now: Instant) {
        let Some(hand_over) = &self.handing else {
            return;
        };
        let overdue = hand_over.until <= now;
        let busy = !hand_over.waiting.is_empty()
            || hand_over
                .partitions
                .iter()
                .any(|number| self.commits.is_in_flight(*number));
        if busy && !overdue {
            return;
        }
        let Some(hand_over) = self.handing.take() else {
            return;
        };
        for number in &hand_over.waiting {
            tracing::warn!(partition = *number, "not released in time; taken as lost");
            self.lose(*number);
        }
        self.give_up(&hand_over.partitions.into_iter().collect::<Vec<_>>());
    }

    /// Answers a revoke.
    pub(super) fn give_up(&mut self, partitions: &[i32]) {
        let given = match self.member.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                let list = self.list(partitions, Offset::Invalid);
                self.member.incremental_unassign(&list)
            }
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.member.unassign(),
        };
        if let Err(error) = given {
            tracing::warn!(%error, ?partitions, "the member cannot give partitions up");
        }
        for number in partitions {
            self.commits.forget(*number, &mut self.out);
            self.owned.remove(number);
        }
    }

    /// All partitions of a hand-over that is under way.
    pub(super) fn handing_partitions(&self) -> Vec<i32> {
        let hand_over = self.handing.as_ref();
        hand_over.map_or_else(Vec::new, |h| h.partitions.iter().copied().collect())
    }
}

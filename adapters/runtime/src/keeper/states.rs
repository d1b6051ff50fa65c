//! Between the claims and the driver: what is ours, and from where on.

use procession_core::{ClaimState, PartitionId, Time};

use super::partition::{Content, Partition, Pending};
use super::{Keeper, LogState, RecordStore, incarnation_of, member_id};
use crate::port::{FeedEvent, ResumeState, StartAt};

impl<S: RecordStore> Keeper<S> {
    /// Translates a claim's state for the driver.
    pub(super) fn state_changed(
        &mut self,
        id: PartitionId,
        state: ClaimState,
        into: &mut Vec<FeedEvent>,
    ) {
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return;
        };
        match state {
            ClaimState::Owner { epoch, until } => {
                partition.standby_told = None;
                if let Some(ours) = partition.assigned {
                    // The core may know a higher epoch than the claim does: it counts up itself.
                    into.push(FeedEvent::Extended {
                        partition: id,
                        epoch: ours.max(epoch),
                        until,
                    });
                } else {
                    partition.opening = Some((epoch, until));
                }
            }
            ClaimState::Leaving {
                until, deadline, ..
            } => {
                if let Some(epoch) = partition.assigned {
                    into.push(FeedEvent::Extended {
                        partition: id,
                        epoch,
                        until,
                    });
                    into.push(FeedEvent::Revoked {
                        partition: id,
                        epoch,
                        deadline,
                    });
                } else {
                    partition.opening = None;
                }
            }
            // The driver's core has the end of the lease and stops by itself.
            ClaimState::Lapsed { .. } => {}
            ClaimState::Standby { owner } => {
                partition.releasing = false;
                Self::not_ours(id, partition, into);
                if let Some(owner) = owner {
                    let known = member_id(&partition.owner) == owner;
                    let name = if known { partition.owner.as_str() } else { "" };
                    if partition.standby_told.as_deref() != Some(name) {
                        partition.standby_told = Some(name.to_owned());
                        into.push(FeedEvent::Standby {
                            partition: id,
                            owner: name.to_owned(),
                        });
                    }
                }
            }
            ClaimState::Released { .. } => {
                partition.releasing = false;
                // After a last commit the driver releases by itself; a claim that gave up at its
                // own deadline tells it.
                if core::mem::take(&mut partition.last_sent) {
                    partition.assigned = None;
                }
                Self::not_ours(id, partition, into);
            }
        }
    }

    pub(super) fn not_ours(id: PartitionId, partition: &mut Partition, into: &mut Vec<FeedEvent>) {
        partition.opening = None;
        partition.log = None;
        partition.log_read = None;
        if let Some(epoch) = partition.assigned.take() {
            into.push(FeedEvent::Lost {
                partition: id,
                epoch,
            });
        }
    }

    /// Hands over what is ours and whose log is known; asks for the log where it is not.
    pub(super) fn open_partitions(&mut self, now: Time, into: &mut Vec<FeedEvent>) -> bool {
        let mut busy = false;
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            let Some((epoch, until)) = partition.opening else {
                continue;
            };
            let id = PartitionId(u32::try_from(number).unwrap_or(u32::MAX));
            let Some(log) = &partition.log else {
                if partition.log_read.is_none() && partition.log_after <= now {
                    partition.log_read = Some(Pending {
                        future: self.store.log(id),
                        until: now + self.spec.answer_within(),
                    });
                    busy = true;
                }
                continue;
            };
            into.push(FeedEvent::Assigned {
                partition: id,
                epoch,
                resume: resume(&partition.content, log, self.spec.start),
                until: Some(until),
            });
            partition.opening = None;
            partition.last_sent = false;
            partition.assigned = Some(epoch);
            busy = true;
        }
        busy
    }
}

/// Where a partition stands, from its record and its log.
fn resume(content: &Content, log: &LogState, start: StartAt) -> ResumeState {
    let fresh = content.frontier.is_none();
    let begin = match start {
        StartAt::Earliest => None,
        StartAt::Latest => Some(log.end),
    };
    let recorded = (!content.created.is_empty()).then(|| incarnation_of(&content.created));
    let incarnation = incarnation_of(&log.created);
    ResumeState {
        frontier: content.frontier.or(begin),
        anchor: content.anchor,
        map: content.map.clone(),
        // Nothing is recorded: where it begins is for the core to write down.
        recorded: recorded.filter(|_| !fresh),
        incarnation,
        log_start: log.start,
        log_end: log.end,
    }
}

//! Progress on its way out: one commit at a time, with all partitions that wait for it.
//!
//! Two commits in flight may land in the wrong order, each with a good answer; so there is one, and
//! what comes meanwhile waits for the next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_core::{CommitResult, Epoch, Incarnation, PartitionId};
use procession_runtime::port::{FeedEvent, PortError, PortErrorKind, ProgressWrite};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use crate::context::Context;
use crate::errors::commit_result;
use crate::ffi::commit;
use crate::ffi::queue::Queue;
use crate::metadata::Metadata;
use crate::thread::Bell;

/// An answer that takes longer than this does not come any more: librdkafka gives up on a request
/// after its socket timeout, and this is beyond it.
const GIVE_UP: Duration = Duration::from_secs(30);

/// The commits of one subscription.
pub(super) struct Commits {
    member: Arc<BaseConsumer<Context>>,
    topic: String,
    answers: Queue<Context>,
    /// What is to be written next; a later write of a partition stands for an earlier one, but there
    /// is never more than one.
    waiting: BTreeMap<i32, (ProgressWrite, Incarnation)>,
    in_flight: Option<InFlight>,
}

struct InFlight {
    writes: BTreeMap<i32, (Epoch, u64)>,
    /// Partitions that were opened later are not meant by an answer for all.
    ticket: u64,
    since: Instant,
}

/// What an answer says about the member as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// It is a member.
    Member,
    /// It is not known any more: whatever it owned before this ticket is lost.
    Expelled { before: u64 },
}

impl Commits {
    pub(super) fn new(
        member: Arc<BaseConsumer<Context>>,
        topic: &str,
        bell: &Arc<Bell>,
    ) -> Result<Self, PortError> {
        let answers = Queue::new(&member, bell).ok_or_else(|| {
            PortError::new(
                PortErrorKind::Refused,
                "no queue for the answers to commits",
            )
        })?;
        Ok(Self {
            member,
            topic: topic.to_owned(),
            answers,
            waiting: BTreeMap::new(),
            in_flight: None,
        })
    }

    /// Takes a write that is to go out as soon as the one before it is answered.
    pub(super) fn add(&mut self, write: ProgressWrite, incarnation: Incarnation) {
        if let Ok(partition) = i32::try_from(write.partition.0) {
            self.waiting.insert(partition, (write, incarnation));
        }
    }

    /// Whether a write of the partition is on its way.
    pub(super) fn is_in_flight(&self, partition: i32) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|sent| sent.writes.contains_key(&partition))
    }

    /// The partition is not ours any more: what waits for it is not sent, and counts as lost.
    pub(super) fn forget(&mut self, partition: i32, out: &mut Vec<FeedEvent>) {
        if let Some((write, _)) = self.waiting.remove(&partition) {
            out.push(committed(
                partition,
                write.epoch,
                write.write,
                CommitResult::Lost,
            ));
        }
    }

    /// Sends what waits, if nothing is on its way.
    pub(super) fn send(&mut self, now: Instant, ticket: u64, out: &mut Vec<FeedEvent>) {
        if self.in_flight.is_some() || self.waiting.is_empty() {
            return;
        }
        let mut list = TopicPartitionList::with_capacity(self.waiting.len());
        let mut writes = BTreeMap::new();
        for (partition, (write, incarnation)) in std::mem::take(&mut self.waiting) {
            let metadata = Metadata {
                epoch: write.epoch,
                anchor: write.anchor,
                incarnation,
                map: write.map,
            };
            let offset = i64::try_from(write.frontier.0).unwrap_or(i64::MAX);
            let mut element = list.add_partition(&self.topic, partition);
            // It cannot fail for a number that is not negative.
            let _ = element.set_offset(Offset::Offset(offset));
            element.set_metadata(metadata.encode());
            writes.insert(partition, (write.epoch, write.write));
        }
        match commit::send(&self.member, &list, &self.answers) {
            Ok(()) => {
                self.in_flight = Some(InFlight {
                    writes,
                    ticket,
                    since: now,
                });
            }
            Err(code) => {
                tracing::debug!(%code, "a commit was not sent");
                answer_all(&writes, commit_result(Some(code)), out);
            }
        }
    }

    /// Takes the answer of the commit that is on its way, if it is there.
    pub(super) fn poll(&mut self, now: Instant, out: &mut Vec<FeedEvent>) -> Standing {
        let mut standing = Standing::Member;
        while let Some(answer) = commit::next(&self.answers) {
            let Some(sent) = self.in_flight.take() else {
                continue;
            };
            // The broker's word on a partition counts before the word on the whole, which is that of
            // some partition when there is any.
            let told = answer.partitions.values().any(Option::is_some);
            for (partition, (epoch, write)) in &sent.writes {
                let code = match answer.partitions.get(partition) {
                    Some(Some(code)) => Some(*code),
                    Some(None) if told => None,
                    Some(None) | None => answer.error,
                };
                if code == Some(RDKafkaErrorCode::UnknownMemberId) {
                    standing = Standing::Expelled {
                        before: sent.ticket,
                    };
                }
                out.push(committed(*partition, *epoch, *write, commit_result(code)));
            }
        }
        if let Some(sent) = &self.in_flight
            && GIVE_UP < now.duration_since(sent.since)
        {
            answer_all(&sent.writes, CommitResult::Unknown, out);
            self.in_flight = None;
        }
        standing
    }
}

fn answer_all(
    writes: &BTreeMap<i32, (Epoch, u64)>,
    result: CommitResult,
    out: &mut Vec<FeedEvent>,
) {
    for (partition, (epoch, write)) in writes {
        out.push(committed(*partition, *epoch, *write, result));
    }
}

fn committed(partition: i32, epoch: Epoch, write: u64, result: CommitResult) -> FeedEvent {
    FeedEvent::Committed {
        partition: PartitionId(partition.unsigned_abs()),
        epoch,
        write,
        result,
    }
}

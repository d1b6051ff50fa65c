//! The keeper itself: between the core's claims, the store of the records and the driver.

use core::task::{Context, Poll};

use procession_core::{
    ClaimRecord, ClaimState, ClaimStats, ClaimWrite, Claims, CommitResult, Epoch, PartitionId,
    Revision, Span, Time, WriteKind, WriteResult,
};

use super::partition::{Content, Partition, Pending};
use super::spec::invalid;
use super::{
    KeeperSpec, LogState, Progress, RecordError, RecordStore, StoredRecord, WriteAnswer,
    incarnation_of, member_id,
};
use crate::port::{FeedEvent, PortError, PortErrorKind, ProgressWrite, ResumeState, StartAt};

/// Waiting time after the log's state could not be read.
const LOG_RETRY: Span = Span::from_millis(250);
/// What an owner is called whose record cannot be read.
const UNREADABLE: &str = "(unreadable record)";

/// Claims partitions, renews leases and writes progress for one feed.
///
/// The port owns it, calls [`poll`](Self::poll) from the task that serves the feed (on the port's
/// own thread), forwards [`commit`](Self::commit) and [`release`](Self::release), and hands the
/// events on. Between [`FeedEvent::Assigned`] and [`FeedEvent::Lost`] (or the release) the port
/// delivers; the keeper itself knows nothing of deliveries.
///
/// At [`FeedCommand::Close`](crate::port::FeedCommand::Close) the port goes on polling until
/// [`is_idle`](Self::is_idle), at most for a second, so that a release which was just asked for is
/// written.
#[derive(Debug)]
pub struct Keeper<S> {
    store: S,
    spec: KeeperSpec,
    claims: Claims,
    partitions: Vec<Partition>,
    /// Answers to commits that were refused on the spot.
    answers: Vec<FeedEvent>,
}

impl<S: RecordStore> Keeper<S> {
    /// A keeper that has claimed nothing. Claiming starts with the first [`poll`](Self::poll).
    ///
    /// # Errors
    /// A lease that cannot work (the margin is half of it or more), no partitions.
    pub fn new(spec: KeeperSpec, store: S) -> Result<Self, PortError> {
        let claims = Claims::new(&spec.claims(), spec.partitions).map_err(invalid)?;
        Ok(Self {
            store,
            claims,
            partitions: (0..spec.partitions).map(|_| Partition::default()).collect(),
            answers: Vec::new(),
            spec,
        })
    }

    /// Makes all progress that can be made, appends what happened to `into`, and returns when it
    /// wants to be polled again at the latest. Wakes the task whenever an answer of the store came.
    ///
    /// # Errors
    /// The keeper cannot go on (a record of a newer version): report it as
    /// [`FeedEvent::Failed`], then close.
    pub fn poll(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        into: &mut Vec<FeedEvent>,
    ) -> Result<Option<Time>, PortError> {
        into.append(&mut self.answers);
        loop {
            let mut busy = false;
            for number in 0..self.partitions.len() {
                let id = PartitionId(u32::try_from(number).unwrap_or(u32::MAX));
                busy |= self.take_answers(now, cx, id)?;
            }
            self.claims.handle_timeout(now);
            while let Some((id, epoch, write, result)) = self.claims.poll_commit_result() {
                into.push(FeedEvent::Committed {
                    partition: id,
                    epoch,
                    write,
                    result,
                });
            }
            while let Some((id, state)) = self.claims.poll_state() {
                self.state_changed(id, state, into);
                busy = true;
            }
            busy |= self.open_partitions(now, into);
            while let Some(id) = self.claims.poll_read(now) {
                let future = self.store.read(id);
                let until = now + self.spec.answer_within();
                if let Some(partition) = self.partitions.get_mut(id.0 as usize) {
                    partition.read = Some(Pending { future, until });
                    busy = true;
                }
            }
            while let Some((id, write)) = self.claims.poll_write(now) {
                self.send(now, id, write);
                busy = true;
            }
            if !busy {
                break;
            }
        }
        let answers_due = self.partitions.iter().filter_map(Partition::wake);
        Ok(answers_due.chain(self.claims.poll_timeout()).min())
    }

    /// Carries out [`FeedCommand::Commit`](crate::port::FeedCommand::Commit). Answered by exactly
    /// one [`FeedEvent::Committed`] from a later [`poll`](Self::poll).
    pub fn commit(&mut self, now: Time, write: ProgressWrite) {
        let (id, epoch, number) = (write.partition, write.epoch, write.write);
        let refuse = |result| FeedEvent::Committed {
            partition: id,
            epoch,
            write: number,
            result,
        };
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            self.answers.push(refuse(CommitResult::Lost));
            return;
        };
        // Ours as far as the driver was told; a core that found its log rewritten counts up itself.
        if partition.assigned.is_none_or(|ours| epoch < ours) {
            self.answers.push(refuse(CommitResult::Lost));
            return;
        }
        match self.claims.commit(now, id, epoch, number, write.last) {
            Ok(()) => {
                partition.assigned = Some(epoch);
                partition.last_sent |= write.last;
                partition.content = Content {
                    created: partition
                        .log
                        .as_ref()
                        .map(|log| log.created.clone())
                        .unwrap_or_default(),
                    frontier: Some(write.frontier),
                    anchor: write.anchor,
                    map: write.map,
                };
            }
            Err(_) => self.answers.push(refuse(CommitResult::Retry)),
        }
    }

    /// Carries out [`FeedCommand::Release`](crate::port::FeedCommand::Release): gives the lease up,
    /// unless the last commit did so.
    pub fn release(&mut self, now: Time, partition: PartitionId, epoch: Epoch) {
        if let Some(known) = self.partitions.get_mut(partition.0 as usize)
            && known.assigned.is_some_and(|ours| ours <= epoch)
        {
            known.assigned = None;
            known.releasing = true;
            // Ends in `Released`, which is reported.
            self.claims
                .release(now, partition, now + self.spec.lease.lease);
        }
    }

    /// The connection is gone: nothing is read or written, and what was outstanding is unknown.
    pub fn disconnected(&mut self, now: Time) {
        self.partitions.iter_mut().for_each(Partition::drop_pending);
        self.claims.connection_lost(now);
    }

    /// The connection is there again: every record is read and compared before the next write.
    pub fn reconnected(&mut self, now: Time) {
        self.claims.connection_restored(now);
    }

    /// Whether nothing is outstanding that a closing port should wait for.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partitions
            .iter()
            .all(|p| p.write.is_none() && !p.releasing)
    }

    /// What it was made for.
    #[must_use]
    pub const fn spec(&self) -> &KeeperSpec {
        &self.spec
    }

    /// Counters of the claims.
    #[must_use]
    pub fn stats(&self) -> ClaimStats {
        self.claims.stats()
    }

    /// Looks whether what was asked of the store is there, or overdue.
    fn take_answers(
        &mut self,
        now: Time,
        cx: &mut Context<'_>,
        id: PartitionId,
    ) -> Result<bool, PortError> {
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return Ok(false);
        };
        let mut busy = false;
        if let Some(answer) = settled(&mut partition.read, now, cx) {
            busy = true;
            match answer {
                Some(Ok(found)) => self.observed(now, id, found)?,
                Some(Err(error)) => {
                    tracing::debug!(partition = id.0, %error, "the progress record was not read");
                    self.claims.read_failed(now, id);
                }
                None => self.claims.read_failed(now, id),
            }
        }
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return Ok(busy);
        };
        if let Some((number, pending)) = partition.write.take() {
            let mut pending = Some(pending);
            match settled(&mut pending, now, cx) {
                None => partition.write = pending.map(|pending| (number, pending)),
                Some(answer) => {
                    busy = true;
                    let result = answer.map_or(WriteResult::Unknown, |a| translate(id, a));
                    if result == WriteResult::TooLarge {
                        partition.content.map = bytes::Bytes::new();
                    }
                    self.claims.written(now, id, number, result);
                }
            }
        }
        if let Some(answer) = settled(&mut partition.log_read, now, cx) {
            busy = true;
            match answer {
                Some(Ok(log)) => partition.log = Some(log),
                Some(Err(error)) => {
                    tracing::warn!(partition = id.0, %error, "the log's state was not read");
                    partition.log_after = now + LOG_RETRY;
                }
                None => partition.log_after = now + LOG_RETRY,
            }
        }
        Ok(busy)
    }

    /// Tells the claims what a read found.
    fn observed(
        &mut self,
        now: Time,
        id: PartitionId,
        found: Option<StoredRecord>,
    ) -> Result<(), PortError> {
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return Ok(());
        };
        let Some(StoredRecord { revision, bytes }) = found else {
            if partition.assigned.is_none() {
                partition.owner.clear();
                partition.content = Content::default();
            }
            self.claims.observed(now, id, None, Revision(0));
            return Ok(());
        };
        if bytes.is_empty() {
            // The mark of a deletion: no record, but its revision is the one to compare with.
            if partition.assigned.is_none() {
                partition.owner.clear();
                partition.content = Content::default();
            }
            self.claims.observed(now, id, None, Revision(revision));
            return Ok(());
        }
        let head = match Progress::decode(&bytes) {
            Ok(progress) => {
                let head = ClaimRecord {
                    owner: (!progress.owner.is_empty()).then(|| member_id(&progress.owner)),
                    epoch: progress.epoch,
                    write: progress.write,
                };
                partition.owner.clone_from(&progress.owner);
                // What we own is newer here than in the record.
                if partition.assigned.is_none() && partition.opening.is_none() {
                    partition.content = progress.into();
                }
                head
            }
            Err(error @ RecordError::Newer(_)) => {
                return Err(PortError::new(
                    PortErrorKind::Unsuitable,
                    format!("partition {}: {error}", id.0),
                ));
            }
            Err(error) => {
                if partition.unreadable != Some(revision) {
                    partition.unreadable = Some(revision);
                    tracing::warn!(
                        partition = id.0,
                        revision,
                        %error,
                        "it counts as no progress and is replaced when nobody renews it"
                    );
                }
                UNREADABLE.clone_into(&mut partition.owner);
                if partition.assigned.is_none() && partition.opening.is_none() {
                    partition.content = Content::default();
                }
                // Somebody wrote it: it is left alone until it has stood still for a lease.
                ClaimRecord {
                    owner: Some(member_id(UNREADABLE)),
                    epoch: Epoch(0),
                    write: 0,
                }
            }
        };
        self.claims
            .observed(now, id, Some(head), Revision(revision));
        Ok(())
    }

    /// Sends a write that the claims ask for, with the latest content.
    fn send(&mut self, now: Time, id: PartitionId, write: ClaimWrite) {
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return;
        };
        let content = partition.content.clone();
        let owner = match (write.record.owner, write.kind) {
            (None, _) | (_, WriteKind::Release) => String::new(),
            (Some(_), _) => self.spec.member.as_ref().into(),
        };
        let progress = Progress {
            created: content.created,
            owner,
            epoch: write.record.epoch,
            write: write.record.write,
            frontier: content.frontier,
            anchor: content.anchor,
            map: content.map,
        };
        partition.write = Some((
            write.record.write,
            Pending {
                future: self.store.write(id, write.expect.0, progress.encode()),
                until: now + self.spec.answer_within(),
            },
        ));
    }

    /// Translates a claim's state for the driver.
    fn state_changed(&mut self, id: PartitionId, state: ClaimState, into: &mut Vec<FeedEvent>) {
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

    fn not_ours(id: PartitionId, partition: &mut Partition, into: &mut Vec<FeedEvent>) {
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
    fn open_partitions(&mut self, now: Time, into: &mut Vec<FeedEvent>) -> bool {
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
        recorded: if fresh { Some(incarnation) } else { recorded },
        incarnation,
        log_start: log.start,
        log_end: log.end,
    }
}

/// The answer, `Some(None)` when it is overdue, `None` while it is waited for.
fn settled<T>(slot: &mut Option<Pending<T>>, now: Time, cx: &mut Context<'_>) -> Option<Option<T>> {
    let pending = slot.as_mut()?;
    let answer = match pending.future.as_mut().poll(cx) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending if pending.until <= now => None,
        Poll::Pending => return None,
    };
    *slot = None;
    Some(answer)
}

fn translate(id: PartitionId, answer: WriteAnswer) -> WriteResult {
    match answer {
        WriteAnswer::Stored(revision) => WriteResult::Stored(Revision(revision)),
        WriteAnswer::Refused => WriteResult::Refused,
        WriteAnswer::NotStored(error) => {
            tracing::warn!(partition = id.0, %error, "the progress record was not written");
            match error.kind {
                PortErrorKind::Denied => WriteResult::Denied,
                PortErrorKind::TooLarge => WriteResult::TooLarge,
                PortErrorKind::Unreachable
                | PortErrorKind::Missing
                | PortErrorKind::Unsuitable
                | PortErrorKind::Invalid
                | PortErrorKind::Refused
                | PortErrorKind::TimedOut
                | PortErrorKind::Disconnected => WriteResult::Retry,
            }
        }
        WriteAnswer::Unknown(error) => {
            tracing::debug!(partition = id.0, %error, "a write of the progress record is open");
            WriteResult::Unknown
        }
    }
}

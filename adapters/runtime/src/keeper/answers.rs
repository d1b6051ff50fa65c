//! Between the claims and the store: what is asked, and what is answered.

use core::task::{Context, Poll};

use procession_core::{
    ClaimRecord, ClaimWrite, Epoch, PartitionId, Revision, Span, Time, WriteKind, WriteResult,
};

use super::partition::{Content, Pending};
use super::{Keeper, Progress, RecordError, RecordStore, StoredRecord, WriteAnswer, member_id};
use crate::port::{PortError, PortErrorKind};

/// Waiting time after the log's state could not be read.
const LOG_RETRY: Span = Span::from_millis(250);
/// What an owner is called whose record cannot be read.
const UNREADABLE: &str = "(unreadable record)";

impl<S: RecordStore> Keeper<S> {
    /// Looks whether what was asked of the store is there, or overdue.
    pub(super) fn take_answers(
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
    pub(super) fn observed(
        &mut self,
        now: Time,
        id: PartitionId,
        found: Option<StoredRecord>,
    ) -> Result<(), PortError> {
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return Ok(());
        };
        let Some(StoredRecord { revision, bytes }) = found else {
            partition.found = Content::default();
            if partition.assigned.is_none() {
                partition.owner.clear();
                partition.content = Content::default();
            }
            self.claims.observed(now, id, None, Revision(0));
            return Ok(());
        };
        if bytes.is_empty() {
            partition.found = Content::default();
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
                partition.found = progress.into();
                // What we own is newer here than in the record, also while it is given up: a commit that
                // the release carries is written with its own content, or it is not stored.
                if !partition.is_ours() {
                    partition.content = partition.found.clone();
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
                partition.found = Content::default();
                if !partition.is_ours() {
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
    pub(super) fn send(&mut self, now: Time, id: PartitionId, write: ClaimWrite) {
        let Some(partition) = self.partitions.get_mut(id.0 as usize) else {
            return;
        };
        if write.kind == WriteKind::Take {
            // One read can show both that the record was lost and that it is free again: what this
            // member still remembers as its own is older than what the owner between has finished.
            partition.content = partition.found.clone();
        }
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

//! The keeper itself: between the core's claims, the store of the records and the driver.

use core::task::Context;

use procession_core::{ClaimStats, Claims, CommitResult, Epoch, PartitionId, Time};

use super::partition::{Content, Partition, Pending};
use super::spec::invalid;
use super::{KeeperSpec, RecordStore};
use crate::port::{FeedEvent, PortError, ProgressWrite};

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
    pub(super) store: S,
    pub(super) spec: KeeperSpec,
    pub(super) claims: Claims,
    pub(super) partitions: Vec<Partition>,
    /// Answers to commits that were refused on the spot.
    pub(super) answers: Vec<FeedEvent>,
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
}

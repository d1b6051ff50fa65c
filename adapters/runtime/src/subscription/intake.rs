//! What the feed says, on its way into the core.

use std::sync::Arc;

use procession_core::{CommitResult, Epoch, NoticeKind, PartitionId, Receipt, Resume, Session};

use super::driver::{Phase, SubscriptionDriver};
use super::partition::{Kept, Partition};
use super::{Incident, Notice, Observer, SubscriptionError, Work};
use crate::Shell;
use crate::port::{BreakReason, Feed, FeedEvent, PortError, PortErrorKind, ResumeState};

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    /// The state of a partition; made when it is met first. `None` for a number that the
    /// configuration does not allow.
    pub(super) fn partition(&mut self, id: PartitionId) -> Option<&mut Partition<W::Message>> {
        let index = id.0 as usize;
        if self.options.core.partitions <= id.0 {
            return None;
        }
        if self.partitions.len() <= index {
            self.partitions.resize_with(index + 1, Partition::default);
        }
        self.partitions.get_mut(index)
    }

    pub(super) fn feed_event(&mut self, event: FeedEvent) {
        self.stale_health = true;
        if let Phase::Closing { feed_closed, .. } = &mut self.phase {
            *feed_closed |= matches!(event, FeedEvent::Closed);
            return;
        }
        let now = self.now;
        match event {
            FeedEvent::Records {
                partition,
                epoch,
                session,
                records,
            } => self.records(partition, epoch, session, records),
            FeedEvent::Advance {
                partition,
                epoch,
                session,
                position,
            } => {
                let Some(known) = self.partition(partition) else {
                    return;
                };
                if known.kept.is_empty() {
                    self.core.advance(now, partition, epoch, session, position);
                } else if known.session == Some((epoch, session)) {
                    // One of them is enough: a later one says more.
                    if let Some(Kept::Advance { position: last, .. }) = known.kept.back_mut() {
                        *last = position;
                    } else {
                        known.kept.push_back(Kept::Advance {
                            epoch,
                            session,
                            position,
                        });
                    }
                }
            }
            FeedEvent::Assigned {
                partition,
                epoch,
                resume,
                until,
            } => self.assigned(partition, epoch, &resume, until),
            FeedEvent::Extended {
                partition,
                epoch,
                until,
            } => {
                self.core.extend(now, partition, epoch, until);
                self.alarms.clear(NoticeKind::LeaseLapsed, partition);
            }
            FeedEvent::Revoked {
                partition,
                epoch,
                deadline,
            } => {
                // The core may have counted the epoch up by itself; the observer knows that one.
                if self.observed
                    && let Some(ours) = self.partition(partition).and_then(|known| known.epoch)
                {
                    self.observer.revoked(partition, ours);
                }
                self.core.revoke(now, partition, epoch, deadline);
            }
            FeedEvent::Lost { partition, epoch } => {
                self.core.lose(now, partition, epoch);
                self.check_lost(partition);
            }
            FeedEvent::Session {
                partition,
                epoch,
                session,
                continuity,
            } => {
                if self.observed {
                    let position = self.core.frontier(partition).unwrap_or_default();
                    let why = match continuity {
                        procession_core::Continuity::Continues => "began: the log continues",
                        procession_core::Continuity::Rewritten { .. } => {
                            "began: the log was rewritten"
                        }
                        procession_core::Continuity::CannotTell => {
                            "began: whether the log continues cannot be told"
                        }
                    };
                    self.observer
                        .incident(partition, position, Incident::Session, why);
                }
                self.core
                    .session(now, partition, epoch, session, continuity);
            }
            FeedEvent::Broken {
                partition,
                epoch,
                session,
                why,
            } => self.broken(partition, epoch, session, why),
            FeedEvent::Committed {
                partition,
                epoch,
                write,
                result,
            } => self.committed(partition, epoch, write, result),
            FeedEvent::Buried { token, receipt } => {
                let burial = self.burials.remove(&token.to_bits());
                if let (Receipt::Stored, Some(burial)) = (receipt, burial) {
                    self.alarms
                        .clear(NoticeKind::DeadLetterRetried, burial.partition);
                    if let Some(message) = burial.message {
                        self.observer.buried(
                            burial.partition,
                            burial.position,
                            &message,
                            burial.why,
                        );
                    }
                }
                self.core.dead_letter_result(now, token, receipt);
            }
            FeedEvent::Standby { partition, owner } => {
                let owner: Arc<str> = owner.into();
                if let Some(known) = self.partition(partition) {
                    known.owner = Some(Arc::clone(&owner));
                }
                self.shared.notice(Notice::Standby { partition, owner });
            }
            FeedEvent::Connected => {
                self.connected = true;
                self.shared.notice(Notice::Connected);
            }
            FeedEvent::Disconnected => {
                self.connected = false;
                self.shared.notice(Notice::Disconnected);
            }
            FeedEvent::Failed(error) => {
                self.stop(SubscriptionError::Failed(error));
                self.abort(SubscriptionError::Aborted);
            }
            FeedEvent::Closed => {
                // Nobody asked for it: nothing more will come, and nothing can be committed.
                let error = PortError::new(
                    PortErrorKind::Disconnected,
                    "the broker port closed by itself; subscribe again",
                );
                self.stop(SubscriptionError::Failed(error));
                self.abort(SubscriptionError::Aborted);
                if let Phase::Closing { feed_closed, .. } = &mut self.phase {
                    *feed_closed = true;
                }
            }
        }
    }

    /// How many partitions the topic had at first.
    const fn known_partitions(&self) -> u32 {
        match self.options.partitions {
            0 => self.options.core.partitions,
            known => known,
        }
    }

    fn assigned(
        &mut self,
        id: PartitionId,
        epoch: Epoch,
        resume: &ResumeState,
        until: Option<procession_core::Time>,
    ) {
        if self.partition(id).is_none() {
            let error = PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "partition {} was assigned, and the topic had {} when it was subscribed to, with \
                     room for {}: it has grown beyond. Subscribe again",
                    id.0,
                    self.known_partitions(),
                    self.options.core.partitions
                ),
            );
            self.stop(SubscriptionError::Failed(error));
            self.abort(SubscriptionError::Aborted);
            return;
        }
        if self.known_partitions() <= id.0 {
            self.shared.notice(Notice::Grown {
                partition: id,
                known: self.known_partitions(),
            });
        }
        let state = Resume {
            frontier: resume.frontier,
            anchor: resume.anchor,
            map: &resume.map,
            recorded: resume.recorded,
            incarnation: resume.incarnation,
            log_start: resume.log_start,
            log_end: resume.log_end,
        };
        let before = self.core.epoch(id);
        self.core.open(self.now, id, epoch, &state, until);
        let counted = self.core.epoch(id);
        if counted.is_some() && counted == before {
            // Told twice: the core goes on as it was.
            return;
        }
        let Some(counted) = counted else {
            // Not newer than what the core has seen of this partition: it would never be served.
            let error = PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "partition {} was assigned with epoch {}, which was used before; the progress \
                     record went back to an older state: subscribe again",
                    id.0, epoch.0
                ),
            );
            self.stop(SubscriptionError::Failed(error));
            self.abort(SubscriptionError::Aborted);
            return;
        };
        let frontier = self.core.frontier(id).unwrap_or_default();
        let anchor = resume.anchor;
        if let Some(known) = self.partition(id) {
            known.end_epoch();
            known.owner = None;
            known.opened_at = (frontier, anchor);
        }
        // A core that has counted past this number by itself goes on counting.
        self.note_epoch(id, counted);
    }

    /// Tells the observer of an epoch that it does not know yet.
    pub(super) fn note_epoch(&mut self, id: PartitionId, epoch: Epoch) {
        let Some(known) = self.partition(id) else {
            return;
        };
        if known.epoch == Some(epoch) {
            return;
        }
        known.epoch = Some(epoch);
        if self.observed {
            let frontier = self.core.frontier(id).unwrap_or_default();
            self.observer.assigned(id, epoch, frontier);
        }
    }

    /// Ends a partition that the core has given up.
    fn check_lost(&mut self, id: PartitionId) {
        if self.core.epoch(id).is_some() {
            return;
        }
        self.alarms.clear_partition(id);
        let Some(known) = self.partition(id) else {
            return;
        };
        let epoch = known.epoch;
        known.end_epoch();
        if self.observed
            && let Some(epoch) = epoch
        {
            self.observer.lost(id, epoch);
        }
    }

    fn broken(&mut self, id: PartitionId, epoch: Epoch, session: Session, why: BreakReason) {
        if let Some(known) = self.partition(id)
            && known.session == Some((epoch, session))
        {
            known.end_session();
        }
        if self.observed {
            let position = self.core.frontier(id).unwrap_or_default();
            let why = match why {
                BreakReason::Disconnected => "ended: the connection was lost",
                BreakReason::Gone => "ended: the broker says that it is gone",
                BreakReason::TailLost => "ended: a heartbeat told of deliveries that did not come",
                BreakReason::Silence => "ended: nothing was heard for too long",
                BreakReason::NotStarted => "could not begin",
            };
            self.observer.incident(id, position, Incident::Session, why);
        }
        self.core.broken(self.now, id, epoch, session);
    }

    fn committed(&mut self, id: PartitionId, epoch: Epoch, write: u64, result: CommitResult) {
        if let Some(known) = self.partition(id)
            && let Some(sent) = known
                .committing
                .take_if(|sent| sent.epoch == epoch && sent.write == write)
            && result == CommitResult::Stored
        {
            self.alarms.clear(NoticeKind::CommitDenied, id);
            if self.observed {
                self.observer
                    .committed(id, epoch, sent.frontier, &sent.beyond);
            }
        }
        self.core.commit_result(self.now, id, epoch, write, result);
        if result == CommitResult::Lost {
            self.check_lost(id);
        }
    }
}

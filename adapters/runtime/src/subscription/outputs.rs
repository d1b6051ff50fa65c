//! What the core wants of the feed, the observer and the owner.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

use bytes::Bytes;
use procession_core::{Commit, DeadLetter, Flow, NoticeKind, PartitionId, Receipt, decode_map};

use super::driver::SubscriptionDriver;
use super::held::{Burial, Committing};
use super::notice::describe;
use super::{Incident, Letter, Notice, Observer, SubscriptionError, Work};
use crate::Shell;
use crate::port::{Feed, FeedCommand, ProgressWrite};

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    pub(super) fn start_sessions(&mut self) {
        while let Some(start) = self.core.poll_session(self.now) {
            // A core that found its log rewritten has begun a new epoch by itself.
            self.note_epoch(start.partition, start.epoch);
            if let Some(known) = self.partition(start.partition) {
                known.end_session();
                known.session = Some((start.epoch, start.session));
            }
            self.feed.submit(FeedCommand::Start(start));
        }
    }

    /// Copies that were recognised when their turn came.
    pub(super) fn tell_duplicates(&mut self) {
        while let Some(copy) = self.core.poll_duplicate(self.now) {
            if self.observed {
                self.observer
                    .duplicate(copy.partition, copy.position, &copy.message.message);
            }
        }
    }

    /// Gaps in the sequences of keys. A notice tells of each; where the owner wants to stop at one, the
    /// subscription ends as if a handler had stopped it.
    pub(super) fn tell_gaps(&mut self) {
        while let Some(gap) = self.core.poll_gap(self.now) {
            if !self.core.stops_at_gaps() {
                continue;
            }
            let (partition, at) = (gap.partition.0, gap.position.0);
            let (expected, found) = (gap.expected, gap.found);
            let text = format!(
                "at position {at} of partition {partition} sequence {found} follows, and {expected} is \
                 missing"
            );
            let deadline = self.now + self.options.stop_deadline;
            self.stop(SubscriptionError::Stopped(text.into()));
            self.drain(deadline);
        }
    }

    /// Messages that ended without a handler and without a dead letter.
    pub(super) fn tell_passed(&mut self) {
        while let Some(passed) = self.core.poll_passed(self.now) {
            if self.observed {
                let (partition, position) = (passed.partition, passed.position);
                let message = &passed.message.message;
                self.observer
                    .passed(partition, position, message, passed.why);
            }
        }
    }

    pub(super) fn bury(&mut self) {
        loop {
            let Self {
                core,
                work,
                burials,
                feed,
                observed,
                ..
            } = self;
            let Some(DeadLetter {
                token,
                partition,
                position,
                why,
                attempts,
                shorten,
                message: held,
            }) = core.poll_dead_letter()
            else {
                return;
            };
            let letter = Letter {
                partition,
                position,
                why,
                attempts,
                error: held.error.clone(),
                shorten,
            };
            let made = catch_unwind(AssertUnwindSafe(|| work.bury(&held.message, &letter)));
            if let Ok(message) = made {
                let burial = Burial {
                    partition,
                    position,
                    why,
                    message: observed.then(|| held.message.clone()),
                };
                burials.insert(token.to_bits(), burial);
                feed.submit(FeedCommand::Bury { token, message });
            } else {
                self.shared.notice(Notice::BuryPanicked {
                    partition,
                    position,
                });
                self.core
                    .dead_letter_result(self.now, token, Receipt::NotStored);
            }
        }
    }

    pub(super) fn commit(&mut self) {
        while let Some(commit) = self.core.poll_commit(self.now, &mut self.map) {
            let Commit {
                partition,
                epoch,
                write,
                frontier,
                anchor,
                map_len,
                last,
                ..
            } = commit;
            self.note_epoch(partition, epoch);
            let map = self.map.get(..map_len).unwrap_or_default();
            let mut sent = ProgressWrite {
                partition,
                epoch,
                write,
                frontier,
                anchor,
                map: Bytes::copy_from_slice(map),
                last,
            };
            if self.options.hold_commits
                && let Some(known) = self.partitions.get(partition.0 as usize)
            {
                (sent.frontier, sent.anchor) = known.opened_at;
                sent.map = Bytes::new();
            }
            let mut beyond = Vec::new();
            if self.observed {
                if !sent.map.is_empty() {
                    beyond = decode_map(&sent.map, sent.frontier).unwrap_or_default();
                }
                self.observer
                    .commit(partition, epoch, sent.frontier, &beyond);
            }
            if last {
                // Its landing permits the next owner to start: the line comes before.
                self.announce_release(partition, epoch);
            }
            if let Some(known) = self.partition(partition) {
                known.committing = Some(Committing {
                    epoch,
                    write,
                    frontier: sent.frontier,
                    beyond,
                });
            }
            self.feed.submit(FeedCommand::Commit(sent));
        }
    }

    fn announce_release(&mut self, partition: PartitionId, epoch: procession_core::Epoch) {
        let observed = self.observed;
        if let Some(known) = self.partition(partition)
            && known.released.is_none_or(|last| last < epoch)
        {
            known.released = Some(epoch);
            if observed {
                self.observer.released(partition, epoch);
            }
        }
    }

    pub(super) fn release(&mut self) {
        while let Some(release) = self.core.poll_release() {
            self.announce_release(release.partition, release.epoch);
            self.alarms.clear_partition(release.partition);
            // The last write of an epoch gives it up: the feed may have the partition again before
            // the core was told, and then the session that began is not this epoch's to end.
            if let Some(known) = self.partition(release.partition)
                && known.epoch.is_none_or(|ours| ours <= release.epoch)
            {
                known.end_epoch();
            }
            self.feed.submit(FeedCommand::Release {
                partition: release.partition,
                epoch: release.epoch,
            });
        }
    }

    /// Pressure: pauses for feeds that push, grants for feeds that pull.
    pub(super) fn regulate(&mut self) {
        while let Some(flow) = self.core.poll_flow() {
            self.feed.submit(match flow {
                Flow::Pause(partition) => FeedCommand::Pause(partition),
                Flow::Resume(partition) => FeedCommand::Resume(partition),
            });
        }
        while let Some(grant) = self.core.poll_grant() {
            self.feed.submit(FeedCommand::Grant {
                partition: grant.partition,
                session: grant.session,
                messages: grant.messages,
                bytes: grant.bytes,
            });
        }
    }

    pub(super) fn tell_notices(&mut self) {
        while let Some(notice) = self.core.poll_notice() {
            let (partition, kind, position) = (notice.partition, notice.kind, notice.position);
            self.alarms.raise(kind, partition, position);
            if kind == NoticeKind::Stalled {
                let at = position.0;
                self.record_alarm(format!("partition {} stalls at {at}", partition.0));
            }
            if self.observed {
                let incident = match kind {
                    NoticeKind::Gap => Incident::Gap,
                    NoticeKind::LogRewritten => Incident::Rewritten,
                    NoticeKind::ResumeVoid | NoticeKind::Truncated => Incident::Reset,
                    NoticeKind::CannotTell
                    | NoticeKind::MapIgnored
                    | NoticeKind::HandlerStuck
                    | NoticeKind::Abandoned
                    | NoticeKind::CommitDenied
                    | NoticeKind::MapTooLarge
                    | NoticeKind::WindowFull
                    | NoticeKind::LeaseLapsed
                    | NoticeKind::DeadLetterRetried
                    | NoticeKind::Stalled
                    | NoticeKind::StallOver
                    | NoticeKind::ParkingFull
                    | NoticeKind::OutOfRange
                    | NoticeKind::SequenceGap
                    | NoticeKind::SequenceBehind
                    | NoticeKind::SequenceLate
                    | NoticeKind::UncleanEnd => Incident::Notice,
                };
                self.observer
                    .incident(partition, position, incident, describe(kind));
            }
            self.shared.notice(Notice::Core(notice));
        }
    }
}

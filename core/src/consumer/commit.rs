//! Writing progress: one commit of a partition at a time, never beyond what is finished (S3).

use super::map::{self, Kept};
use super::partition::{Doubt, Phase};
use super::suspects::Marked;
use super::{Commit, CommitResult, Consumer, NoticeKind, WakeReason};
use crate::marks::mark;
use crate::{Epoch, PartitionId, Time, mutants};

impl<M> Consumer<M> {
    /// Writes progress that is due: by time, by count, or because the partition is to be released.
    /// The progress map goes into `map`, as far as it fits. At most one commit of a partition is
    /// outstanding; answer every one with [`commit_result`](Self::commit_result).
    #[inline]
    pub fn poll_commit(&mut self, now: Time, map: &mut [u8]) -> Option<Commit> {
        let now = self.tick(now);
        if self.commits.is_empty() {
            return None;
        }
        self.next_commit(now, map)
    }

    fn next_commit(&mut self, now: Time, map: &mut [u8]) -> Option<Commit> {
        while let Some(partition) = self.commits.pop() {
            let index = partition as usize;
            let part = &mut self.partitions[index];
            if part.outstanding.is_some() && !mutants::is(12) {
                continue;
            }
            if part.stopped.is_some() {
                // Written once somebody has said where it goes on.
                continue;
            }
            let last = part.phase == Phase::Closing;
            if !(part.is_ours() || mutants::is(21)) || !(part.is_dirty() || last) {
                continue;
            }
            if now < part.commit_after {
                part.commit_at = part.commit_after;
                let at = part.commit_at;
                self.look_at(at, WakeReason::Commit);
                continue;
            }
            let room = map.len().min(self.config.map_bytes as usize);
            let named = self.suspects.places;
            if map::least(self.parking.parked(index).count(), named) > room {
                // A commit without its parked keys would let them run again.
                part.mapless = true;
                self.commit_failed(now, index, CommitResult::TooLarge);
                continue;
            }
            // Half a kilobyte, mostly for nothing.
            let said;
            let marked = if self.suspects.is_on() {
                said = self.mark(index, self.partitions[index].write + 1, last);
                &said
            } else {
                &Marked::NONE
            };
            let part = &mut self.partitions[index];
            part.write += 1;
            part.outstanding = Some((part.epoch, part.write));
            part.outstanding_last = last;
            part.dirty = false;
            let finished = u64::from(core::mem::take(&mut part.unwritten));
            part.touch_at = 0;
            part.commit_at = Time::MAX;
            let mut frontier = part.frontier;
            if mutants::is(1) || (mutants::is(24) && last) {
                frontier = part.floor;
            }
            let base = if mutants::is(49) {
                crate::Position(frontier.0.saturating_sub(1))
            } else {
                frontier
            };
            let mapless = part.mapless || part.doubt != Doubt::No;
            let kept = match self.config.map_digests {
                _ if mapless => Kept::Keys,
                true => Kept::Digests,
                false => Kept::All,
            };
            let keys = self.parking.parked(index);
            let window = (&part.window, &self.pool);
            let keys = (keys, marked);
            let map_len = map::encode(window, base, part.incarnation, keys, kept, &mut map[..room]);
            // Where all that came is finished, the last of it is as close to the frontier as can be; else
            // it is what moved the frontier, behind which others may have been finished before it.
            let last_known = part.last.filter(|l| {
                l.position < frontier
                    && part.doubt == Doubt::No
                    && part.anchor.is_none_or(|a| a.position < l.position)
                    && !mutants::is(248)
            });
            let (epoch, write, anchor) = (part.epoch, part.write, last_known.or(part.anchor));
            if mutants::is(51) && last {
                self.end_partition(index, true);
            }
            return Some(Commit {
                partition: PartitionId(partition),
                epoch,
                write,
                frontier,
                anchor,
                map_len,
                finished,
                last,
            });
        }
        None
    }

    /// How a commit ended. Anything but `Stored` is written again, with whatever was finished
    /// meanwhile; `Lost` is as [`lose`](Self::lose).
    pub fn commit_result(
        &mut self,
        now: Time,
        partition: PartitionId,
        epoch: Epoch,
        write: u64,
        result: CommitResult,
    ) {
        let now = self.tick(now);
        let index = partition.0 as usize;
        let Some(part) = self.partitions.get_mut(index) else {
            return;
        };
        if part.outstanding != Some((epoch, write)) {
            return;
        }
        if mutants::is(41) && result == CommitResult::Refused {
            return;
        }
        part.outstanding = None;
        let last = core::mem::take(&mut part.outstanding_last);
        if result == CommitResult::Lost {
            mark!(CommitLost);
            let epoch = part.epoch;
            return self.lose(now, partition, epoch);
        }
        if part.epoch != epoch {
            // The log was rewritten while this one was under way. It says nothing about the new
            // epoch, whose first commit may go now.
            mark!(CommitOfOldEpoch);
            self.commit_again(now, index);
            return;
        }
        let unknown = result == CommitResult::Unknown && !mutants::is(13);
        let stored =
            result == CommitResult::Stored || (result == CommitResult::Unknown && !unknown);
        self.mark_answered(now, index, write, stored);
        if stored {
            let part = &mut self.partitions[index];
            part.commit_failures = 0;
            part.commit_after = Time::ZERO;
            part.mapless = false;
            if last {
                self.end_partition(index, true);
            } else {
                self.commit_again(now, index);
            }
            return;
        }
        self.commit_failed(now, index, result);
    }

    /// The way is free for the next commit.
    fn commit_again(&mut self, now: Time, index: usize) {
        let part = &mut self.partitions[index];
        if part.phase == Phase::Closing || part.unwritten >= self.config.commit.messages {
            self.commits.insert(index as u32);
        } else if part.is_dirty() {
            let awaited = self.wants_mark(index);
            let part = &mut self.partitions[index];
            part.commit_at = Time::MAX;
            self.dirty(now, index, 0);
            if awaited {
                self.commits.insert(index as u32);
            }
        }
    }

    fn commit_failed(&mut self, now: Time, index: usize, result: CommitResult) {
        let backoff = self.config.commit.backoff;
        let seed = self.config.seed;
        let part = &mut self.partitions[index];
        part.dirty = true;
        part.commit_failures = part.commit_failures.saturating_add(1);
        let frontier = part.frontier;
        let mut wait = backoff.after(part.commit_failures, seed, index as u64);
        match result {
            CommitResult::TooLarge => {
                mark!(Mapless);
                // What is left then are parked keys, which are never left out.
                wait = if core::mem::replace(&mut part.mapless, true) {
                    wait.max(crate::Span::from_nanos(1))
                } else {
                    crate::Span::ZERO
                };
                self.notice(index, NoticeKind::MapTooLarge, frontier);
            }
            CommitResult::Denied => {
                wait = backoff.max;
                self.notice(index, NoticeKind::CommitDenied, frontier);
            }
            CommitResult::Stored
            | CommitResult::Refused
            | CommitResult::Retry
            | CommitResult::Lost
            | CommitResult::Unknown => {}
        }
        let part = &mut self.partitions[index];
        part.commit_after = now + wait;
        if wait == crate::Span::ZERO {
            self.commits.insert(index as u32);
        } else {
            mark!(CommitWaits);
            part.commit_at = part.commit_after;
            let at = part.commit_at;
            self.look_at(at, WakeReason::Commit);
        }
    }
}

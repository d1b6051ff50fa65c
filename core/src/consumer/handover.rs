//! Giving partitions up: planned, drained, lost.

use super::grants::Totals;
use super::partition::{Delivery, Doubt, Phase};
use super::{Consumer, Drained, Release, WakeReason};
use crate::marks::mark;
use crate::{Epoch, PartitionId, Time, mutants};

impl<M> Consumer<M> {
    /// Somebody else is to have the partition: intake and starts stop at once, what runs may finish,
    /// progress is committed, and [`poll_release`](Self::poll_release) says when it is over.
    ///
    /// Handlers are asked to stop when three quarters of the time have passed, and are left behind,
    /// each with a notice, when seven eighths have: the last commit needs the rest. A hand-over that
    /// leaves a handler behind counts as unplanned (S1).
    pub fn revoke(&mut self, now: Time, partition: PartitionId, epoch: Epoch, deadline: Time) {
        let now = self.tick(now);
        if let Some(index) = self.ours(partition, epoch) {
            self.revoke_at(now, index, deadline);
        }
    }

    pub(super) fn revoke_at(&mut self, now: Time, index: usize, deadline: Time) {
        let part = &mut self.partitions[index];
        if part.phase == Phase::Open {
            part.phase = Phase::Revoking;
            mark!(RevokedRunning, part.busy > 0);
        }
        self.end_lot_early(now, index);
        let part = &mut self.partitions[index];
        let left = deadline.since(now);
        let stop_at = deadline - left.div(4);
        let abandon_at = deadline - left.div(8);
        // A second revoke can only bring the end nearer.
        part.stop_at = part.stop_at.min(stop_at);
        part.abandon_at = part.abandon_at.min(abandon_at);
        part.deadline = if mutants::is(61) {
            deadline
        } else {
            part.deadline.min(deadline)
        };
        part.delivery = Delivery::Idle;
        part.gate();
        part.touch_at = 0;
        let at = part.stop_at;
        self.look_at(at, WakeReason::Deadline);
        self.close_when_idle(now, index);
    }

    /// A partition that is to be given up, and has nothing running, writes its last commit.
    pub(super) fn close_when_idle(&mut self, now: Time, index: usize) {
        let part = &mut self.partitions[index];
        let idle = part.busy == 0 || mutants::is(11);
        if part.phase == Phase::Revoking && part.stopped.is_some() {
            // What is recorded stays as it is: the next owner must find it out of range, too.
            mark!(StoppedReleased);
            return self.end_partition(index, true);
        }
        if part.phase == Phase::Revoking && idle {
            part.phase = Phase::Closing;
            part.commit_after = now;
            self.commits.insert(index as u32);
        }
    }

    /// The partition is somebody else's already: everything that is held of it is dropped, handlers
    /// are asked to stop and keep their keys busy until they have, nothing is committed. O(slots).
    pub fn lose(&mut self, now: Time, partition: PartitionId, epoch: Epoch) {
        self.tick(now);
        if let Some(index) = self.ours(partition, epoch) {
            self.drop_partition(index);
        }
    }

    pub(super) fn drop_partition(&mut self, index: usize) {
        let running = self
            .slab
            .slots
            .iter()
            .map(|s| &s.hot)
            .filter(|s| usize::from(s.partition) == index && s.state.runs());
        let running = running.count() as u32;
        self.drained.handed_back += self.partitions[index].used_messages - running;
        self.clear_partition(index);
        self.close(index);
    }

    fn close(&mut self, index: usize) {
        let part = &mut self.partitions[index];
        part.phase = Phase::Closed;
        part.delivery = Delivery::Idle;
        part.doubt = Doubt::No;
        part.gate();
        if !mutants::is(21) {
            part.dirty = false;
            part.unwritten = 0;
        }
        part.outstanding = None;
        part.totals = Totals::default();
        part.shut = false;
        part.lapsed = false;
        part.stopped = None;
        part.stop_at = Time::MAX;
        part.abandon_at = Time::MAX;
        part.deadline = Time::MAX;
        part.commit_at = Time::MAX;
        self.keep_parked_only(index, None);
        self.forget_suspects(index, None);
        self.shut.remove(index as u32);
        self.flows.remove(index as u32);
        self.sessions.remove(index as u32);
        if !mutants::is(21) {
            self.commits.remove(index as u32);
        }
        self.share_out();
    }

    /// Releases a partition: from here on nothing of it starts, nothing of it is committed (S5).
    pub(super) fn end_partition(&mut self, index: usize, committed: bool) {
        let abandoned = self.abandon_handlers(index);
        let part = &mut self.partitions[index];
        part.abandoned += abandoned;
        let handed_back = part.used_messages;
        let release = Release {
            partition: PartitionId(index as u32),
            epoch: part.epoch,
            frontier: part.frontier,
            handed_back,
            abandoned: part.abandoned,
            committed,
        };
        part.release = Some(release);
        self.drained.handed_back += handed_back;
        self.drained.abandoned += release.abandoned;
        self.clear_partition(index);
        self.close(index);
        self.releases.insert(index as u32);
    }

    /// This partition may be given up now.
    #[inline]
    pub fn poll_release(&mut self) -> Option<Release> {
        let index = self.releases.pop()?;
        self.partitions[index as usize].release.take()
    }

    /// Ends everything by `deadline`: as [`revoke`](Self::revoke) for every partition, and for those
    /// that are opened later. [`poll_drained`](Self::poll_drained) says when it is over (L5). A
    /// second drain can only bring the end nearer.
    pub fn drain(&mut self, now: Time, deadline: Time) {
        let now = self.tick(now);
        let deadline = self.draining.map_or(deadline, |d| d.min(deadline));
        if self.draining.is_none() {
            self.drained = Drained::default();
        }
        self.draining = Some(deadline);
        for index in 0..self.partitions.len() {
            if self.partitions[index].is_ours() {
                self.revoke_at(now, index, deadline);
            }
        }
    }

    /// The end of a drain, once: every partition is released, and every release was polled.
    #[inline]
    pub fn poll_drained(&mut self) -> Option<Drained> {
        if self.draining.is_none() || self.drained_reported {
            return None;
        }
        self.drain_over()
    }

    #[inline(never)]
    fn drain_over(&mut self) -> Option<Drained> {
        let over = self.releases.is_empty()
            && (mutants::is(54)
                || !self
                    .partitions
                    .iter()
                    .any(super::partition::Partition::is_ours));
        if !over {
            return None;
        }
        self.drained_reported = true;
        Some(self.drained)
    }

    /// The stages of a hand-over that have come. Returns when the next one comes.
    pub(super) fn step_handover(&mut self, now: Time, index: usize) -> Time {
        let part = &self.partitions[index];
        if !matches!(part.phase, Phase::Revoking | Phase::Closing) {
            return Time::MAX;
        }
        if now >= part.deadline {
            mark!(ReleasedAtDeadline);
            self.end_partition(index, false);
            return Time::MAX;
        }
        if part.phase == Phase::Revoking {
            if now >= part.abandon_at {
                let abandoned = self.abandon_handlers(index);
                let part = &mut self.partitions[index];
                part.abandoned += abandoned;
                // Dead letters without an answer go back with the rest.
                part.busy = 0;
                self.close_when_idle(now, index);
            } else if now >= part.stop_at {
                mark!(StoppedForHandover);
                self.stop_handlers(index);
                return self.partitions[index].abandon_at;
            } else {
                return part.stop_at;
            }
        }
        self.partitions[index].deadline
    }
}

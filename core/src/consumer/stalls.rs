//! Stalls that explain themselves: who holds the frontier of a partition, since when, and why (L3).
//!
//! A frontier that stands still while something is held beyond it is judged by time alone: the verdict
//! rises once when the message there has been waiting for `stall_after`, and clears once when the
//! frontier moves or the partition is given up.

use super::partition::{Delivery, Phase};
use super::slab::{Hot, State};
use super::{Consumer, Health, NoticeKind, Stall, StallState};
use crate::marks::mark;
use crate::{PartitionId, Span, Time, mutants};

impl<M> Consumer<M> {
    /// What holds the frontier of a partition: the first message that is not finished. `None` when
    /// nothing is held at or beyond it, or the partition is not ours. O(slots).
    #[must_use]
    pub fn stall(&self, partition: PartitionId) -> Option<Stall> {
        let index = partition.0 as usize;
        let part = self.partitions.get(index).filter(|p| p.is_ours())?;
        let entry = part.window.first_entry()?;
        if self.pool.is_done(entry) {
            return Some(Stall {
                partition,
                position: part.frontier,
                since: part.since,
                state: StallState::Doubted,
                attempts: 0,
                why: None,
                until: None,
                reported: part.stalled.is_some(),
            });
        }
        let holds = |s: &Hot| s.entry == entry && !matches!(s.state, State::Free | State::Orphan);
        let slot_index = self.slab.slots.iter().position(|s| holds(&s.hot))?;
        let slot = &self.slab.slots[slot_index];
        let slot_index = slot_index as u32;
        let state = match slot.hot.state {
            State::Queued | State::Free | State::Orphan => StallState::Behind,
            State::Ready => StallState::Ready,
            State::Held => self.held_back(slot_index),
            // What was told of it takes effect when its call is over.
            State::Running
            | State::Joined
            | State::ToldDone
            | State::ToldRetry
            | State::ToldReject
            | State::ToldCancelled => StallState::Running,
            State::Stopping => StallState::Stopping,
            State::Waiting => StallState::Retrying,
            State::Burying | State::Buried | State::Reburying => StallState::DeadLetter,
            State::Copied => StallState::Copy,
            State::Passed => StallState::Passed,
            State::Ahead => StallState::Ahead,
        };
        let timed = matches!(
            slot.hot.state,
            State::Running | State::Stopping | State::Waiting | State::Reburying | State::Ahead
        );
        Some(Stall {
            partition,
            position: part.frontier,
            since: part.since,
            state,
            attempts: slot.cold.attempts(),
            why: matches!(state, StallState::DeadLetter | StallState::Crowded)
                .then(|| self.why_of(slot_index)),
            until: Some(slot.cold.at).filter(|at| timed && *at != Time::MAX),
            reported: part.stalled.is_some(),
        })
    }

    /// How all partitions are. O(partitions + slots).
    #[must_use]
    pub fn health(&self) -> Health {
        let mut health = Health::default();
        let mut worst: Option<(Time, usize)> = None;
        for (index, part) in self.partitions.iter().enumerate() {
            if !part.is_ours() {
                continue;
            }
            health.open += 1;
            health.delivering += u32::from(part.delivery == Delivery::Live);
            health.stopped += u32::from(part.stopped.is_some());
            health.shut += u32::from(part.shut);
            health.lapsed += u32::from(part.lapsed);
            health.uncommitted += u32::from(part.commit_failures > 0);
            health.stalled += u32::from(part.stalled.is_some());
            let stands = part.phase == Phase::Open && part.window.len > 0;
            if stands && worst.is_none_or(|(since, _)| part.since < since) {
                worst = Some((part.since, index));
            }
        }
        health.oldest = worst.and_then(|(_, index)| self.stall(PartitionId(index as u32)));
        health
    }

    /// Judges the frontiers that have stood still for too long. O(partitions), when one may be due.
    pub(super) fn judge_stalls(&mut self, now: Time) {
        let after = self.config.stall_after;
        if now < self.stalls_at || after == Span::MAX {
            return;
        }
        let mut next = Time::MAX;
        for index in 0..self.partitions.len() {
            let part = &mut self.partitions[index];
            let stands = part.phase == Phase::Open && part.window.len > 0;
            if !stands || part.stalled.is_some() {
                continue;
            }
            let at = part.since + after;
            if now < at {
                next = next.min(at);
                continue;
            }
            part.stalled = Some(part.frontier);
            // The next finished message may be the one that is waited for.
            part.touch_at = 0;
            let frontier = part.frontier;
            mark!(StallTold);
            if !mutants::is(29) {
                self.notice(index, NoticeKind::Stalled, frontier);
            }
        }
        self.stalls_at = next;
    }

    /// A message of a partition was finished: a stall is over if the frontier has moved.
    pub(super) fn check_stall(&mut self, index: usize) {
        let part = &self.partitions[index];
        if part.stalled.is_some_and(|at| at != part.frontier) {
            self.end_stall(index);
            self.stalls_at = self.stalls_at.min(self.stall_due);
        }
    }

    /// The frontier has moved, or the partition is not ours any more.
    pub(super) fn end_stall(&mut self, index: usize) {
        if let Some(position) = self.partitions[index].stalled.take()
            && !mutants::is(30)
        {
            mark!(StallOver);
            self.notice(index, NoticeKind::StallOver, position);
        }
    }
}

//! Time: what falls due, and when to come again.

use super::partition::{Delivery, Doubt};
use super::{Consumer, Wake, WakeReason};
use crate::Time;

impl<M> Consumer<M> {
    /// Does what has fallen due. Early is harmless; late delays what was due. O(partitions) when
    /// something of a partition is due, O(slots) at most 64 times in a handler timeout.
    pub fn handle_timeout(&mut self, now: Time) {
        let now = self.tick(now);
        self.due_timers(now);
        self.expire_handlers(now);
        self.judge_stalls(now);
        if now >= self.partitions_at {
            self.step_partitions(now);
        }
    }

    fn step_partitions(&mut self, now: Time) {
        self.partitions_at = Time::MAX;
        for index in 0..self.partitions.len() {
            let part = &mut self.partitions[index];
            if !part.is_ours() {
                continue;
            }
            if part.doubt == Doubt::Over {
                self.believe(now, index);
            }
            let part = &mut self.partitions[index];
            if let Delivery::Wanted(at) = part.delivery {
                if at <= now {
                    self.sessions.insert(index as u32);
                } else {
                    self.look_at(at, WakeReason::Session);
                }
            }
            let part = &mut self.partitions[index];
            if part.commit_at <= now {
                part.commit_at = Time::MAX;
                part.touch_at = 0;
                self.commits.insert(index as u32);
            } else if part.commit_at != Time::MAX {
                let at = part.commit_at;
                self.look_at(at, WakeReason::Commit);
            }
            if core::mem::take(&mut self.partitions[index].relents) {
                self.decide_all(index);
            }
            let at = self.step_handover(now, index);
            self.look_at(at, WakeReason::Deadline);
        }
    }

    /// When `handle_timeout` is due next, and what for. Never later than the first effect of time;
    /// `None`: time alone changes nothing.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Wake> {
        let (slot_at, slot_why) = self.next_slot_wake();
        let (at, why) = if self.partitions_at < slot_at {
            (self.partitions_at, self.partitions_why)
        } else {
            (slot_at, slot_why)
        };
        let (at, why) = if self.stalls_at < at {
            (self.stalls_at, WakeReason::Stall)
        } else {
            (at, why)
        };
        (at != Time::MAX).then_some(Wake { at, why })
    }
}

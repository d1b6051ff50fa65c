//! Inputs of the reference: who owns what, and how things ended. What is delivered: see `intake`.

use procession_core::{CommitResult, Limits, NoticeKind, Receipt, Resume, Time, Why};

use super::model::{Delivery, Expected, Held, Model, Part, Phase, State, wait};
use super::suspects::Watch;

/// How a settled attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Done,
    Retry,
    Reject,
    Cancelled,
}

impl Model {
    pub fn open(&mut self, p: u32, epoch: u64, resume: &Resume<'_>, until: Option<Time>) {
        let Some(part) = self.parts.get(p as usize) else {
            return;
        };
        let p = p as usize;
        if part.known && epoch <= part.opened {
            return;
        }
        let counted = if part.known {
            epoch.max(part.epoch + 1)
        } else {
            epoch
        };
        if part.is_ours() {
            self.drop_partition(p);
        }
        let release = self.parts[p].release;
        self.parts[p] = Part {
            phase: Phase::Open,
            known: true,
            opened: epoch,
            epoch: counted,
            until: until.unwrap_or(Time::MAX),
            delivery: Delivery::Wanted(self.now),
            release,
            weight: self.parts[p].weight,
            watch: if self.config.suspects > 0 {
                Watch::Unmarked(None)
            } else {
                Watch::Off
            },
            ..Part::closed()
        };
        self.resume(p, resume);
        self.begin_watch(p);
        if let Some(deadline) = self.draining {
            self.revoke_part(p, deadline);
        }
    }

    pub fn extend(&mut self, p: u32, epoch: u64, until: Time) {
        let Some(p) = self.ours(p, epoch) else { return };
        self.parts[p].until = until;
        if until > self.now && std::mem::take(&mut self.parts[p].lapsed) {
            self.wake(p);
        }
    }

    pub fn revoke(&mut self, p: u32, epoch: u64, deadline: Time) {
        if let Some(p) = self.ours(p, epoch) {
            self.revoke_part(p, deadline);
        }
    }

    fn revoke_part(&mut self, p: usize, deadline: Time) {
        let now = self.now;
        let part = &mut self.parts[p];
        if part.phase == Phase::Open {
            part.phase = Phase::Revoking;
        }
        self.end_lot_early(p);
        let part = &mut self.parts[p];
        // Asked to stop after three quarters of the time, left behind after seven eighths.
        let left = deadline.since(now);
        part.stop_at = part.stop_at.min(deadline - left.div(4));
        part.abandon_at = part.abandon_at.min(deadline - left.div(8));
        part.deadline = part.deadline.min(deadline);
        part.delivery = Delivery::Idle;
        self.close_when_idle(p);
    }

    pub fn close_when_idle(&mut self, p: usize) {
        if self.parts[p].phase == Phase::Revoking && self.parts[p].stopped.is_some() {
            // Its record stays as it is.
            return self.end_partition(p, true);
        }
        if self.parts[p].phase == Phase::Revoking && self.busy(p) == 0 {
            self.parts[p].phase = Phase::Closing;
            self.parts[p].commit_after = self.now;
        }
    }

    pub fn lose(&mut self, p: u32, epoch: u64) {
        if let Some(p) = self.ours(p, epoch) {
            self.drop_partition(p);
        }
    }

    fn drop_partition(&mut self, p: usize) {
        self.drained.0 += self.owned(p).count() as u32 - self.running(p);
        self.clear(p);
        self.close(p);
    }

    fn running(&self, p: usize) -> u32 {
        let runs = |s: State| matches!(s, State::Running | State::Stopping);
        self.held
            .iter()
            .filter(|h| h.p == p && runs(h.state))
            .count() as u32
    }

    fn close(&mut self, p: usize) {
        let part = &mut self.parts[p];
        *part = Part {
            known: true,
            opened: part.opened,
            epoch: part.epoch,
            release: part.release,
            weight: part.weight,
            ..Part::closed()
        };
    }

    pub fn end_partition(&mut self, p: usize, committed: bool) {
        let abandoned = self.parts[p].abandoned + self.abandon(p);
        let handed_back = self.owned(p).count() as u32;
        let part = &mut self.parts[p];
        let (epoch, frontier) = (part.epoch, part.frontier);
        part.release = Some(Expected {
            epoch,
            frontier,
            handed_back,
            abandoned,
            committed,
        });
        self.drained.0 += handed_back;
        self.drained.1 += abandoned;
        self.clear(p);
        self.close(p);
    }

    pub fn commit_result(&mut self, p: u32, epoch: u64, write: u64, result: CommitResult) {
        let now = self.now;
        let Some(part) = self.parts.get_mut(p as usize) else {
            return;
        };
        let p = p as usize;
        let Some((e, w, last)) = part.outstanding.filter(|o| (o.0, o.1) == (epoch, write)) else {
            return;
        };
        part.outstanding = None;
        part.dirty_since = part.dirty_since.max(now);
        match result {
            CommitResult::Lost => return self.drop_partition(p),
            _ if part.epoch != e => return self.mark_again(p),
            _ => self.mark_answered(p, w, result == CommitResult::Stored),
        }
        let part = &mut self.parts[p];
        match result {
            CommitResult::Stored if last => return self.end_partition(p, true),
            CommitResult::Stored => {
                (part.failures, part.commit_after, part.mapless) = (0, Time::ZERO, false);
                return self.mark_again(p);
            }
            _ => {}
        }
        part.dirty = true;
        part.failed = true;
        part.failures += 1;
        let backoff = self.config.commit.backoff;
        let mut after = wait(&backoff, part.failures);
        let mut notice = None;
        if result == CommitResult::TooLarge {
            after = if std::mem::replace(&mut part.mapless, true) {
                after.max(procession_core::Span::from_nanos(1))
            } else {
                procession_core::Span::ZERO
            };
            notice = Some(NoticeKind::MapTooLarge);
        } else if result == CommitResult::Denied {
            after = backoff.max;
            notice = Some(NoticeKind::CommitDenied);
        }
        part.commit_after = now + after;
        if let Some(kind) = notice {
            self.notice(p, kind);
        }
    }

    pub fn burial_result(&mut self, token: u64, receipt: Receipt) {
        let found = |h: &Held| h.token == Some(token) && h.state == State::Buried;
        let Some(i) = self.held.iter().position(found) else {
            return;
        };
        let (now, backoff) = (self.now, self.config.dead_letter_backoff);
        let held = &mut self.held[i];
        let p = held.p;
        match receipt {
            Receipt::TooLarge if held.shorten < 2 => {
                held.shorten += 1;
                held.state = State::Burying;
            }
            Receipt::Stored => {
                self.stats.dead += 1;
                self.park(i);
                self.finish(i, false);
                self.close_when_idle(p);
            }
            Receipt::NotStored | Receipt::Unknown | Receipt::TooLarge => {
                held.burials += 1;
                held.state = State::Reburying(now + wait(&backoff, held.burials));
                self.notice(p, NoticeKind::DeadLetterRetried);
            }
        }
    }

    /// Whether the token named a running attempt.
    pub fn settle(&mut self, token: u64, ending: Ending) -> bool {
        let runs = |s: State| matches!(s, State::Running | State::Stopping | State::Orphan);
        let found = |h: &Held| h.token == Some(token) && runs(h.state);
        let Some(i) = self.held.iter().position(found) else {
            return false;
        };
        self.cancels.remove(&token);
        self.abandons.remove(&token);
        if self.held[i].state == State::Orphan {
            let held = self.held.remove(i);
            self.end_identity(&held, ending == Ending::Done);
            self.activate_heads();
            return true;
        }
        let p = self.held[i].p;
        self.leave_lot(self.held[i].message);
        let leads = self.is_first(i);
        if self.is_in_call(i) && !(leads && ending == Ending::Done) {
            self.say(i, ending);
            self.close_when_idle(p);
            return true;
        }
        match ending {
            Ending::Done => {
                self.stats.done += 1;
                self.finish(i, true);
            }
            Ending::Reject => {
                self.stats.failed += 1;
                self.give_up(i, Why::Rejected);
            }
            Ending::Retry => self.failed(i),
            Ending::Cancelled if self.held[i].timed_out => self.failed(i),
            Ending::Cancelled => {
                self.held[i].attempts -= 1;
                self.activate(i);
            }
        }
        self.step_lot();
        self.close_when_idle(p);
        true
    }

    pub fn set_limits(&mut self, limits: &Limits) {
        self.limits = Limits {
            messages: limits.messages.clamp(1, self.config.limits.messages),
            bytes: limits.bytes.max(1),
            partition_messages: limits.partition_messages.max(1),
            partition_bytes: limits.partition_bytes.max(1),
            low_water_percent: limits.low_water_percent,
        };
    }

    pub fn drain(&mut self, deadline: Time) {
        let deadline = self.draining.map_or(deadline, |d| d.min(deadline));
        if self.draining.is_none() {
            self.drained = (0, 0);
        }
        self.draining = Some(deadline);
        for p in 0..self.parts.len() {
            if self.parts[p].is_ours() {
                self.revoke_part(p, deadline);
            }
        }
    }
}

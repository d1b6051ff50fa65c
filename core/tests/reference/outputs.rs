//! Time and outputs of the reference.

use procession_core::{Anchor, Expired, NoticeKind, OnHung, Span, StallState, Time, Why};

use super::model::{Delivery, Held, Model, Phase, State};

impl Model {
    /// Time passes, and what is due happens.
    pub fn tick(&mut self, now: Time) {
        self.now = now;
        for i in 0..self.held.len() {
            match self.held[i].state {
                State::Waiting(at) if at <= now => self.activate(i),
                State::Ahead(at) if at <= now => self.decide(i),
                State::Reburying(at) if at <= now => self.held[i].state = State::Burying,
                _ => {}
            }
        }
        for i in 0..self.held.len() {
            let held = &mut self.held[i];
            if held.until > now {
                continue;
            }
            match held.state {
                State::Running => {
                    held.state = State::Stopping;
                    held.timed_out = true;
                    held.until = now + self.config.cancel_grace;
                    self.cancels.extend(held.token);
                }
                State::Stopping => {
                    held.until = Time::MAX;
                    let p = held.p;
                    let token = held.token;
                    self.notice(p, NoticeKind::HandlerStuck);
                    if self.config.on_hung == OnHung::Abandon {
                        self.abandons.extend(token);
                    }
                }
                _ => {}
            }
        }
        for p in 0..self.parts.len() {
            let due = self.parts[p].since + self.config.stall_after;
            let reported = self.parts[p].stalled.is_some();
            if self.stands(p) && !reported && due <= now && due < Time::MAX {
                self.parts[p].stalled = Some(self.parts[p].frontier);
                self.notice(p, NoticeKind::Stalled);
            }
        }
        for p in 0..self.parts.len() {
            self.relented(p);
            self.step_handover(p);
        }
    }

    fn step_handover(&mut self, p: usize) {
        let now = self.now;
        let part = &self.parts[p];
        if !matches!(part.phase, Phase::Revoking | Phase::Closing) {
            return;
        }
        if now >= part.deadline {
            return self.end_partition(p, false);
        }
        if part.phase == Phase::Closing {
            return;
        }
        if now >= part.abandon_at {
            let abandoned = self.abandon(p);
            self.parts[p].abandoned += abandoned;
            self.parts[p].left = true;
            self.close_when_idle(p);
        } else if now >= part.stop_at {
            for held in self
                .held
                .iter_mut()
                .filter(|h| h.p == p && h.state == State::Running)
            {
                held.state = State::Stopping;
                held.until = Time::MAX;
                self.cancels.extend(held.token);
            }
        }
    }

    /// Sessions that are wanted now: partition, epoch, session, where, what is expected.
    pub fn sessions(&mut self) -> Vec<(usize, u64, u64, u64, Option<Anchor>)> {
        let now = self.now;
        let mut started = Vec::new();
        for (p, part) in self.parts.iter_mut().enumerate() {
            if !matches!(part.delivery, Delivery::Wanted(at) if at <= now) {
                continue;
            }
            part.session += 1;
            part.delivery = Delivery::Starting;
            part.next_delivery = 1;
            (part.granted, part.taken) = ((0, 0), (0, 0));
            let expect = part.last.or(part.anchor).filter(|_| !part.blind);
            let at = expect.map_or(part.frontier, |a| a.position.0);
            started.push((p, part.epoch, part.session, at, expect));
        }
        started
    }

    /// What holds a frontier: position, since when, where it stands, attempts, whether that was told.
    pub fn stall(&self, p: usize) -> Option<(u64, Time, StallState, u32, bool)> {
        let part = &self.parts[p];
        if part.is_ours() && part.window.get(&part.frontier).is_some_and(|w| w.done) {
            let told = part.stalled.is_some();
            return Some((part.frontier, part.since, StallState::Doubted, 0, told));
        }
        let held = self.owned(p).find(|h| h.position == part.frontier);
        let held = held.filter(|_| part.is_ours())?;
        let withheld = match held.state {
            State::Ready => held.withheld,
            state => state == State::Waits,
        };
        let state = match held.state {
            _ if withheld && self.is_watched(p) => StallState::Suspected,
            State::Queued | State::Orphan => StallState::Behind,
            State::Ready | State::Parked => StallState::Ready,
            State::Running | State::Said(_) => StallState::Running,
            State::Stopping => StallState::Stopping,
            State::Waiting(_) => StallState::Retrying,
            State::Burying | State::Buried | State::Reburying(_) => StallState::DeadLetter,
            State::Copied => StallState::Copy,
            State::Passed => StallState::Passed,
            State::Crowded | State::Waits if part.phase != Phase::Open => StallState::Ready,
            State::Crowded => StallState::Crowded,
            State::Waits => StallState::Waits,
            State::Ahead(_) | State::Told | State::Stopped => StallState::Ahead,
        };
        let told = part.stalled.is_some();
        Some((part.frontier, part.since, state, held.attempts, told))
    }

    /// What may start, by message. Copies of what succeeded are set aside; what has no lease waits.
    pub fn startable(&mut self) -> Vec<u32> {
        let mut startable = Vec::new();
        loop {
            self.look(&mut startable);
            // What waits for the lot to end looks again.
            if !self.step_lot() {
                return startable;
            }
        }
    }

    fn look(&mut self, startable: &mut Vec<u32>) {
        let now = self.now;
        for i in 0..self.held.len() {
            let held = &self.held[i];
            let (p, claimed, identity) = (held.p, held.claimed, held.identity);
            let ready = held.state == State::Ready && !held.withheld;
            let ready = ready && !startable.contains(&held.message);
            if !ready || self.parts[p].phase != Phase::Open {
                continue;
            }
            if now >= self.parts[p].until {
                if !self.parts[p].lapsed {
                    self.parts[p].lapsed = true;
                    self.notice(p, NoticeKind::LeaseLapsed);
                }
                self.leave_lot(self.held[i].message);
                continue;
            }
            if !self.is_cleared(i) {
                continue;
            }
            if claimed && self.is_done(identity) {
                self.held[i].state = State::Copied;
            } else if self.held[i].expires.is_some_and(|at| at <= now)
                && self.config.expired != Expired::Run
            {
                self.stats.expired += 1;
                if self.config.expired == Expired::DeadLetter {
                    self.give_up(i, Why::Expired);
                } else {
                    self.held[i].why = Some(Why::Expired);
                    self.held[i].state = State::Passed;
                }
            } else {
                startable.push(self.held[i].message);
            }
        }
    }

    /// A message was started, under this token and with this deadline.
    pub fn start(&mut self, message: u32, token: u64, deadline: Time) -> (usize, u64, u32) {
        let held = self.by_message(message);
        held.state = State::Running;
        held.timed_out = false;
        held.attempts += 1;
        held.token = Some(token);
        held.until = deadline;
        (held.p, held.position, held.attempts)
    }

    fn by_message(&mut self, message: u32) -> &mut Held {
        let found = self.held.iter_mut().find(|h| h.message == message);
        found.expect("what may start is held")
    }

    /// When a handler that starts now may be asked to stop: not before, not after.
    pub fn deadlines(&self) -> (Time, Time) {
        let timeout = self.config.handler_timeout;
        if timeout == Span::MAX {
            return (Time::MAX, Time::MAX);
        }
        (self.now + timeout, self.now + timeout + timeout.div(64))
    }

    /// Dead letters to be handed out: message, partition, position, why, attempts, shorten.
    pub fn letters(&self) -> Vec<(u32, usize, u64, Why, u32, u8)> {
        let due = self.held.iter().filter(|h| h.state == State::Burying);
        due.filter_map(|h| Some((h.message, h.p, h.position, h.why?, h.attempts, h.shorten)))
            .collect()
    }

    pub fn letter_sent(&mut self, message: u32, token: u64) {
        let held = self.by_message(message);
        held.state = State::Buried;
        held.token = Some(token);
    }

    /// Copies that are set aside.
    pub fn copies(&self) -> Vec<u32> {
        let copies = self.held.iter().filter(|h| h.state == State::Copied);
        copies.map(|h| h.message).collect()
    }

    pub fn copy_taken(&mut self, message: u32) -> Option<(usize, u64, bool)> {
        let found = |h: &Held| h.message == message && h.state == State::Copied;
        let i = self.held.iter().position(found)?;
        let behind = self.is_behind(i);
        let at = (self.held[i].p, self.held[i].position, behind);
        if behind {
            self.stats.behind += 1;
            self.notice(at.0, NoticeKind::SequenceBehind);
        } else {
            self.stats.duplicates += 1;
        }
        self.finish(i, false);
        Some(at)
    }

    /// Whether a commit of this partition may be written now, and whether it must be.
    pub fn commit_due(&self, p: usize) -> (bool, bool) {
        let part = &self.parts[p];
        let (every, now) = (self.config.commit.every, self.now);
        if part.stopped.is_some() {
            return (false, false);
        }
        let closing = part.phase == Phase::Closing;
        if !part.is_ours() || part.outstanding.is_some() || !(part.dirty || closing) {
            return (false, false);
        }
        if now < part.commit_after {
            return (false, false);
        }
        let full = part.unwritten >= self.config.commit.messages;
        // Rounded up to an eighth of the cadence.
        let late = now >= part.dirty_since + every + every.div(4) + Span::from_nanos(8);
        let early = now >= part.dirty_first + every;
        let now_or_never = closing || full || part.failed;
        let awaited = part.urgent && self.wants_mark(p);
        (
            now_or_never || early || part.urgent,
            now_or_never || late || awaited,
        )
    }

    /// A commit was handed out: number, frontier, anchor, finished ranges, whether it is the last.
    pub fn commit_sent(&mut self, p: usize) -> (u64, u64, Option<Anchor>, Vec<(u64, u64)>, bool) {
        let part = &mut self.parts[p];
        part.write += 1;
        let last = part.phase == Phase::Closing;
        part.outstanding = Some((part.epoch, part.write, last));
        (part.dirty, part.failed, part.unwritten) = (false, false, 0);
        part.urgent = false;
        let ranges = if part.mapless || part.doubted || self.config.map_bytes == 0 {
            Vec::new()
        } else {
            part.ranges(self.config.map_digests)
        };
        // Where everything that came is finished, the last of it is nearest to the frontier.
        let mut anchor = part.anchor;
        if let Some(known) = part.last
            && !part.doubted
            && known.position.0 < part.frontier
            && anchor.is_none_or(|a| a.position < known.position)
        {
            anchor = Some(known);
        }
        (part.write, part.frontier, anchor, ranges, last)
    }

    /// The end of a drain, if it has come: handed back, abandoned.
    pub fn drained(&mut self) -> Option<(u32, u32)> {
        let open = self
            .parts
            .iter()
            .any(|p| p.is_ours() || p.release.is_some());
        if self.draining.is_none() || self.drained_told || open {
            return None;
        }
        self.drained_told = true;
        Some(self.drained)
    }

    /// The first time at which time alone changes something that is exactly known.
    pub fn next_effect(&self) -> Option<Time> {
        let held = self.held.iter().filter_map(|h| match h.state {
            State::Waiting(at) | State::Reburying(at) | State::Ahead(at) => Some(at),
            State::Running | State::Stopping => Some(h.until),
            _ => None,
        });
        let parts = self
            .parts
            .iter()
            .filter_map(|p| match (p.phase, p.delivery) {
                (Phase::Open, Delivery::Wanted(at)) if at > self.now => Some(at),
                (Phase::Revoking, _) if self.now >= p.stop_at => Some(p.abandon_at),
                (Phase::Revoking, _) => Some(p.stop_at),
                (Phase::Closing, _) => Some(p.deadline),
                _ => None,
            });
        let judged = (0..self.parts.len()).filter_map(|p| {
            let stands = self.stands(p) && self.parts[p].stalled.is_none();
            stands.then(|| self.parts[p].since + self.config.stall_after)
        });
        held.chain(parts)
            .chain(judged)
            .filter(|at| *at != Time::MAX)
            .min()
    }
}

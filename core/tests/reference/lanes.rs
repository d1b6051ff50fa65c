//! Lanes, identities, and the end of a held message.

use procession_core::{Anchor, NoticeKind, Position, Span, Stamp, Why};

use super::model::{Held, Known, Model, Part, Phase, State};

impl Model {
    /// Whoever became the first of its lane goes on.
    pub fn activate_heads(&mut self) {
        for i in 0..self.held.len() {
            let held = &self.held[i];
            let first = !self.held[..i].iter().any(|h| h.lane == held.lane);
            if first
                && matches!(
                    held.state,
                    State::Running | State::Stopping | State::Said(_)
                )
            {
                self.accept(i);
            }
            let held = &self.held[i];
            if first && held.state == State::Queued && !self.has_orphans(i) {
                self.activate(i);
            } else if first && let State::Said(ending) = held.state {
                let before = self.held.len();
                self.take_effect(i, ending);
                if self.held.len() != before {
                    // The rest was looked at when it was finished.
                    return;
                }
            }
        }
    }

    pub fn activate(&mut self, i: usize) {
        let open = self.parts[self.held[i].p].phase == Phase::Open;
        if open && self.out_of_turn(i) {
            return;
        }
        self.held[i].withheld = false;
        self.held[i].state = match (open, self.held[i].why) {
            (false, _) => State::Parked,
            (true, Some(why)) => return self.give_up(i, why),
            (true, None) => State::Ready,
        };
        if open {
            self.follow(i);
        }
    }

    /// Finishes a held message: the place of its identity, its position, its credit.
    pub fn finish(&mut self, i: usize, succeeded: bool) {
        let held = self.held.remove(i);
        self.end_identity(&held, succeeded);
        self.leave(&held, true);
        let part = &mut self.parts[held.p];
        if let Some(arrived) = part.window.get_mut(&held.position) {
            arrived.done = true;
        }
        if part.frontier == held.position && !part.doubted {
            part.anchor = Some(Anchor {
                position: Position(held.position),
                stamp: Stamp(held.stamp),
            });
            part.pass_finished();
            part.since = self.now;
            self.end_stall(held.p);
        }
        self.dirty(held.p, 1);
        self.forget_token(&held);
        self.activate_heads();
    }

    pub fn forget_token(&mut self, held: &Held) {
        if let Some(token) = held.token {
            self.cancels.remove(&token);
            self.abandons.remove(&token);
        }
    }

    /// A held message gives up its place among the identities.
    pub fn end_identity(&mut self, held: &Held, succeeded: bool) {
        if !held.claimed {
            return;
        }
        let now = self.now;
        let known = self
            .identities
            .iter_mut()
            .find(|k| k.identity == held.identity);
        let known = known.expect("a claimed identity is known");
        known.held -= 1;
        if succeeded && known.done.is_none() {
            self.successes += 1;
            known.done = Some((self.successes, now + self.config.dedupe.age));
            while self.identities.iter().filter(|k| k.done.is_some()).count()
                > self.config.dedupe.ids as usize
            {
                self.forget_oldest();
            }
        }
        self.identities.retain(|k| k.held > 0 || k.done.is_some());
    }

    fn forget_oldest(&mut self) {
        let oldest = self.identities.iter_mut().filter(|k| k.done.is_some());
        if let Some(oldest) = oldest.min_by_key(|k| k.done) {
            oldest.done = None;
        }
        self.identities.retain(|k| k.held > 0 || k.done.is_some());
    }

    /// Takes a place for an identity, or only if it has not succeeded; whether it has.
    pub fn claim(&mut self, identity: u128, anyway: bool) -> bool {
        let now = self.now;
        for known in &mut self.identities {
            if known.done.is_some_and(|(_, until)| now > until) {
                known.done = None;
            }
        }
        self.identities.retain(|k| k.held > 0 || k.done.is_some());
        match self.identities.iter_mut().find(|k| k.identity == identity) {
            Some(known) if known.done.is_some() => {
                known.held += u32::from(anyway);
                return true;
            }
            Some(known) => known.held += 1,
            None => self.identities.push(Known {
                identity,
                held: 1,
                done: None,
            }),
        }
        false
    }

    /// Identities inside the window and their ages, the last success first.
    pub fn remembered(&self) -> Vec<(u128, Span)> {
        let done = self.identities.iter();
        let mut done: Vec<_> = done.filter_map(|k| Some((k.done?, k.identity))).collect();
        done.sort_unstable_by(|a, b| b.cmp(a));
        let fresh = done.iter().take_while(|d| self.now <= d.0.1);
        let age = self.config.dedupe.age.as_nanos();
        fresh
            .map(|((_, until), identity)| {
                let left = until.since(self.now).as_nanos();
                (*identity, Span::from_nanos(age - left))
            })
            .collect()
    }

    /// Remembers them in another process; how many.
    pub fn restore(&mut self, kept: &[(u128, Span)], elapsed: Span) -> u32 {
        let age = self.config.dedupe.age;
        for &(identity, old) in kept.iter().rev() {
            let old = old + elapsed;
            if old <= age {
                let left = Span::from_nanos(age.as_nanos() - old.as_nanos());
                self.successes += 1;
                let done = Some((self.successes, self.now + left));
                self.identities.push(Known {
                    identity,
                    held: 0,
                    done,
                });
            }
        }
        self.identities.len() as u32
    }

    pub fn is_done(&self, identity: u128) -> bool {
        self.identities
            .iter()
            .any(|k| k.identity == identity && k.done.is_some())
    }

    /// A handler goes on without its partition.
    fn orphan(&mut self, i: usize) {
        if !self.is_first(i) {
            // Nobody will know how those before it in its call have ended.
            let held = self.held[i].clone();
            self.end_identity(&held, false);
            self.held[i].claimed = false;
        }
        let held = &mut self.held[i];
        let was = held.clone();
        held.state = State::Orphan;
        held.sequence = None;
        self.leave(&was, false);
        let held = &self.held[i];
        self.cancels.extend(held.token);
        if let Some(token) = held.token {
            self.abandons.remove(&token);
        }
    }

    /// Leaves the handlers of a partition behind, each with a notice; how many.
    pub fn abandon(&mut self, p: usize) -> u32 {
        let mut abandoned = 0;
        for i in 0..self.held.len() {
            let held = &self.held[i];
            if held.p == p && matches!(held.state, State::Running | State::Stopping) {
                self.notice(p, NoticeKind::Abandoned);
                self.orphan(i);
                abandoned += 1;
            }
        }
        self.unsay(p);
        self.trim_keys();
        self.step_lot();
        abandoned
    }

    /// Drops what is held of a partition; handlers become orphans.
    pub fn clear(&mut self, p: usize) {
        for i in 0..self.held.len() {
            let held = &self.held[i];
            if held.p == p && matches!(held.state, State::Running | State::Stopping) {
                self.orphan(i);
            }
        }
        while let Some(i) = self
            .held
            .iter()
            .position(|h| h.p == p && h.state != State::Orphan)
        {
            let held = self.held.remove(i);
            self.end_identity(&held, false);
            self.forget_token(&held);
            self.leave(&held, false);
        }
        self.end_stall(p);
        let part = &mut self.parts[p];
        part.window.clear();
        part.resumed.clear();
        part.digests.clear();
        part.relents = false;
        self.keys.retain(|k| k.p != p);
        self.trim_keys();
        self.activate_heads();
        self.drop_lot(p);
    }

    /// An attempt failed.
    pub fn failed(&mut self, i: usize) {
        self.stats.failed += 1;
        let held = &mut self.held[i];
        if held.attempts >= self.config.retry.attempts {
            self.give_up(i, Why::Exhausted);
        } else if self.parts[held.p].phase != Phase::Open {
            held.state = State::Parked;
        } else {
            let wait = super::model::wait(&self.config.retry.backoff, held.attempts);
            held.state = State::Waiting(self.now + wait);
        }
    }
}

impl Part {
    /// The frontier moves over what is finished.
    pub fn pass_finished(&mut self) {
        while let Some(first) = self.window.first_entry().filter(|e| e.get().done) {
            first.remove();
        }
        self.frontier = self
            .window
            .first_key_value()
            .map_or(self.floor, |(at, _)| *at);
    }

    /// Finished runs of arrivals; holes between two finished arrivals count as finished, unless only what
    /// is known by its `digest` is named.
    pub fn ranges(&self, digests: bool) -> Vec<(u64, u64)> {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let mut open = false;
        for (&at, arrived) in &self.window {
            match ranges.last_mut() {
                Some(range) if open && arrived.done && (!digests || range.1 == at) => {
                    range.1 = at + 1;
                }
                _ if arrived.done => ranges.push((at, at + 1)),
                _ => {}
            }
            open = arrived.done;
        }
        ranges
    }
}

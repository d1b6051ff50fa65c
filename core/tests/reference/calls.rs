//! Calls of several messages of one key: what is said of each takes effect in the order of the log.

use procession_core::{Expired, Why};

use super::inputs::Ending;
use super::model::{Held, Model, Phase, State};

impl Model {
    /// The message that a call may get, which this message has begun.
    pub fn follower(&self, message: u32) -> Option<u32> {
        let first = self.held.iter().position(|h| h.message == message)?;
        let head = &self.held[first];
        let lane = self.held.iter().filter(|h| h.lane == head.lane);
        let in_call = |s: State| s == State::Running;
        let count = lane.clone().take_while(|h| in_call(h.state)).count();
        let next = lane.clone().nth(count)?;
        let part = &self.parts[head.p];
        let over =
            self.config.expired != Expired::Run && next.expires.is_some_and(|at| at <= self.now);
        let may = head.state == State::Running
            && next.state == State::Queued
            && (next.p, next.key) == (head.p, head.key)
            && next.why.is_none()
            && self.is_next_of_call(&lane.clone().take(count).collect::<Vec<_>>(), next)
            && !over
            && self.place_of(next).is_none()
            && part.phase == Phase::Open
            && part.watch.is_free()
            && self.now < part.until
            && count < self.config.batch_key as usize;
        may.then_some(next.message)
    }

    /// Whether a message is the next of its key when those before it are done.
    fn is_next_of_call(&self, before: &[&Held], next: &Held) -> bool {
        let Some(sequence) = next.sequence else {
            return true;
        };
        let key = self
            .keys
            .iter()
            .find(|k| (k.p, Some(k.key)) == (next.p, next.key));
        let mut key = key.expect("what is held has its key").clone();
        for held in before {
            if let Some(sequence) = held.sequence {
                key.pass(sequence);
            }
        }
        key.next == Some(sequence)
    }

    /// Whether a held message may turn out to be a copy: then nothing needs to follow.
    pub fn has_copies(&self) -> bool {
        self.identities
            .iter()
            .any(|k| k.held > 1 || (k.held > 0 && k.done.is_some()))
    }

    /// Whether a message shares its call with others.
    pub fn is_in_call(&self, i: usize) -> bool {
        let held = &self.held[i];
        let others = self.held.iter().enumerate();
        let mut others = others.filter(|(j, h)| *j != i && h.lane == held.lane);
        others.any(|(_, h)| matches!(h.state, State::Running | State::Stopping | State::Said(_)))
    }

    /// Whether nothing of its lane is before it.
    pub fn is_first(&self, i: usize) -> bool {
        !self.held[..i].iter().any(|h| h.lane == self.held[i].lane)
    }

    /// What was said of a message is kept.
    pub fn say(&mut self, i: usize, ending: Ending) {
        let held = &mut self.held[i];
        let failed = ending == Ending::Cancelled && held.timed_out;
        held.state = State::Said(if failed { Ending::Retry } else { ending });
        held.token = None;
        self.activate_heads();
    }

    /// The first of its lane has something said of it.
    pub fn take_effect(&mut self, i: usize, ending: Ending) {
        if ending == Ending::Done {
            self.stats.done += 1;
            return self.finish(i, true);
        }
        let lane = self.held[i].lane;
        let of = |h: &&mut Held| h.lane == lane;
        let runs = |s: State| matches!(s, State::Running | State::Stopping);
        if self.held.iter_mut().filter(of).any(|h| runs(h.state)) {
            return;
        }
        let follows = self.config.parked_keys > 0 && self.config.map_bytes > 0;
        let keeps = ending == Ending::Reject && !follows;
        for held in self.held[i + 1..].iter_mut().filter(of) {
            if matches!(held.state, State::Said(_)) && !keeps {
                held.attempts -= 1;
                held.state = State::Queued;
            }
        }
        match ending {
            Ending::Done => {}
            Ending::Retry => self.failed(i),
            Ending::Reject => {
                self.stats.failed += 1;
                self.give_up(i, Why::Rejected);
            }
            Ending::Cancelled => {
                self.held[i].attempts -= 1;
                self.activate(i);
            }
        }
    }

    /// Handlers of a partition are left behind: what was said and has not taken effect does not.
    pub fn unsay(&mut self, p: usize) {
        for i in 0..self.held.len() {
            let waits = !self.is_first(i) || self.has_orphans(i);
            let held = &mut self.held[i];
            if held.p == p && matches!(held.state, State::Said(_)) {
                held.attempts -= 1;
                held.state = if waits { State::Queued } else { State::Parked };
            }
        }
    }

    /// Whether a handler without its partition keeps the key of a message busy.
    pub fn has_orphans(&self, i: usize) -> bool {
        let lane = self.held[i].lane;
        let orphan = |h: &Held| h.lane == lane && h.state == State::Orphan;
        self.held.iter().any(orphan)
    }
}

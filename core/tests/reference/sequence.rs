//! Sequences of the reference: lanes kept in order, keys in a plain vector.

use procession_core::{NoticeKind, OnGap, Why};

use super::model::{Held, Model, Phase, State};

/// What is known of a key.
#[derive(Clone, Debug)]
pub struct Key {
    pub key: u128,
    pub p: usize,
    /// The sequence that comes next.
    pub next: Option<u64>,
    /// From here to before that all were passed.
    pub first: u64,
    /// When it was heard of last, counted.
    pub heard: u64,
    /// Its owner was told of a gap and is asked first.
    pub stopped: bool,
}

impl Key {
    pub fn pass(&mut self, sequence: u64) {
        if self.next.is_none_or(|next| sequence > next) {
            self.first = sequence;
        }
        self.next = self.next.max(Some(sequence + 1));
    }

    const fn go_on(&mut self, sequence: u64) {
        self.first = sequence;
        self.next = Some(sequence);
    }

    fn has_passed(&self, sequence: u64) -> bool {
        self.next
            .is_some_and(|next| (self.first..next).contains(&sequence))
    }
}

const fn is_ahead(state: State) -> bool {
    matches!(state, State::Ahead(_) | State::Told | State::Stopped)
}

impl Model {
    /// Puts a message where it belongs: in front of what comes after it of its key.
    pub fn place(&mut self, mut new: Held) {
        let Some(sequence) = new.sequence else {
            return self.held.push(new);
        };
        let (p, key) = (new.p, new.key.unwrap());
        self.key_of(p, key);
        let later = |h: &Held| {
            let same = h.p == p && h.key == Some(key);
            let may = h.state == State::Queued || is_ahead(h.state);
            same && may && h.sequence.is_some_and(|s| s > sequence)
        };
        // Behind the last of its key that does not come after it, wherever that stands.
        let stays = |h: &Held| h.p == p && h.key == Some(key) && h.sequence.is_some() && !later(h);
        let from = self.held.iter().rposition(stays).map_or(0, |i| i + 1);
        let Some(before) = self.held[from..].iter().position(later) else {
            return self.held.push(new);
        };
        let before = from + before;
        new.since = self.held[before].since;
        if is_ahead(self.held[before].state) {
            self.held[before].state = State::Queued;
        }
        self.held.insert(before, new);
    }

    fn key_of(&mut self, p: usize, key: u128) -> &mut Key {
        let found = self.keys.iter().position(|k| (k.p, k.key) == (p, key));
        let at = found.unwrap_or_else(|| {
            self.heard += 1;
            self.keys.push(Key {
                key,
                p,
                next: None,
                first: 0,
                heard: self.heard,
                stopped: false,
            });
            self.keys.len() - 1
        });
        &mut self.keys[at]
    }

    /// Whether the first of a lane is not the next of its key: then it is seen to.
    pub fn out_of_turn(&mut self, i: usize) -> bool {
        let held = &self.held[i];
        let (Some(sequence), since) = (held.sequence, held.since) else {
            return false;
        };
        let (p, late) = (held.p, held.late);
        let key = self.key_of(p, held.key.unwrap());
        if key.next.is_none() {
            key.go_on(sequence);
        }
        let next = key.next.unwrap();
        if sequence < next && !key.has_passed(sequence) {
            if !late {
                self.held[i].late = true;
                self.stats.late += 1;
                self.notice(p, NoticeKind::SequenceLate);
            }
            return false;
        }
        if sequence == next {
            key.stopped = false;
            return false;
        }
        if sequence < next {
            if self.config.parked_keys > 0 && self.held[i].why.is_some() {
                return false;
            }
            if !self.follow(i) {
                self.held[i].state = State::Copied;
            }
            return true;
        }
        let stopped = key.stopped;
        let patience = self.config.sequence.unwrap().gap_timeout;
        self.held[i].state = if stopped {
            State::Stopped
        } else {
            State::Ahead((since + patience).max(self.now))
        };
        self.bound_hold(i);
        true
    }

    /// One that has joined a call is the first of its lane now.
    pub fn accept(&mut self, i: usize) {
        let held = &self.held[i];
        if let (Some(key), Some(sequence)) = (held.key, held.sequence) {
            let key = self.key_of(held.p, key);
            key.stopped &= key.next != Some(sequence);
        }
    }

    /// Messages of keys that are waited for.
    pub fn waiting(&self) -> usize {
        let waits = |h: &&Held| {
            let first =
                |f: &Held| matches!(f.state, State::Ahead(_)) && (f.p, f.key) == (h.p, h.key);
            h.state != State::Orphan && h.sequence.is_some() && self.held.iter().any(first)
        };
        self.held.iter().filter(waits).count()
    }

    /// What waits at `i` is not waited for if there is too much.
    fn bound_hold(&mut self, i: usize) {
        let most = self.config.sequence.map_or(0, |s| s.hold_messages);
        if matches!(self.held[i].state, State::Ahead(_)) && self.waiting() > most as usize {
            self.decide(i);
        }
    }

    /// The same for the lane of the message at a position.
    pub fn bound_lane(&mut self, p: usize, position: u64) {
        let lane = self
            .held
            .iter()
            .find(|h| (h.p, h.position) == (p, position));
        let Some(lane) = lane.map(|h| h.lane) else {
            return;
        };
        if let Some(first) = self.held.iter().position(|h| h.lane == lane) {
            self.bound_hold(first);
        }
    }

    pub fn decide(&mut self, i: usize) {
        let open = self.parts[self.held[i].p].phase == Phase::Open;
        self.held[i].state = if open { State::Told } else { State::Stopped };
    }

    /// A partition takes nothing in: if nothing of it can go on, its gaps are decided soon.
    pub fn relent(&mut self, p: usize) {
        let waits = |s: State| s == State::Queued || is_ahead(s);
        let stuck = self.owned(p).all(|h| waits(h.state));
        if self.waiting() > 0 && stuck {
            self.parts[p].relents = true;
        }
    }

    /// The same because its window is full: if its frontier waits.
    pub fn relent_window(&mut self, p: usize) {
        let frontier = self.parts[p].frontier;
        let lane = self
            .owned(p)
            .find(|h| h.position == frontier)
            .map(|h| h.lane);
        let first = self.held.iter().find(|h| Some(h.lane) == lane);
        if self.waiting() > 0 && first.is_some_and(|h| is_ahead(h.state)) {
            self.parts[p].relents = true;
        }
    }

    pub fn relented(&mut self, p: usize) {
        if std::mem::take(&mut self.parts[p].relents) {
            for i in 0..self.held.len() {
                if self.held[i].p == p && matches!(self.held[i].state, State::Ahead(_)) {
                    self.decide(i);
                }
            }
        }
    }

    /// Gaps that are to be told: message, partition, position, expected, found. They are dealt with.
    pub fn gaps(&mut self) -> Vec<(u32, usize, u64, u64, u64)> {
        let mut gaps = Vec::new();
        for i in 0..self.held.len() {
            let held = self.held[i].clone();
            if held.state != State::Told {
                continue;
            }
            self.held[i].state = State::Stopped;
            if self.parts[held.p].phase != Phase::Open {
                continue;
            }
            let found = held.sequence.unwrap();
            let policy = self.config.sequence.unwrap().on_gap;
            let key = self.key_of(held.p, held.key.unwrap());
            gaps.push((
                held.message,
                held.p,
                held.position,
                key.next.unwrap(),
                found,
            ));
            match policy {
                OnGap::Stop => key.stopped = true,
                OnGap::GoOn | OnGap::Park => key.go_on(found),
            }
            self.stats.gaps += 1;
            self.notice(held.p, NoticeKind::SequenceGap);
            match policy {
                OnGap::Stop => {}
                OnGap::GoOn => self.activate(i),
                OnGap::Park => self.give_up(i, Why::Gap),
            }
        }
        gaps
    }

    /// The owner passes a gap; whether its key had stopped.
    pub fn pass_gap(&mut self, p: usize, key: u128) -> bool {
        let known = self.keys.iter_mut().find(|k| (k.p, k.key) == (p, key));
        let Some(known) = known.filter(|k| k.stopped) else {
            return false;
        };
        known.stopped = false;
        let next = known.next;
        let ours = |h: &&Held| (h.p, h.key) == (p, Some(key));
        let waits = |h: &&Held| {
            let in_call = matches!(h.state, State::Running | State::Stopping | State::Said(_));
            is_ahead(h.state) || h.state == State::Queued || in_call
        };
        let of_key = self.held.iter().filter(ours).filter(waits);
        let ahead = of_key.filter_map(|h| h.sequence.filter(|s| next <= Some(*s)));
        if let Some(first) = ahead.min()
            && next != Some(first)
        {
            self.key_of(p, key).go_on(first);
        }
        let waiting = |h: &Held| (h.p, h.key) == (p, Some(key)) && is_ahead(h.state);
        if let Some(i) = self.held.iter().position(waiting) {
            self.activate(i);
        }
        true
    }

    /// The recorded progress calls a message finished.
    pub fn seen(&mut self, p: usize, key: u128, sequence: u64) {
        self.key_of(p, key);
        if !self.is_held(p, key) {
            self.heard += 1;
            let heard = self.heard;
            let of = self.key_of(p, key);
            of.heard = heard;
            of.pass(sequence);
        }
        self.trim_keys();
    }

    /// A message is not held any more, or not ours; whether it was passed.
    pub fn leave(&mut self, held: &Held, passed: bool) {
        let Some(sequence) = held.sequence else {
            return;
        };
        let (p, key) = (held.p, held.key.unwrap());
        if passed {
            self.key_of(p, key).pass(sequence);
        }
        if !self.is_held(p, key) {
            self.heard += 1;
            let heard = self.heard;
            self.key_of(p, key).heard = heard;
        }
        if passed {
            self.trim_keys();
        }
    }

    pub fn trim_keys(&mut self) {
        let most = self.config.sequence.map_or(0, |s| s.keys as usize);
        loop {
            let idle = || {
                (0..self.keys.len()).filter(|i| !self.is_held(self.keys[*i].p, self.keys[*i].key))
            };
            if idle().count() <= most {
                return;
            }
            let oldest = idle().min_by_key(|i| self.keys[*i].heard).unwrap();
            self.keys.remove(oldest);
            self.stats.forgotten += 1;
        }
    }

    fn is_held(&self, p: usize, key: u128) -> bool {
        let of = |h: &Held| h.p == p && h.key == Some(key) && h.sequence.is_some();
        self.held.iter().any(of)
    }

    /// Whether a message is behind what its key has passed.
    pub fn is_behind(&self, i: usize) -> bool {
        let held = &self.held[i];
        let known = self
            .keys
            .iter()
            .find(|k| (k.p, Some(k.key)) == (held.p, held.key));
        let passed = |s| known.is_some_and(|k| k.has_passed(s));
        held.sequence.is_some_and(passed)
    }

    /// Keys in the order in which they are exported: with held messages, then as they were heard of.
    pub fn keys_kept(&self) -> Vec<Key> {
        let known = self.keys.iter().filter(|k| k.next.is_some());
        let mut keys: Vec<Key> = known.cloned().collect();
        keys.sort_by_key(|k| {
            let held = self.is_held(k.p, k.key);
            let heard = if held { 0 } else { u64::MAX - k.heard };
            (!held, heard, k.key, k.p)
        });
        keys
    }

    pub fn restore_keys(&mut self, kept: &[Key]) -> u32 {
        let most = self.config.sequence.map_or(0, |s| s.keys as usize);
        for key in kept.iter().take(most).rev() {
            let of = self.key_of(key.p, key.key);
            (of.next, of.first) = (key.next, key.first);
        }
        self.keys.len() as u32
    }
}

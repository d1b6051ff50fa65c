//! Parked keys of the reference.

use procession_core::{NoticeKind, ParkedKey, ParkedMode, Position, Why};

use super::model::{Held, Model, Phase, State};

impl Model {
    /// A message is given up: its key takes a place, or it waits for one.
    pub fn give_up(&mut self, i: usize, why: Why) {
        self.held[i].why = Some(why);
        let (p, position) = (self.held[i].p, self.held[i].position);
        self.held[i].state = State::Burying;
        let most = self.config.parked_keys as usize;
        let parks = most > 0 && why != Why::Parked && why != Why::Expired;
        let Some(key) = self.held[i].key.filter(|_| parks) else {
            return;
        };
        self.asked.push(self.held[i].message);
        let part = &mut self.parts[p];
        if part.parked.contains_key(&key) {
            return;
        }
        if part.parked.len() < most {
            let place = (position, ParkedMode::Follow, false);
            part.parked.insert(key, place);
            return;
        }
        self.held[i].state = State::Crowded;
        if !std::mem::replace(&mut part.crowded, true) {
            self.notice(p, NoticeKind::ParkingFull);
        }
    }

    /// Its dead letter is confirmed.
    pub fn park(&mut self, i: usize) {
        let held = &self.held[i];
        let Some(key) = held
            .key
            .filter(|_| !matches!(held.why, Some(Why::Parked | Why::Expired)))
        else {
            return;
        };
        if let Some(place) = self.parts[held.p].parked.get_mut(&key) {
            place.0 = place.0.min(held.position);
            place.2 = true;
        }
    }

    /// The place of a parked key that concerns a message.
    pub fn place_of(&self, held: &Held) -> Option<ParkedMode> {
        let place = held.key.and_then(|k| self.parts[held.p].parked.get(&k));
        let place = place.filter(|p| p.2 && held.position >= p.0);
        place.map(|p| p.1)
    }

    /// What the first message of a lane does if its key is parked.
    /// Whether it is.
    pub fn follow(&mut self, i: usize) -> bool {
        let Some(mode) = self.place_of(&self.held[i]) else {
            return false;
        };
        match mode {
            ParkedMode::Follow => self.give_up(i, Why::Parked),
            ParkedMode::Wait => self.held[i].state = State::Waits,
            ParkedMode::Discard => {
                self.held[i].why = Some(Why::Discarded);
                self.held[i].state = State::Passed;
            }
        }
        true
    }

    /// A parked key is released, or treated otherwise. Whether it was parked.
    pub fn treat(&mut self, key: u128, mode: Option<ParkedMode>) -> bool {
        let mut known = false;
        for p in 0..self.parts.len() {
            let Some(place) = self.parts[p].parked.get_mut(&key) else {
                continue;
            };
            known = true;
            if let Some(mode) = mode {
                place.1 = mode;
            } else {
                self.parts[p].parked.remove(&key);
                self.admit_crowded(p);
            }
            self.dirty(p, 0);
            let waits = |h: &Held| {
                let withheld = h.state == State::Ready && h.withheld;
                h.p == p && (h.state == State::Waits || withheld)
            };
            let found = self
                .held
                .iter()
                .position(|h| waits(h) && h.key == Some(key));
            if let Some(i) = found.filter(|_| self.parts[p].phase == Phase::Open) {
                self.activate(i);
            }
        }
        known
    }

    fn admit_crowded(&mut self, p: usize) {
        let waits = |m: &Self| {
            let crowd = (0..m.held.len())
                .filter(|&i| m.held[i].p == p && m.held[i].state == State::Crowded);
            crowd.min_by_key(|&i| m.held[i].position)
        };
        if !self.parts[p].crowded || self.parts[p].phase != Phase::Open {
            return;
        }
        self.parts[p].crowded = false;
        while let Some(first) = waits(self).filter(|_| !self.parts[p].crowded) {
            let why = self.held[first].why.expect("it was given up");
            self.give_up(first, why);
        }
    }

    /// Messages that are passed.
    pub fn passes(&self) -> Vec<u32> {
        let passes = self.held.iter().filter(|h| h.state == State::Passed);
        passes.map(|h| h.message).collect()
    }

    pub fn pass_taken(&mut self, message: u32) -> Option<(usize, u64, Why)> {
        let i = self.held.iter().position(|h| h.message == message)?;
        let held = &self.held[i];
        let told = (held.p, held.position, held.why?);
        self.stats.passed += 1;
        self.finish(i, false);
        Some(told)
    }

    /// The keys that a commit must name.
    pub fn parked(&self, p: usize) -> Vec<ParkedKey> {
        let confirmed = self.parts[p].parked.iter().filter(|(_, p)| p.2);
        confirmed
            .map(|(&key, &(since, mode, _))| ParkedKey {
                key,
                since: Position(since),
                mode,
            })
            .collect()
    }
}

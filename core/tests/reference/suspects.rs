//! Suspects of the reference, as ADR 0011 words it: what a record says may run, and the one lot that
//! runs under suspicion. Who joins a lot is left free: see `lots`.

use procession_core::{Accused, Config, NoticeKind, Position, Why};

use super::model::{Model, Phase, State};

/// What may start of a partition, going by its stored record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    /// Anything: nobody suspects.
    Off,
    /// Nothing, until a commit is stored that says "anything": the number of the one under way.
    Unmarked(Option<u64>),
    /// Anything.
    Anything,
    /// A lot.
    Lots,
}

impl Watch {
    pub fn is_free(self) -> bool {
        matches!(self, Self::Off | Self::Anything)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Messages join it.
    Forming,
    /// The commit with this number names them.
    Asked(u64),
    /// They may start.
    Granted,
}

/// Messages that may run under suspicion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lot {
    pub p: usize,
    pub stage: Stage,
    pub members: Vec<u32>,
}

/// What a record says of suspects: whether anything may be running, and who is named.
pub type Marks = (bool, Vec<Accused>);

/// How many a record has room for: beside the head of a map, the parked keys, and two bytes.
pub fn places(config: &Config) -> usize {
    let keys = config.parked_keys as usize;
    let keys = if keys == 0 { 0 } else { 2 + 25 * keys };
    ((config.map_bytes as usize).saturating_sub(22 + keys + 2) / 9).min(33)
}

impl Model {
    /// What a partition is opened with says this of suspects; `None`: it cannot be read.
    pub fn suspect(&mut self, p: usize, told: Option<Marks>, log_end: u64) {
        if self.config.suspects == 0 {
            return;
        }
        let (anything, named) = told.unwrap_or((true, Vec::new()));
        let running = named.iter().filter(|a| a.running).count();
        let died = |a: &Accused| u8::from(a.running && running == 1);
        let known = named.iter().filter(|a| a.position.0 < log_end);
        let accused = known.map(|a| Accused {
            deaths: (a.deaths + died(a)).min(127),
            running: false,
            ..*a
        });
        self.parts[p].accused = accused.collect();
        if anything {
            let most = self.config.limits.messages + 2 * self.config.commit.messages + 33;
            (self.parts[p].range, self.parts[p].range_end) = (most, log_end);
        }
        if anything || running > 0 {
            self.notice(p, NoticeKind::UncleanEnd);
        }
        if self.is_suspicious(p) {
            self.parts[p].watch = Watch::Lots;
        }
    }

    /// It was opened: nothing starts before its record says that anything may.
    pub fn begin_watch(&mut self, p: usize) {
        let part = &self.parts[p];
        let known = part.stopped.is_none() && part.unproven.is_none();
        if known && part.watch == Watch::Unmarked(None) {
            self.want_mark(p);
        }
    }

    /// A commit is due at once, for what it says of suspects.
    fn want_mark(&mut self, p: usize) {
        self.dirty(p, 0);
        self.parts[p].urgent = true;
    }

    /// Whether something waits for a commit that is not under way.
    pub fn wants_mark(&self, p: usize) -> bool {
        let forms = self.lot.as_ref();
        let forms = forms.is_some_and(|l| l.p == p && l.stage == Stage::Forming);
        forms || self.parts[p].watch == Watch::Unmarked(None)
    }

    fn is_finished(&self, p: usize, position: u64) -> bool {
        let arrived = self.parts[p].window.get(&position);
        arrived.is_some_and(|a| a.done)
    }

    /// Who is accused: what is finished is that no more, unless it was given up.
    pub fn accused(&self, p: usize) -> Vec<Accused> {
        let part = &self.parts[p];
        let stays = |a: &&Accused| {
            let given_up = u32::from(a.deaths) >= self.config.suspects;
            a.position.0 >= part.frontier && (given_up || !self.is_finished(p, a.position.0))
        };
        part.accused.iter().filter(stays).copied().collect()
    }

    pub fn deaths(&self, p: usize, position: u64) -> Option<u8> {
        let accused = self.accused(p);
        let found = accused.iter().find(|a| a.position.0 == position);
        found.map(|a| a.deaths)
    }

    /// Whether what may have been running when nobody knew what was has not all been looked at.
    fn has_range(&self, p: usize) -> bool {
        let part = &self.parts[p];
        part.range > 0 && part.frontier < part.range_end
    }

    fn is_suspicious(&self, p: usize) -> bool {
        let unfinished = |a: &Accused| !self.is_finished(p, a.position.0);
        self.has_range(p) || self.accused(p).iter().any(unfinished)
    }

    /// Whether a message that is next of its key may start as far as suspects are concerned.
    pub fn is_cleared(&mut self, i: usize) -> bool {
        let (p, message) = (self.held[i].p, self.held[i].message);
        let watch = self.parts[p].watch;
        if watch.is_free() {
            return true;
        }
        if let (Watch::Lots, Some(lot)) = (watch, &self.lot)
            && lot.members.contains(&message)
            && lot.stage == Stage::Granted
        {
            return true;
        }
        self.held[i].withheld = true;
        if watch != Watch::Lots {
            if watch == Watch::Unmarked(None) {
                self.want_mark(p);
            }
            return false;
        }
        let lot = self.lot.as_ref();
        if lot.is_some_and(|l| l.members.contains(&message)) {
            return false;
        }
        let deaths = self.deaths(p, self.held[i].position);
        if deaths.is_some_and(|d| u32::from(d) >= self.config.suspects) {
            self.convicts.push(message);
        } else if lot.is_none_or(|l| l.p != p) && !self.is_suspicious(p) {
            self.end_suspicion(p);
        } else {
            self.candidates.push(message);
        }
        false
    }

    /// It was seen who has joined the lot; so many of them for the first time.
    pub fn form_lot(&mut self, lot: Lot, first: u32) {
        if self.lot.is_none() {
            self.want_mark(lot.p);
        }
        let range = &mut self.parts[lot.p].range;
        *range = range.saturating_sub(first);
        self.lot = Some(lot);
    }

    /// A message is given up because of the processes that died of it.
    pub fn convict(&mut self, message: u32) {
        let found = self.held.iter().position(|h| h.message == message);
        self.give_up(found.expect("what waits is held"), Why::Suspect);
    }

    fn end_suspicion(&mut self, p: usize) {
        let part = &self.parts[p];
        let used_up = part.range == 0 && part.frontier < part.range_end;
        self.ended.0 += 1;
        self.ended.1 += u32::from(used_up);
        self.parts[p].watch = Watch::Unmarked(None);
        if self.parts[p].phase == Phase::Open {
            self.want_mark(p);
        }
    }

    /// A message is not of the lot any more: its attempt has ended, or its lease when it was to start.
    pub fn leave_lot(&mut self, message: u32) {
        if let Some(lot) = self.lot.as_mut().filter(|l| l.stage == Stage::Granted) {
            lot.members.retain(|m| *m != message);
        }
    }

    /// Those of the lot that run, or may.
    pub fn in_lot(&self, p: usize) -> Vec<u32> {
        let of = |m: &&u32| {
            let held = self.held.iter().find(|h| h.message == **m);
            held.is_some_and(|h| match h.state {
                State::Running | State::Stopping => true,
                State::Ready => self.parts[p].phase == Phase::Open,
                _ => false,
            })
        };
        let lot = self.lot.as_ref().filter(|l| l.p == p);
        lot.map_or(Vec::new(), |l| {
            l.members.iter().filter(of).copied().collect()
        })
    }

    /// When nothing of a lot is left, the next one may form. Whether that is so.
    pub fn step_lot(&mut self) -> bool {
        let granted = self.lot.as_ref().filter(|l| l.stage == Stage::Granted);
        let Some(p) = granted.map(|l| l.p) else {
            return false;
        };
        if !self.in_lot(p).is_empty() {
            return false;
        }
        self.lot = None;
        self.candidates.clear();
        self.dirty(p, 0);
        if self.parts[p].watch == Watch::Lots && !self.is_suspicious(p) {
            self.end_suspicion(p);
        }
        self.wake_withheld();
        true
    }

    /// It is to be given up: what has not started of its lot will not.
    pub fn end_lot_early(&mut self, p: usize) {
        let waits = self.lot.as_ref().filter(|l| l.stage != Stage::Granted);
        if waits.is_some_and(|l| l.p == p) {
            self.drop_lot(p);
        } else {
            self.step_lot();
        }
    }

    pub fn drop_lot(&mut self, p: usize) {
        if self.lot.as_ref().is_some_and(|l| l.p == p) {
            self.lot = None;
            self.wake_withheld();
        }
    }

    /// What waits for a lot looks again.
    fn wake_withheld(&mut self) {
        for p in 0..self.parts.len() {
            if self.parts[p].watch == Watch::Lots {
                self.wake(p);
            }
        }
    }

    /// What is held back of a partition looks again.
    pub fn wake(&mut self, p: usize) {
        if self.parts[p].phase == Phase::Open {
            for held in self.held.iter_mut().filter(|h| h.p == p) {
                held.withheld = false;
            }
        }
    }

    /// What the commit that was handed out last says of suspects.
    pub fn mark(&mut self, p: usize) -> Marks {
        let (write, closing) = (self.parts[p].write, self.parts[p].phase == Phase::Closing);
        let watch = self.parts[p].watch;
        let anything = match watch {
            Watch::Off => false,
            Watch::Lots => self.has_range(p),
            Watch::Unmarked(_) | Watch::Anything => !closing,
        };
        if watch == Watch::Unmarked(None) {
            self.parts[p].watch = Watch::Unmarked(Some(write));
        }
        if let Some(lot) = self.lot.as_mut().filter(|l| l.p == p)
            && lot.stage == Stage::Forming
        {
            lot.stage = Stage::Asked(write);
        }
        let mut named = self.accused(p);
        let lot = self.in_lot(p);
        for held in self.held.iter().filter(|h| lot.contains(&h.message)) {
            let position = Position(held.position);
            let deaths = self.deaths(p, held.position).unwrap_or(0);
            named.retain(|a| a.position != position);
            named.push(Accused {
                position,
                deaths,
                running: true,
            });
        }
        named.sort_unstable();
        (anything && lot.is_empty(), named)
    }

    /// How the commit with this number ended: what waits for it may start, or waits for the next.
    pub fn mark_answered(&mut self, p: usize, write: u64, stored: bool) {
        if self.parts[p].watch == Watch::Unmarked(Some(write)) {
            self.parts[p].watch = if stored {
                Watch::Anything
            } else {
                Watch::Unmarked(None)
            };
            if stored {
                self.wake(p);
            }
        }
        let Some(lot) = self.lot.as_mut() else { return };
        if lot.p != p || lot.stage != Stage::Asked(write) {
            return;
        }
        if !stored {
            lot.stage = Stage::Forming;
            return;
        }
        lot.stage = Stage::Granted;
        let members = lot.members.clone();
        for held in self.held.iter_mut() {
            held.withheld &= !members.contains(&held.message);
        }
        self.step_lot();
    }

    /// The way is free for the next commit.
    pub fn mark_again(&mut self, p: usize) {
        let wants = self.parts[p].dirty && self.wants_mark(p);
        self.parts[p].urgent |= wants;
    }

    /// The log goes on with something else: who was suspected is gone.
    pub fn forget_accused(&mut self, p: usize) {
        self.parts[p].accused.clear();
        if let Watch::Unmarked(_) = self.parts[p].watch {
            self.parts[p].watch = Watch::Unmarked(None);
        }
        self.parts[p].urgent |= self.wants_mark(p);
    }

    /// Whether a message that is held back waits for its record, or for its turn.
    pub fn is_watched(&self, p: usize) -> bool {
        let part = &self.parts[p];
        part.phase == Phase::Open && !part.watch.is_free() && self.now < part.until
    }
}

//! A naive model of the producer: every publish that ever was, found by searching.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::VecDeque;

use procession_core::{Answer, NoRoom, ProducerConfig, Published, Room, Time, Token, Unsent};

/// What is known of one send.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Fate {
    Flying,
    Failed,
    MayLand,
    MayBeIn,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) token: Token,
    pub(crate) lane: u64,
    pub(crate) bytes: u64,
    pub(crate) deadline: u64,
    pub(crate) due: u64,
    pub(crate) sends: Vec<Fate>,
    /// The request that its last send went in.
    pub(crate) request: usize,
    /// It was told to go by itself.
    pub(crate) alone: bool,
    pub(crate) end: Option<Published>,
    pub(crate) blocks: bool,
    pub(crate) fetched: bool,
}

impl Entry {
    pub(crate) fn live(&self) -> bool {
        self.end.is_none()
    }
    pub(crate) fn in_lane(&self) -> bool {
        self.live() || self.blocks
    }
    pub(crate) fn maybe_in(&self) -> bool {
        self.sends.iter().any(|&fate| fate != Fate::Failed)
    }
    pub(crate) fn can_land(&self) -> bool {
        self.sends
            .iter()
            .any(|fate| matches!(fate, Fate::Flying | Fate::MayLand))
    }
    pub(crate) fn flying(&self) -> bool {
        self.in_lane() && self.sends.last() == Some(&Fate::Flying)
    }
    pub(crate) fn holds_message(&self) -> bool {
        self.live() || !self.fetched
    }
    pub(crate) fn held(&self) -> bool {
        self.holds_message() || self.blocks
    }
}

#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) config: ProducerConfig,
    pub(crate) now: u64,
    pub(crate) all: Vec<Entry>,
    pub(crate) results: VecDeque<(usize, Published)>,
    pub(crate) connected: bool,
    pub(crate) draining: bool,
    pub(crate) closed: bool,
    /// Requests that were made.
    pub(crate) requests: usize,
    pub(crate) wanted: Option<u64>,
    /// Per lane, the newest publish that was answered as stored while the lane was in use.
    pub(crate) stored: std::collections::BTreeMap<u64, usize>,
    /// Lanes of which a send failed while others of it were flying.
    pub(crate) stalled: std::collections::BTreeSet<u64>,
}

impl Model {
    pub(crate) fn new(config: ProducerConfig) -> Self {
        Self {
            config,
            now: 0,
            all: Vec::new(),
            results: VecDeque::new(),
            connected: true,
            draining: false,
            closed: false,
            requests: 0,
            wanted: None,
            stored: std::collections::BTreeMap::new(),
            stalled: std::collections::BTreeSet::new(),
        }
    }

    pub(crate) fn count(&self, test: impl Fn(&Entry) -> bool) -> u64 {
        self.all.iter().filter(|entry| test(entry)).count() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.all
            .iter()
            .filter(|entry| entry.holds_message())
            .map(|entry| entry.bytes)
            .sum()
    }

    pub(crate) fn end(&mut self, index: usize, result: Published) {
        assert!(self.all[index].live());
        self.all[index].end = Some(result);
        self.results.push_back((index, result));
        self.tidy();
    }

    /// A lane that nobody uses is forgotten, and a stall ends when nothing flies.
    pub(crate) fn tidy(&mut self) {
        let all = &self.all;
        self.stalled
            .retain(|lane| all.iter().any(|e| e.lane == *lane && e.flying()));
        self.stored
            .retain(|lane, _| all.iter().any(|e| e.lane == *lane && e.in_lane()));
    }

    pub(crate) fn unblock(&mut self, index: usize) {
        self.all[index].blocks = false;
        self.tidy();
    }

    pub(crate) fn end_unknown(&mut self, index: usize) {
        if !self.all[index].can_land() {
            self.end(index, Published::Unknown);
            return;
        }
        self.all[index].blocks = true;
        self.end(index, Published::Unknown);
        for newer in index + 1..self.all.len() {
            let same = self.all[newer].lane == self.all[index].lane;
            if same && self.all[newer].live() && !self.all[newer].maybe_in() {
                self.end(newer, Published::Refused(Unsent::Predecessor));
            }
        }
    }

    pub(crate) fn time(&mut self, now: u64) {
        self.now = self.now.max(now);
        loop {
            let over = |(_, entry): &(usize, &Entry)| entry.live() && entry.deadline <= self.now;
            let first = self
                .all
                .iter()
                .enumerate()
                .filter(over)
                .min_by_key(|(i, e)| (e.deadline, *i));
            let Some((index, entry)) = first else { return };
            if entry.maybe_in() {
                self.end_unknown(index);
            } else {
                self.end(index, Published::Refused(Unsent::Deadline));
            }
        }
    }

    pub(crate) fn admits(&mut self, bytes: u64) -> Result<(), NoRoom> {
        if self.closed {
            return Err(NoRoom::Closed);
        }
        if self.draining {
            return Err(NoRoom::Draining);
        }
        if bytes > self.config.bytes {
            return Err(NoRoom::TooLarge);
        }
        let full = self.count(Entry::held) >= u64::from(self.config.messages)
            || self.bytes() + bytes > self.config.bytes;
        if full {
            self.wanted = self.wanted.max(Some(bytes));
            return Err(NoRoom::Window);
        }
        Ok(())
    }

    /// Requests that are on their way.
    pub(crate) fn out(&self) -> u64 {
        let flying = self.all.iter().filter(|entry| entry.flying());
        let requests: std::collections::BTreeSet<_> = flying.map(|entry| entry.request).collect();
        requests.len() as u64
    }

    /// What may join the last request of `first`.
    pub(crate) fn follower(&self, first: usize) -> Option<usize> {
        let (entry, most) = (&self.all[first], self.config.batch as usize);
        let of_lane = |&i: &usize| self.all[i].lane == entry.lane && self.all[i].in_lane();
        let fresh = |e: &Entry| e.live() && !e.alone && !e.maybe_in();
        let known = |e: &Entry| {
            e.sends[..e.sends.len() - 1]
                .iter()
                .all(|&f| f == Fate::Failed)
        };
        let open = |e: &Entry| e.live() && e.flying() && e.request == entry.request;
        let lane: Vec<usize> = (first..self.all.len()).filter(of_lane).collect();
        let members = lane.iter().take_while(|&&i| open(&self.all[i])).count();
        // All that ever went in it are still on their way.
        let of_request = |e: &&Entry| e.request == entry.request && !e.sends.is_empty();
        let all = self.all.iter().filter(of_request).count();
        let is_first = !self.all[..first].iter().any(|e| of_request(&e));
        let next = *lane.get(members)?;
        let may = members == all
            && is_first
            && members < most
            && !self.config.pipelining
            && !entry.alone
            && known(entry)
            && fresh(&self.all[next]);
        may.then_some(next)
    }

    /// Everything that may be sent now: per lane at most one.
    pub(crate) fn sendable(&self) -> Vec<usize> {
        if !self.connected || self.out() >= u64::from(self.config.in_flight) {
            return Vec::new();
        }
        let mut lanes: Vec<u64> = self.all.iter().map(|entry| entry.lane).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let mut found = Vec::new();
        for lane in lanes {
            let members: Vec<usize> = (0..self.all.len())
                .filter(|&i| self.all[i].lane == lane && self.all[i].in_lane())
                .collect();
            let first = members
                .iter()
                .find(|&&i| !(self.all[i].live() && self.all[i].flying()));
            let Some(&first) = first else { continue };
            let entry = &self.all[first];
            let alone = !members.iter().any(|&i| self.all[i].flying());
            let flows = self.config.pipelining && !self.stalled.contains(&lane);
            let fresh = flows && entry.sends.is_empty();
            if entry.live() && entry.due <= self.now && (alone || fresh) {
                found.push(first);
            }
        }
        found
    }

    pub(crate) fn overtaken(&mut self, index: usize) {
        if self.all[index].maybe_in() {
            self.end_unknown(index);
        } else {
            self.end(index, Published::Refused(Unsent::Overtaken));
        }
    }

    pub(crate) fn back(&mut self, index: usize, waits: bool) {
        let lane = self.all[index].lane;
        self.stalled.insert(lane);
        self.tidy();
        if self.all[index].live() {
            if self.stored.get(&lane).is_some_and(|&newest| newest > index) {
                self.overtaken(index);
                return;
            }
            let tries = self.all[index].sends.len() as u32;
            let wait = if !waits {
                0
            } else {
                (0..tries - 1).fold(1u64, |wait, _| (2 * wait).min(4))
            };
            self.all[index].due = self.now + wait;
        } else if !self.all[index].can_land() {
            self.unblock(index);
        }
    }

    pub(crate) fn settle(&mut self, index: usize, attempt: u32, answer: Answer) -> bool {
        if answer == Answer::Fatal {
            self.fail();
            return true;
        }
        let entry = &mut self.all[index];
        let attempts = entry.sends.len() as u32;
        if !entry.in_lane() || attempt == 0 || attempt > attempts {
            return false;
        }
        if answer == Answer::Stored {
            let lane = entry.lane;
            let newest = self.stored.get(&lane).copied().unwrap_or(0).max(index);
            self.stored.insert(lane, newest);
            if self.all[index].live() {
                self.end(index, Published::Stored);
            } else {
                self.unblock(index);
            }
            for older in 0..index {
                let entry = &self.all[older];
                if entry.lane == lane && entry.live() && !entry.flying() {
                    self.overtaken(older);
                }
            }
            return true;
        }
        let last = entry.sends.len() - 1;
        if attempt < attempts || entry.sends[last] == Fate::Failed {
            return false;
        }
        let flew = entry.sends[last] == Fate::Flying;
        let lane = entry.lane;
        match answer {
            Answer::NotStored => {
                self.stalled.insert(lane);
                let entry = &self.all[index];
                let earlier = entry.sends[..last].iter().any(|&fate| fate != Fate::Failed);
                if !entry.live() {
                    self.unblock(index);
                } else if earlier {
                    self.end(index, Published::Unknown);
                } else {
                    self.end(index, Published::Refused(Unsent::Broker));
                }
            }
            Answer::Conflict => {
                self.stalled.insert(lane);
                if self.all[index].live() {
                    self.end(index, Published::Refused(Unsent::Conflict));
                } else {
                    self.unblock(index);
                }
            }
            Answer::Retry | Answer::Apart => {
                entry.sends[last] = Fate::Failed;
                let waits = answer == Answer::Retry || entry.alone;
                entry.alone |= answer == Answer::Apart;
                if flew {
                    self.back(index, waits);
                } else if !entry.live() && !entry.can_land() {
                    self.unblock(index);
                }
            }
            Answer::Unknown if flew => {
                entry.sends[last] = Fate::MayLand;
                self.back(index, true);
            }
            Answer::Unknown | Answer::Stored | Answer::Fatal => return false,
        }
        true
    }

    pub(crate) fn lose(&mut self) {
        if !core::mem::replace(&mut self.connected, false) {
            return;
        }
        for index in 0..self.all.len() {
            if self.all[index].flying() {
                *self.all[index].sends.last_mut().unwrap() = Fate::MayLand;
                self.back(index, true);
            }
        }
    }

    pub(crate) fn restore(&mut self) {
        if core::mem::replace(&mut self.connected, true) {
            return;
        }
        for index in 0..self.all.len() {
            let entry = &mut self.all[index];
            if !entry.in_lane() {
                continue;
            }
            for fate in &mut entry.sends {
                if *fate == Fate::MayLand {
                    *fate = Fate::MayBeIn;
                }
            }
            if entry.blocks {
                self.unblock(index);
            } else if entry.maybe_in() {
                entry.due = self.now;
            }
        }
    }

    pub(crate) fn fail(&mut self) {
        self.closed = true;
        for index in 0..self.all.len() {
            if self.all[index].blocks {
                self.unblock(index);
            } else if self.all[index].live() {
                let result = if self.all[index].maybe_in() {
                    Published::Unknown
                } else {
                    Published::Refused(Unsent::Closed)
                };
                self.end(index, result);
            }
        }
    }

    pub(crate) fn room(&mut self) -> Option<Room> {
        let wanted = self.wanted?;
        let held = self.count(Entry::held);
        let free = u64::from(self.config.messages) - held;
        let load = held - self.count(|entry| entry.blocks);
        let low = |most: u64| most * u64::from(self.config.low_water_percent) / 100;
        let messages_low = low(u64::from(self.config.messages));
        let fits = free > 0
            && load <= messages_low.min(u64::from(self.config.messages) - 1)
            && self.bytes() <= low(self.config.bytes)
            && self.bytes() + wanted <= self.config.bytes;
        if !fits && !self.draining && !self.closed {
            return None;
        }
        self.wanted = None;
        Some(Room {
            messages: free as u32,
            bytes: self.config.bytes - self.bytes(),
        })
    }

    pub(crate) fn timeout(&self) -> Option<Time> {
        let next = |entry: &Entry| {
            if entry.due > self.now {
                entry.due.min(entry.deadline)
            } else {
                entry.deadline
            }
        };
        self.all
            .iter()
            .filter(|entry| entry.live())
            .map(next)
            .min()
            .map(crate::seconds)
    }
}

//! The logs: publishing, retention, deletion, rewriting.

use super::World;
use crate::checker::Fact;
use crate::event::Event;
use crate::item::Item;
use crate::log::Entry;
use crate::plan::Profile;
use crate::site::Site;

impl World {
    /// The producer appends its next message, and perhaps an earlier one again.
    pub(super) fn publish(&mut self, number: u32) {
        if let Some(workload) = &self.plan.workload {
            // As it was written down.
            let Some(&item) = workload.get(number as usize) else {
                return;
            };
            let next = workload.get(number as usize + 1).map(|i| i.at);
            self.append(item);
            if let Some(next) = next {
                self.push_at(next, Event::Publish { number: number + 1 });
            }
            return;
        }
        let n = u64::from(number);
        let copied = number > 0 && self.fate.decide(Site::Copy, n, 0);
        let original =
            copied.then(|| number - 1 - self.fate.draw_log(Site::Copy, n, 1, 0, n - 1) as u32);
        let item = match original.and_then(|o| self.made.get(o as usize)) {
            // A copy goes where its original went: same partition, same key.
            Some(&original) => Item {
                at: self.now,
                number,
                ..original
            },
            None => self.compose(number),
        };
        let item = self.with_holes(item);
        self.append(item);
        // To ask at every fourth is exact enough.
        let asks = self.plan.calm_at.is_none() || number % 4 == 3;
        if asks && self.is_enough() {
            self.silent = true;
            return;
        }
        let span = self.plan.heal_at * 9 / 10 / u64::from(self.plan.messages);
        // Bursts and gaps: half of the messages follow at once.
        let gap = if self.fate.draw(Site::Work, 2, n, 0, 1) == 0 {
            0
        } else {
            self.fate.draw(Site::Work, 3, n, 0, 3 * span)
        };
        self.push_in(gap, Event::Publish { number: number + 1 });
    }

    /// Whether the run has as many messages as it can bear: those that were planned, or those that keep
    /// it busy for as long as it is to be.
    fn is_enough(&self) -> bool {
        let Some(length) = self.plan.calm_at else {
            return self.made.len() >= self.plan.messages as usize;
        };
        let over = self.entries.iter().zip(&self.checker.facts);
        let over = over.filter(|(e, f)| !e.stored || f.resolved || f.excused);
        let over = over.count() as u64;
        let left = self.made.len() as u64 - over;
        // What a message takes, as far as one can tell by now.
        let each = (self.events + 100) / (over + 8);
        // Something is to be left for when faults have stopped.
        self.events + left * each >= length * 11 / 10
    }

    fn compose(&mut self, number: u32) -> Item {
        let n = u64::from(number);
        let draw = |what, low, high| self.fate.draw(Site::Work, what, n, low, high);
        let config = &self.plan.config;
        // The first message is sound, so that no run is vacuous.
        let fault = |site| n > 0 && self.fate.decide(site, n, 0);
        let key = (!fault(Site::Keyless)).then(|| draw(4, 0, u64::from(self.plan.keys) - 1) as u32);
        let shared = self.plan.chances[Site::SharedKeys as usize] > 0 || key.is_none();
        if shared && key.is_some() {
            self.fate.mark(Site::SharedKeys);
        }
        let partition = match key {
            Some(key) if !shared => key % config.partitions,
            Some(_) | None => draw(5, 0, u64::from(config.partitions) - 1) as u32,
        };
        let limit = u64::from(config.message_bytes_max);
        let bytes = if fault(Site::Oversize) {
            limit + draw(6, 1, 100)
        } else {
            self.fate.draw_log(Site::Work, 6, n, 0, limit)
        };
        let lane = match (key, self.plan.lanes) {
            (Some(key), 0) => u64::from(key) + 1,
            (Some(key), lanes) => {
                self.fate.mark(Site::LaneCollision);
                u64::from(key % lanes) + 1
            }
            (None, _) => 0,
        };
        let item = Item {
            at: self.now,
            number,
            identity: number,
            partition,
            key,
            lane,
            bytes: bytes as u32,
            expires: fault(Site::Expires)
                .then(|| self.now + self.fate.draw_log(Site::Expires, n, 1, 1, 400_000_000)),
            sequence: None,
            malformed: fault(Site::Malformed),
            poison: fault(Site::Poison),
            hole: 0,
            trail: 0,
        };
        let sequence = key.and_then(|key| self.number_of(n, key, partition));
        Item { sequence, ..item }
    }

    /// The number of a publish among those of its key. Publishers leave some out, swap some, say some
    /// twice, and forget some.
    fn number_of(&mut self, n: u64, key: u32, partition: u32) -> Option<u64> {
        self.plan.config.sequence?;
        let (next, owed) = self.numbers.entry((key, partition)).or_insert((1, None));
        let how = match self.plan.profile {
            Profile::Clean => 99,
            Profile::Mixed | Profile::Swarm | Profile::AllOn | Profile::OneFault => {
                self.fate.draw(Site::Work, 20, n, 0, 31)
            }
        };
        if let Some(owed) = owed.take() {
            return Some(owed);
        }
        match how {
            0 => *next += 1,
            1 => *next += self.fate.draw(Site::Work, 21, n, 1, 5),
            2..5 => {
                *owed = Some(*next);
                *next += 1;
            }
            5 => return Some((*next - 1).max(1)),
            6 => return None,
            _ => {}
        }
        *next += 1;
        Some(*next - 1)
    }

    /// Decides what lies before and behind it in the log.
    fn with_holes(&self, item: Item) -> Item {
        let n = u64::from(item.number);
        let hole = if self.fate.decide(Site::Hole, n, 0) {
            match self.fate.draw(Site::Hole, n, 1, 0, 15) {
                0 => 5_000_000_000,
                1 => 5_000,
                small => small,
            }
        } else {
            0
        };
        // What other partitions of the stream store: holes, seen by nobody until the next heartbeat.
        let trail = if self.fate.decide(Site::TrailingHole, n, 0) {
            self.fate.draw_log(Site::TrailingHole, n, 1, 1, 40)
        } else {
            0
        };
        Item {
            hole,
            trail,
            ..item
        }
    }

    fn append(&mut self, item: Item) {
        self.made.push(item);
        let partition = item.partition as usize;
        let log = &mut self.logs[partition];
        self.stamps += 1 + item.hole % 7;
        let entry = Entry {
            number: item.number,
            partition: item.partition,
            position: 0,
            stamp: self.stamps,
            key: item.key,
            lane: item.lane,
            identity: item.identity,
            bytes: item.bytes,
            expires: item.expires,
            sequence: item.sequence,
            malformed: item.malformed,
            poison: item.poison,
            stored: true,
        };
        let number = log.append(&mut self.entries, entry, item.hole, item.trail);
        let position = self.entries[number as usize].position;
        // Below the frontier of a session that had nothing to recognise the log by, nobody can tell
        // that this is new.
        let rewritten = self.logs[partition].rewrites > 0;
        let unseen = self
            .checker
            .processes
            .iter()
            .filter_map(|p| p.tenures[partition].as_ref());
        let excused = rewritten
            && unseen
                .into_iter()
                .any(|t| t.blind && position < t.opening.floor);
        self.checker.facts.push(Fact {
            excused,
            ..Fact::default()
        });
        self.checker.tally.published += 1;
        self.mark(
            position,
            u64::from(item.partition),
            u64::from(item.identity),
        );
        self.note(|w, out| {
            let entry = &w.entries[number as usize];
            out.push_str(&format!("             stored {number}: {entry:?}\n"));
        });
        self.feeds_look(item.partition);
    }

    /// The log has changed: whoever delivers from it looks again.
    pub(super) fn feeds_look(&mut self, partition: u32) {
        for member in 0..self.plan.members {
            self.want_pump(member, partition);
        }
    }

    /// Retention removes some of the oldest messages.
    pub(super) fn retain(&mut self, partition: u32, share: u64) {
        let log = &mut self.logs[partition as usize];
        let gone = (log.entries().len() as u64 * share / 100) as usize;
        if let Some(&last) = gone.checked_sub(1).and_then(|last| log.entries().get(last)) {
            let below = self.entries[last as usize].position + 1;
            log.retain(&mut self.entries, below);
        }
        let start = log.start;
        self.note(|_, out| out.push_str(&format!("             retained from {start}\n")));
    }

    /// One message is deleted.
    pub(super) fn delete(&mut self, partition: u32, draw: u64) {
        let log = &mut self.logs[partition as usize];
        if log.entries().len() > 1 {
            let index = (draw % log.entries().len() as u64) as usize;
            log.remove(&mut self.entries, index);
        }
    }

    /// The tail of the log is lost, and its positions are used again.
    pub(super) fn rewrite(&mut self, partition: u32, share: u64) {
        let log = &mut self.logs[partition as usize];
        // At least one: positions of other partitions that are lost and used again beside an anchor
        // that holds are beyond what an anchor can tell.
        let lost = (log.entries().len() as u64 * share).div_ceil(100) as usize;
        let keep = log.entries().len() - lost;
        let Some(end) = log.cut(&mut self.entries, keep) else {
            return;
        };
        self.note(|_, out| out.push_str(&format!("             cut to {end}\n")));
    }

    /// The log is deleted and made anew: another incarnation, positions from the start.
    pub(super) fn recreate(&mut self, partition: u32) {
        self.logs[partition as usize].begin_anew(&mut self.entries, 0);
    }
}

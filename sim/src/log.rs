//! The broker's side: logs, and the records of the group.

use procession_core::{Anchor, Commit, Continuity, Incarnation, Position, Resume, Stamp};

use crate::fate::mix;

/// A message in a log. Named by its index in the world's table; that index is also what the core
/// carries as its message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Which publish it was. Decisions are keyed by it: it stays when others are taken out.
    pub(crate) number: u32,
    pub(crate) partition: u32,
    pub(crate) position: u64,
    pub(crate) stamp: u64,
    /// `None`: without a key.
    pub(crate) key: Option<u32>,
    pub(crate) lane: u64,
    /// Which publish this is a copy of.
    pub(crate) identity: u32,
    pub(crate) bytes: u32,
    /// From then on it is not to be handled any more.
    pub(crate) expires: Option<u64>,
    pub(crate) sequence: Option<u64>,
    pub(crate) malformed: bool,
    /// Its handler always fails.
    pub(crate) poison: bool,
    /// Whether the log still holds it.
    pub(crate) stored: bool,
}

/// One partition's log.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    /// What it holds, in order.
    entries: Vec<u32>,
    /// The position of each. Beside each other: they are searched more often than anything else.
    positions: Vec<u64>,
    /// The key of each; `u32::MAX`: none.
    keys: Vec<u32>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) incarnation: u64,
    /// How often its tail was lost, or it was made anew.
    pub(crate) rewrites: u32,
}

impl Entry {
    /// Whether its time is over.
    pub(crate) fn has_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }

    /// Its key and its number, if it has both.
    pub(crate) fn sequenced(&self) -> Option<(u32, u64)> {
        self.key.zip(self.sequence)
    }

    /// The hash of its key, as the core is given it.
    pub(crate) fn key_hash(&self) -> Option<u128> {
        self.key.map(|key| wide(u64::from(key)))
    }
}

/// A number spread over 128 bits.
pub(crate) fn wide(n: u64) -> u128 {
    u128::from(mix(n + 1)) << 64 | u128::from(mix(n + 77))
}

impl Log {
    pub(crate) const fn new(start: u64, incarnation: u64) -> Self {
        Self {
            entries: Vec::new(),
            positions: Vec::new(),
            keys: Vec::new(),
            start,
            end: start,
            incarnation,
            rewrites: 0,
        }
    }

    /// The first of its name, with room for so many messages.
    pub(crate) fn with_room(start: u64, messages: usize) -> Self {
        Self {
            entries: Vec::with_capacity(messages),
            positions: Vec::with_capacity(messages),
            keys: Vec::with_capacity(messages),
            ..Self::new(start, 1)
        }
    }

    /// Stores a message behind `hole` positions that hold nothing for this partition, and before `trail`
    /// of them. Its number in `all`; its position is set.
    pub(crate) fn append(
        &mut self,
        all: &mut Vec<Entry>,
        entry: Entry,
        hole: u64,
        trail: u64,
    ) -> u32 {
        let number = all.len() as u32;
        let position = self.end + hole;
        all.push(Entry { position, ..entry });
        self.end = position + 1 + trail;
        self.entries.push(number);
        self.positions.push(position);
        self.keys.push(entry.key.unwrap_or(u32::MAX));
        number
    }

    /// Retention: what lies below a position is gone.
    pub(crate) fn retain(&mut self, all: &mut [Entry], below: u64) {
        let gone = self.seek(below);
        self.positions.drain(..gone);
        self.keys.drain(..gone);
        for e in self.entries.drain(..gone) {
            all[e as usize].stored = false;
        }
        self.start = self.start.max(below);
    }

    /// One message is gone: its position is a hole.
    pub(crate) fn remove(&mut self, all: &mut [Entry], index: usize) {
        self.positions.remove(index);
        self.keys.remove(index);
        let e = self.entries.remove(index);
        all[e as usize].stored = false;
    }

    /// The tail from a message on is lost, and its positions are used again. The new end.
    pub(crate) fn cut(&mut self, all: &mut [Entry], keep: usize) -> Option<u64> {
        let &end = self.positions.get(keep)?;
        self.rewrites += 1;
        self.positions.truncate(keep);
        self.keys.truncate(keep);
        for e in self.entries.drain(keep..) {
            all[e as usize].stored = false;
        }
        self.end = end;
        self.start = self.start.min(end);
        Some(end)
    }

    /// Deleted and made anew: another incarnation, whose positions begin at `first`.
    pub(crate) fn begin_anew(&mut self, all: &mut [Entry], first: u64) {
        for &e in &self.entries {
            all[e as usize].stored = false;
        }
        self.entries.clear();
        self.positions.clear();
        self.keys.clear();
        (self.start, self.end) = (first, first);
        self.incarnation += 1;
        self.rewrites += 1;
    }

    /// What it holds, in order.
    pub(crate) fn entries(&self) -> &[u32] {
        &self.entries
    }

    /// Index in `entries` of the first one at or after `position`.
    pub(crate) fn seek(&self, position: u64) -> usize {
        // Whoever has come to the end looks there again and again.
        if self.positions.last().is_none_or(|&last| last < position) {
            return self.positions.len();
        }
        // Most logs have no hole before it.
        let first = self.positions[0];
        let index = position.saturating_sub(first) as usize;
        if self.positions.get(index) == Some(&position) {
            return index;
        }
        self.positions.partition_point(|&other| other < position)
    }

    /// The first stored message at or after `position`.
    pub(crate) fn at_or_after(&self, position: u64) -> Option<u32> {
        self.entries.get(self.seek(position)).copied()
    }

    /// What is stored from one position to before another, in order.
    pub(crate) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = u32> {
        let first = self.seek(from);
        let stored = self.positions[first..].iter().zip(&self.entries[first..]);
        stored
            .take_while(move |&(&position, _)| position < to)
            .map(|(_, &e)| e)
    }

    /// What is stored of a key before a position, in order; `u32::MAX`: of none.
    pub(crate) fn of_key(&self, key: u32, to: u64) -> impl Iterator<Item = u32> {
        let stored = self.keys[..self.seek(to)].iter().zip(&self.entries);
        stored
            .filter(move |&(&other, _)| other == key)
            .map(|(_, &e)| e)
    }

    /// What a session finds that was told to start at `expect`.
    pub(crate) fn continuity(&self, all: &[Entry], expect: Anchor) -> Continuity {
        let Anchor {
            position: Position(position),
            stamp: Stamp(stamp),
        } = expect;
        let found = self.at_or_after(position).map(|e| &all[e as usize]);
        if found.is_some_and(|e| e.position == position && e.stamp == stamp) {
            return Continuity::Continues;
        }
        let other = found.is_some_and(|e| e.position == position);
        if other || position >= self.end {
            // By start time: the first message newer than the anchor.
            let from = self
                .entries
                .iter()
                .map(|&e| &all[e as usize])
                .find(|e| e.stamp > stamp);
            return Continuity::Rewritten {
                from: Position(from.map_or(self.end, |e| e.position)),
            };
        }
        Continuity::CannotTell
    }
}

/// What the broker remembers of the group's progress in one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) frontier: Option<u64>,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) map: Vec<u8>,
    pub(crate) incarnation: Option<Incarnation>,
    /// Highest epoch that wrote or opened.
    pub(crate) epoch: u64,
    /// Writes of this epoch that landed.
    pub(crate) write: u64,
}

impl Record {
    /// A member takes the partition: its epoch.
    pub(crate) const fn open(&mut self) -> u64 {
        self.epoch += 1;
        self.write = 0;
        self.epoch
    }

    /// Whether a write of this epoch and number comes behind all that have landed.
    pub(crate) const fn is_before(&self, epoch: u64, write: u64) -> bool {
        self.epoch < epoch || self.epoch == epoch && self.write < write
    }

    /// A write lands.
    pub(crate) fn store(&mut self, commit: &Commit, map: Vec<u8>, log: &Log) {
        *self = Self {
            frontier: Some(commit.frontier.0),
            anchor: commit.anchor,
            map,
            incarnation: Some(Incarnation(log.incarnation)),
            epoch: commit.epoch.0,
            write: commit.write,
        };
    }

    /// What a member is told that takes the partition, with this in the place of the map.
    pub(crate) fn resume<'a>(&self, log: &Log, map: &'a [u8]) -> Resume<'a> {
        Resume {
            frontier: self.frontier.map(Position),
            anchor: self.anchor,
            map,
            recorded: self.incarnation,
            incarnation: Incarnation(log.incarnation),
            log_start: Position(log.start),
            log_end: Position(log.end),
        }
    }
}

/// Who owns a partition, as the broker sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seat {
    pub(crate) member: u32,
    pub(crate) life: u32,
    /// The epoch in which it was opened.
    pub(crate) epoch: u64,
    /// When the lease ends; `u64::MAX` where the broker fences by itself.
    pub(crate) lease_end: u64,
    /// The deadline of a planned hand-over that is under way.
    pub(crate) revoking: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(stamp: u64) -> Entry {
        Entry {
            number: 0,
            partition: 0,
            position: 0,
            stamp,
            key: None,
            lane: 0,
            identity: 0,
            bytes: 1,
            expires: None,
            sequence: None,
            malformed: false,
            poison: false,
            stored: true,
        }
    }

    /// A log that holds these positions. The stamp of each is ten times its number, from 1 on.
    fn log(positions: &[u64]) -> (Log, Vec<Entry>) {
        let mut all = Vec::new();
        let mut log = Log::new(1, 1);
        for (&position, n) in positions.iter().zip(1..) {
            let hole = position - log.end;
            log.append(&mut all, entry(10 * n), hole, 0);
        }
        (log, all)
    }

    #[test]
    fn what_stands_of_a_key_is_what_entries_say() {
        let (mut log, mut all) = (Log::new(1, 1), Vec::new());
        let add = |log: &mut Log, all: &mut Vec<Entry>, key| {
            log.append(all, Entry { key, ..entry(1) }, 1, 0);
        };
        let holds = |log: &Log, all: &[Entry], step: &str| {
            for key in [None, Some(0), Some(1)] {
                for to in 0..=log.end {
                    let right = |e: &u32| all[*e as usize].key == key;
                    let expected: Vec<_> = log.between(0, to).filter(right).collect();
                    let found: Vec<_> = log.of_key(key.unwrap_or(u32::MAX), to).collect();
                    assert_eq!(found, expected, "{step}: {key:?} before {to}");
                }
            }
        };
        let keys = [Some(0), Some(1), None, Some(1), Some(0), None, Some(0)];
        for key in keys {
            add(&mut log, &mut all, key);
        }
        holds(&log, &all, "appended");
        log.remove(&mut all, 3);
        holds(&log, &all, "removed");
        log.cut(&mut all, 4);
        add(&mut log, &mut all, Some(1));
        holds(&log, &all, "cut");
        log.retain(&mut all, 4);
        holds(&log, &all, "retained");
        log.begin_anew(&mut all, 1);
        add(&mut log, &mut all, Some(1));
        holds(&log, &all, "begun anew");
    }

    #[test]
    fn a_position_is_found_with_holes_and_without() {
        for held in [&[][..], &[1, 2, 3, 4], &[3, 5, 7], &[1, 2, 9, 10, 11, 30]] {
            let (mut log, mut all) = log(held);
            let mut held = held.to_vec();
            loop {
                for position in 0..40 {
                    let first = held.iter().position(|&p| p >= position);
                    let index = first.unwrap_or(held.len());
                    assert_eq!(log.seek(position), index, "{position} in {held:?}");
                    let upto = held[index..].iter().filter(|&&p| p < position + 5);
                    let between = log.between(position, position + 5);
                    assert!(between.map(|e| all[e as usize].position).eq(upto.copied()));
                }
                if held.len() < 2 {
                    break;
                }
                // A hole more, and one less at the end.
                log.remove(&mut all, held.len() / 2);
                held.remove(held.len() / 2);
                log.cut(&mut all, held.len() - 1);
                held.pop();
            }
        }
    }

    #[test]
    fn a_session_recognises_its_log_by_position_and_stamp() {
        let (log, all) = log(&[3, 5, 7]);
        let expect = |position, stamp| {
            log.continuity(
                &all,
                Anchor {
                    position: Position(position),
                    stamp: Stamp(stamp),
                },
            )
        };
        assert_eq!(expect(5, 20), Continuity::Continues);
        assert_eq!(expect(5, 19), Continuity::Rewritten { from: Position(5) });
        assert_eq!(expect(9, 25), Continuity::Rewritten { from: Position(7) });
        assert_eq!(expect(9, 99), Continuity::Rewritten { from: Position(8) });
        assert_eq!(expect(4, 15), Continuity::CannotTell);
        assert_eq!(expect(0, 1), Continuity::CannotTell);
    }
}

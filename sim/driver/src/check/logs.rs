//! What the logs held, and until when: a position that is used again holds another message.

use std::collections::BTreeMap;

use super::{Checker, Found, Looks, Progress, breach};
use crate::event::{Incident, What};
use crate::history::Story;

/// One record: its partition, its position, and the publish that brought it.
pub(super) type Place = (u32, u64, u32);

/// One record, and when it went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) place: Place,
    pub(super) message: u32,
    /// It came after so many losses of its log at least.
    pub(super) born: u32,
    /// The loss that took it, counted from 1; the highest number where none did.
    pub(super) gone: u32,
}

/// Everything that the logs ever held.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// By partition and position, those that went first before the others.
    entries: BTreeMap<(u32, u64), Vec<Entry>>,
    /// Where each log ended after each loss that has happened so far.
    losses: BTreeMap<u32, Vec<u64>>,
}

impl Books {
    pub(super) fn of(story: &Story) -> Self {
        let mut books = Self::default();
        let mut ends: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for event in &story.events {
            if let What::TailLost {
                partition,
                end,
                lost,
            } = &event.what
            {
                let before = ends.entry(*partition).or_default();
                for record in lost {
                    let place = (*partition, record.position, record.publish);
                    books.add(place, record.message, before, before.len() as u32 + 1);
                }
                before.push(*end);
            }
        }
        for record in &story.log {
            let place = (record.partition, record.position, record.publish);
            let before = ends.entry(record.partition).or_default();
            books.add(place, record.message, before, u32::MAX);
        }
        books
    }

    fn add(&mut self, place: Place, message: u32, losses: &[u64], gone: u32) {
        let born = losses.iter().rposition(|end| *end <= place.1);
        let at = self.entries.entry((place.0, place.1)).or_default();
        at.push(Entry {
            place,
            message,
            born: born.map_or(0, |loss| loss as u32 + 1),
            gone,
        });
    }

    /// So many losses have happened so far.
    pub(super) fn losses(&self, partition: u32) -> u32 {
        self.losses.get(&partition).map_or(0, |l| l.len() as u32)
    }

    /// Everything that a position of a partition ever held.
    pub(super) fn at(&self, partition: u32, position: u64) -> &[Entry] {
        self.entries
            .get(&(partition, position))
            .map_or(&[], Vec::as_slice)
    }

    /// A record that was ever there. One that came twice to the same place is the later one.
    pub(super) fn find(&self, place: Place) -> Option<Entry> {
        let mut there = self.at(place.0, place.1).iter().rev();
        there.find(|entry| entry.place == place).copied()
    }

    /// What stood at a lower position of the same log while a record was in it.
    pub(super) fn beside(&self, entry: Entry, position: u64) -> Option<Entry> {
        let mut there = self.at(entry.place.0, position).iter();
        there.find(|other| entry.gone <= other.gone).copied()
    }

    /// Everything of a partition that ever was, by position.
    pub(super) fn of_partition(&self, partition: u32) -> impl Iterator<Item = &[Entry]> {
        let all = self.entries.range((partition, 0)..=(partition, u64::MAX));
        all.map(|(_, there)| there.as_slice())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().flatten()
    }

    /// What is there at the end.
    pub(super) fn left(&self) -> impl Iterator<Item = &Entry> {
        self.all().filter(|entry| entry.gone == u32::MAX)
    }

    /// Where the log ended after each loss behind the first `known`.
    fn ends_behind(&self, partition: u32, known: u32) -> Vec<(u32, u64)> {
        let ends = self.losses.get(&partition).into_iter().flatten().copied();
        (1..).zip(ends).filter(|(loss, _)| known < *loss).collect()
    }
}

impl Progress {
    /// What is recorded of positions from `end` on is not about what stands there now. Returns the ranges
    /// that are named ahead of the frontier there.
    fn cut(&mut self, end: u64) -> Vec<(u64, u64)> {
        self.frontier = self.frontier.min(end);
        let named = self.beyond.iter().filter(|(_, to)| end < *to);
        let named = named.map(|(from, to)| (end.max(*from), *to)).collect();
        self.beyond.retain(|(from, _)| *from < end);
        for range in &mut self.beyond {
            range.1 = range.1.min(end);
        }
        named
    }
}

impl Checker<'_> {
    /// The log of a partition ends here from now on.
    pub(super) fn lose(&mut self, partition: u32, end: u64) {
        let losses = self.log.losses.entry(partition).or_default();
        losses.push(end);
        let loss = losses.len() as u32;
        let mut committed = self.committed.remove(&partition).unwrap_or_default();
        self.cut(partition, &mut committed, (loss, end));
        self.committed.insert(partition, committed);
        let tenures = self.tenures.iter_mut();
        for (_, tenure) in tenures.filter(|((_, of), _)| *of == partition) {
            tenure.covered.cut(end);
        }
    }

    fn cut(&mut self, partition: u32, progress: &mut Progress, (loss, end): (u32, u64)) {
        for (from, to) in progress.cut(end) {
            // By its position alone: where the map says no more, nobody can tell.
            if !self.story.digests {
                self.skipped.push((partition, loss, from, to));
            }
        }
    }

    /// What somebody recorded who knows of the first `known` losses only.
    pub(super) fn cut_behind(&mut self, partition: u32, progress: &mut Progress, known: u32) {
        for loss in self.log.ends_behind(partition, known) {
            self.cut(partition, progress, loss);
        }
    }

    /// Whether it is finished, or nobody could know that it was there.
    pub(super) fn is_over(&self, entry: &Entry) -> bool {
        let (partition, position, _) = entry.place;
        self.finished.contains(&entry.place)
            || self.excused.contains(&entry.place)
            || self.skipped.iter().any(|(of, loss, from, to)| {
                *of == partition && *loss <= entry.born && (*from..*to).contains(&position)
            })
    }

    /// The driver asks for a session.
    pub(super) fn looks(&mut self, whose: (u32, u32), epoch: u64, looks: Looks) {
        if let Some(tenure) = self.tenures.get_mut(&whose)
            && tenure.epoch == epoch
        {
            tenure.looks = Some(looks);
        }
    }

    /// The driver is told what its session found.
    pub(super) fn looked(
        &mut self,
        (life, partition): (u32, u32),
        epoch: u64,
        session: u64,
        rewritten: bool,
    ) {
        let tenure = self.tenures.get_mut(&(life, partition));
        let Some(tenure) = tenure.filter(|tenure| tenure.epoch == epoch) else {
            return;
        };
        let Some(looks) = tenure.looks.filter(|looks| looks.session == session) else {
            return;
        };
        let losses = looks.losses;
        if rewritten {
            tenure.rewritten = Some(losses);
            return;
        }
        tenure.known = losses;
        if losses == 0 {
            return;
        }
        // Without a message that is recognised nobody can tell what stands below, and with one, what stands
        // between it and the beginning.
        let unseen = if looks.blind {
            0..looks.at
        } else {
            looks.at + 1..tenure.begin
        };
        let there = self.log.of_partition(partition).flatten();
        let there = there.filter(|e| unseen.contains(&e.place.1) && e.gone > losses);
        let unknown = there.filter(|e| e.born <= losses && !self.is_over(e));
        let unknown: Vec<_> = unknown.map(|entry| entry.place).collect();
        self.excused.extend(unknown);
    }

    /// What was left out because nobody could know of it.
    pub(super) fn unknown(&self) -> usize {
        let left = self.log.left();
        left.filter(|entry| !self.finished.contains(&entry.place))
            .count()
    }

    /// S9: what is owed is told, once for those that follow each other closely.
    pub(super) fn owes(&mut self, whose: (u32, u32), incident: Incident) {
        let balance = self.balance(whose, incident);
        *balance = (*balance + 1).min(1);
    }

    pub(super) fn tells(&mut self, whose: (u32, u32), incident: Incident) {
        *self.balance(whose, incident) -= 1;
    }

    fn balance(&mut self, whose: (u32, u32), incident: Incident) -> &mut i32 {
        self.owed.entry((whose, incident as u8)).or_default()
    }

    /// S9: whoever ended in order has told of every rewritten log, and of every record that was void.
    pub(super) fn everything_is_told(&self) -> Found {
        let silent = self.owed.iter().find(|(((life, _), _), balance)| {
            let lived = self.lives.get(life);
            0 < **balance && lived.is_some_and(|life| life.drained)
        });
        match silent {
            Some((((life, partition), _), _)) => breach(
                "S9",
                format!("life {life} met another log in {partition} and did not say so"),
            ),
            None => Ok(()),
        }
    }
}

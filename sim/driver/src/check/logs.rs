//! What the logs held, and until when: a position that is used again holds another message.

use core::ops::Range;
use std::collections::BTreeMap;

use super::{Checker, Found, Looks, Progress, Resumes, State, Undemanded, breach};
use crate::event::{Incident, Seen, Stored, What};
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
    /// Where each log begins by now, and where it began in the end.
    starts: BTreeMap<u32, u64>,
    last_starts: BTreeMap<u32, u64>,
}

impl Books {
    pub(super) fn of(story: &Story) -> Self {
        let mut books = Self::default();
        let mut ends: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for event in &story.events {
            match &event.what {
                What::TailLost {
                    partition,
                    end,
                    lost,
                } => {
                    let before = ends.entry(*partition).or_default();
                    books.add_all(lost, before, before.len() as u32 + 1);
                    before.push(*end);
                }
                What::Purged {
                    partition,
                    start,
                    gone,
                } => {
                    let before = ends.entry(*partition).or_default();
                    books.add_all(gone, before, u32::MAX);
                    books.last_starts.insert(*partition, *start);
                }
                _ => {}
            }
        }
        for record in &story.log {
            let before = ends.entry(record.partition).or_default();
            books.add_all(&[*record], before, u32::MAX);
        }
        books
    }

    fn add_all(&mut self, records: &[Stored], losses: &[u64], gone: u32) {
        for record in records {
            let (partition, position) = (record.partition, record.position);
            let born = losses.iter().rposition(|end| *end <= position);
            let at = self.entries.entry((partition, position)).or_default();
            at.push(Entry {
                place: (partition, position, record.publish),
                message: record.message,
                born: born.map_or(0, |loss| loss as u32 + 1),
                gone,
            });
        }
    }

    /// The log of a partition begins here from now on.
    pub(super) fn purge(&mut self, partition: u32, start: u64) {
        self.starts.insert(partition, start);
    }

    fn is_purged(&self, (partition, position, _): Place) -> bool {
        let start = self.starts.get(&partition);
        start.is_some_and(|start| position < *start)
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
        self.all().filter(|entry| {
            let start = self.last_starts.get(&entry.place.0);
            entry.gone == u32::MAX && start.is_none_or(|start| *start <= entry.place.1)
        })
    }

    /// Where the log ended after each loss behind the first `known`.
    fn ends_behind(&self, partition: u32, known: u32) -> Vec<(u32, u64)> {
        let ends = self.losses.get(&partition).into_iter().flatten().copied();
        (1..).zip(ends).filter(|(loss, _)| known < *loss).collect()
    }
}

impl Resumes {
    /// Whether retention took what was not delivered.
    pub(super) fn is_out_of_range(&self) -> bool {
        let recorded = self.frontier;
        recorded.is_some_and(|frontier| frontier < self.start)
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

    /// Whether it is finished or gone, or nobody could know that it was there, or wanted it.
    pub(super) fn is_over(&self, entry: &Entry) -> bool {
        let (partition, position, _) = entry.place;
        self.finished.contains(&entry.place)
            || self.excused.contains(&entry.place)
            || self.passed_over.contains(&entry.place)
            || self.log.is_purged(entry.place)
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
            if looks.blind && tenure.latest.take_if(|at| *at == looks.at).is_some() {
                self.pass_over(whose.1, looks.at, looks.losses);
            }
        }
    }

    /// The owner of a partition goes on here, and wants nothing of what stands below.
    pub(super) fn pass_over(&mut self, partition: u32, at: u64, losses: u32) {
        let below = self.below(partition, 0..at, losses);
        self.passed_over.extend(below);
    }

    /// What stands there, as far as so many losses have left it, and is not over.
    pub(super) fn below(&self, partition: u32, positions: Range<u64>, losses: u32) -> Vec<Place> {
        let there = self.log.of_partition(partition).flatten();
        let there = there.filter(|e| positions.contains(&e.place.1) && losses < e.gone);
        let there = there.filter(|e| e.born <= losses && !self.is_over(e));
        there.map(|entry| entry.place).collect()
    }

    /// An owner says where a partition goes on that has stopped.
    pub(super) fn decides(&mut self, whose: (u32, u32), latest: bool) {
        let tenure = self.tenures.get_mut(&whose);
        let Some(tenure) = tenure.filter(|tenure| tenure.state == State::Open) else {
            self.decided.insert(whose, latest);
            return;
        };
        if core::mem::take(&mut tenure.stopped) && latest {
            let resumes = self.resumes.get(&(whose.0, whose.1, tenure.opened));
            tenure.latest = resumes.map(|resumes| resumes.end);
        }
    }

    /// The driver is told what its session found.
    pub(super) fn looked(
        &mut self,
        (life, partition): (u32, u32),
        epoch: u64,
        session: u64,
        seen: Seen,
    ) {
        let tenure = self.tenures.get_mut(&(life, partition));
        let Some(tenure) = tenure.filter(|tenure| tenure.epoch == epoch) else {
            return;
        };
        let Some(looks) = tenure.looks.filter(|looks| looks.session == session) else {
            return;
        };
        let losses = looks.losses;
        tenure.unsure |= seen == Seen::CannotTell;
        if seen == Seen::Rewritten {
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
        let unknown = self.below(partition, unseen, losses);
        self.excused.extend(unknown);
    }

    /// What was left out, and why.
    pub(super) fn undemanded(&self) -> Undemanded {
        let left = self.log.left().map(|entry| entry.place);
        let left = left.filter(|place| !self.finished.contains(place));
        let (over, unknown): (Vec<_>, Vec<_>) = left.partition(|p| self.passed_over.contains(p));
        Undemanded {
            unknowable: unknown.len() as u64,
            passed_over: over.len() as u64,
        }
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

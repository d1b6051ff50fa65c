//! Order by sequence: a key goes on with the number that comes next, unless a gap was told; what is called
//! behind was passed; what is missing is not waited for longer than it may (S2, S4, S9, L3).

use std::collections::BTreeMap;

use procession_core::{OnGap, SequenceGap};

use super::{Checked, Checker, State, Tenure};
use crate::log::Entry;
use crate::rule::Rule;

/// The books of one tenure about the sequences of keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequences {
    /// The number that comes next, and from which one on all before it were passed.
    next: BTreeMap<u32, Run>,
    /// Keys whose owner is asked before they go on.
    stopped: Vec<u32>,
    /// Messages that a told gap lies before.
    told: Vec<u32>,
    /// When messages were taken in, in that order.
    since: Vec<(u32, u64)>,
}

/// Numbers without a hole that were passed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    first: u64,
    next: u64,
}

impl Run {
    const fn at(number: u64) -> Self {
        Self {
            first: number,
            next: number,
        }
    }

    fn pass(&mut self, number: u64) {
        if number > self.next {
            *self = Self::at(number);
        }
        self.next = self.next.max(number + 1);
    }
}

impl Sequences {
    pub(super) fn taken_in(&mut self, e: u32, now: u64) {
        self.since.push((e, now));
    }

    /// When a message was taken in the last time.
    fn since(&self, e: u32) -> Option<u64> {
        let of = |taken: &&(u32, u64)| taken.0 == e;
        self.since.iter().rfind(of).map(|taken| taken.1)
    }

    /// A message of a key has ended: its number is passed.
    pub(super) fn pass(&mut self, entry: &Entry) {
        if let Some((key, sequence)) = entry.sequenced() {
            let run = self.next.entry(key).or_insert_with(|| Run::at(sequence));
            run.pass(sequence);
        }
    }
}

/// All keys, each of its partition.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// So many messages were looked at: they are only ever added.
    messages: usize,
    /// In order.
    known: Vec<(u32, u32)>,
}

impl Keys {
    fn look_at(&mut self, all: &[Entry]) {
        for entry in &all[self.messages..] {
            let Some(key) = entry.key.zip(Some(entry.partition)) else {
                continue;
            };
            if let Err(place) = self.known.binary_search(&key) {
                self.known.insert(place, key);
            }
        }
        self.messages = all.len();
    }
}

impl Tenure {
    /// The recorded progress calls a message finished: so its number is, unless others of its key are on
    /// their way.
    pub(super) fn seen_finished(&mut self, entry: &Entry, all: &[Entry]) {
        if entry.sequenced().is_none() {
            return;
        }
        let other = held(self, all).any(|(_, e)| e.key == entry.key && e.sequenced().is_some());
        if !other {
            self.sequences.pass(entry);
        }
    }
}

impl Checker {
    /// Whether keys may be forgotten while they are in use: then little can be said.
    fn forgets(&self, all: &[Entry]) -> bool {
        let most = self.config.sequence.map_or(0, |s| s.keys);
        let mut keys = self.keys.borrow_mut();
        keys.look_at(all);
        keys.known.len() > most as usize
    }

    /// Whether a message takes part in an order by sequence of which everything is known.
    fn judged(&self, entry: &Entry, all: &[Entry]) -> Option<(u32, u64)> {
        let on = self.config.sequence.is_some();
        let sequenced = entry.sequenced().filter(|_| on)?;
        (!self.forgets(all)).then_some(sequenced)
    }

    /// Whether a message is held.
    pub(crate) fn holds(&mut self, member: usize, partition: u32, e: u32) -> bool {
        self.tenure(member, partition)
            .is_some_and(|t| t.state(e) == State::Held)
    }

    /// Whether an earlier message of the log may be overtaken.
    pub(super) fn overtakes(&self, entry: &Entry, earlier: &Entry) -> bool {
        let Some((_, sequence)) = entry.sequenced().filter(|_| self.config.sequence.is_some())
        else {
            return false;
        };
        earlier.sequenced().is_none_or(|(_, s)| s > sequence)
    }

    /// A message starts: it is the next one, or the first that is seen; in a call, when those before it
    /// are done.
    pub(super) fn starts_in_sequence(
        &mut self,
        member: usize,
        (e, call): (u32, u64),
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let entry = &all[e as usize];
        let Some((key, sequence)) = self.judged(entry, all) else {
            return Ok(());
        };
        let Some(tenure) = self.tenure(member, entry.partition) else {
            return Ok(());
        };
        let run = tenure.sequences.next.entry(key);
        let mut run = *run.or_insert_with(|| Run::at(sequence));
        for before in self.processes[member].entries_of(call) {
            let before = &all[before as usize];
            let same = before.partition == entry.partition;
            if let Some((_, passed)) = before.sequenced().filter(|s| same && s.0 == key) {
                run.pass(passed);
            }
        }
        // What was passed over may come late.
        let right = sequence == run.next || sequence < run.first;
        self.rules.hold(Rule::OutOfSequence, right, || {
            format!("key={key} msg={e} at={now}: {sequence} starts, {run:?} is passed")
        })
    }

    /// A message is finished without a handler because its number was passed.
    pub(crate) fn behind(
        &mut self,
        member: usize,
        partition: u32,
        e: u32,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let entry = all[e as usize];
        let judged = self.judged(&entry, all);
        let at = &|| format!("key={:?} msg={e} partition={partition} at={now}", entry.key);
        self.tally.duplicates += 1;
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::DuplicateAfterTheEnd, false, at);
        };
        let passed = judged.is_none_or(|(key, sequence)| {
            let next = tenure.sequences.next.get(&key);
            next.is_some_and(|run| (run.first..run.next).contains(&sequence))
        });
        let held = tenure.state(e) == State::Held && entry.sequenced().is_some();
        rules.hold(Rule::CalledBehind, passed && held, at)?;
        tenure.set(e, State::Finished);
        tenure.sequences.pass(&entry);
        self.facts[e as usize].resolved = true;
        Ok(())
    }

    /// The core tells of a gap, and deals with it.
    pub(crate) fn gap_told(
        &mut self,
        member: usize,
        gap: &SequenceGap,
        e: Option<u32>,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let policy = self.config.sequence.map(|s| s.on_gap);
        let entry = e.map(|e| all[e as usize]);
        let judged = entry.and_then(|entry| self.judged(&entry, all));
        let forgets = self.forgets(all);
        let at = &|| format!("msg={e:?} at={now}: {gap:?}");
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(tenure) = process.tenures[gap.partition.0 as usize].as_mut() else {
            return rules.hold(Rule::GapMistold, false, at);
        };
        let sound = entry.is_some_and(|entry| {
            let (expected, found) = (gap.expected, gap.found);
            let is = entry.sequenced().map(|s| s.1) == Some(found) && expected < found;
            let missing = held(tenure, all).all(|(_, other)| {
                let same = other.key == entry.key && other.sequenced().is_some();
                !same || other.sequence.is_none_or(|s| s < expected || s >= found)
            });
            let next = judged.and_then(|(key, _)| tenure.sequences.next.get(&key));
            let known = forgets || next.map(|run| run.next) == Some(expected);
            let held = e.is_some_and(|e| tenure.state(e) == State::Held);
            is && missing && known && held && entry.key_hash() == Some(gap.key)
        });
        rules.hold(Rule::GapMistold, sound, at)?;
        let (Some(key), Some(e)) = (entry.and_then(|e| e.key), e) else {
            return Ok(());
        };
        if policy == Some(OnGap::Stop) {
            tenure.sequences.stopped.push(key);
        } else {
            tenure.sequences.next.insert(key, Run::at(gap.found));
            tenure.sequences.told.push(e);
        }
        Ok(())
    }

    /// Whether a dead letter may be one because of a gap.
    pub(super) fn is_told(tenure: &Tenure, e: u32) -> bool {
        tenure.sequences.told.contains(&e)
    }

    /// The owner passes the gap that it was told of.
    pub(crate) fn gap_passed(&mut self, member: usize, partition: u32, key: u128, all: &[Entry]) {
        let Some(tenure) = self.tenure(member, partition) else {
            return;
        };
        let of = held(tenure, all).filter(|(_, e)| e.key_hash() == Some(key));
        // What is late is not what the owner was asked about.
        let next = |key| tenure.sequences.next.get(&key).map_or(0, |run| run.next);
        let ahead = of.filter_map(|(_, e)| e.sequenced());
        let first = ahead.filter(|s| next(s.0) <= s.1).min_by_key(|s| s.1);
        if let Some((key, sequence)) = first {
            let passes = next(key) < sequence;
            tenure.sequences.stopped.retain(|k| *k != key);
            if passes {
                tenure.sequences.next.insert(key, Run::at(sequence));
            }
        }
    }

    /// After the core was told the time: nothing waits for longer than it may.
    pub(crate) fn gaps_are_told(&self, member: usize, all: &[Entry], now: u64) -> Checked {
        if self.config.sequence.is_none() {
            return Ok(());
        }
        let process = &self.processes[member];
        let waits = |t: &Tenure| t.held > 0 && !t.sequences.next.is_empty();
        if !process.tenures.iter().flatten().any(waits) {
            return Ok(());
        }
        let Some(settings) = self.config.sequence.filter(|_| !self.forgets(all)) else {
            return Ok(());
        };
        let timeout = settings.gap_timeout.as_nanos();
        for (p, tenure) in process.tenures.iter().enumerate() {
            let Some(tenure) = tenure.as_ref().filter(|t| waits(t)) else {
                continue;
            };
            // Of a lane the message that has waited longest counts: mostly none has for so long.
            let taken = tenure.sequences.since.iter();
            let mut long = taken.take_while(|(_, since)| since.saturating_add(timeout) <= now);
            if !long.any(|(e, _)| tenure.state(*e) == State::Held) {
                continue;
            }
            let goes_on = tenure.stopping.is_none() && now < tenure.until;
            let mut first: BTreeMap<u64, (u64, u32, u64)> = BTreeMap::new();
            let mut mixed = Vec::new();
            for (e, entry) in held(tenure, all) {
                let since = tenure.sequences.since(e).unwrap_or(now);
                match entry.sequenced() {
                    Some((key, s)) if tenure.sequences.next.contains_key(&key) => {
                        let of = first.entry(entry.lane).or_insert((s, key, since));
                        if of.1 != key {
                            mixed.push(entry.lane);
                        }
                        *of = (of.0.min(s), key, of.2.min(since));
                    }
                    _ => mixed.push(entry.lane),
                }
            }
            for (lane, (sequence, key, since)) in first {
                let books = &tenure.sequences;
                let busy = process
                    .runs
                    .iter()
                    .any(|r| all[r.entry as usize].lane == lane);
                let mut others = process.tenures.iter().enumerate().filter(|(q, _)| *q != p);
                let other = others
                    .any(|(_, t)| t.iter().any(|t| held(t, all).any(|(_, e)| e.lane == lane)));
                let ahead = books.next.get(&key).is_some_and(|run| sequence > run.next);
                if !goes_on || mixed.contains(&lane) || busy || other || !ahead {
                    continue;
                }
                let due = since.saturating_add(timeout);
                let told = now < due || books.stopped.contains(&key);
                self.rules.hold(Rule::HeldTooLong, told, || {
                    format!("key={key} sequence={sequence} since={since} at={now}")
                })?;
            }
        }
        Ok(())
    }
}

/// Messages that a tenure holds.
fn held<'a>(tenure: &'a Tenure, all: &'a [Entry]) -> impl Iterator<Item = (u32, &'a Entry)> {
    let all = (0..).zip(all);
    all.filter(|(e, _)| tenure.state(*e) == State::Held)
}

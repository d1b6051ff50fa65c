//! What was effective, how often, and in which order.

use std::collections::{HashMap, HashSet};

use super::Context;
use super::commits::Commits;
use super::event::{Attempt, Ending, Entry, Event};
use super::lanes::Lanes;
use super::names::{Id, Key, Part};

/// Counts of one run that need the order of events.
#[derive(Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) attempts: u64,
    pub(super) duplicates: u64,
    pub(super) duplicates_excused: u64,
    pub(super) inversions: u64,
    pub(super) recognised: u64,
}

/// Watches ends.
#[derive(Default)]
pub(super) struct Effects {
    /// Effective ids, with their processings: (file, attempt).
    pub(super) effective: HashMap<Id, Vec<(usize, Attempt)>>,
    pub(super) dead: HashSet<Id>,
    pub(super) parked: HashSet<Id>,
    pub(super) expired: HashSet<Id>,
    pub(super) quarantined: HashSet<Id>,
    /// Somebody consumed: without that nothing can be called lost.
    pub(super) consumed: HashSet<usize>,
    pub(super) sums: HashMap<usize, Sums>,
    /// Generation in which a running attempt started.
    started: HashMap<(usize, Attempt), u64>,
    /// Highest position of a first effective processing.
    highest: HashMap<(Key, Part, u64), u64>,
}

impl Effects {
    pub(super) fn see(
        &mut self,
        context: &Context<'_>,
        entry: &Entry,
        lanes: &Lanes,
        commits: &Commits,
    ) {
        match entry.event {
            Event::Start(attempt) => {
                let generation = lanes.generation(attempt.part, attempt.position);
                self.started.insert((entry.file, attempt), generation);
                self.sums(context, attempt.id).attempts += 1;
                self.consumed.insert(entry.run);
            }
            Event::End { attempt, done } => {
                let generation = self
                    .started
                    .remove(&(entry.file, attempt))
                    .unwrap_or_default();
                if done {
                    self.done(context, entry.file, attempt, generation, lanes, commits);
                }
            }
            Event::Ended { id, ending, .. } => match ending {
                Ending::Duplicate => self.sums(context, id).recognised += 1,
                Ending::Dead => drop(self.dead.insert(id)),
                Ending::Parked => drop(self.parked.insert(id)),
                Ending::Expired => drop(self.expired.insert(id)),
                Ending::Quarantined => drop(self.quarantined.insert(id)),
            },
            Event::Assigned { .. } => drop(self.consumed.insert(entry.run)),
            _ => {}
        }
    }

    /// Ended in a way that is not a loss.
    pub(super) fn is_accounted_for(&self, id: Id) -> bool {
        self.effective.contains_key(&id)
            || [&self.dead, &self.parked, &self.expired, &self.quarantined]
                .iter()
                .any(|set| set.contains(&id))
    }

    fn done(
        &mut self,
        context: &Context<'_>,
        file: usize,
        attempt: Attempt,
        generation: u64,
        lanes: &Lanes,
        commits: &Commits,
    ) {
        let earlier = self.effective.entry(attempt.id).or_default();
        let first = earlier.is_empty();
        // A process that was killed, or lost a partition unplanned, could not commit everything:
        // what no confirmed commit of it covered may run once more elsewhere.
        let excused = earlier.iter().any(|(f, e)| {
            *f != file
                && (context.sources[*f].killed() || !lanes.is_released(*f, e.part, e.epoch))
                && !commits.is_covered(*f, e.part, e.epoch, e.position)
        });
        // The same from the other side: a handler of a paused process that comes to its end after
        // another member has taken the partition over. Only the bus's own state can be fenced (S1).
        let zombie = !lanes.is_released(file, attempt.part, attempt.epoch)
            && earlier
                .iter()
                .any(|(f, e)| *f != file && e.part == attempt.part && attempt.epoch < e.epoch);
        let excused = excused || zombie;
        earlier.push((file, attempt));
        if !first {
            let sums = self.sums(context, attempt.id);
            sums.duplicates += 1;
            sums.duplicates_excused += u64::from(excused);
            return;
        }
        let Some(key) = attempt.key else { return };
        let highest = self
            .highest
            .entry((key, attempt.part, generation))
            .or_default();
        if attempt.position < *highest {
            self.sums(context, attempt.id).inversions += 1;
        } else {
            *highest = attempt.position;
        }
    }

    fn sums(&mut self, context: &Context<'_>, id: Id) -> &mut Sums {
        self.sums.entry(context.names.id_info(id).run).or_default()
    }
}

//! S3 (a commit covers nothing unfinished) and S3b (commits do not fall).

use std::collections::{BTreeSet, HashMap, HashSet};

use super::Context;
use super::event::{Entry, Event};
use super::names::Part;
use super::report::Findings;

/// Watches commits, and which positions are finished.
pub(super) struct Commits {
    parts: HashMap<Part, Known>,
    /// By (file, partition, epoch): highest frontier sent, highest confirmed.
    frontiers: HashMap<(usize, Part, u64), [u64; 2]>,
    /// By (file, partition, epoch): what the last confirmed commit covered.
    covered: HashMap<(usize, Part, u64), Covered>,
}

/// A frontier and the ranges beyond it.
type Covered = (u64, Box<[(u64, u64)]>);

#[derive(Default)]
struct Known {
    unfinished: BTreeSet<u64>,
    finished: HashSet<u64>,
    /// The log was rewritten at some time, so a position may stand for several messages.
    rewritten: bool,
    assigned: bool,
}

impl Commits {
    /// Learns which positions exist. In a log that was never rewritten a position stands for one
    /// message, so all are known from the start: a `stored` line may be written later than the
    /// commit that passes over it.
    pub(super) fn new(entries: &[Entry]) -> Self {
        let mut parts: HashMap<Part, Known> = HashMap::new();
        for entry in entries {
            if let Event::NewGeneration { part, .. } = entry.event {
                parts.entry(part).or_default().rewritten = true;
            }
        }
        for entry in entries {
            if let Some((part, position)) = exists(&entry.event) {
                let known = parts.entry(part).or_default();
                if !known.rewritten {
                    known.unfinished.insert(position);
                }
            }
        }
        Self {
            parts,
            frontiers: HashMap::new(),
            covered: HashMap::new(),
        }
    }

    pub(super) fn see(&mut self, context: &Context<'_>, entry: &Entry, findings: &mut Findings) {
        if let Some((part, position)) = exists(&entry.event) {
            let known = self.parts.entry(part).or_default();
            if known.rewritten && !known.finished.contains(&position) {
                known.unfinished.insert(position);
            }
        }
        match &entry.event {
            Event::End {
                attempt,
                done: true,
            } => self.finish(attempt.part, attempt.position),
            Event::Ended { part, position, .. } => self.finish(*part, *position),
            Event::Assigned { part, position } => {
                let known = self.parts.entry(*part).or_default();
                // What lies below the first known owner's start was finished by members whose
                // histories were not given.
                if let (false, Some(position)) = (known.assigned, position) {
                    known.unfinished = known.unfinished.split_off(position);
                }
                known.assigned = true;
            }
            Event::NewGeneration { part, position } => {
                let known = self.parts.entry(*part).or_default();
                known.unfinished.split_off(position);
                known.finished.retain(|p| p < position);
            }
            Event::Commit {
                part,
                epoch,
                frontier,
            } => {
                self.rising(context, entry, (*part, *epoch), 0, *frontier, findings);
            }
            Event::Committed {
                part,
                epoch,
                frontier,
                beyond,
            } => {
                self.rising(context, entry, (*part, *epoch), 1, *frontier, findings);
                self.covers_finished(context, entry, *part, *frontier, beyond, findings);
                self.covered
                    .insert((entry.file, *part, *epoch), (*frontier, beyond.clone()));
            }
            _ => {}
        }
    }

    /// Whether the last confirmed commit of that epoch, as far as known by now, covers a position.
    pub(super) fn is_covered(&self, file: usize, part: Part, epoch: u64, position: u64) -> bool {
        self.covered
            .get(&(file, part, epoch))
            .is_some_and(|(frontier, beyond)| {
                position < *frontier || beyond.iter().any(|(a, b)| (*a..*b).contains(&position))
            })
    }

    fn finish(&mut self, part: Part, position: u64) {
        let known = self.parts.entry(part).or_default();
        known.unfinished.remove(&position);
        known.finished.insert(position);
    }

    fn rising(
        &mut self,
        context: &Context<'_>,
        entry: &Entry,
        (part, epoch): (Part, u64),
        which: usize,
        frontier: u64,
        findings: &mut Findings,
    ) {
        let highest = &mut self.frontiers.entry((entry.file, part, epoch)).or_default()[which];
        if frontier < *highest {
            let highest = *highest;
            findings.add("S3b", entry, || {
                format!(
                    "the frontier of {} fell from {highest} to {frontier} in epoch {epoch}",
                    context.names.say_part(part)
                )
            });
        }
        *highest = frontier.max(*highest);
    }

    fn covers_finished(
        &mut self,
        context: &Context<'_>,
        entry: &Entry,
        part: Part,
        frontier: u64,
        beyond: &[(u64, u64)],
        findings: &mut Findings,
    ) {
        let known = self.parts.entry(part).or_default();
        let mut wrong: Vec<u64> = known.unfinished.range(..frontier).copied().collect();
        for &(from, to) in beyond.iter().filter(|(from, to)| from < to) {
            wrong.extend(known.unfinished.range(from.max(frontier)..to));
        }
        for position in wrong {
            // Each position is reported once.
            known.unfinished.remove(&position);
            findings.add("S3", entry, || {
                format!(
                    "a commit of {} with frontier {frontier} covers position {position}, which was \
                     not finished",
                    context.names.say_part(part)
                )
            });
        }
    }
}

/// The position that a line proves to exist.
fn exists(event: &Event) -> Option<(Part, u64)> {
    match *event {
        Event::Stored { part, position, .. } | Event::Logged { part, position, .. } => {
            Some((part, position))
        }
        Event::Start(attempt) => Some((attempt.part, attempt.position)),
        _ => None,
    }
}

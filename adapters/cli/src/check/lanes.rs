//! S1 (one handler a key), S5 (nothing starts after the release), S9 (every start has its end).

use std::collections::{HashMap, HashSet};

use super::event::{Attempt, Entry, Event};
use super::names::{Key, Part};
use super::report::Findings;
use super::{Context, Source};

/// Watches starts and ends.
pub(super) struct Lanes {
    /// Running attempts by (file, attempt): line of the start, generation.
    open: HashMap<(usize, Attempt), (usize, usize, u64)>,
    /// Running attempts by key.
    by_key: HashMap<Key, Vec<(usize, Attempt)>>,
    released: HashSet<(usize, Part, u64)>,
    /// Where generations begin, by partition, in the order in which they were reported.
    generations: HashMap<Part, Vec<u64>>,
    /// Starts of killed files that never ended: nobody knows how long they ran.
    excused: HashSet<(usize, Attempt)>,
}

impl Lanes {
    pub(super) fn new(entries: &[Entry], sources: &[Source]) -> Self {
        let mut excused = HashSet::new();
        for entry in entries.iter().filter(|e| sources[e.file].killed()) {
            match entry.event {
                Event::Start(attempt) => {
                    excused.insert((entry.file, attempt));
                }
                Event::End { attempt, .. } => {
                    excused.remove(&(entry.file, attempt));
                }
                _ => {}
            }
        }
        Self {
            open: HashMap::new(),
            by_key: HashMap::new(),
            released: HashSet::new(),
            generations: HashMap::new(),
            excused,
        }
    }

    pub(super) fn see(&mut self, context: &Context<'_>, entry: &Entry, findings: &mut Findings) {
        match entry.event {
            Event::Start(attempt) => self.start(context, entry, attempt, findings),
            Event::End { attempt, .. } => {
                if self.open.remove(&(entry.file, attempt)).is_none() {
                    findings.add("S9", entry, || {
                        format!("{} ended without a start", context.names.say_id(attempt.id))
                    });
                }
                if let Some(running) = attempt.key.and_then(|k| self.by_key.get_mut(&k)) {
                    running.retain(|r| *r != (entry.file, attempt));
                }
            }
            Event::Released { part, epoch } => {
                self.released.insert((entry.file, part, epoch));
            }
            Event::NewGeneration { part, position } => {
                self.generations.entry(part).or_default().push(position);
            }
            _ => {}
        }
    }

    fn start(
        &mut self,
        context: &Context<'_>,
        entry: &Entry,
        attempt: Attempt,
        findings: &mut Findings,
    ) {
        let file = entry.file;
        if self.released.contains(&(file, attempt.part, attempt.epoch)) {
            findings.add("S5", entry, || {
                format!(
                    "position {} of {} started after epoch {} was released",
                    attempt.position,
                    context.names.say_part(attempt.part),
                    attempt.epoch
                )
            });
        }
        if let Some(key) = attempt.key {
            let running = self.by_key.entry(key).or_default();
            for (other_file, other) in &*running {
                let two = || {
                    format!(
                        "{} runs twice: position {} beside position {}",
                        context.names.say_key(key),
                        attempt.position,
                        other.position
                    )
                };
                if *other_file == file {
                    findings.add("S1", entry, two);
                } else if self.excused.contains(&(*other_file, *other))
                    && context.sources[*other_file].last_t() < entry.t
                {
                    // Its process was killed; it may have been dead by now.
                } else if self
                    .released
                    .contains(&(*other_file, other.part, other.epoch))
                {
                    findings.add("S1", entry, two);
                } else {
                    findings.add("S1-across", entry, two);
                }
            }
            running.push((file, attempt));
        }
        let generation = self.generation(attempt.part, attempt.position);
        self.open
            .insert((file, attempt), (entry.run, entry.line, generation));
    }

    pub(super) fn end(&self, context: &Context<'_>, findings: &mut Findings) {
        let mut open: Vec<_> = self
            .open
            .iter()
            .filter(|((file, _), _)| !context.sources[*file].killed())
            .collect();
        open.sort_unstable_by_key(|((file, _), (_, line, _))| (*file, *line));
        for ((file, attempt), (run, line, _)) in open {
            findings.add_at("S9", *run, *file, *line, || {
                format!(
                    "{} started and has no end",
                    context.names.say_id(attempt.id)
                )
            });
        }
    }

    /// Which content of its partition a position belongs to.
    pub(super) fn generation(&self, part: Part, position: u64) -> u64 {
        self.generations.get(&part).map_or(0, |g| {
            g.iter().filter(|from| **from <= position).count() as u64
        })
    }

    pub(super) fn is_released(&self, file: usize, part: Part, epoch: u64) -> bool {
        self.released.contains(&(file, part, epoch))
    }
}

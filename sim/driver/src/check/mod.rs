//! Holds a history against the promises. Shares no code with the core or the runtime: its books are
//! its own, and what a handler did it knows from the handler.

mod calls;
mod endings;
mod handlers;
mod progress;
mod publishing;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use calls::Call;

use crate::event::{Event, What};
use crate::history::Story;

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    /// Which (S1, ...).
    pub rule: &'static str,
    /// What happened.
    pub text: String,
    /// Index of the event that shows it; the number of events when it is what never came.
    pub event: usize,
}

/// How a tenure stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Open,
    /// Given up; in order, before any deadline.
    Released {
        planned: bool,
    },
    Lost,
}

/// A partition in the hands of one life.
#[derive(Clone, Debug)]
struct Tenure {
    epoch: u64,
    state: State,
    until: u64,
    /// When it is to be given up at the latest, once it is to be.
    deadline: u64,
    /// The latest that it asked to commit.
    asked: Progress,
    /// What succeeded in it, by position and by message.
    done: BTreeSet<u64>,
    succeeded: BTreeSet<u32>,
    /// What was committed when it began.
    covered: Progress,
}

/// What a commit covers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Progress {
    frontier: u64,
    beyond: Vec<(u64, u64)>,
}

impl Progress {
    fn covers(&self, position: u64) -> bool {
        position < self.frontier
            || self
                .beyond
                .iter()
                .any(|(from, to)| (*from..*to).contains(&position))
    }
}

/// A handler that runs.
#[derive(Clone, Copy, Debug)]
struct Run {
    life: u32,
    partition: u32,
    epoch: u64,
    position: u64,
    message: u32,
    /// The first run of its call.
    call: u64,
}

/// One start of a member.
#[derive(Clone, Debug, Default)]
struct Life {
    /// Whether it may have lost its partitions without knowing.
    disturbed: bool,
    paused: bool,
    /// Whether it ever was.
    stood: bool,
    crashed: bool,
    drain: Option<u64>,
    drained: bool,
    ended: bool,
}

struct Checker<'a> {
    story: &'a Story,
    log: BTreeMap<(u32, u64), u32>,
    /// Positions of each key, in order.
    of_key: BTreeMap<(u32, u32), Vec<u64>>,
    buried: BTreeSet<(u32, u32)>,
    finished: BTreeSet<(u32, u64)>,
    /// Messages that succeeded.
    succeeded: BTreeSet<u32>,
    tenures: BTreeMap<(u32, u32), Tenure>,
    leases: BTreeMap<(u32, u32, u64), u64>,
    runs: BTreeMap<u64, Run>,
    /// Calls of several messages, by their first run, and the last of each life.
    calls: BTreeMap<u64, Call>,
    last_call: BTreeMap<u32, u64>,
    lives: BTreeMap<u32, Life>,
    /// By partition: what the broker holds, and the newest epoch that began.
    committed: BTreeMap<u32, Progress>,
    newest: BTreeMap<u32, u64>,
}

type Found = Result<(), (&'static str, String)>;

fn breach<T>(rule: &'static str, text: impl Into<String>) -> Result<T, (&'static str, String)> {
    Err((rule, text.into()))
}

/// The first promise that the story breaks.
pub(crate) fn check(story: &Story) -> Result<(), Breach> {
    let mut checker = Checker::new(story);
    for (index, event) in story.events.iter().enumerate() {
        checker.see(event).map_err(|(rule, text)| Breach {
            rule,
            text,
            event: index,
        })?;
    }
    let end = checker.publishing().and_then(|()| checker.end());
    end.map_err(|(rule, text)| Breach {
        rule,
        text,
        event: story.events.len(),
    })
}

impl<'a> Checker<'a> {
    fn new(story: &'a Story) -> Self {
        let mut log = BTreeMap::new();
        let mut of_key: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for record in &story.log {
            log.insert((record.partition, record.position), record.message);
            if let Some(key) = story.keys.get(record.message as usize).copied().flatten() {
                let positions = of_key.entry((record.partition, key)).or_default();
                positions.push(record.position);
            }
        }
        let letters = story.letters.iter();
        Self {
            story,
            log,
            of_key,
            buried: letters
                .map(|letter| (letter.partition, letter.message))
                .collect(),
            finished: BTreeSet::new(),
            succeeded: BTreeSet::new(),
            tenures: BTreeMap::new(),
            leases: BTreeMap::new(),
            runs: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: BTreeMap::new(),
            lives: BTreeMap::new(),
            committed: BTreeMap::new(),
            newest: BTreeMap::new(),
        }
    }

    fn key(&self, message: u32) -> Option<u32> {
        self.story.keys.get(message as usize).copied().flatten()
    }

    fn see(&mut self, event: &Event) -> Found {
        let (at, life) = (event.at, event.life);
        match &event.what {
            What::Begin {
                run,
                partition,
                epoch,
                position,
                message,
                call,
            } => {
                let begun = Run {
                    life,
                    partition: *partition,
                    epoch: *epoch,
                    position: *position,
                    message: *message,
                    call: self.call_of(life, *run, *call),
                };
                self.begin(at, *run, begun)
            }
            What::End { run, outcome } => self.ended(at, *run, *outcome),
            What::Lease {
                partition,
                epoch,
                until,
            } => {
                let newest = self.newest.entry(*partition).or_default();
                *newest = (*newest).max(*epoch);
                let lease = self.leases.entry((life, *partition, *epoch)).or_default();
                *lease = (*lease).max(*until);
                let until = *lease;
                if let Some(tenure) = self.tenures.get_mut(&(life, *partition))
                    && tenure.epoch == *epoch
                {
                    tenure.until = until;
                }
                Ok(())
            }
            What::Assigned {
                partition,
                epoch,
                position,
            } => self.assigned(life, *partition, *epoch, *position),
            What::Asked {
                partition,
                epoch,
                deadline,
            } => {
                if let Some(tenure) = self.tenures.get_mut(&(life, *partition))
                    && tenure.epoch == *epoch
                {
                    tenure.deadline = tenure.deadline.min(*deadline);
                }
                Ok(())
            }
            What::Recorded {
                partition,
                epoch,
                frontier,
            } => self.recorded(life, *partition, *epoch, *frontier),
            What::Lost { partition, .. } => {
                if let Some(tenure) = self.tenures.get_mut(&(life, *partition)) {
                    tenure.state = State::Lost;
                }
                Ok(())
            }
            What::Released { partition, epoch } => self.released(at, life, *partition, *epoch),
            What::Duplicate {
                partition,
                position,
            } => self.duplicate(*partition, *position),
            What::Passed {
                partition,
                position,
            } => self.passed(at, *partition, *position),
            What::Buried {
                partition,
                position,
                message,
                why,
            } => {
                self.given_up(at, *message, *why)?;
                self.buried(at, *partition, *position, *message)
            }
            What::Commit {
                partition,
                epoch,
                frontier,
                beyond,
            } => {
                let progress = Progress {
                    frontier: *frontier,
                    beyond: beyond.clone(),
                };
                self.commit(life, *partition, *epoch, &progress)
            }
            What::Committed {
                partition,
                frontier,
                beyond,
                ..
            } => {
                let progress = Progress {
                    frontier: *frontier,
                    beyond: beyond.clone(),
                };
                self.committed(*partition, &progress)
            }
            other => self.life(at, life, other),
        }
    }
}

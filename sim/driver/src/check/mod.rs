//! Holds a history against the promises. Shares no code with the core or the runtime: its books are
//! its own, and what a handler did it knows from the handler.

mod calls;
mod endings;
#[cfg(test)]
mod full_tests;
mod handlers;
#[cfg(test)]
mod log_tests;
mod logs;
mod progress;
mod publishing;
#[cfg(test)]
mod reset_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use calls::Call;
use logs::{Books, Place};

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
    /// As the broker counts, and as the core does, which counts up for a rewritten log.
    opened: u64,
    epoch: u64,
    state: State,
    until: u64,
    /// When it is to be given up at the latest, once it is to be.
    deadline: u64,
    /// The latest that it asked to commit.
    asked: Progress,
    /// What succeeded in it, by place and by message.
    done: BTreeSet<Place>,
    succeeded: BTreeSet<u32>,
    /// What was committed when it began.
    covered: Progress,
    /// So many losses of its log has it been shown.
    known: u32,
    /// Where it began, as far as the log reached.
    begin: u64,
    /// The session that it has asked for.
    looks: Option<Looks>,
    /// A session found the log rewritten, after so many losses.
    rewritten: Option<u32>,
    /// A session could not tell: what is held may have been lost.
    unsure: bool,
    /// Retention took what was not delivered, and the owner has not said where it goes on.
    stopped: bool,
    /// It may go on behind this position at once.
    latest: Option<u64>,
}

/// A session that was asked for.
#[derive(Clone, Copy, Debug)]
struct Looks {
    session: u64,
    /// So many losses there were by then.
    losses: u32,
    at: u64,
    blind: bool,
}

/// What the feed said of a partition that it gave.
#[derive(Clone, Copy, Debug)]
struct Resumes {
    frontier: Option<u64>,
    anchored: bool,
    start: u64,
    end: u64,
}

/// A commit that was asked for.
#[derive(Clone, Debug)]
struct Asked {
    progress: Progress,
    opened: u64,
    known: u32,
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

/// How many messages were not handled, and need not be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Undemanded {
    /// Nobody could know of them.
    pub(crate) unknowable: u64,
    /// Their owner wanted to go on behind them.
    pub(crate) passed_over: u64,
}

/// A handler that runs.
#[derive(Clone, Copy, Debug)]
struct Run {
    life: u32,
    partition: u32,
    epoch: u64,
    position: u64,
    message: u32,
    publish: u32,
    /// The first run of its call.
    call: u64,
}

impl Run {
    const fn place(&self) -> Place {
        (self.partition, self.position, self.publish)
    }
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
    log: Books,
    /// Positions that ever held something of a key, in order.
    of_key: BTreeMap<(u32, u32), BTreeSet<u64>>,
    buried: BTreeSet<(u32, u32)>,
    finished: BTreeSet<Place>,
    /// What stood where nobody could tell that the log was rewritten.
    excused: BTreeSet<Place>,
    passed_over: BTreeSet<Place>,
    /// What owners said of partitions that they were not given yet: behind everything, or at the start.
    decided: BTreeMap<(u32, u32), bool>,
    /// Ranges of partitions that a map without digests named before the loss with that number.
    skipped: Vec<(u32, u32, u64, u64)>,
    /// What lives have met in partitions and must tell of, less what they have told of.
    owed: BTreeMap<((u32, u32), u8), i32>,
    resumes: BTreeMap<(u32, u32, u64), Resumes>,
    /// Messages that succeeded.
    succeeded: BTreeSet<u32>,
    tenures: BTreeMap<(u32, u32), Tenure>,
    leases: BTreeMap<(u32, u32, u64), u64>,
    runs: BTreeMap<u64, Run>,
    /// Calls of several messages, by their first run, and the last of each life.
    calls: BTreeMap<u64, Call>,
    last_call: BTreeMap<u32, u64>,
    lives: BTreeMap<u32, Life>,
    /// By partition: what the broker holds as far as it is about the log as it is, how many losses whoever
    /// wrote it knew of, and the newest epoch that began.
    committed: BTreeMap<u32, Progress>,
    committed_known: BTreeMap<u32, u32>,
    /// One past the last position that the record names.
    named: BTreeMap<u32, u64>,
    newest: BTreeMap<u32, u64>,
    /// The epoch that a life was given last, by life and partition.
    given: BTreeMap<(u32, u32), u64>,
    /// By life, partition and epoch: the last commit that was asked for, and the last frontier that is recorded.
    asked: BTreeMap<(u32, u32, u64), Asked>,
    recorded: BTreeMap<(u32, u32, u64), u64>,
}

type Found = Result<(), (&'static str, String)>;

fn breach<T>(rule: &'static str, text: impl Into<String>) -> Result<T, (&'static str, String)> {
    Err((rule, text.into()))
}

/// The first promise that the story breaks; else how many messages were not handled, and need not be.
pub(crate) fn check(story: &Story) -> Result<Undemanded, Breach> {
    let mut checker = Checker::new(story);
    for (index, event) in story.events.iter().enumerate() {
        checker.see(event).map_err(|(rule, text)| Breach {
            rule,
            text,
            event: index,
        })?;
    }
    let end = checker.publishing().and_then(|()| checker.end());
    let end = end.map_err(|(rule, text)| Breach {
        rule,
        text,
        event: story.events.len(),
    });
    end.map(|()| checker.undemanded())
}

impl<'a> Checker<'a> {
    fn new(story: &'a Story) -> Self {
        let log = Books::of(story);
        let mut of_key: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for entry in log.all() {
            let (partition, position, _) = entry.place;
            if let Some(key) = story.keys.get(entry.message as usize).copied().flatten() {
                of_key.entry((partition, key)).or_default().insert(position);
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
            excused: BTreeSet::new(),
            passed_over: BTreeSet::new(),
            decided: BTreeMap::new(),
            skipped: Vec::new(),
            owed: BTreeMap::new(),
            resumes: BTreeMap::new(),
            succeeded: BTreeSet::new(),
            tenures: BTreeMap::new(),
            leases: BTreeMap::new(),
            runs: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: BTreeMap::new(),
            lives: BTreeMap::new(),
            committed: BTreeMap::new(),
            committed_known: BTreeMap::new(),
            named: BTreeMap::new(),
            newest: BTreeMap::new(),
            given: BTreeMap::new(),
            asked: BTreeMap::new(),
            recorded: BTreeMap::new(),
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
                publish,
                call,
            } => {
                let begun = Run {
                    life,
                    partition: *partition,
                    epoch: *epoch,
                    position: *position,
                    message: *message,
                    publish: *publish,
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
                let lease = self.leases.entry((life, *partition, *epoch)).or_default();
                *lease = (*lease).max(*until);
                let until = *lease;
                if let Some(tenure) = self.tenures.get_mut(&(life, *partition))
                    && (tenure.opened..=tenure.epoch).contains(epoch)
                {
                    tenure.until = tenure.until.max(until);
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
                    && (tenure.opened..=tenure.epoch).contains(epoch)
                {
                    tenure.deadline = tenure.deadline.min(*deadline);
                }
                Ok(())
            }
            What::Resumes {
                partition,
                epoch,
                frontier,
                anchor,
                log,
                ..
            } => {
                let resumes = Resumes {
                    frontier: *frontier,
                    anchored: anchor.is_some(),
                    start: log.0,
                    end: log.1,
                };
                self.resumes.insert((life, *partition, *epoch), resumes);
                let newest = self.newest.entry(*partition).or_default();
                *newest = (*newest).max(*epoch);
                Ok(())
            }
            What::Given { partition, epoch } => {
                self.given.insert((life, *partition), *epoch);
                Ok(())
            }
            What::Looks {
                partition,
                epoch,
                session,
                at,
                blind,
            } => {
                let looks = Looks {
                    session: *session,
                    losses: self.log.losses(*partition),
                    at: *at,
                    blind: *blind,
                };
                self.looks((life, *partition), *epoch, looks);
                Ok(())
            }
            What::Looked {
                partition,
                epoch,
                session,
                seen,
            } => {
                self.looked((life, *partition), *epoch, *session, *seen);
                Ok(())
            }
            What::Purged {
                partition, start, ..
            } => {
                self.log.purge(*partition, *start);
                Ok(())
            }
            What::Decided { partition, latest } => {
                self.decides((life, *partition), *latest);
                Ok(())
            }
            What::TailLost { partition, end, .. } => {
                self.lose(*partition, *end);
                Ok(())
            }
            What::Incident {
                partition,
                incident,
                ..
            } => {
                self.tells((life, *partition), *incident);
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
                publish,
            } => self.duplicate((*partition, *position, *publish)),
            What::Passed {
                partition,
                position,
                publish,
            } => self.passed(at, (*partition, *position, *publish)),
            What::Buried {
                partition,
                position,
                message,
                publish,
                why,
            } => {
                self.given_up(at, *message, *why)?;
                self.buried(at, (*partition, *position, *publish), *message)
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
                epoch,
                frontier,
                ..
            } => self.committed((life, *partition, *epoch), *frontier),
            other => self.life(at, life, other),
        }
    }
}

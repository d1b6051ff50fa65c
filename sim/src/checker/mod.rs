//! Holds the promises of design.md section 3 against what the core does.
//!
//! The checker keeps its own books, from what went into the core and what came out, and asks the
//! broker's side for the truth about logs. It shares no code or structure with the core.

mod calls;
mod intake;
mod order;
mod parking;
mod process;
mod progress;
mod sequence;
mod stalls;
mod suspects;
mod tenure;

use core::cell::RefCell;

use procession_core::{Config, Keyless, NoticeKind, Order};

use crate::log::{Entry, Log};
use crate::rule::{Rule, Rules};
use crate::verdict::Verdict;
pub(crate) use calls::Counted;
pub(crate) use order::Ending;
pub(crate) use parking::Parked;
pub(crate) use process::Process;
pub(crate) use sequence::Sequences;
pub(crate) use suspects::Suspects;
pub(crate) use tenure::{Opening, State, Tenure};

/// What a checker says.
/// In a box, so that whoever asks has the answer in a register.
pub(crate) type Checked<T = ()> = Result<T, Box<Verdict>>;

/// The truth about one message, over all processes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fact {
    /// Its success was recorded by a core, its dead letter confirmed, or it was a copy of one that
    /// succeeded.
    pub(crate) resolved: bool,
    /// Nobody could have told that it had to run: its position was used again beside an anchor that
    /// still held.
    pub(crate) excused: bool,
    /// Handlers that ended well.
    pub(crate) effects: u32,
    /// Handlers that started.
    pub(crate) starts: u32,
}

/// What a run did, to see that it did something.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Messages in the logs.
    pub published: u64,
    /// Handlers started.
    pub started: u64,
    /// Handlers that ended well.
    pub effective: u64,
    /// Messages dead-lettered.
    pub dead: u64,
    /// Copies recognised.
    pub duplicates: u64,
    /// Commits written.
    pub commits: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Times a partition was opened.
    pub opened: u64,
    /// Partitions released as planned.
    pub released: u64,
    /// Processes that died.
    pub crashes: u64,
    /// Drains that ended.
    pub drained: u64,
    /// Offers refused for want of credit or window.
    pub refused: u64,
    /// Rewrites of a log that a session noticed.
    pub rewrites: u64,
    /// Handlers that were asked to stop.
    pub cancels: u64,
}

impl Tally {
    /// Adds another run's.
    pub const fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.started += other.started;
        self.effective += other.effective;
        self.dead += other.dead;
        self.duplicates += other.duplicates;
        self.commits += other.commits;
        self.sessions += other.sessions;
        self.opened += other.opened;
        self.released += other.released;
        self.crashes += other.crashes;
        self.drained += other.drained;
        self.refused += other.refused;
        self.rewrites += other.rewrites;
        self.cancels += other.cancels;
    }
}

/// The books of all processes.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(crate) config: Config,
    pub(crate) rules: Rules,
    /// The window pool has room for every window and every recorded map. Where it has not, a map may
    /// be forgotten, and what it covers runs again.
    pub(crate) roomy: bool,
    pub(crate) facts: Vec<Fact>,
    pub(crate) processes: Vec<Process>,
    pub(crate) tally: Tally,
    pub(crate) suspects: Suspects,
    /// Keys that were published, where they have an order by sequence.
    keys: RefCell<sequence::Keys>,
}

impl Checker {
    pub(crate) fn new(config: &Config, members: u32, messages: usize, muted: u128) -> Self {
        Self {
            config: config.clone(),
            rules: Rules::new(muted),
            roomy: config.window_pool / 64 >= config.partitions * blocks(config),
            facts: Vec::with_capacity(messages),
            processes: (0..members).map(|_| Process::new(config)).collect(),
            tally: Tally::default(),
            suspects: Suspects::default(),
            keys: RefCell::default(),
        }
    }

    /// A process dies: everything that it knew is gone, what it finished stays true.
    pub(crate) fn died(&mut self, member: usize) {
        self.processes[member].die();
    }

    /// A process has read what its last life had left.
    pub(crate) fn restored(&mut self, member: usize, sound: bool) {
        let process = &mut self.processes[member];
        if sound {
            process.successes = core::mem::take(&mut process.before);
        }
    }

    /// What must not run beside each other and must run in log order; `None` for what is free.
    fn lane_of(&self, entry: &Entry) -> Option<u32> {
        if self.config.order == Order::Unordered {
            return None;
        }
        match (entry.key, self.config.keyless) {
            (Some(key), _) => Some(key),
            (None, Keyless::Shared) => Some(u32::MAX),
            (None, Keyless::Unordered | Keyless::Refuse) => None,
        }
    }

    /// The tenure in which `member` holds `partition`, if the checker's books have one.
    pub(crate) fn tenure(&mut self, member: usize, partition: u32) -> Option<&mut Tenure> {
        self.processes[member].tenures[partition as usize].as_mut()
    }

    pub(crate) fn expect_notice(
        &mut self,
        member: usize,
        partition: u32,
        kinds: &'static [NoticeKind],
    ) {
        self.processes[member].expected.push((partition, kinds));
    }

    pub(crate) fn noticed(
        &mut self,
        member: usize,
        partition: u32,
        kind: NoticeKind,
        now: u64,
    ) -> Checked {
        self.stall_noticed(member, partition, kind, now)?;
        self.processes[member]
            .expected
            .retain(|(p, kinds)| *p != partition || !kinds.contains(&kind));
        Ok(())
    }

    /// At the end: every message that the logs hold was resolved (S9, L1), and a run without
    /// faults ran each exactly once.
    pub(crate) fn at_the_end(
        &self,
        entries: &[Entry],
        logs: &[Log],
        clean: bool,
        now: u64,
    ) -> Checked {
        for log in logs {
            for &e in log.entries() {
                let (entry, fact) = (&entries[e as usize], &self.facts[e as usize]);
                let at = &|| {
                    format!(
                        "key={:?} msg={e} partition={} position={} at={now}",
                        entry.key, entry.partition, entry.position
                    )
                };
                let over = fact.resolved || fact.excused;
                self.rules.hold(Rule::NeverResolved, over, at)?;
                if clean {
                    let once = fact.starts == 1;
                    let story = || format!("{}: {fact:?}", at());
                    self.rules.hold(Rule::CleanRun, once, story)?;
                }
            }
        }
        let asked = |e: &u32| !self.facts[*e as usize].excused;
        let sound = |e: &u32| {
            let entry = &entries[*e as usize];
            !entry.malformed && !entry.poison && entry.expires.is_none()
        };
        let some = logs
            .iter()
            .flat_map(|l| l.entries())
            .any(|e| asked(e) && sound(e) && entries[*e as usize].key.is_some());
        let vacuous = some && self.tally.started == 0 && self.tally.dead == 0;
        self.rules
            .hold(Rule::NothingEffective, !vacuous, || format!("at={now}"))
    }
}

/// Blocks of the window pool that a partition can use: its window, and a map of it.
const fn blocks(config: &Config) -> u32 {
    let window = config.window.div_ceil(64) + 1;
    window + if config.map_digests { window } else { 1 }
}

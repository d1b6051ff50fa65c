//! One run and what came of it.

use core::fmt::{self, Write};
use core::panic::AssertUnwindSafe;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::catch_unwind;

use procession_runtime::subscription::Incident;

use crate::check::{Breach, Undemanded, check};
use crate::dice::mix;
use crate::event::{Event, Outcome as End, Reason, Told, What};
use crate::history::Story;
use crate::observer::STOPPED;
use crate::plan::Plan;
use crate::sabotage::Sabotage;
use crate::world::{LATER_LIVES, World};

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Of the whole history, and of every poll of every task (S11).
    pub digest: u64,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// The first promise that was broken.
    pub breach: Option<Breach>,
    /// How much happened.
    pub tally: Tally,
}

/// How much happened, so that a run of nothing is not taken for a good one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "the names say what is counted")]
pub struct Tally {
    pub attempts: u64,
    pub done: u64,
    pub failed: u64,
    pub dropped: u64,
    pub buried: u64,
    pub duplicates: u64,
    pub commits: u64,
    pub released: u64,
    pub lost: u64,
    pub crashes: u64,
    pub pauses: u64,
    pub drains: u64,
    pub stored: u64,
    pub refused: u64,
    pub unknown: u64,
    pub calls: u64,
    pub expired: u64,
    pub suspected: u64,
    pub publishers_died: u64,
    pub tails_lost: u64,
    pub records_lost: u64,
    pub rewrites_told: u64,
    /// Handlers of messages at positions that were used before.
    pub reused: u64,
    /// Messages that nobody could know of after their log was rewritten.
    pub unknowable: u64,
    pub purges: u64,
    pub records_purged: u64,
    pub resets: u64,
    pub stopped: u64,
    pub passed_over: u64,
    pub times_full: u64,
    /// Publishes that ended without being stored while the logs were full.
    pub full_refused: u64,
    /// Those that were called then, and stored later.
    pub full_waited: u64,
    pub letters_refused: u64,
}

impl Tally {
    fn of(events: &[Event]) -> Self {
        let mut tally = Self::default();
        let mut lost = BTreeMap::new();
        let mut full = Full::default();
        for event in events {
            tally.notable(event);
            tally.rewritten(event, &mut lost);
            tally.filled(event, &mut full);
            let counter = match event.what {
                What::Begin { .. } => &mut tally.attempts,
                What::End { outcome, .. } => match outcome {
                    End::Done => &mut tally.done,
                    End::Failed | End::Rejected | End::Panicked => &mut tally.failed,
                    End::Dropped => &mut tally.dropped,
                },
                What::Buried { .. } => &mut tally.buried,
                What::Duplicate { .. } => &mut tally.duplicates,
                What::Committed { .. } => &mut tally.commits,
                What::Released { .. } => &mut tally.released,
                What::Lost { .. } => &mut tally.lost,
                What::Crashed => &mut tally.crashes,
                What::Paused => &mut tally.pauses,
                What::Drain { .. } => &mut tally.drains,
                What::Resolved { result, .. } => match result {
                    Told::Stored { .. } => &mut tally.stored,
                    Told::Unknown => &mut tally.unknown,
                    Told::Refused | Told::Full | Told::Closed => &mut tally.refused,
                },
                _ => continue,
            };
            *counter += 1;
        }
        tally
    }

    /// What is counted of rewritten logs; `lost` is what stood where.
    fn rewritten(&mut self, event: &Event, lost: &mut BTreeMap<(u32, u64), u32>) {
        match &event.what {
            What::TailLost { lost: tail, .. } => {
                self.tails_lost += 1;
                self.records_lost += tail.len() as u64;
                lost.extend(tail.iter().map(|r| ((r.partition, r.position), r.publish)));
            }
            What::Incident {
                incident: Incident::Rewritten,
                ..
            } => self.rewrites_told += 1,
            What::Purged { gone, .. } => {
                self.purges += 1;
                self.records_purged += gone.len() as u64;
            }
            What::Incident {
                incident: Incident::Reset,
                ..
            } => self.resets += 1,
            What::Incident { why, .. } if why.starts_with(STOPPED) => self.stopped += 1,
            What::Begin {
                partition,
                position,
                publish,
                ..
            } => {
                let before = lost.get(&(*partition, *position));
                self.reused += u64::from(before.is_some_and(|before| before != publish));
            }
            _ => {}
        }
    }

    /// What is counted of full logs.
    fn filled(&mut self, event: &Event, full: &mut Full) {
        match event.what {
            What::Full { full: is } => {
                self.times_full += u64::from(is && !full.is);
                full.is = is;
            }
            What::NotBuried => self.letters_refused += 1,
            What::Called { publish, .. } if full.is => {
                full.called.insert(publish);
            }
            What::Resolved { publish, result } => {
                let stored = matches!(result, Told::Stored { .. });
                self.full_refused += u64::from(full.is && !stored);
                let waited = full.called.remove(&publish);
                self.full_waited += u64::from(waited && stored && !full.is);
            }
            _ => {}
        }
    }

    /// What is counted besides.
    fn notable(&mut self, event: &Event) {
        match event.what {
            What::Begin { call: (0, of), .. } if 1 < of => self.calls += 1,
            What::Passed { .. } => self.expired += 1,
            What::Buried {
                why: Reason::Expired,
                ..
            } => self.expired += 1,
            What::Buried {
                why: Reason::Suspect,
                ..
            } => self.suspected += 1,
            What::Crashed if LATER_LIVES <= event.life => self.publishers_died += 1,
            _ => {}
        }
    }

    /// Adds another one.
    pub const fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.done += other.done;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.buried += other.buried;
        self.duplicates += other.duplicates;
        self.commits += other.commits;
        self.released += other.released;
        self.lost += other.lost;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.drains += other.drains;
        self.stored += other.stored;
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.calls += other.calls;
        self.expired += other.expired;
        self.suspected += other.suspected;
        self.publishers_died += other.publishers_died;
        self.tails_lost += other.tails_lost;
        self.records_lost += other.records_lost;
        self.rewrites_told += other.rewrites_told;
        self.reused += other.reused;
        self.unknowable += other.unknowable;
        self.purges += other.purges;
        self.records_purged += other.records_purged;
        self.resets += other.resets;
        self.stopped += other.stopped;
        self.passed_over += other.passed_over;
        self.times_full += other.times_full;
        self.full_refused += other.full_refused;
        self.full_waited += other.full_waited;
        self.letters_refused += other.letters_refused;
    }

    /// What never happened, of everything that should.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let counts = [
            ("attempts", self.attempts),
            ("done", self.done),
            ("failed", self.failed),
            ("dropped", self.dropped),
            ("buried", self.buried),
            ("duplicates", self.duplicates),
            ("commits", self.commits),
            ("released", self.released),
            ("lost", self.lost),
            ("crashes", self.crashes),
            ("pauses", self.pauses),
            ("drains", self.drains),
            ("stored", self.stored),
            ("refused", self.refused),
            ("unknown", self.unknown),
            ("calls of several messages", self.calls),
            ("expired messages", self.expired),
            ("suspects", self.suspected),
            ("deaths of the publisher", self.publishers_died),
            ("lost tails", self.tails_lost),
            ("records that were lost", self.records_lost),
            ("notices of a rewritten log", self.rewrites_told),
            ("positions that were used again", self.reused),
            ("purges", self.purges),
            ("records that were purged", self.records_purged),
            ("notices of a reset", self.resets),
            ("partitions that stopped", self.stopped),
            ("messages that were passed over", self.passed_over),
            ("times at which the logs were full", self.times_full),
            ("publishes that found no room", self.full_refused),
            ("publishes that waited for room", self.full_waited),
            ("dead letters that found no room", self.letters_refused),
        ];
        let never = counts.into_iter().filter(|(_, count)| *count == 0);
        never.map(|(name, _)| name).collect()
    }
}

/// What a seed stands for, but for messages and publishes: for people.
#[must_use]
pub fn describe(seed: u64) -> String {
    let plan = Plan::new(seed);
    format!(
        "{} members, {} partitions, {} keys, {} messages, {} handlers at once\n{:?}\n{:?} {:?}\n{:?}\n{:?}",
        plan.members,
        plan.partitions,
        plan.keys,
        plan.messages.len(),
        plan.concurrency,
        plan.faults,
        plan.unfair,
        plan.lease,
        plan.config,
        plan.producer,
    )
}

/// The run of a seed.
#[must_use]
pub fn run(seed: u64) -> Outcome {
    run_with(seed, None)
}

/// The run of a seed, with something broken on purpose.
#[must_use]
pub fn run_with(seed: u64, sabotage: Option<Sabotage>) -> Outcome {
    let lived = catch_unwind(AssertUnwindSafe(|| {
        World::new(Plan::new(seed), sabotage).run()
    }));
    let (story, undemanded, breach) = match lived {
        Ok(story) => {
            let checked = check(&story);
            let undemanded = checked.as_ref().copied().unwrap_or_default();
            (story, undemanded, checked.err())
        }
        // An assertion of the core or of a driver: its text was printed.
        Err(_) => (
            Story::default(),
            Undemanded::default(),
            Some(Breach {
                rule: "panic",
                text: "something in the run panicked".into(),
                event: 0,
            }),
        ),
    };
    let mut digest = Digest(story.trace);
    for event in &story.events {
        // Writing into a number does not fail.
        let _ = write!(digest, "{event}");
    }
    for record in story.log.iter().chain(&story.letters) {
        let _ = write!(digest, "{record:?}");
    }
    Outcome {
        digest: digest.0,
        tally: Tally {
            unknowable: undemanded.unknowable,
            passed_over: undemanded.passed_over,
            ..Tally::of(&story.events)
        },
        events: story.events,
        breach,
    }
}

/// Whether the logs are full, and which publishes were called while they were.
#[derive(Default)]
struct Full {
    is: bool,
    called: BTreeSet<u32>,
}

/// A hash of text.
struct Digest(u64);

impl Write for Digest {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        self.0 = mix(self.0);
        Ok(())
    }
}

//! One seed, or many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::checker::Tally;
use crate::plan::{Plan, Profile};
use crate::site::Site;
use crate::verdict::Verdict;
use crate::world::{Ended, Watch, World};

/// How one seed went.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// The broken promise, if there was one.
    pub verdict: Option<Verdict>,
    /// What happened, to see that something did.
    pub tally: Tally,
    /// Events of the run.
    pub events: u64,
    /// Digest of everything that happened: equal for equal seeds (S11).
    pub hash: u64,
    /// Fault sites that fired, one bit each.
    pub fired: u128,
}

/// How many seeds went.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Seeds that were run.
    pub runs: u64,
    /// Events of all runs.
    pub events: u64,
    /// What happened in all runs.
    pub tally: Tally,
    /// The first broken promises, by seed; at most as many as were asked for.
    pub violations: Vec<Report>,
    /// All of them.
    pub violated: u64,
    /// Digest of all runs, whatever threads ran them.
    pub hash: u64,
    /// Fault sites that fired in any run, one bit each.
    pub fired: u128,
}

/// Runs one seed.
#[must_use]
pub fn run(seed: u64, profile: Profile) -> Report {
    run_plan(Plan::new(seed, profile))
}

/// Runs a plan, for sweeps over one of its figures.
#[must_use]
pub fn run_plan(plan: Plan) -> Report {
    report(plan.seed, World::new(plan, Watch::default()).run())
}

/// Runs one seed, and tells its story line by line.
#[must_use]
pub fn explain(seed: u64, profile: Profile) -> (Report, String) {
    let plan = Plan::new(seed, profile);
    let mut story = format!("{plan:#?}\n");
    let watch = Watch {
        trace: true,
        ..Watch::default()
    };
    let mut ended = World::new(plan, watch).run();
    story.push_str(&ended.trace.take().unwrap_or_default());
    (report(seed, ended), story)
}

fn report(seed: u64, ended: Ended) -> Report {
    Report {
        seed,
        verdict: ended.verdict,
        tally: ended.tally,
        events: ended.events,
        hash: ended.hash,
        fired: ended.fired,
    }
}

/// Runs seeds `from..to` on `threads` threads. Stops early after `most` violations (0: never);
/// calls `progress` now and then with the number of runs so far.
pub fn run_range(
    (from, to): (u64, u64),
    profile: Profile,
    threads: usize,
    most: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> Summary {
    const CHUNK: u64 = 64;
    let next = AtomicU64::new(from);
    let done = AtomicU64::new(0);
    let violated = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut mine = Summary::default();
                while !stop.load(Ordering::Relaxed) {
                    let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                    if first >= to {
                        break;
                    }
                    for seed in first..(first + CHUNK).min(to) {
                        let report = run(seed, profile);
                        mine.take(report);
                    }
                    let found = std::mem::take(&mut mine.violated);
                    if found > 0 {
                        let all = violated.fetch_add(found, Ordering::Relaxed) + found;
                        if most > 0 && all >= most {
                            stop.store(true, Ordering::Relaxed);
                        }
                    }
                    progress(done.fetch_add(CHUNK, Ordering::Relaxed) + CHUNK);
                }
                total
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .merge(mine);
            });
        }
    });
    let mut summary = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.violated = violated.into_inner();
    summary.violations.sort_by_key(|r| r.seed);
    summary
}

/// Violations that are kept in full.
const KEPT: usize = 1_000;

impl Summary {
    /// Fault sites that never fired: what was not tried proves nothing.
    pub fn silent_sites(&self) -> impl Iterator<Item = Site> {
        let fired = self.fired;
        Site::ALL
            .into_iter()
            .filter(move |s| s.is_fault() && fired >> *s as u8 & 1 == 0)
    }

    fn take(&mut self, report: Report) {
        self.runs += 1;
        self.events += report.events;
        self.tally.add(&report.tally);
        // Independent of the order in which seeds are run.
        self.hash = self
            .hash
            .wrapping_add(crate::fate::mix(report.hash ^ report.seed));
        self.fired |= report.fired;
        if report.verdict.is_some() {
            self.violated += 1;
            if self.violations.len() < KEPT {
                self.violations.push(report);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.events += other.events;
        self.tally.add(&other.tally);
        self.hash = self.hash.wrapping_add(other.hash);
        self.fired |= other.fired;
        self.violations.extend(other.violations);
    }
}

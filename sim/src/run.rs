//! One seed, or many.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::checker::Tally;
use crate::coverage::{Coverage, TABLE_LEAST};
use crate::plan::{Flavour, Plan, Profile};
use crate::site::{SITES, Site};
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
    /// What it has been to, where it was counted.
    pub coverage: Option<Box<Coverage>>,
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
    /// In how many runs each site fired.
    pub fired: Fired,
    /// What all runs have been to, where it was counted.
    pub coverage: Coverage,
    /// Runs by their number of events, in steps of 16.
    spread: BTreeMap<u64, u64>,
}

/// In how many runs each site fired, by the number of the site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired(pub [u64; SITES]);

impl Default for Fired {
    fn default() -> Self {
        Self([0; SITES])
    }
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

/// Runs a plan, and tells its story line by line.
#[must_use]
pub fn explain(plan: Plan) -> (Report, String) {
    let seed = plan.seed;
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
        coverage: ended.coverage,
    }
}

/// Many seeds, to be run.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// From the first, up to the second.
    pub seeds: (u64, u64),
    /// How faults are chosen.
    pub profile: Profile,
    /// On what broker; `None`: as each seed says.
    pub model: Option<Flavour>,
    /// Threads to spread them over.
    pub threads: usize,
    /// Stops after so many violations; 0: never.
    pub most: u64,
    /// Counts what the runs have been to.
    pub coverage: bool,
}

impl Batch {
    /// The plan of one of its seeds.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Plan {
        Plan::on(seed, self.profile, self.model)
    }

    /// Runs them all. `progress` is told now and then how many have run, and says whether to go on.
    pub fn run(&self, progress: &(dyn Fn(u64) -> bool + Sync)) -> Summary {
        const CHUNK: u64 = 64;
        let (from, to) = self.seeds;
        let next = AtomicU64::new(from);
        let done = AtomicU64::new(0);
        let violated = AtomicU64::new(0);
        let stop = AtomicBool::new(false);
        let total = Mutex::new(Summary::default());
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    let mut mine = Summary::default();
                    while !stop.load(Ordering::Relaxed) {
                        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
                        if first >= to {
                            break;
                        }
                        let last = first.saturating_add(CHUNK).min(to);
                        for seed in first..last {
                            let watch = Watch {
                                coverage: self.coverage,
                                ..Watch::default()
                            };
                            let ended = World::new(self.plan(seed), watch).run();
                            mine.take(report(seed, ended));
                        }
                        let found = std::mem::take(&mut mine.violated);
                        let all = violated.fetch_add(found, Ordering::Relaxed) + found;
                        let so_far = done.fetch_add(last - first, Ordering::Relaxed) + last - first;
                        if !progress(so_far) || (self.most > 0 && all >= self.most) {
                            stop.store(true, Ordering::Relaxed);
                        }
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
}

/// Violations that are kept in full.
const KEPT: usize = 1_000;

impl Summary {
    /// Fault sites that never fired: what was not tried proves nothing.
    pub fn silent_sites(&self) -> impl Iterator<Item = Site> {
        Site::ALL
            .into_iter()
            .filter(|s| s.is_fault() && self.fired.0[*s as usize] == 0)
    }

    /// Everything that was reached in or by less than `least` runs: sites, rules, places, and the
    /// table where too little of it is filled.
    #[must_use]
    pub fn short_of(&self, least: u64) -> Vec<String> {
        let faults = Site::ALL.into_iter().filter(|s| s.is_fault());
        let short = faults.filter(|s| self.fired.0[*s as usize] < least);
        let mut all: Vec<String> = short
            .map(|s| format!("fault {} ({})", s.name(), self.fired.0[s as usize]))
            .collect();
        all.extend(self.coverage.short_of(least));
        let filled = self.coverage.filled_percent();
        if filled < TABLE_LEAST {
            all.push(format!("table of faults and states ({filled} % filled)"));
        }
        all
    }

    /// The median of the runs' numbers of events, to the next 16.
    #[must_use]
    pub fn events_median(&self) -> u64 {
        let mut before = 0;
        let half = self.runs.div_ceil(2);
        let passes = |(step, runs): (&u64, &u64)| {
            before += runs;
            (before >= half).then_some(16 * step)
        };
        self.spread.iter().find_map(passes).unwrap_or(0)
    }

    /// How often which promise was broken, and where first.
    #[must_use]
    pub fn shapes(&self) -> Vec<(&Report, u64)> {
        let mut shapes: Vec<(&Report, u64)> = Vec::new();
        for report in &self.violations {
            let id = |r: &Report| r.verdict.as_ref().map(|v| (v.id, v.shape));
            match shapes.iter_mut().find(|s| id(s.0) == id(report)) {
                Some(shape) => shape.1 += 1,
                None => shapes.push((report, 1)),
            }
        }
        shapes
    }

    fn take(&mut self, mut report: Report) {
        if let Some(coverage) = report.coverage.take() {
            self.coverage.add(&coverage);
        }
        self.runs += 1;
        self.events += report.events;
        self.tally.add(&report.tally);
        // Independent of the order in which seeds are run.
        self.hash = self
            .hash
            .wrapping_add(crate::fate::mix(report.hash ^ report.seed));
        for site in Site::ALL {
            self.fired.0[site as usize] += (report.fired >> site as u8 & 1) as u64;
        }
        *self.spread.entry(report.events / 16).or_default() += 1;
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
        self.coverage.add(&other.coverage);
        self.hash = self.hash.wrapping_add(other.hash);
        for (mine, theirs) in self.fired.0.iter_mut().zip(other.fired.0) {
            *mine += theirs;
        }
        for (step, runs) in other.spread {
            *self.spread.entry(step).or_default() += runs;
        }
        self.violations.extend(other.violations);
    }
}

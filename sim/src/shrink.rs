//! Makes a failure small: the same verdict, from less.
//!
//! Every decision hangs on what it is about and not on the order of draws, so taking one message or
//! one fault away leaves the rest of the run as it was; that is why this works.

use procession_core::{Config, Span};

use crate::plan::Plan;
use crate::record::{record, verdict_id};
use crate::report::Failure;
use crate::run::run_plan;

/// Most runs of one shrinking.
pub const RUNS_MAX: u32 = 4_000;

const MILLI: u64 = 1_000_000;

/// The smallest failure with the same verdict that was found. `go_on` is asked before each run,
/// with the number of runs so far.
///
/// `None`: there is no world to run again, or the failure does not come again.
pub fn shrink(failure: &Failure, go_on: &mut dyn FnMut(u32) -> bool) -> Option<Failure> {
    let plan = failure.world.clone()?;
    failure.verdict.as_ref()?;
    let mut search = Search {
        verdict: failure.verdict_id(),
        best: plan,
        runs: 0,
        go_on,
    };
    if !search.fails(&search.best.clone()) {
        return None;
    }
    let before = size(&search.best);
    search.all();
    let mut small = record(search.best.clone());
    let after = size(&search.best);
    small.origin.clone_from(&failure.origin);
    small.mutant = failure.mutant;
    small.shrunk = format!(
        "from {} faults, {} messages to {} faults, {} messages in {} runs",
        before.0, before.1, after.0, after.1, search.runs
    );
    Some(small)
}

fn size(plan: &Plan) -> (usize, usize) {
    let faults = plan.faults.as_ref().map_or(0, Vec::len);
    let messages = plan.workload.as_ref().map_or(0, Vec::len);
    (faults, messages)
}

struct Search<'a> {
    verdict: String,
    best: Plan,
    runs: u32,
    go_on: &'a mut dyn FnMut(u32) -> bool,
}

impl Search<'_> {
    fn all(&mut self) {
        loop {
            let before = self.best.clone();
            self.messages();
            self.faults();
            self.world();
            self.limits();
            if self.best == before || !self.may_run() {
                return;
            }
        }
    }

    fn may_run(&mut self) -> bool {
        self.runs < RUNS_MAX && (self.go_on)(self.runs)
    }

    fn fails(&mut self, plan: &Plan) -> bool {
        self.runs += 1;
        plan.config.validate().is_ok() && verdict_id(&run_plan(plan.clone())) == self.verdict
    }

    /// Takes a plan if it still fails.
    fn attempt(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.clone();
        change(&mut plan);
        if plan == self.best || !self.may_run() || !self.fails(&plan) {
            return false;
        }
        self.best = plan;
        true
    }

    fn faults(&mut self) {
        self.attempt(|plan| plan.calm_at = None);
        self.attempt(|plan| (plan.crash_at, plan.shake_at) = (None, None));
        self.attempt(|plan| plan.crash_at = None);
        self.attempt(|plan| plan.killer = None);
        self.attempt(|plan| (plan.killer, plan.config.suspects) = (None, 0));
        self.attempt(|plan| plan.shake_at = None);
        self.thin_out(
            |plan| plan.faults.as_ref().map_or(0, Vec::len),
            |plan, from, to| {
                if let Some(faults) = &mut plan.faults {
                    faults.drain(from..to);
                }
            },
        );
    }

    fn messages(&mut self) {
        self.thin_out(
            |plan| plan.workload.as_ref().map_or(0, Vec::len),
            |plan, from, to| {
                if let Some(workload) = &mut plan.workload {
                    workload.drain(from..to);
                    plan.messages = workload.len() as u32;
                }
            },
        );
    }

    /// Takes away halves, quarters, and so on down to one at a time, from the end.
    fn thin_out(&mut self, count: impl Fn(&Plan) -> usize, take: impl Fn(&mut Plan, usize, usize)) {
        let mut chunk = count(&self.best);
        while chunk > 0 {
            let mut to = count(&self.best);
            while to > 0 {
                let from = to.saturating_sub(chunk);
                self.attempt(|plan| take(plan, from, to));
                to = from;
            }
            chunk /= 2;
        }
    }

    fn world(&mut self) {
        for members in 1..self.best.members {
            if self.attempt(|plan| plan.members = members) {
                break;
            }
        }
        // One key, one partition, simple messages.
        let items = |plan: &mut Plan, change: fn(&mut crate::Item)| {
            plan.workload.iter_mut().flatten().for_each(change);
        };
        self.attempt(|plan| items(plan, |i| (i.key, i.lane) = (i.key.map(|_| 0), 1)));
        for partitions in 1..self.best.config.partitions {
            let moved = self.attempt(|plan| {
                plan.config.partitions = partitions;
                for item in plan.workload.iter_mut().flatten() {
                    item.partition = item.partition.min(partitions - 1);
                }
            });
            if moved {
                break;
            }
        }
        self.attempt(|plan| items(plan, |i| (i.hole, i.trail) = (0, 0)));
        self.attempt(|plan| items(plan, |i| i.bytes = 1));
        self.attempt(|plan| items(plan, |i| i.identity = i.number));
        self.attempt(|plan| items(plan, |i| (i.malformed, i.poison) = (false, false)));
        self.attempt(|plan| items(plan, |i| i.expires = None));
        // Plain times.
        self.attempt(|plan| items(plan, |i| i.at = 0));
        self.attempt(|plan| items(plan, |i| i.at = i.at / MILLI * MILLI));
        self.attempt(|plan| (plan.quantum, plan.latency) = (MILLI, Some(MILLI)));
        self.attempt(|plan| plan.quantum = MILLI);
        self.attempt(|plan| plan.latency = Some(MILLI));
        self.attempt(|plan| plan.ticks = 0);
        for heal_at in [10, 30, 100, 300, 1_000] {
            if heal_at * MILLI < self.best.heal_at
                && self.attempt(|plan| plan.heal_at = heal_at * MILLI)
            {
                break;
            }
        }
        self.attempt(|plan| plan.concurrency = u32::MAX);
        self.attempt(|plan| plan.batch = 1);
        // No wait of any plan is longer than a second, all waits of a message together not longer
        // than this: what is stuck for so long stays so.
        self.attempt(|plan| plan.patience = plan.patience.min(10_000 * MILLI));
        // Few of them, or at least round ones.
        for beat in [2_000, 100] {
            if self.best.beat == beat * MILLI || self.attempt(|plan| plan.beat = beat * MILLI) {
                break;
            }
        }
        self.attempt(|plan| plan.lease = 600 * MILLI);
    }

    fn limits(&mut self) {
        // What is not needed for the failure is as a reader would expect it.
        let plain: [fn(&mut Config); 15] = [
            |c| c.order = procession_core::Order::Key,
            |c| c.keyless = procession_core::Keyless::Unordered,
            |c| c.retry.attempts = 2,
            |c| c.retry.backoff.jitter_percent = 0,
            |c| (c.retry.backoff.first, c.retry.backoff.max) = (ms(1), ms(1)),
            |c| (c.commit.backoff, c.dead_letter_backoff) = (c.retry.backoff, c.retry.backoff),
            |c| c.session_backoff = c.retry.backoff,
            |c| c.handler_timeout = Span::MAX,
            |c| c.cancel_grace = ms(10),
            |c| (c.commit.every, c.commit.messages) = (ms(1), 1),
            |c| c.map_bytes = 0,
            |c| c.map_digests = false,
            |c| c.dedupe.ids = 0,
            |c| c.dedupe.age = ms(600_000),
            |c| (c.window, c.window_pool) = (64, 64 * c.partitions),
        ];
        for change in plain {
            self.attempt(|plan| change(&mut plan.config));
        }
        for messages in [1, 2, 4, 8] {
            let smaller = messages < self.best.config.limits.messages;
            let shrunk = smaller
                && self.attempt(|plan| {
                    plan.config.limits.messages = messages;
                    plan.config.limits.partition_messages = messages;
                });
            if shrunk {
                break;
            }
        }
        self.attempt(|plan| {
            let limits = &mut plan.config.limits;
            (limits.bytes, limits.partition_bytes) = (4_000, 4_000);
        });
        self.attempt(|plan| plan.config.limits.low_water_percent = 100);
        self.attempt(|plan| plan.config.message_bytes_max = 256);
    }
}

const fn ms(millis: u64) -> Span {
    Span::from_millis(millis)
}

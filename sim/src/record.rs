//! From a plan to a failure report, and back to a verdict.

use std::rc::Rc;

use crate::plan::Plan;
use crate::report::{Failure, dashed, parse};
use crate::run::{Report, run_plan};
use crate::tape::recorded;
use crate::verdict::Verdict;
use crate::world::{Watch, World};

/// Runs a plan and writes everything down.
#[must_use]
pub fn record(plan: Plan) -> Failure {
    let recorder = Rc::default();
    let watch = Watch {
        noting: true,
        recorder: Some(Rc::clone(&recorder)),
        ..Watch::default()
    };
    let ended = World::new(plan.clone(), watch).run();
    let named = |v: &Verdict| (v.id.to_owned(), dashed(v.shape));
    Failure {
        core: env!("CARGO_PKG_VERSION").into(),
        origin: "sim".into(),
        mutant: 0,
        verdict: ended.verdict.as_ref().map(named),
        detail: ended
            .verdict
            .map_or_else(String::new, |v| one_line(&v.detail)),
        seed: plan.seed,
        shrunk: String::new(),
        config: plan.config.clone(),
        tape: recorded(&recorder),
        world: Some(Plan {
            messages: ended.workload.len() as u32,
            workload: Some(ended.workload),
            faults: Some(ended.faults),
            ..plan
        }),
    }
}

/// The verdict of a run, as reports name it; `clean` for none.
#[must_use]
pub fn verdict_id(report: &Report) -> String {
    match &report.verdict {
        Some(verdict) => format!("{}:{}", verdict.id, dashed(verdict.shape)),
        None => "clean".into(),
    }
}

/// Lets the world of a report happen again, around the core as it is now.
///
/// # Panics
/// A promise is broken, or this is not a report with a world: this is what the tests call that
/// `replay --emit-test` writes.
pub fn must_hold(report: &str) {
    let (failure, _) = parse(report).unwrap_or_else(|e| panic!("not a failure report: {e}"));
    let plan = failure
        .world
        .unwrap_or_else(|| panic!("a report without a world"));
    if let Some(verdict) = run_plan(plan).verdict {
        panic!("{verdict}");
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

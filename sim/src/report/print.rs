//! From a failure to its text.

use std::fmt::Write as _;

use procession_tape::text::{Writer, told};
use procession_tape::{Head, write_config, write_end, write_outputs};

use super::{Failure, world};
use crate::tape::Step;

/// The text of a failure report.
#[must_use]
pub fn print(failure: &Failure) -> String {
    let mut out = String::with_capacity(64 * failure.tape.steps.len() + 4_096);
    head(failure, &mut out);
    write_config(&failure.config, &mut out);
    if let Some(plan) = &failure.world {
        out.push_str("[world]\n");
        let mut plan = plan.clone();
        told(world::world(&mut plan, &mut Writer::lines(&mut out)));
        out.push_str("[workload]\n");
        for item in plan.workload.iter_mut().flatten() {
            out.push_str("publish");
            told(world::item(item, &mut Writer::line(&mut out)));
            out.push('\n');
        }
        out.push_str("[faults]\n");
        for fault in plan.faults.iter().flatten() {
            let (entity, occurrence) = (fault.entity, fault.occurrence);
            let _ = writeln!(out, "{} {entity} {occurrence}", fault.site.name());
        }
    }
    out.push_str("[inputs]\n");
    for step in &failure.tape.steps {
        step.line(&mut out);
        out.push('\n');
    }
    write_outputs(&failure.tape.digests, &mut out);
    write_end(&mut out);
    out
}

/// An input as its line in a report.
#[must_use]
pub fn step_text(step: &Step) -> String {
    let mut out = String::new();
    step.line(&mut out);
    out
}

fn head(failure: &Failure, out: &mut String) {
    let Failure {
        core,
        origin,
        mutant,
        verdict,
        detail,
        seed,
        shrunk,
        config: _,
        world: _,
        tape: _,
    } = failure;
    let verdict = verdict.as_ref();
    let head = Head {
        core,
        origin,
        mutant: *mutant,
        verdict: verdict.map(|(id, shape)| (id.as_str(), shape.as_str())),
        detail,
        shrunk,
        seed: *seed,
    };
    head.write(out);
}

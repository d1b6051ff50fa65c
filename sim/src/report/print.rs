//! From a failure to its text.

use std::fmt::Write as _;

use super::{Failure, VERSION, config, world};
use crate::fate::mix;
use crate::tape::{Call, Poll, Step};
use crate::text::Writer;

/// The text of a failure report.
#[must_use]
pub fn print(failure: &Failure) -> String {
    let mut out = String::with_capacity(64 * failure.tape.steps.len() + 4_096);
    head(failure, &mut out);
    out.push_str("[config]\n");
    let mut all = failure.config.clone();
    told(config::config(&mut all, &mut Writer::lines(&mut out)));
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
        line(step, &mut out);
        out.push('\n');
    }
    out.push_str("[outputs]\n");
    for row in failure.tape.digests.chunks(8) {
        let words: Vec<_> = row.iter().map(|d| format!("{d:08x}")).collect();
        out.push_str(&words.join(" "));
        out.push('\n');
    }
    let digest = digest(&out);
    let _ = writeln!(out, "[digest]\n{digest:016x}");
    out
}

/// An input as its line in a report.
#[must_use]
pub fn step_text(step: &Step) -> String {
    let mut out = String::new();
    line(step, &mut out);
    out
}

fn line(step: &Step, out: &mut String) {
    let _ = write!(out, "{} m{} {}", step.at, step.member, step.call.word());
    if let Call::Polls(polls) = &step.call {
        out.push(' ');
        let letter = |poll: &Poll| Poll::LETTERS.iter().find(|l| l.1 == *poll);
        out.extend(polls.iter().filter_map(letter).map(|l| l.0));
    } else {
        let mut call = step.call.clone();
        told(call.fields(&mut Writer::line(out)));
    }
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
        ..
    } = failure;
    let _ = writeln!(out, "procession-failure {VERSION}");
    let _ = writeln!(out, "core {core}\norigin {origin}");
    if *mutant > 0 {
        let _ = writeln!(out, "mutant {mutant}");
    }
    match verdict {
        Some((id, shape)) => {
            let _ = writeln!(out, "verdict {id} {shape}");
        }
        None => out.push_str("verdict clean\n"),
    }
    for (word, text) in [("detail", detail), ("shrunk", shrunk)] {
        if !text.is_empty() {
            let _ = writeln!(out, "{word} {text}");
        }
    }
    let _ = writeln!(out, "seed {seed}");
}

/// Writing cannot fail: every value of the types has a word.
fn told(result: Result<(), String>) {
    debug_assert_eq!(result, Ok(()));
}

/// Of everything above `[digest]`: shows a file that was torn or changed.
pub(super) fn digest(text: &str) -> u64 {
    let start = mix(text.len() as u64);
    text.as_bytes().chunks(8).fold(start, |h, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        mix(h.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ u64::from_le_bytes(word))
    })
}

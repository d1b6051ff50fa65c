//! `shrink`: a small failure report from a large one.

use std::path::PathBuf;
use std::time::Instant;

use procession_sim::{parse, print, shrink, with_its_mutant};
use serde_json::json;

use super::replay::{not_a_report, read};
use crate::args::ShrinkArgs;
use crate::failure::Failure;
use crate::terminal;

pub(super) fn run(args: &ShrinkArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let text = read(&args.file)?;
    let (failure, _) = parse(&text).map_err(|e| not_a_report(&args.file, &e))?;
    let name = args.file.display();
    if failure.world.is_none() {
        return Err(Failure::usage(format!(
            "{name}: it was recorded in production and has no world that could be made smaller; \
             replay it"
        )));
    }
    if failure.verdict.is_none() {
        return Err(Failure::usage(format!(
            "{name}: nothing was wrong, so nothing is to be shrunk"
        )));
    }
    let progress = terminal::spinner("shrinking");
    let began = Instant::now();
    let small = with_its_mutant(&failure, || {
        shrink(&failure, &mut |runs| {
            progress.set_message(format!("shrinking, {runs} runs"));
            began.elapsed().as_secs() < args.budget
        })
    });
    progress.finish_and_clear();
    let Some(small) = small else {
        return Err(Failure::fault(format!(
            "{}: {name} does not lead there any more",
            failure.verdict_id()
        )));
    };
    let path = args.out.clone().unwrap_or_else(|| beside(&args.file));
    std::fs::write(&path, print(&small))
        .map_err(|e| Failure::usage(format!("-o {}: cannot be written: {e}", path.display())))?;
    let seconds = began.elapsed().as_secs_f64();
    args.output.say(&format!(
        "{}: {}; {} inputs instead of {}; {seconds:.1} s",
        small.verdict_id(),
        small.shrunk,
        small.tape.steps.len(),
        failure.tape.steps.len()
    ));
    args.output.say(&path.display().to_string());
    args.output.write(&json!({
        "version": 1, "verdict": small.verdict_id(), "shrunk": small.shrunk,
        "inputs": small.tape.steps.len(), "seconds": seconds, "file": path,
    }))
}

/// `x.procfail` becomes `x.small.procfail`.
fn beside(file: &std::path::Path) -> PathBuf {
    file.with_extension("small.procfail")
}

//! `replay`: whether a failure report leads where it led.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use procession_sim::{
    Judged, ParseError, Played, Replayed, Step, draw, emit_test, explain_failure, judge, parse,
    replay, step_text, with_its_mutant,
};
use serde_json::json;

use crate::args::ReplayArgs;
use crate::failure::{Failure, Status};

/// Status of a file of another version.
const ANOTHER_VERSION: u8 = 4;

pub(super) fn run(args: &ReplayArgs) -> Result<ExitCode, Failure> {
    args.output.prepare()?;
    let text = read(&args.file)?;
    let (failure, right) = match parse(&text) {
        Ok(read) => read,
        Err(error @ ParseError::Version(_)) => {
            let _closed_pipe =
                writeln!(std::io::stderr(), "error: {}: {error}", args.file.display());
            return Ok(ANOTHER_VERSION.into());
        }
        Err(error) => return Err(not_a_report(&args.file, &error)),
    };
    if !right {
        let _closed_pipe = writeln!(
            std::io::stderr(),
            "warning: {}: the digest is not that of the file: it was changed after it was written",
            args.file.display()
        );
    }
    if failure.mutant > 0 && !cfg!(feature = "mutants") {
        let _closed_pipe = writeln!(
            std::io::stderr(),
            "note: the report is of the deliberate fault {}, which is not in this build (`--features \
             mutants`): it meets a sound core",
            failure.mutant
        );
    }
    if args.emit_test {
        let _closed_pipe = std::io::stdout().write_all(emit_test(&failure).as_bytes());
    }
    let mut show = |index: usize, step: &Step, played: &Played| {
        if args.trace {
            args.output.say(&format!("{index:>6} {}", step_text(step)));
            for line in played.story.lines() {
                args.output.say(&format!("       => {line}"));
            }
        }
    };
    let judged = with_its_mutant(&failure, || match args.until {
        // A part of it has no verdict.
        Some(until) => match replay(&failure, Some(until), args.trace, &mut show) {
            Replayed::Differs(input, story) => Judged::Diverged(input, story),
            Replayed::Same | Replayed::SamePanic | Replayed::Broken(..) => Judged::Again,
        },
        None => judge(&failure, right, args.trace, &mut show),
    });
    with_its_mutant(&failure, || -> Result<(), Failure> {
        if args.explain {
            args.output.say(&explain_failure(&failure, args.until));
        }
        if let Some(path) = &args.html {
            std::fs::write(path, draw(&failure, args.until)).map_err(|e| {
                Failure::usage(format!("--html {}: cannot be written: {e}", path.display()))
            })?;
        }
        Ok(())
    })?;
    let say = |line: &str| {
        if args.emit_test {
            let _closed_pipe = writeln!(std::io::stderr(), "{line}");
        } else {
            args.output.say(line);
        }
    };
    let mut input = None;
    if let Judged::Diverged(index, story) = &judged {
        input = Some(*index);
        if let Some(step) = failure.tape.steps.get(*index) {
            say(&format!(
                "first difference, at input {index}: {}",
                step_text(step)
            ));
        }
        if story.is_empty() {
            say("  now => nothing");
        }
        for line in story.lines() {
            say(&format!("  now => {line}"));
        }
    }
    let inputs = args.until.unwrap_or(failure.tape.steps.len());
    say(&format!(
        "{}, {inputs} inputs: {judged}",
        failure.verdict_id()
    ));
    args.output.write(&json!({
        "version": 1, "file": args.file, "verdict": failure.verdict_id(),
        "result": judged.to_string(), "status": judged.status(), "first_difference": input,
    }))?;
    Ok(judged.status().into())
}

/// The text of a report.
pub(super) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", path.display()));
    let size = std::fs::metadata(path).map_err(|e| cannot(&e))?.len();
    if size > procession_sim::BYTES_MAX as u64 {
        return Err(cannot(&format!(
            "{size} bytes are too many for a failure report"
        )));
    }
    std::fs::read_to_string(path).map_err(|e| cannot(&e))
}

pub(super) fn not_a_report(path: &Path, error: &ParseError) -> Failure {
    Failure {
        status: Status::Usage,
        message: format!("{}: not a failure report: {error}", path.display()),
    }
}

//! `sim run`.

use std::path::Path;
use std::time::Instant;

use procession_sim::{Batch, Report, print, record, shrink};
use serde_json::{Value, json};

use super::{Quiet, reports_dir, with_progress};
use crate::args::{Level, RunArgs};
use crate::failure::Failure;

/// Shrinking one failure takes at most so long.
const SHRINKING_S: u64 = 10;

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    #[cfg(feature = "mutants")]
    return procession_sim::with_mutant(args.mutant, || search(args, args.mutant));
    #[cfg(not(feature = "mutants"))]
    search(args, 0)
}

fn search(args: &RunArgs, mutant: u8) -> Result<(), Failure> {
    let (seeds, output) = (&args.seeds, &args.seeds.output);
    output.prepare()?;
    if args.level == Level::Driver {
        return Err(Failure::usage(
            "--level driver: the driver is not simulated yet; use --level core",
        ));
    }
    let batch = seeds.batch();
    let quiet = Quiet::new();
    let began = Instant::now();
    let summary = with_progress(&batch, "seeds")?;
    let seconds = began.elapsed().as_secs_f64().max(1e-9);
    let dir = reports_dir(args.dir.as_ref());
    let mut violations = Vec::new();
    // One report for each shape: the lowest seed stands for all.
    for (report, count) in summary.shapes() {
        let (verdict, path) = keep(&batch, report, mutant, &dir)?;
        output.say(&format!(
            "{count:>6} x {verdict}, first at seed {}: {}",
            report.seed,
            path.as_str().unwrap_or_default()
        ));
        violations.push(json!({
            "seed": report.seed, "verdict": verdict, "count": count, "file": path,
        }));
    }
    drop(quiet);
    let rate = |figure: u64| figure as f64 / seconds;
    let (runs, median) = (summary.runs, summary.events_median());
    output.say(&format!(
        "{runs} runs in {seconds:.1} s: {:.0} a second, {:.2} M events a second, {median} events in \
         the median; {} violations",
        rate(runs),
        rate(summary.events) / 1e6,
        summary.violated
    ));
    let silent: Vec<String> = summary.silent_sites().map(|s| s.name()).collect();
    if !silent.is_empty() {
        output.say(&format!("never happened: {}", silent.join(", ")));
    }
    output.write(&json!({
        "version": 1,
        "model": seeds.model_name(),
        "level": "core",
        "profile": format!("{:?}", batch.profile).to_lowercase(),
        "seeds": format!("{}..{}", seeds.seeds.from, seeds.seeds.to),
        "runs": runs,
        "threads": batch.threads,
        "seconds": seconds,
        "schedules_per_s": rate(runs),
        "events_per_s": rate(summary.events),
        "events_median": median,
        "hash": format!("{:016x}", summary.hash),
        "violations": violations,
    }))?;
    match violations.first() {
        None => Ok(()),
        Some(first) => {
            let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
            let text = format!("{}: {}", text("verdict"), text("file"));
            output.last_line(&text);
            Err(Failure::fault(text))
        }
    }
}

/// Writes the report of a failure, and a small one beside it; what it is called, and where.
fn keep(
    batch: &Batch,
    report: &Report,
    mutant: u8,
    dir: &Path,
) -> Result<(String, Value), Failure> {
    let mut failure = record(batch.plan(report.seed));
    failure.mutant = mutant;
    let id = failure.verdict_id();
    let name: String = id
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let name = format!("{name}-{}", report.seed);
    let unwritable = |path: &Path, e: &std::io::Error| {
        let path = path.display();
        Failure::usage(format!(
            "--dir: {path} cannot be written: {e}; name another directory"
        ))
    };
    std::fs::create_dir_all(dir).map_err(|e| unwritable(dir, &e))?;
    let path = dir.join(format!("{name}.procfail"));
    std::fs::write(&path, print(&failure)).map_err(|e| unwritable(&path, &e))?;
    let began = Instant::now();
    let small = shrink(&failure, &mut |_| began.elapsed().as_secs() < SHRINKING_S);
    let Some(small) = small else {
        return Ok((id, json!(path)));
    };
    let path = dir.join(format!("{name}.small.procfail"));
    std::fs::write(&path, print(&small)).map_err(|e| unwritable(&path, &e))?;
    Ok((id, json!(path)))
}

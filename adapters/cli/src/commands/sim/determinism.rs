//! `sim determinism`: the same seeds on one thread, on several, and in another process.

use std::process::Command;

use procession_sim::Batch;
use serde_json::json;

use super::{Quiet, with_progress};
use crate::args::SeedsArgs;
use crate::failure::Failure;

pub(super) fn run(args: &SeedsArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let batch = Batch {
        most: 0,
        ..args.batch()
    };
    let quiet = Quiet::new();
    let one = with_progress(
        &Batch {
            threads: 1,
            ..batch
        },
        "one thread",
    )?;
    let threads = batch.threads.max(2);
    let many = with_progress(&Batch { threads, ..batch }, "several threads")?;
    drop(quiet);
    let here = format!("{:016x}", one.hash);
    let rows = [
        ("one thread", here.clone()),
        ("several threads", format!("{:016x}", many.hash)),
        ("another process", elsewhere(args)?),
    ];
    for (what, hash) in &rows {
        args.output.say(&format!("{hash}  {what}"));
    }
    let same = rows.iter().all(|row| row.1 == here);
    args.output.write(&json!({
        "version": 1, "runs": one.runs, "same": same,
        "hashes": rows.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(),
    }))?;
    if same {
        return Ok(());
    }
    let text = "S11: equal seeds gave different runs";
    args.output.last_line(text);
    Err(Failure::fault(text))
}

/// The hash that another process finds, with another number of threads and another environment.
fn elsewhere(args: &SeedsArgs) -> Result<String, Failure> {
    let cannot = |why: String| Failure::usage(format!("no second process: {why}"));
    let binary = std::env::current_exe().map_err(|e| cannot(e.to_string()))?;
    let mut command = Command::new(binary);
    let profile = match args.profile {
        crate::args::ProfileArg::Mixed => "mixed",
        crate::args::ProfileArg::Swarm => "swarm",
        crate::args::ProfileArg::AllOn => "all-on",
        crate::args::ProfileArg::Clean => "clean",
        crate::args::ProfileArg::OneFault => "one-fault",
    };
    command
        .args([
            "sim",
            "run",
            "--json",
            "-",
            "--threads",
            "3",
            "--profile",
            profile,
        ])
        .args([
            "--seeds",
            &format!("{}..{}", args.seeds.from, args.seeds.to),
        ])
        .env("RUST_BACKTRACE", "full");
    if args.model.is_some() {
        command.args(["--model", args.model_name()]);
    }
    let output = command.output().map_err(|e| cannot(e.to_string()))?;
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|e| cannot(e.to_string()))?;
    Ok(json["hash"].as_str().unwrap_or_default().to_owned())
}

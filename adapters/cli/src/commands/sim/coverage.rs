//! `sim coverage`: what happened how often.

use comfy_table::{Table, presets};
use procession_sim::Site;
use serde_json::json;

use super::{Quiet, with_progress};
use crate::args::SeedsArgs;
use crate::failure::Failure;

pub(super) fn run(args: &SeedsArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let quiet = Quiet::new();
    let summary = with_progress(&args.batch(), "seeds")?;
    drop(quiet);
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["fault", "runs with it", "share"]);
    let mut rows = Vec::new();
    for site in Site::ALL.into_iter().filter(|s| s.is_fault()) {
        let runs = summary.fired.0[site as usize];
        let share = 100.0 * runs as f64 / summary.runs.max(1) as f64;
        table.add_row([site.name(), runs.to_string(), format!("{share:.1} %")]);
        rows.push(json!({"fault": site.name(), "runs": runs}));
    }
    args.output.say(&table.to_string());
    args.output.say(&format!("{:?}", summary.tally));
    let silent: Vec<String> = summary.silent_sites().map(|s| s.name()).collect();
    args.output.write(&json!({
        "version": 1, "model": args.model_name(), "runs": summary.runs, "faults": rows,
        "never": silent,
    }))?;
    if silent.is_empty() {
        return Ok(());
    }
    let text = format!("never happened: {}", silent.join(", "));
    args.output.last_line(&text);
    Err(Failure::fault(text))
}

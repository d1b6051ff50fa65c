//! `sim coverage`: what happened how often.

use comfy_table::{Table, presets};
use procession_sim::{Batch, Site, State};
use serde_json::{Value, json};

use super::{Quiet, with_progress};
use crate::args::CoverageArgs;
use crate::failure::Failure;

pub(super) fn run(args: &CoverageArgs) -> Result<(), Failure> {
    let (seeds, output, least) = (&args.seeds, &args.seeds.output, args.least);
    output.prepare()?;
    let quiet = Quiet::new();
    let batch = Batch {
        coverage: true,
        ..seeds.batch()
    };
    let summary = with_progress(&batch, "seeds")?;
    drop(quiet);
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_header(["fault", "runs with it", "share"]);
    let mut faults = Vec::new();
    for site in Site::ALL.into_iter().filter(|s| s.is_fault()) {
        let runs = summary.fired.0[site as usize];
        let share = 100.0 * runs as f64 / summary.runs.max(1) as f64;
        table.add_row([site.name(), runs.to_string(), format!("{share:.1} %")]);
        let counts = State::ALL.iter().zip(summary.coverage.table[site as usize]);
        let states: serde_json::Map<String, Value> = counts
            .map(|(state, n)| (format!("{state:?}").to_lowercase(), json!(n)))
            .collect();
        faults.push(json!({"fault": site.name(), "runs": runs, "states": states}));
    }
    output.say(&table.to_string());
    output.say(&summary.coverage.to_string());
    output.say(&format!("{:?}", summary.tally));
    let rows = summary.coverage.rows().into_iter();
    let reached: Vec<Value> = rows
        .map(|(what, n)| json!({"what": what, "times": n}))
        .collect();
    let never: Vec<String> = summary.silent_sites().map(|s| s.name()).collect();
    let short = summary.short_of(least);
    output.write(&json!({
        "version": 1, "model": seeds.model_name(), "runs": summary.runs, "faults": faults,
        "never": never, "reached": reached, "table_filled_percent": summary.coverage.filled_percent(),
        "short": short,
    }))?;
    if short.is_empty() {
        return Ok(());
    }
    for what in &short {
        output.say(what);
    }
    let text = format!("{} reached less than {least} times", short.len());
    output.last_line(&text);
    Err(Failure::fault(text))
}

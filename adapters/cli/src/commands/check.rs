//! `check`: what histories prove.

use comfy_table::{Table, presets};

use crate::args::CheckArgs;
use crate::check::{Report, check};
use crate::failure::Failure;

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    args.output.prepare()?;
    let report = check(&args.files).map_err(|e| Failure::usage(e.0))?;
    args.output.write(&report.json())?;
    if !args.output.takes_stdout() {
        args.output.say(&table(&report));
    }
    match report.first_broken() {
        None => Ok(()),
        Some((name, words)) => {
            let text = format!("{name}: {words}");
            args.output.last_line(&text);
            Err(Failure::fault(text))
        }
    }
}

fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header([
        "run",
        "stored",
        "unique",
        "attempts",
        "lost",
        "duplicates",
        "excused",
        "dead",
        "inversions",
        "gaps",
        "S1-across",
        "verdict",
    ]);
    for run in &report.runs {
        let across = run.breaches.get("S1-across").map_or(0, |b| b.0);
        let name = [&run.run, &run.broker, &run.load]
            .map(String::as_str)
            .join(" ");
        table.add_row([
            name.trim().to_owned(),
            run.stored.to_string(),
            run.unique.to_string(),
            run.attempts.to_string(),
            run.lost.to_string(),
            run.duplicates.to_string(),
            run.duplicates_excused.to_string(),
            run.dead.to_string(),
            run.inversions.to_string(),
            run.gaps.to_string(),
            across.to_string(),
            if run.verdict.is_empty() {
                "ok".into()
            } else {
                run.verdict.join(", ")
            },
        ]);
    }
    let mut text = table.to_string();
    for source in report.sources.iter().filter(|s| s.killed()) {
        let torn = if source.torn {
            ", its last line is torn"
        } else {
            ""
        };
        text.push_str(&format!(
            "\n{}: the process was killed{torn}",
            source.path.display()
        ));
    }
    text
}

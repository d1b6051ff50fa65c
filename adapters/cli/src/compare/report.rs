//! All runs of a `compare`.

use serde_json::{Value, json};

use super::{NotRun, RunResult, table};

/// All runs, and what was not run.
#[derive(Clone, Default, Debug)]
pub(crate) struct Report {
    pub(super) results: Vec<RunResult>,
    pub(super) not_run: Vec<NotRun>,
}

impl Report {
    pub(crate) fn json(&self) -> Value {
        let runs = self.results.iter().map(RunResult::json);
        let not_run = self.not_run.iter().map(NotRun::json);
        json!({
            "version": 1,
            "procession": env!("CARGO_PKG_VERSION"),
            "runs": runs.chain(not_run).collect::<Vec<_>>(),
        })
    }

    pub(crate) fn table(&self) -> String {
        table::table(&self.results, &self.not_run)
    }

    /// The first fault: its name, where, and what happened.
    pub(crate) fn first_fault(&self) -> Option<String> {
        let run = self.results.iter().find(|r| !r.faults().is_empty())?;
        let fault = run.faults().first().copied()?;
        let all = run.faults().join(", ");
        Some(format!(
            "{all} on {} at load {}: {}",
            run.broker,
            run.load.name,
            run.say(fault)
        ))
    }
}

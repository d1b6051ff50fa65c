//! All runs of a `compare`.

use serde_json::{Value, json};

use super::controls::Control;
use super::setting::Setting;
use super::{NotRun, RunResult, table};
use crate::args::CompareArgs;

/// All runs, and what was not run.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    args: CompareArgs,
    setting: Setting,
    pub(super) results: Vec<RunResult>,
    pub(super) not_run: Vec<NotRun>,
    pub(super) controls: Vec<Control>,
}

impl Report {
    /// Nothing was run yet.
    pub(super) fn new(args: CompareArgs) -> Self {
        Self {
            args,
            setting: Setting::now(),
            results: Vec::new(),
            not_run: Vec::new(),
            controls: Vec::new(),
        }
    }

    /// Everything was run.
    pub(super) fn end(&mut self) {
        self.setting.end();
    }

    pub(crate) fn json(&self) -> Value {
        let runs = self.results.iter().map(RunResult::json);
        let not_run = self.not_run.iter().map(NotRun::json);
        let controls = self.controls.iter().map(Control::json);
        let mut value = json!({
            "version": 1,
            "procession": env!("CARGO_PKG_VERSION"),
            "runs": runs.chain(not_run).collect::<Vec<_>>(),
            "controls": controls.collect::<Vec<_>>(),
        });
        self.setting.write_into(&mut value, &self.args);
        value
    }

    pub(crate) fn table(&self) -> String {
        let mut text = table::table(&self.results, &self.not_run);
        for control in &self.controls {
            text.push('\n');
            text.push_str(&control.say());
        }
        text
    }

    /// The first fault: its name, where, and what happened.
    pub(crate) fn first_fault(&self) -> Option<String> {
        let Some(run) = self.results.iter().find(|r| !r.faults().is_empty()) else {
            return self.controls.iter().find_map(Control::fault);
        };
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

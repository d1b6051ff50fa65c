//! Runs that can be put side by side: those of one broker under one set of conditions.

use super::data::{Comparison, Options, Run};
use super::figures::median;

/// What a series has in common.
#[derive(Clone, PartialEq, Debug)]
struct Conditions {
    broker: String,
    version: String,
    storage: String,
    form: String,
    payload: String,
    options: String,
}

/// All runs of one broker under the same conditions.
#[derive(Clone, Debug)]
pub(super) struct Series<'a> {
    conditions: Conditions,
    /// Its name: the broker, and what else tells it from the others.
    pub(super) label: String,
    pub(super) broker: &'a str,
    /// In the order in which they were run.
    pub(super) runs: Vec<&'a Run>,
}

/// A load of any run.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct LoadName {
    pub(super) name: String,
    pub(super) messages: u64,
    pub(super) aggregates: u64,
}

impl LoadName {
    pub(super) fn of(run: &Run) -> Self {
        Self {
            name: run.load.clone(),
            messages: run.messages,
            aggregates: run.aggregates,
        }
    }
}

/// All series, in the order in which their first runs came.
pub(super) fn all(comparisons: &[Comparison]) -> Vec<Series<'_>> {
    let mut series: Vec<Series<'_>> = Vec::new();
    for comparison in comparisons {
        let options = said(&comparison.options);
        for run in &comparison.runs {
            let conditions = Conditions {
                broker: run.broker.clone(),
                version: run.broker_version.clone(),
                storage: format!("{} storage", run.storage),
                form: run.form.clone(),
                payload: format!("{} B", run.payload_bytes),
                options: options.clone(),
            };
            match series.iter_mut().find(|s| s.conditions == conditions) {
                Some(series) => series.runs.push(run),
                None => series.push(Series {
                    conditions,
                    label: String::new(),
                    broker: &run.broker,
                    runs: vec![run],
                }),
            }
        }
    }
    let labels: Vec<_> = series.iter().map(|s| label(s, &series)).collect();
    for (series, label) in series.iter_mut().zip(labels) {
        series.label = label;
    }
    series
}

/// The broker, and the conditions in which another series of it differs.
fn label(of: &Series<'_>, all: &[Series<'_>]) -> String {
    let parts: [fn(&Conditions) -> &String; 5] = [
        |c| &c.version,
        |c| &c.storage,
        |c| &c.form,
        |c| &c.payload,
        |c| &c.options,
    ];
    let mut label = of.broker.to_owned();
    if of.broker.starts_with("mock") {
        label.push_str(" (mock, not a broker)");
    }
    for part in parts {
        let mine = part(&of.conditions);
        let others = all.iter().filter(|s| s.broker == of.broker);
        if others.into_iter().any(|s| part(&s.conditions) != mine) && !mine.is_empty() {
            label = format!("{label}, {mine}");
        }
    }
    label
}

/// What was done to the bus on purpose.
fn said(options: &Options) -> String {
    let share = |share: f64, what: &str| {
        (share > 0.0).then(|| format!("{} % {what}", (share * 1e6).round() / 1e4))
    };
    let parts = [
        options
            .handler_time
            .as_ref()
            .map(|time| format!("handlers take {time}")),
        share(options.fail_rate, "fail once"),
        share(options.poison_rate, "always fail"),
        share(options.republish_rate, "published twice"),
        options.restart_at.and_then(|at| share(at, "in: a restart")),
        options
            .without
            .as_ref()
            .map(|without| format!("without {without}")),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// All loads, by size.
pub(super) fn loads(series: &[Series<'_>]) -> Vec<LoadName> {
    let mut loads: Vec<LoadName> = Vec::new();
    for run in series.iter().flat_map(|s| &s.runs) {
        let load = LoadName::of(run);
        if !loads.contains(&load) {
            loads.push(load);
        }
    }
    loads.sort_by_key(|load| (load.messages, load.aggregates));
    loads
}

impl<'a> Series<'a> {
    /// Its runs at this load.
    pub(super) fn at<'b>(&'b self, load: &'b LoadName) -> impl Iterator<Item = &'a Run> + 'b {
        self.runs
            .iter()
            .copied()
            .filter(move |run| LoadName::of(run) == *load)
    }

    /// The middle of a figure over its runs at this load.
    pub(super) fn median(&self, load: &LoadName, of: impl Fn(&Run) -> f64) -> Option<f64> {
        median(self.at(load).map(of))
    }
}

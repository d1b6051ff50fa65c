//! What a bench found.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use super::load::PARTITIONS;
use super::{Estimate, Run, raw};
use crate::args::{BenchArgs, What};

/// The allocator of the program (librdkafka keeps that of the C library).
const ALLOCATOR: &str = "mimalloc";

/// One pair, with the bare loop beside it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) ours: Run,
    pub(super) equal: Run,
    /// `None` where there is nothing to tune.
    pub(super) tuned: Option<Run>,
    pub(super) bare: Run,
}

impl Sides {
    fn json(&self) -> Value {
        json!({
            "ours_per_s": self.ours.rate.round(),
            "raw_equal_per_s": self.equal.rate.round(),
            "tuned_per_s": self.tuned.map(|run| run.rate.round()),
            "bare_per_s": self.bare.rate.round(),
        })
    }
}

/// All pairs of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    broker: &'static str,
    what: What,
    pub(super) pairs: Vec<Sides>,
}

impl Row {
    pub(super) fn new(broker: &'static str, what: What) -> Self {
        Self {
            broker,
            what,
            pairs: Vec::new(),
        }
    }

    fn of(&self, value: impl Fn(&Sides) -> f64) -> Estimate {
        Estimate::of(self.pairs.iter().map(value))
    }

    /// How many times as fast as raw-equal.
    fn ratio(&self) -> Estimate {
        self.of(|pair| pair.ours.rate / pair.equal.rate)
    }

    /// How many times as fast as the tuned client, where there is one.
    fn ratio_tuned(&self) -> Option<Estimate> {
        let ratios: Option<Vec<f64>> = self
            .pairs
            .iter()
            .map(|pair| Some(pair.ours.rate / pair.tuned?.rate))
            .collect();
        ratios.filter(|ratios| !ratios.is_empty()).map(Estimate::of)
    }

    fn tuned(&self, value: impl Fn(&Run) -> f64) -> Option<f64> {
        let values = self.pairs.iter().filter_map(|pair| pair.tuned.as_ref());
        let values: Vec<f64> = values.map(value).collect();
        (!values.is_empty()).then(|| Estimate::of(values).median)
    }

    fn json(&self) -> Value {
        let ratio = self.ratio();
        json!({
            "tuned_per_s": self.tuned(|run| run.rate).map(f64::round),
            "ratio_tuned": self.ratio_tuned().map(|ratio| thousandths(ratio.median)),
            "ratio_tuned_low": self.ratio_tuned().map(|ratio| thousandths(ratio.low)),
            "ratio_tuned_high": self.ratio_tuned().map(|ratio| thousandths(ratio.high)),
            "cpu_ns_tuned": self.tuned(|run| run.cpu_nanos).map(f64::round),
            "broker": self.broker,
            "what": self.what.name(),
            "ours_per_s": self.of(|p| p.ours.rate).median.round(),
            "raw_equal_per_s": self.of(|p| p.equal.rate).median.round(),
            "bare_per_s": self.of(|p| p.bare.rate).median.round(),
            "ratio": thousandths(ratio.median),
            "ratio_low": thousandths(ratio.low),
            "ratio_high": thousandths(ratio.high),
            "cpu_ns_ours": self.of(|p| p.ours.cpu_nanos).median.round(),
            "cpu_ns_raw_equal": self.of(|p| p.equal.cpu_nanos).median.round(),
            "cpu_ns_bare": self.of(|p| p.bare.cpu_nanos).median.round(),
            "pairs": self.pairs.len(),
            "runs": self.pairs.iter().map(Sides::json).collect::<Vec<_>>(),
        })
    }

    fn cells(&self) -> [String; 12] {
        let thousands = |rate: f64| format!("{:.0} k", rate / 1e3);
        let whole = |nanos: f64| format!("{nanos:.0}");
        let text = |ratio: Estimate| {
            format!(
                "{:.2} ({:.2} to {:.2})",
                ratio.median, ratio.low, ratio.high
            )
        };
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".into());
        [
            self.broker.to_owned(),
            self.what.name().to_owned(),
            thousands(self.of(|p| p.ours.rate).median),
            thousands(self.of(|p| p.equal.rate).median),
            thousands(self.of(|p| p.bare.rate).median),
            text(self.ratio()),
            or_none(self.tuned(|run| run.rate).map(thousands)),
            or_none(self.ratio_tuned().map(text)),
            whole(self.of(|p| p.ours.cpu_nanos).median),
            whole(self.of(|p| p.equal.cpu_nanos).median),
            or_none(self.tuned(|run| run.cpu_nanos).map(whole)),
            self.pairs.len().to_string(),
        ]
    }
}

pub(super) fn thousandths(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Under which conditions the figures came about.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    cores: usize,
    /// Load average of the last minute, before the bench.
    machine_load: Option<f64>,
    payload: u32,
    keys: u32,
    batch: u32,
    memory: bool,
}

impl Conditions {
    pub(super) fn of(args: &BenchArgs) -> Self {
        Self {
            cores: cores(),
            machine_load: machine_load(),
            payload: args.payload,
            keys: args.keys,
            batch: args.batch,
            memory: args.memory,
        }
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}

pub(super) fn machine_load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// All that a bench found.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    conditions: Conditions,
    rows: Vec<Row>,
    brokers: Vec<String>,
    not_run: Vec<(&'static str, String)>,
}

const HEADER: [&str; 12] = [
    "broker",
    "what",
    "ours/s",
    "raw-equal/s",
    "bare/s",
    "ratio (95 %)",
    "tuned/s",
    "to tuned (95 %)",
    "CPU ns ours",
    "raw-equal",
    "tuned",
    "pairs",
];

impl Report {
    pub(super) fn new(conditions: Conditions) -> Self {
        Self {
            conditions,
            rows: Vec::new(),
            brokers: Vec::new(),
            not_run: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, version: String, rows: Vec<Row>) {
        if let Some(row) = rows.first() {
            self.brokers.push(format!("{} {version}", row.broker));
        }
        self.rows.extend(rows);
    }

    pub(super) fn not_run(&mut self, broker: &'static str, reason: String) {
        self.not_run.push((broker, reason));
    }

    pub(crate) fn json(&self) -> Value {
        let not_run = self.not_run.iter();
        json!({
            "version": 1,
            "procession": env!("CARGO_PKG_VERSION"),
            "conditions": {
                "cores": self.conditions.cores,
                "load_average": self.conditions.machine_load,
                "payload_bytes": self.conditions.payload,
                "keys": self.conditions.keys,
                "batch": self.conditions.batch,
                "in_memory": self.conditions.memory,
                "partitions": PARTITIONS,
                "brokers": self.brokers,
                "clients": raw::clients(),
                "allocator": ALLOCATOR,
            },
            "results": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "not_run": not_run
                .map(|(broker, reason)| json!({"broker": broker, "not_run": reason}))
                .collect::<Vec<_>>(),
        })
    }

    pub(crate) fn text(&self) -> String {
        let c = &self.conditions;
        let load = c
            .machine_load
            .map_or_else(|| "unknown".into(), |l| format!("{l:.2}"));
        let mut text = format!(
            "{} cores shared with the broker, load average {load} before; payload {} B, {} keys, \
             {PARTITIONS} partitions{}, {}\n{}; {}; the allocator of both sides is {ALLOCATOR}\n",
            c.cores,
            c.payload,
            c.keys,
            if c.memory { " in memory" } else { "" },
            match c.batch {
                1 => "each message in a request of its own".to_owned(),
                n => format!("up to {n} of a key in one request of ours"),
            },
            self.brokers.join(", "),
            raw::clients(),
        );
        if !self.rows.is_empty() {
            let mut table = Table::new();
            table.load_preset(presets::NOTHING).set_header(HEADER);
            for row in &self.rows {
                table.add_row(row.cells());
            }
            for column in table.column_iter_mut().skip(2) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            text += &table.trim_fmt();
            text.push('\n');
        }
        for (_, reason) in &self.not_run {
            text += &format!("{reason}\n");
        }
        text.truncate(text.trim_end().len());
        text
    }
}

//! The table for people.

use comfy_table::{Cell, CellAlignment, Table, presets};

use super::{NotRun, RunResult};
use crate::sample::Usage;

const HEADER: [&str; 14] = [
    "broker",
    "load",
    "messages",
    "msg/s",
    "publish p50/p99",
    "end to end p50/p99",
    "delivered",
    "lost",
    "dup",
    "dead",
    "order",
    "threads",
    "memory",
    "verdict",
];

/// All runs, and what was not run.
pub(crate) fn table(results: &[RunResult], not_run: &[NotRun]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(HEADER);
    for r in results {
        let order = if r.inversions + r.gaps == 0 {
            "kept".to_owned()
        } else {
            format!("{} inv, {} gaps", r.inversions, r.gaps)
        };
        let share = if r.stored == 0 {
            0.0
        } else {
            100.0 * r.unique as f64 / r.stored as f64
        };
        table.add_row([
            r.broker.to_owned(),
            r.load.name.clone(),
            r.load.messages.to_string(),
            format!("{:.0}", r.throughput()),
            micros(r.publish_latency.p50, r.publish_latency.p99),
            micros(r.end_to_end_latency.p50, r.end_to_end_latency.p99),
            format!("{share:.2} %"),
            r.lost.to_string(),
            r.duplicates.to_string(),
            r.dead.to_string(),
            order,
            path(r, |u| u.threads),
            path(r, |u| u.rss_bytes >> 20) + " MiB",
            verdict(r),
        ]);
    }
    for n in not_run {
        let mut row = vec![Cell::new(n.broker)];
        row.extend((1..HEADER.len() - 1).map(|_| Cell::new("")));
        row.push(Cell::new(format!("not run: {}", n.reason)));
        table.add_row(row);
    }
    for column in 2..8 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    format!("{table}\nthreads, memory: before > peak > after close")
}

fn verdict(r: &RunResult) -> String {
    let faults = r.faults();
    let cut = if r.interrupted { " (interrupted)" } else { "" };
    let said = if faults.is_empty() {
        "ok".into()
    } else {
        faults.join(", ")
    };
    said + cut
}

fn path(r: &RunResult, of: impl Fn(&Usage) -> u64) -> String {
    let u = &r.usages;
    format!("{} > {} > {}", of(&u.before), of(&u.peak), of(&u.after))
}

fn micros(p50: u64, p99: u64) -> String {
    let show = |us: u64| {
        if us < 1_000 {
            format!("{us} us")
        } else if us < 1_000_000 {
            format!("{:.1} ms", us as f64 / 1e3)
        } else {
            format!("{:.1} s", us as f64 / 1e6)
        }
    };
    format!("{} / {}", show(p50), show(p99))
}

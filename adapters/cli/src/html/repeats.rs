//! What many runs of the same say: how far they spread, and what they leave behind.

use super::data::Run;
use super::figures::{mebibytes, median, micros, rate};
use super::series::{LoadName, Series};

/// How far the runs of one load spread.
pub(super) struct Spread {
    pub(super) series: String,
    pub(super) load: String,
    pub(super) runs: usize,
    /// Messages a second: lowest, middle, highest.
    pub(super) rates: [String; 3],
    /// How many times the lowest the highest is.
    pub(super) ratio: String,
    /// Slowest of 99 %, end to end: lowest, middle, highest.
    pub(super) p99: [String; 3],
    /// Processor time of a message: lowest, middle, highest.
    pub(super) cpu: [String; 3],
    pub(super) broken: usize,
}

/// Where something was run more than once.
pub(super) fn spreads(series: &[Series<'_>], loads: &[LoadName]) -> Vec<Spread> {
    let mut spreads = Vec::new();
    for series in series {
        for load in loads {
            let runs: Vec<_> = series.at(load).collect();
            if runs.len() < 2 {
                continue;
            }
            let rates = three(runs.iter().map(|run| run.throughput_per_s));
            let p99 = three(runs.iter().map(|run| run.end_to_end_latency_us.p99));
            spreads.push(Spread {
                series: series.label.clone(),
                load: load.name.clone(),
                runs: runs.len(),
                ratio: format!("{:.2}", rates[2] / rates[0].max(f64::MIN_POSITIVE)),
                rates: rates.map(rate),
                p99: p99.map(micros),
                cpu: three(runs.iter().filter_map(|run| run.cpu_us())).map(|us| {
                    if us.is_finite() {
                        micros(us)
                    } else {
                        "–".into()
                    }
                }),
                broken: runs.iter().filter(|run| !run.is_ok()).count(),
            });
        }
    }
    spreads
}

/// Lowest, middle, highest.
fn three(values: impl Iterator<Item = f64> + Clone) -> [f64; 3] {
    let middle = median(values.clone()).unwrap_or_default();
    let low = values.clone().fold(f64::INFINITY, f64::min);
    [low, middle, values.fold(0.0, f64::max)]
}

/// What is left after the first run, after the middle one, and after the last.
pub(super) struct Left {
    pub(super) series: String,
    pub(super) runs: usize,
    pub(super) tasks: [String; 3],
    pub(super) threads: [String; 3],
    pub(super) sockets: [String; 3],
    pub(super) mebibytes: [String; 3],
}

/// Where there were so many runs that a leak would add up.
pub(super) fn left(series: &[Series<'_>]) -> Vec<Left> {
    let many = series.iter().filter(|series| series.runs.len() >= 5);
    many.map(|series| {
        let runs = &series.runs;
        let places = [0, runs.len() / 2, runs.len() - 1];
        let of = |figure: fn(&Run) -> String| places.map(|place| figure(runs[place]));
        Left {
            series: series.label.clone(),
            runs: runs.len(),
            tasks: of(|run| run.tasks.after.to_string()),
            threads: of(|run| run.threads.after.to_string()),
            sockets: of(|run| run.sockets.after.to_string()),
            mebibytes: of(|run| mebibytes(run.rss_bytes.after as f64)),
        }
    })
    .collect()
}

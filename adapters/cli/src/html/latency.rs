//! How latencies are distributed: from the middle to the slowest message.

use super::chart::{Axis, Chart, Line, decades, ten_to};
use super::data::{Quantiles, Run};
use super::figures::{median, micros};
use super::series::{LoadName, Series};

/// Where the lines are marked, so that they can be told apart without colours.
const MARKED: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// Which latency.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// From the call to the broker's acknowledgement.
    Publish,
    /// From the call to the end of the first effective processing.
    EndToEnd,
}

impl Kind {
    fn id(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::EndToEnd => "end-to-end",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish to acknowledgement",
            Self::EndToEnd => "publish to handled",
        }
    }

    pub(super) fn quantiles(self, run: &Run) -> &Quantiles {
        match self {
            Self::Publish => &run.publish_latency_us,
            Self::EndToEnd => &run.end_to_end_latency_us,
        }
    }

    fn pairs(self, run: &Run) -> Vec<(f64, f64)> {
        let fine = match self {
            Self::Publish => &run.publish_distribution_us,
            Self::EndToEnd => &run.end_to_end_distribution_us,
        };
        if fine.is_empty() {
            self.quantiles(run).pairs()
        } else {
            fine.clone()
        }
    }
}

/// A chart for one load; none without runs of it.
pub(super) fn chart(
    kind: Kind,
    series: &[Series<'_>],
    load: &LoadName,
    number: usize,
) -> Result<Option<String>, String> {
    // The slowest of n messages is where a share of 1 / n is slower or as slow.
    let last = (load.messages.max(10) as f64).log10();
    let place = |share: f64| (-(1.0 - share).max(1e-9).log10()).min(last);
    let mut lines = Vec::new();
    let mut said = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let runs: Vec<_> = series.at(load).map(|run| kind.pairs(run)).collect();
        let Some(first) = runs.first() else { continue };
        let middle = |&(share, _): &(f64, f64)| {
            let same = |pairs: &Vec<(f64, f64)>| pairs.iter().find(|p| p.0 == share).map(|p| p.1);
            median(runs.iter().filter_map(same)).map(|us| (share, us.max(1.0)))
        };
        let points: Vec<_> = first.iter().filter_map(middle).collect();
        let at = |wanted: f64| points.iter().find(|(share, _)| *share == wanted);
        let words = [
            (0.5, "half within"),
            (0.99, "99 % within"),
            (1.0, "all within"),
        ];
        let words = words.into_iter().filter_map(|(share, words)| {
            at(share).map(|(_, us)| format!("{words} {}", micros(*us)))
        });
        let words: Vec<_> = words.collect();
        said.push(format!("{}: {}", series.label, words.join(", ")));
        lines.push(Line {
            series: index,
            points: points
                .iter()
                .map(|&(share, us)| (place(share), us.log10()))
                .collect(),
            marks: points
                .iter()
                .filter(|(share, _)| MARKED.contains(share))
                .map(|&(share, us)| (place(share), us.log10()))
                .collect(),
            ranges: Vec::new(),
        });
    }
    if lines.iter().all(|line| line.points.is_empty()) {
        return Ok(None);
    }
    let values = lines.iter().flat_map(|line| &line.points);
    let (range, ticks) = decades(values.map(|(_, exponent)| ten_to(*exponent)));
    let nines = (0..=last.floor() as i32).map(f64::from).collect();
    let chart = Chart {
        id: format!("{}-{number}", kind.id()),
        title: format!("Latency at load {}: {}", load.name, kind.name()),
        description: format!(
            "How long messages take, by the share that is faster. {}.",
            said.join(". ")
        ),
        x: Axis {
            range: 0.0..last,
            ticks: nines,
            say: &|place| match place.round() as usize {
                0 => "0 %".into(),
                1 => "90 %".into(),
                2 => "99 %".into(),
                nines => format!("99.{} %", "9".repeat(nines - 2)),
            },
            name: "share of messages that are faster",
        },
        y: Axis {
            range,
            ticks,
            say: &|exponent| micros(ten_to(*exponent)),
            name: "",
        },
        lines,
    };
    chart.svg().map(Some)
}

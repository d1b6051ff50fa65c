//! Messages a second, by load and broker.

use super::chart::{Axis, Chart, Line, decades, ten_to};
use super::figures::{rate, short};
use super::series::{LoadName, Series};

/// The chart; none without runs.
pub(super) fn chart(series: &[Series<'_>], loads: &[LoadName]) -> Result<Option<String>, String> {
    let mut lines = Vec::new();
    let mut all = Vec::new();
    let mut said = Vec::new();
    for (index, series) in series.iter().enumerate() {
        let mut line = Line {
            series: index,
            points: Vec::new(),
            marks: Vec::new(),
            ranges: Vec::new(),
        };
        let mut words = Vec::new();
        for (place, load) in (0..).map(f64::from).zip(loads) {
            let Some(middle) = series.median(load, |run| run.throughput_per_s) else {
                continue;
            };
            let rates = series.at(load).map(|run| run.throughput_per_s);
            let (low, high) = rates.fold((f64::INFINITY, 0.0f64), |(low, high), rate| {
                (low.min(rate), high.max(rate))
            });
            words.push(format!("{} at {}", rate(middle), load.name));
            // What handled nothing has no place on an axis of powers of ten.
            if low > 0.0 {
                line.points.push((place, middle.log10()));
                all.extend([low, high]);
                if low < high {
                    line.ranges.push((place, low.log10(), high.log10()));
                }
            }
        }
        said.push(format!("{}: {}", series.label, words.join(", ")));
        line.marks.clone_from(&line.points);
        lines.push(line);
    }
    if all.is_empty() {
        return Ok(None);
    }
    let (range, ticks) = decades(all.into_iter());
    let last = loads.len().saturating_sub(1) as f64;
    let chart = Chart {
        id: "throughput".into(),
        title: "Messages a second by load and broker".into(),
        description: format!("Messages a second. {}.", said.join(". ")),
        x: Axis {
            range: -0.4..last + 0.4,
            ticks: (0..loads.len()).map(|place| place as f64).collect(),
            say: &|place| {
                let load = loads.get(place.round() as usize);
                load.map(|load| load.name.clone()).unwrap_or_default()
            },
            name: "load",
        },
        y: Axis {
            range,
            ticks,
            say: &|exponent| short(ten_to(*exponent)),
            name: "messages a second",
        },
        lines,
    };
    chart.svg().map(Some)
}

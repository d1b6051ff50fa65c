//! Tasks and memory over time.

use super::chart::{Axis, Chart, Line};
use super::data::Run;
use super::figures::count;
use super::series::Series;

/// With more runs than these, a run is one point instead of a curve.
const CURVES_MAX: usize = 40;
/// So many points of a line at most.
const POINTS_MAX: usize = 300;

/// A figure that is drawn over time.
pub(super) struct Figure {
    id: &'static str,
    /// What it is, with its unit.
    pub(super) title: &'static str,
    /// The samples of a run.
    samples: fn(&Run) -> &[f64],
    peak: fn(&Run) -> f64,
    after: fn(&Run) -> f64,
    /// What one of its unit is.
    unit: f64,
}

/// What is drawn.
pub(super) const FIGURES: [Figure; 2] = [
    Figure {
        id: "tasks",
        title: "Tasks",
        samples: |run| &run.over_time.tasks,
        peak: |run| run.tasks.peak as f64,
        after: |run| run.tasks.after as f64,
        unit: 1.0,
    },
    Figure {
        id: "memory",
        title: "Resident memory in MiB",
        samples: |run| &run.over_time.rss_bytes,
        peak: |run| run.rss_bytes.peak as f64,
        after: |run| run.rss_bytes.after as f64,
        unit: (1 << 20) as f64,
    },
];

impl Figure {
    /// The charts of one series, each with its title. Of few runs there is a curve each, of many the
    /// peaks, and what was left after each run was closed.
    pub(super) fn charts(
        &self,
        series: &Series<'_>,
        number: usize,
    ) -> Result<Vec<(String, String)>, String> {
        let first = series.runs.first().map_or(0.0, |run| run.started_s);
        let mut drawn = Vec::new();
        let mut draw = |part: &str, says: &str, lines: Vec<Vec<(f64, f64)>>| {
            let id = format!("{}-{part}{number}", self.id);
            let title = format!("{}{says}", series.label);
            let lines = lines.into_iter().map(|points| Line {
                series: number,
                points,
                marks: Vec::new(),
                ranges: Vec::new(),
            });
            let chart = self.chart(id, title.clone(), lines.collect());
            chart.map(|chart| drawn.extend(chart.map(|chart| (chart, title))))
        };
        if series.runs.len() <= CURVES_MAX {
            let curve = |run: &&Run| {
                let times = run.over_time.at_s.iter();
                let times = times.map(|at| run.started_s - first + at);
                thinned(times.zip((self.samples)(run).iter().copied()).collect())
            };
            draw("", "", series.runs.iter().map(curve).collect())?;
        } else {
            let ends = |of: fn(&Run) -> f64| {
                let end = |run: &&Run| {
                    let took = run.over_time.at_s.last().copied().unwrap_or_default();
                    (run.started_s - first + took, of(run))
                };
                vec![thinned(series.runs.iter().map(end).collect())]
            };
            draw("peak", ", peak of each run", ends(self.peak))?;
            draw("after", ", after each run", ends(self.after))?;
        }
        Ok(drawn)
    }

    fn chart(&self, id: String, title: String, lines: Vec<Line>) -> Result<Option<String>, String> {
        let points = || lines.iter().flat_map(|line| line.points.iter().copied());
        let highest = points().map(|p| p.1).fold(0.0, f64::max) / self.unit;
        let end = points().map(|p| p.0).fold(0.0, f64::max);
        if highest <= 0.0 || end <= 0.0 {
            return Ok(None);
        }
        let (unit, divisor) = match end {
            end if end > 7_200.0 => ("hours", 3_600.0),
            end if end > 300.0 => ("minutes", 60.0),
            _ => ("seconds", 1.0),
        };
        let last = points().last().map_or(0.0, |p| p.1 / self.unit);
        let say = |value: f64| count(value.max(0.0).round() as u64);
        let scaled = |line: Line| Line {
            points: line
                .points
                .into_iter()
                .map(|(at, value)| (at / divisor, value / self.unit))
                .collect(),
            ..line
        };
        let chart = Chart {
            id,
            title: format!("{}: {title}", self.title),
            description: format!(
                "{} over {:.1} {unit}: at most {}, {} in the end.",
                self.title,
                end / divisor,
                say(highest),
                say(last),
            ),
            x: Axis {
                range: 0.0..end / divisor,
                ticks: Vec::new(),
                say: &|at| format!("{}", (at * 100.0).round() / 100.0),
                name: unit,
            },
            y: Axis {
                range: 0.0..highest * 1.1,
                ticks: Vec::new(),
                say: &|value| say(*value),
                name: "",
            },
            lines: lines.into_iter().map(scaled).collect(),
        };
        chart.svg().map(Some)
    }
}

/// Fewer points; of neighbours the highest stays.
fn thinned(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let each = points.len().div_ceil(POINTS_MAX).max(1);
    let highest = |part: &[(f64, f64)]| {
        let of = |a: (f64, f64), b: &(f64, f64)| if b.1 > a.1 { *b } else { a };
        part.iter().skip(1).fold(part[0], of)
    };
    points.chunks(each).map(highest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_thinned_keeps_its_peak() {
        let points: Vec<_> = (0..10_000)
            .map(|i| (f64::from(i), if i == 4_321 { 99.0 } else { 1.0 }))
            .collect();
        let thin = thinned(points);
        assert!(thin.len() <= POINTS_MAX);
        assert!(thin.contains(&(4_321.0, 99.0)));
        assert!(thinned(Vec::new()).is_empty());
    }
}

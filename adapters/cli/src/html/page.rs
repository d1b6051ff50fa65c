//! The page: what is shown, in the order in which it is shown.

use askama::Template;

use super::chart::{COLOURS, SHAPES};
use super::course;
use super::data::{Comparison, Run, Span};
use super::figures::{count, mebibytes, micros, percent, rate};
use super::latency::{self, Kind};
use super::predecessor::{self, Beside};
use super::repeats::{self, Left, Spread};
use super::series::{self, LoadName, Series};
use super::throughput;

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(super) struct Page {
    /// One sentence: whether all promises held.
    verdict: String,
    fine: bool,
    /// What went wrong, and what was not run.
    troubles: Vec<String>,
    sources: Vec<Source>,
    tables: Vec<Table>,
    legend: Vec<Sign>,
    throughput: Option<String>,
    /// Charts, and what stands above them.
    publish: Vec<(String, String)>,
    end_to_end: Vec<(String, String)>,
    /// By figure.
    courses: Vec<(&'static str, Vec<(String, String)>)>,
    spreads: Vec<Spread>,
    left: Vec<Left>,
    controls: Vec<ControlRow>,
    beside: [Beside; 2],
    wrong: [(&'static str, &'static str); 9],
    procession: String,
}

/// Where the figures come from.
struct Source {
    started: String,
    command: String,
    machine: String,
}

/// A series in the legend.
struct Sign {
    colour: usize,
    shape: &'static str,
    label: String,
}

/// The runs of one series.
struct Table {
    label: String,
    about: String,
    rows: Vec<RunRow>,
}

struct RunRow {
    load: String,
    /// Messages and aggregates.
    size: String,
    cells: Vec<Cell>,
    fine: bool,
    verdict: String,
}

struct Cell {
    name: &'static str,
    text: String,
}

struct ControlRow {
    broker: String,
    without: String,
    expected: String,
    switched_off: String,
    switched_on: String,
    as_it_must_be: bool,
}

impl Page {
    pub(super) fn new(comparisons: &[Comparison]) -> Result<Self, String> {
        let series = series::all(comparisons);
        let loads = series::loads(&series);
        let charts = |kind| -> Result<Vec<(String, String)>, String> {
            let mut charts = Vec::new();
            for (number, load) in loads.iter().enumerate() {
                let chart = latency::chart(kind, &series, load, number)?;
                charts.extend(chart.map(|chart| (chart, load_of(load))));
            }
            Ok(charts)
        };
        let mut courses = Vec::new();
        for figure in &course::FIGURES {
            let mut charts = Vec::new();
            for (number, series) in series.iter().enumerate() {
                charts.extend(figure.charts(series, number)?);
            }
            if !charts.is_empty() {
                courses.push((figure.title, charts));
            }
        }
        let controls: Vec<_> = comparisons.iter().flat_map(|c| &c.controls).collect();
        let (verdict, fine) = verdict(&series, controls.iter().all(|c| c.as_it_must_be));
        Ok(Self {
            verdict,
            fine,
            troubles: troubles(comparisons, &series),
            sources: comparisons.iter().map(Source::of).collect(),
            tables: series.iter().map(Table::of).collect(),
            legend: (0..).zip(&series).map(Sign::of).collect(),
            throughput: throughput::chart(&series, &loads)?,
            publish: charts(Kind::Publish)?,
            end_to_end: charts(Kind::EndToEnd)?,
            courses,
            spreads: repeats::spreads(&series, &loads),
            left: repeats::left(&series),
            controls: controls
                .into_iter()
                .map(|control| ControlRow {
                    broker: control.broker.clone(),
                    without: control.without.clone(),
                    expected: control.expected.clone(),
                    switched_off: found(&control.switched_off),
                    switched_on: found(&control.switched_on),
                    as_it_must_be: control.as_it_must_be,
                })
                .collect(),
            beside: predecessor::beside(&series),
            wrong: predecessor::WRONG,
            procession: comparisons
                .first()
                .map(|c| c.procession.clone())
                .unwrap_or_default(),
        })
    }
}

/// A load with its size.
fn load_of(load: &LoadName) -> String {
    format!(
        "{} ({} × {})",
        load.name,
        count(load.messages),
        count(load.aggregates)
    )
}

fn verdict(series: &[Series<'_>], controlled: bool) -> (String, bool) {
    let runs = series.iter().flat_map(|s| &s.runs);
    let (all, fine) = runs.fold((0u64, 0u64), |(all, fine), run| {
        (all + 1, fine + u64::from(run.is_ok()))
    });
    match (all, all - fine) {
        (0, _) => ("Nothing was run".into(), false),
        (_, 0) if !controlled => (
            "All promises were kept, and a negative control was not as it must be".into(),
            false,
        ),
        (1, 0) => ("All promises were kept".into(), true),
        (all, 0) => (
            format!("All promises were kept in {} runs", count(all)),
            true,
        ),
        (all, broken) => (
            format!(
                "Promises were broken in {} of {} runs",
                count(broken),
                count(all)
            ),
            false,
        ),
    }
}

fn troubles(comparisons: &[Comparison], series: &[Series<'_>]) -> Vec<String> {
    /// So many are told; the table has the rest.
    const TOLD: usize = 20;
    let broken = series.iter().flat_map(|series| {
        let broken = series.runs.iter().filter(|run| !run.is_ok());
        broken.map(|run| format!("{} at {}: {}", series.label, run.load, found(run)))
    });
    let not_run = comparisons.iter().flat_map(|c| &c.not_run);
    let not_run = not_run.map(|n| format!("{}: not run: {}", n.broker, n.not_run));
    let mut told: Vec<_> = not_run.chain(broken).collect();
    if told.len() > TOLD {
        let more = told.len() - TOLD;
        told.truncate(TOLD);
        told.push(format!("and {more} more, in the tables"));
    }
    told
}

/// The verdict, with what it means in figures.
fn found(run: &Run) -> String {
    if run.why.is_empty() {
        run.verdict()
    } else {
        format!("{}: {}", run.verdict(), run.why.join("; "))
    }
}

impl Source {
    fn of(comparison: &Comparison) -> Self {
        let machine = &comparison.machine;
        let mut said = format!("{} processors", machine.cpus);
        if let Some(bytes) = machine.memory_bytes {
            said = format!("{said}, {} MiB of memory", mebibytes(bytes as f64));
        }
        if !machine.system.is_empty() {
            said = format!("{said}, {}", machine.system);
        }
        if let (Some(before), Some(after)) =
            (machine.load_average.before, machine.load_average.after)
        {
            said = format!("{said}; load average {before} before and {after} after");
        }
        Self {
            started: comparison.started.clone(),
            command: comparison.command.clone(),
            machine: said,
        }
    }
}

impl Sign {
    fn of((index, series): (usize, &Series<'_>)) -> Self {
        Self {
            colour: index % COLOURS.len(),
            shape: SHAPES[index % SHAPES.len()],
            label: series.label.clone(),
        }
    }
}

impl Table {
    fn of(series: &Series<'_>) -> Self {
        /// So many rows are shown; the JSON has all.
        const SHOWN: usize = 60;
        let left_out = series.runs.len().saturating_sub(SHOWN);
        // What is broken is never left out.
        let (mut broken, mut fine): (Vec<_>, Vec<_>) = series
            .runs
            .iter()
            .enumerate()
            .partition(|(_, run)| !run.is_ok());
        fine.truncate(SHOWN);
        broken.append(&mut fine);
        broken.sort_by_key(|(place, _)| *place);
        let about = series.runs.first().map(|run| {
            let version = match &*run.broker_version {
                "" => String::new(),
                version => format!(" {version}"),
            };
            format!(
                "{}{version}, {} storage, {} form, {} bytes of payload",
                run.broker, run.storage, run.form, run.payload_bytes
            )
        });
        let mut about = about.unwrap_or_default();
        if left_out > 0 {
            about = format!(
                "{about}; {} runs, of which the first {SHOWN} and all broken ones are shown",
                series.runs.len()
            );
        }
        Self {
            label: series.label.clone(),
            about,
            rows: broken.into_iter().map(|(_, run)| RunRow::of(run)).collect(),
        }
    }
}

impl RunRow {
    fn of(run: &Run) -> Self {
        let order = match (run.inversions, run.gaps) {
            (0, 0) => "kept".into(),
            (inversions, gaps) => format!("{inversions} inversions, {gaps} gaps"),
        };
        let (publish, end_to_end) = (&run.publish_latency_us, &run.end_to_end_latency_us);
        let handled = [end_to_end.p50, end_to_end.p99, end_to_end.max];
        let handled = handled.map(micros).join(" / ");
        let way = |span: &Span| {
            format!(
                "{} › {} › {}",
                count(span.before),
                count(span.peak),
                count(span.after)
            )
        };
        let memory = [
            run.rss_bytes.before,
            run.rss_bytes.peak,
            run.rss_bytes.after,
        ];
        let memory = memory.map(|bytes| mebibytes(bytes as f64)).join(" › ");
        let lost = [run.lost, run.duplicates, run.dead].map(count).join(" / ");
        let cell = |name, text| Cell { name, text };
        Self {
            load: run.load.clone(),
            size: format!("{} × {}", count(run.messages), count(run.aggregates)),
            cells: vec![
                cell("msg/s", rate(run.throughput_per_s)),
                cell(
                    "publish p50 / p99",
                    [publish.p50, publish.p99].map(micros).join(" / "),
                ),
                cell("handled p50 / p99 / max", handled),
                cell("delivered", percent(run.unique, run.stored)),
                cell("lost / dup / dead", lost),
                cell("order", order),
                cell("tasks", way(&run.tasks)),
                cell("threads", way(&run.threads)),
                cell("sockets", way(&run.sockets)),
                cell("MiB", memory),
                cell("CPU/msg", run.cpu_us().map_or_else(|| "–".into(), micros)),
            ],
            fine: run.is_ok(),
            verdict: if run.interrupted {
                format!("{} (interrupted)", run.verdict())
            } else {
                run.verdict()
            },
        }
    }
}

//! What `compare --json` writes, read again: the page is made from nothing else.

use serde::Deserialize;
use serde_json::Value;

/// The version of the format that is understood.
const VERSION: u64 = 1;

/// One `compare`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Comparison {
    /// The version of Procession.
    pub(super) procession: String,
    #[serde(default)]
    pub(super) started: String,
    #[serde(default)]
    pub(super) command: String,
    #[serde(default)]
    pub(super) machine: Machine,
    #[serde(default)]
    pub(super) options: Options,
    #[serde(default)]
    pub(super) controls: Vec<Control>,
    #[serde(skip)]
    pub(super) runs: Vec<Run>,
    #[serde(skip)]
    pub(super) not_run: Vec<NotRun>,
}

#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Machine {
    pub(super) cpus: u64,
    pub(super) memory_bytes: Option<u64>,
    pub(super) system: String,
    pub(super) load_average: LoadAverage,
}

#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct LoadAverage {
    pub(super) before: Option<f64>,
    pub(super) after: Option<f64>,
}

/// What tells one comparison from another, beside brokers and loads.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Options {
    pub(super) fail_rate: f64,
    pub(super) poison_rate: f64,
    pub(super) republish_rate: f64,
    pub(super) restart_at: Option<f64>,
    pub(super) handler_time: Option<String>,
    pub(super) without: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Control {
    pub(super) without: String,
    pub(super) broker: String,
    pub(super) expected: String,
    pub(super) as_it_must_be: bool,
    pub(super) switched_off: Run,
    pub(super) switched_on: Run,
}

/// A broker that was not run, and why.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct NotRun {
    pub(super) broker: String,
    pub(super) not_run: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Run {
    pub(super) broker: String,
    #[serde(default)]
    pub(super) broker_version: String,
    pub(super) storage: String,
    pub(super) form: String,
    pub(super) load: String,
    pub(super) messages: u64,
    pub(super) aggregates: u64,
    pub(super) payload_bytes: u64,
    pub(super) stored: u64,
    pub(super) unique: u64,
    pub(super) lost: u64,
    pub(super) duplicates: u64,
    pub(super) dead: u64,
    pub(super) inversions: u64,
    pub(super) gaps: u64,
    pub(super) throughput_per_s: f64,
    pub(super) publish_latency_us: Quantiles,
    pub(super) end_to_end_latency_us: Quantiles,
    pub(super) tasks: Span,
    pub(super) threads: Span,
    pub(super) sockets: Span,
    pub(super) rss_bytes: Span,
    pub(super) verdict: Verdict,
    #[serde(default)]
    pub(super) why: Vec<String>,
    #[serde(default)]
    pub(super) interrupted: bool,
    // What versions before did not write.
    #[serde(default)]
    pub(super) publish_distribution_us: Vec<(f64, f64)>,
    #[serde(default)]
    pub(super) end_to_end_distribution_us: Vec<(f64, f64)>,
    #[serde(default)]
    pub(super) cpu_seconds: Option<f64>,
    #[serde(default)]
    pub(super) started_s: f64,
    #[serde(default)]
    pub(super) over_time: OverTime,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

/// Before, at the peak, after close.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Span {
    pub(super) before: u64,
    pub(super) peak: u64,
    pub(super) after: u64,
}

#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(super) struct OverTime {
    pub(super) at_s: Vec<f64>,
    pub(super) tasks: Vec<f64>,
    pub(super) rss_bytes: Vec<f64>,
}

/// `"ok"`, or the names of faults.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Verdict {
    Ok(String),
    Faults(Vec<String>),
}

impl Comparison {
    /// Reads what `compare --json` wrote.
    ///
    /// # Errors
    /// Why it is not that.
    pub(crate) fn read(value: &Value) -> Result<Self, String> {
        let (version, rows) = (value["version"].as_u64(), value["runs"].as_array());
        let rows = match (version, rows) {
            (Some(VERSION), Some(rows)) => rows,
            (Some(version), _) if version != VERSION => {
                return Err(format!(
                    "version {version} of the format, and version {VERSION} is understood; use the \
                     procession that wrote it"
                ));
            }
            _ => return Err("not written by `procession compare --json`".into()),
        };
        let wrong = |e| format!("not written by `procession compare --json`: {e}");
        let mut comparison = Self::deserialize(value).map_err(wrong)?;
        for row in rows {
            if row["not_run"].is_string() {
                let not_run = NotRun::deserialize(row).map_err(wrong)?;
                comparison.not_run.push(not_run);
            } else {
                comparison.runs.push(Run::deserialize(row).map_err(wrong)?);
            }
        }
        Ok(comparison)
    }
}

impl Run {
    pub(super) fn is_ok(&self) -> bool {
        matches!(&self.verdict, Verdict::Ok(_))
    }

    /// Microseconds of processors that a message took, both ways together.
    pub(super) fn cpu_us(&self) -> Option<f64> {
        let seconds = self.cpu_seconds?;
        (self.unique > 0).then(|| seconds * 1e6 / self.unique as f64)
    }

    /// `ok`, or the names of the faults.
    pub(super) fn verdict(&self) -> String {
        match &self.verdict {
            Verdict::Ok(word) => word.clone(),
            Verdict::Faults(names) => names.join(", "),
        }
    }
}

impl Quantiles {
    /// Pairs of share and microseconds, where no finer ones were written.
    pub(super) fn pairs(&self) -> Vec<(f64, f64)> {
        vec![
            (0.5, self.p50),
            (0.9, self.p90),
            (0.99, self.p99),
            (0.999, self.p999),
            (1.0, self.max),
        ]
    }
}

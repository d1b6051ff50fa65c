//! What a run came to, and its JSON.

use serde_json::{Value, json};

use super::latency::Told;
use crate::args::Load;
use crate::sample::Usages;

/// A broker that was not run, and why.
#[derive(Clone, Debug)]
pub(crate) struct NotRun {
    pub(crate) broker: &'static str,
    pub(crate) reason: String,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub(crate) struct RunResult {
    pub(crate) broker: &'static str,
    pub(crate) broker_version: String,
    pub(crate) storage: String,
    pub(crate) form: String,
    pub(crate) load: Load,
    pub(crate) topics: u32,
    pub(crate) partitions: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) stored: u64,
    pub(crate) unique: u64,
    pub(crate) attempts: u64,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) dead: u64,
    pub(crate) inversions: u64,
    pub(crate) gaps: u64,
    pub(crate) unresolved: u64,
    pub(crate) seconds: f64,
    /// When it began, in seconds after the comparison did.
    pub(crate) started_s: f64,
    pub(crate) publish_latency: Told,
    pub(crate) end_to_end_latency: Told,
    pub(crate) usages: Usages,
    /// It was ended by a signal; what had been accepted was finished.
    pub(crate) interrupted: bool,
    /// What else went wrong, in words.
    pub(crate) trouble: Option<String>,
}

impl RunResult {
    /// Names of the faults, in the order in which they are named.
    pub(crate) fn faults(&self) -> Vec<&'static str> {
        let unresolved = self.unresolved > 0 && !self.interrupted;
        [
            ("lost", self.lost > 0),
            ("duplicates", self.duplicates > 0),
            ("inversions", self.inversions > 0),
            ("gaps", self.gaps > 0),
            ("leak", self.usages.after.leaks_beyond(&self.usages.before)),
            ("unresolved", unresolved || self.trouble.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, found)| found.then_some(name))
        .collect()
    }

    /// A fault in words.
    pub(crate) fn say(&self, fault: &str) -> String {
        let (before, after) = (&self.usages.before, &self.usages.after);
        match fault {
            "lost" => format!("{} of {} stored were never handled", self.lost, self.stored),
            "duplicates" => format!("{} ran more than once", self.duplicates),
            "inversions" => format!("{} ran out of order", self.inversions),
            "gaps" => format!("{} were passed by a later one", self.gaps),
            "leak" => format!(
                "after close: tasks {} (before {}), threads {} ({}), sockets {} ({})",
                after.tasks,
                before.tasks,
                after.threads,
                before.threads,
                after.sockets,
                before.sockets
            ),
            _ => self.trouble.clone().unwrap_or_else(|| {
                format!("of {} publishes nobody knows what became", self.unresolved)
            }),
        }
    }

    /// Messages a second, until the last first effective processing.
    pub(crate) fn throughput(&self) -> f64 {
        if self.seconds > 0.0 {
            self.unique as f64 / self.seconds
        } else {
            0.0
        }
    }

    pub(crate) fn json(&self) -> Value {
        let rate = |part: u64, whole: u64| {
            if whole == 0 {
                0.0
            } else {
                part as f64 / whole as f64
            }
        };
        let faults = self.faults();
        let mut value = json!({
            "broker": self.broker, "broker_version": self.broker_version,
            "storage": self.storage, "form": self.form,
            "load": self.load.name, "messages": self.load.messages,
            "aggregates": self.load.aggregates, "topics": self.topics,
            "partitions": self.partitions, "payload_bytes": self.payload_bytes,
            "stored": self.stored, "unique": self.unique, "attempts": self.attempts,
            "lost": self.lost, "duplicates": self.duplicates, "dead": self.dead, "parked": 0,
            "inversions": self.inversions, "gaps": self.gaps,
            "delivery_rate": rate(self.unique, self.stored),
            "loss_rate": rate(self.lost, self.stored),
            "duplication_rate": rate(self.duplicates, self.unique),
            "seconds": self.seconds, "throughput_per_s": self.throughput(),
            "publish_latency_us": self.publish_latency.quantiles,
            "end_to_end_latency_us": self.end_to_end_latency.quantiles,
            "publish_distribution_us": self.publish_latency.distribution,
            "end_to_end_distribution_us": self.end_to_end_latency.distribution,
            "started_s": self.started_s,
            "interrupted": self.interrupted,
            "verdict": if faults.is_empty() { json!("ok") } else { json!(faults) },
            "why": faults.iter().map(|fault| self.say(fault)).collect::<Vec<_>>(),
            "not_run": null,
        });
        self.usages.write_into(&mut value);
        value
    }
}

impl NotRun {
    /// The same fields, without figures.
    pub(crate) fn json(&self) -> Value {
        let mut value = json!({ "broker": self.broker, "not_run": self.reason });
        for field in [
            "broker_version",
            "storage",
            "form",
            "load",
            "messages",
            "aggregates",
            "topics",
            "partitions",
            "payload_bytes",
            "stored",
            "unique",
            "attempts",
            "lost",
            "duplicates",
            "dead",
            "parked",
            "inversions",
            "gaps",
            "delivery_rate",
            "loss_rate",
            "duplication_rate",
            "seconds",
            "throughput_per_s",
            "publish_latency_us",
            "end_to_end_latency_us",
            "publish_distribution_us",
            "end_to_end_distribution_us",
            "started_s",
            "interrupted",
            "tasks",
            "threads",
            "sockets",
            "rss_bytes",
            "cpu_seconds",
            "over_time",
            "verdict",
            "why",
        ] {
            value[field] = Value::Null;
        }
        value
    }
}

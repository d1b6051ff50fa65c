//! What the predecessor's reports said, beside what was measured here, and why theirs was wrong.

use super::data::Run;
use super::figures::{median, micros, rate};
use super::series::Series;

/// Its four loads: messages, aggregates.
const LOADS: [(u64, u64); 4] = [(500, 50), (2_000, 200), (5_000, 500), (10_000, 1_000)];

/// What a report of October 2025 said of a broker.
struct Said {
    /// Messages a second, by load.
    rates: [f64; 4],
    also: &'static str,
}

struct Reported {
    name: &'static str,
    kafka: Said,
    nats: Said,
}

const REPORTS: [Reported; 5] = [
    Reported {
        name: "problem analysis",
        kafka: Said {
            rates: [333.33, 1_333.26, 1_666.59, 3_333.00],
            also: "latency 0.006, 0.004, 0.005, 0.004 ms; a leak of 4446 goroutines",
        },
        nats: Said {
            rates: [66.15, 119.77, 99.26, 99.37],
            also: "latency 0.004, 0.013, 0.043, 0.045 ms; success 199.40, 90.35, 59.80, 30.00 %; \
                   order violations 511, 1028, 2002, 2000; a leak of 5519 goroutines",
        },
    },
    Reported {
        name: "envelope comparison",
        kafka: Said {
            rates: [33.33, 133.26, 166.56, 333.01],
            also: "latency 0.003, 0.002, 0.005, 0.005 ms; \"envelopes cost 93-96 %\"; peaks of 449 \
                   to 452 goroutines, leak 0",
        },
        nats: Said {
            rates: [33.31, 133.24, 166.53, 331.49],
            also: "latency 0.006, 0.000, 0.003, 0.005 ms; peaks of 275 to 1273 goroutines, leak 1",
        },
    },
    Reported {
        name: "memory persistence (raw messages)",
        kafka: Said {
            rates: [493.36, 1_918.62, 4_426.77, 7_892.83],
            also: "latency 145.45, 266.23, 296.32, 233.61 ms; a leak of 134 goroutines",
        },
        nats: Said {
            rates: [361.30, 830.74, 161.82, 1_169.39],
            also: "latency 5.14, 4.56, 40.81, 4.92 ms; a leak of 10 goroutines; the 161.82 is one \
                   wait of 30 s for an acknowledgement inside the run",
        },
    },
    Reported {
        name: "NATS fixes",
        kafka: Said {
            rates: [333.0, 1_333.0, 1_667.0, 3_333.0],
            also: "a peak of 4452 goroutines",
        },
        nats: Said {
            rates: [333.0, 1_333.0, 1_665.0, 327.0],
            also: "a peak of 15463 goroutines; a write timeout at the extreme load",
        },
    },
    Reported {
        name: "actor pool",
        kafka: Said {
            rates: [33.32, 133.24, 166.58, 332.93],
            also: "latency 468.8, 590.2, 735.0, 927.0 ms; a peak of 122 goroutines, leak 0",
        },
        nats: Said {
            rates: [33.27, 132.13, 164.52, 322.24],
            also: "latency 85.4, 327.1, 989.0, 2000.4 ms; a peak of 1067 goroutines, leak 1",
        },
    },
];

/// What was reported, and what it was.
pub(super) const WRONG: [(&str, &str); 9] = [
    (
        "33, 133, 167, 333 messages a second, Kafka and NATS alike",
        "The number of messages divided by a fixed sleep of 15 or 30 s. A system of any speed scores this.",
    ),
    (
        "\"Kafka is 10 times faster than NATS\" (3333 against 327)",
        "Two different fixed waits.",
    ),
    (
        "\"Envelopes cost 93-96 %\"",
        "The same artefact, set against another harness.",
    ),
    ("Latencies of 0.002 to 0.045 ms", "The body of the handler."),
    (
        "Latencies of 85 to 2000 ms",
        "End to end, with a mutex, debug logging and reads of memory that stop the world inside.",
    ),
    (
        "Success of 199.40 %, 59.80 %, 30.00 %",
        "Received over sent, duplicates counted: nothing was acknowledged, so 1,000 distinct messages came one to three times.",
    ),
    (
        "511 to 2002 violations of order",
        "Duplicates counted as violations, gaps never; the rest came from five loops that shared one durable consumer.",
    ),
    (
        "Leaks of 4446, 5519 or 134 goroutines; of exactly 1 for each NATS bus",
        "Counted before everything was closed; the one is a fault of the Go client, mended since.",
    ),
    (
        "A peak of 15,463 goroutines",
        "One waiting goroutine for each published message.",
    ),
];

/// Messages a second of one row, by load.
pub(super) struct Row {
    pub(super) who: String,
    /// With the names of the loads.
    pub(super) rates: Vec<(&'static str, String)>,
    pub(super) also: String,
    pub(super) ours: bool,
}

/// What was said of one broker, and what was measured.
pub(super) struct Beside {
    pub(super) broker: &'static str,
    pub(super) rows: Vec<Row>,
}

const NAMES: [&str; 4] = ["low", "medium", "high", "extreme"];

fn named(rates: impl IntoIterator<Item = String>) -> Vec<(&'static str, String)> {
    NAMES.into_iter().zip(rates).collect()
}

/// Both brokers.
pub(super) fn beside(series: &[Series<'_>]) -> [Beside; 2] {
    let of = |broker, kind: &str, said: fn(&Reported) -> &Said| {
        let mut rows: Vec<_> = REPORTS
            .iter()
            .map(|report| Row {
                who: report.name.into(),
                rates: named(said(report).rates.map(rate)),
                also: said(report).also.into(),
                ours: false,
            })
            .collect();
        rows.push(Row {
            who: "its code under a corrected harness, later".into(),
            rates: named(["", "", "", "43,000–46,000"].map(str::to_owned)),
            also: "the clock stops at the last first delivery; a quiet machine with 2 processors"
                .into(),
            ours: false,
        });
        let ours = series.iter().filter(|series| series.broker == kind);
        rows.extend(ours.map(|series| {
            let middle = |of: fn(&Run) -> f64| LOADS.map(|load| measured(series, load, of));
            let latencies = middle(|run| run.end_to_end_latency_us.p50)
                .map(|us| us.map_or_else(|| "–".into(), micros));
            Row {
                who: format!("Procession here, {}", series.label),
                rates: named(
                    middle(|run| run.throughput_per_s).map(|r| r.map(rate).unwrap_or_default()),
                ),
                also: format!("publish to handled, half within {}", latencies.join(", ")),
                ours: true,
            }
        }));
        Beside { broker, rows }
    };
    [
        of("Kafka", "kafka", |report| &report.kafka),
        of("NATS", "nats", |report| &report.nats),
    ]
}

/// The middle over all runs of this size; nothing when it was not run.
fn measured(series: &Series<'_>, size: (u64, u64), of: fn(&Run) -> f64) -> Option<f64> {
    let same = series
        .runs
        .iter()
        .filter(|run| (run.messages, run.aggregates) == size);
    median(same.map(|run| of(run)))
}

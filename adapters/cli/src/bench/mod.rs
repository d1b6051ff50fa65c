//! `bench`: the bus against the raw clients, in turns on one broker; and the core alone.
//!
//! On a machine with other things to do, rates mean little and ratios of neighbours something. So
//! the two sides of a pair run right after one another, first the one, then the other, and what
//! counts is the median of the pairs' ratios.

mod clock;
mod core;
mod estimate;
mod load;
mod ours;
mod pairs;
mod raw;
mod report;

pub(crate) use self::core::run as run_core;
use clock::{Clock, Run};
use estimate::Estimate;
use load::Load;
use ours::Ours;
use pairs::Pairs;
use raw::{Depth, Raw};
pub(crate) use report::Report;

use crate::args::{BenchArgs, On};
use crate::failure::Failure;
use crate::runtime;
use crate::signals::Stop;
use crate::sites;
use report::{Conditions, Row};

/// Runs everything that was asked for.
///
/// # Errors
/// A broker that was asked for cannot be had, or went away.
pub(crate) fn run(args: &BenchArgs) -> Result<Report, Failure> {
    let asked = !args.on.is_empty();
    let brokers = if asked {
        args.on.clone()
    } else {
        vec![On::Nats(None), On::Kafka(None)]
    };
    if let Some(on) = brokers.iter().find(|on| !raw::has_client(on)) {
        return Err(Failure::usage(format!(
            "--on {on}: there is no raw client to compare with; use nats, kafka or a URL of one"
        )));
    }
    let runtime = runtime::build()?;
    let stop = runtime.block_on(async { Stop::listen() });
    let stop = stop.map_err(|e| Failure::usage(format!("signals cannot be listened to: {e}")))?;
    let mut report = Report::new(Conditions::of(args));
    for on in &brokers {
        if stop.is_asked() {
            break;
        }
        match run_on(on, args, &runtime, &stop) {
            Ok((version, rows)) => report.add(version, rows),
            Err(failure) if !asked => report.not_run(on.kind(), failure.message),
            Err(failure) => return Err(failure),
        }
    }
    Ok(report)
}

fn run_on(
    on: &On,
    args: &BenchArgs,
    runtime: &tokio::runtime::Runtime,
    stop: &Stop,
) -> Result<(String, Vec<Row>), Failure> {
    let kind = on.kind();
    let site = sites::open(on, args.offline)
        .map_err(|cannot| Failure::unavailable(format!("{kind}: not run: {cannot}")))?;
    let pairs = Pairs::new(kind, args, stop);
    runtime.block_on(pairs.run(&site))
}

/// A Kafka for a test; `None`, said in plain sight, where none can be had and none is required.
#[cfg(test)]
fn kafka_of_tests(test: &str) -> Option<crate::brokers::RunningKafka> {
    use std::io::Write as _;

    use crate::brokers::{Kafka, KafkaOptions};

    let started = Kafka::start(KafkaOptions {
        for_tests: true,
        ..KafkaOptions::default()
    });
    let required = std::env::var("PROCESSION_BROKERS").is_ok_and(|v| v == "required");
    assert!(started.is_ok() || !required, "{started:?}");
    started
        .inspect_err(|cannot| {
            // Past the capture of the test harness: a skipped test must be seen.
            let _told = writeln!(std::io::stderr(), "SKIPPED {test}: {cannot}");
        })
        .ok()
}

//! One suite for every broker: the acceptance scenarios, cited by their rows as `SC-W1` and so on.
//!
//! Each case gets a [`Venue`] and says what must hold there. A broker that cannot be had makes its
//! cases SKIPPED, with the reason, and FAILED under `PROCESSION_BROKERS=required`.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod expecting;
mod faults;
mod forms;
mod limits;
mod members;
mod order;
mod progress;
mod publishing;
mod resets;
mod scenarios;
mod subscribing;
mod together;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use procession_tests::runner::{self, Case};
use procession_tests::venue::{Kind, Venue};

/// What a case does.
type Run = fn(Arc<Venue>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A case, and the broker that it is about when it is not about all.
struct Row {
    name: &'static str,
    only: Option<Kind>,
    run: Run,
}

/// The rows of a module: `rows![w1, w2; memory: f1]`.
macro_rules! rows {
    ($($name:ident),* $(,)? $(; memory: $($memory:ident),* $(,)?)?) => {
        pub(crate) const ROWS: &[crate::Row] = &[
            $(crate::Row {
                name: stringify!($name),
                only: None,
                run: |venue| Box::pin($name(venue)),
            },)*
            $($(crate::Row {
                name: stringify!($memory),
                only: Some(procession_tests::venue::Kind::Memory),
                run: |venue| Box::pin($memory(venue)),
            },)*)?
        ];
    };
}
pub(crate) use rows;

/// Rows that say nothing about a broker, and why.
const NOT_ON: &[(Kind, &str, &str)] = &[
    (
        Kind::Memory,
        "retention_beside_idle_partitions_stops_nothing",
        "each partition in memory has a log of its own, and nothing takes it away by hand",
    ),
    (
        Kind::Memory,
        "on_reset_decides_what_follows_when_retention_took_what_was_never_delivered",
        "retention in memory waits for the slowest group: nothing is taken that was never delivered",
    ),
    (
        Kind::Memory,
        "a_topic_that_grows_is_served_whole",
        "a topic in memory keeps the number of partitions that it was made with",
    ),
    (
        Kind::Nats,
        "a_topic_that_grows_is_served_whole",
        "the number of partitions of a topic is written into its stream, and changing it is refused",
    ),
    (
        Kind::Kafka,
        "n8_the_broker_recognises_a_second_publish",
        "Kafka knows no message ids; what is published twice is recognised by the subscription (S4)",
    ),
    (
        Kind::Kafka,
        "the_standby_says_for_whom_it_waits",
        "members of a Kafka group share the partitions, and the group does not name their owners",
    ),
];

fn main() -> ExitCode {
    let tables = [
        publishing::ROWS,
        subscribing::ROWS,
        order::ROWS,
        progress::ROWS,
        members::ROWS,
        limits::ROWS,
        faults::ROWS,
        forms::ROWS,
        resets::ROWS,
        expecting::ROWS,
        together::ROWS,
    ];
    let mut cases = Vec::new();
    for kind in Kind::ALL {
        for row in tables.into_iter().flatten() {
            let applies = !NOT_ON
                .iter()
                .any(|(on, name, _)| (*on, *name) == (kind, row.name));
            if applies && row.only.is_none_or(|only| only == kind) {
                cases.push(case(kind, row));
            }
        }
    }
    // Most of a case is waiting; the work of a few at a time keeps two cores busy.
    runner::main_then(cases, 6, scenarios::check)
}

fn case(kind: Kind, row: &'static Row) -> Case {
    Case {
        name: format!("{}::{}", kind.name(), row.name),
        run: Box::new(move || {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let short = row.name.split('_').next().unwrap_or(row.name);
                let venue = Arc::new(Venue::open(kind, short)?);
                tokio::spawn((row.run)(venue)).await.unwrap();
                Ok(())
            })
        }),
    }
}

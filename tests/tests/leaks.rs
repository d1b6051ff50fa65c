//! Closing leaves no task, thread or socket within 5 seconds.
//!
//! A binary of its own, whose cases run one after the other: it counts what the whole process holds.
#![allow(clippy::unwrap_used)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use procession_tests::resources::Resources;
use procession_tests::runner::{self, Case, Skip};
use procession_tests::seen::{Seen, owning, publish};
use procession_tests::venue::{Kind, Venue};

fn main() -> ExitCode {
    let mut cases = Vec::new();
    for kind in Kind::ALL {
        for (name, run) in [
            (
                "close_leaves_nothing",
                closes as fn(Kind) -> Result<(), Skip>,
            ),
            ("dropping_everything_leaves_nothing", drops),
        ] {
            cases.push(Case {
                name: format!("{}::{name}", kind.name()),
                run: Box::new(move || run(kind)),
            });
        }
    }
    runner::main(cases, 1)
}

/// A bus with work under way is closed.
fn closes(kind: Kind) -> Result<(), Skip> {
    counted(kind, async |venue: &Venue| {
        let (bus, topic) = (venue.bus().await, venue.topic("t"));
        let seen = Seen::new();
        let handler = seen.handler_with(|_, _| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(())
        });
        let first = bus
            .subscribe(&topic, &venue.group("g"), handler)
            .await
            .unwrap();
        let second = bus
            .subscribe(&topic, &venue.group("h"), seen.handler())
            .await
            .unwrap();
        owning(&first).await;
        owning(&second).await;
        publish(&bus, &topic, 0..2_000, 50).await;
        seen.wait_for(1_000).await;
        assert!(
            Resources::now().threads.len() > 1,
            "the count of threads shows nothing"
        );
        bus.close(Duration::from_secs(10)).await.unwrap();
    })
}

/// Nobody closes anything: the last handle of a bus and its subscriptions go out of scope.
fn drops(kind: Kind) -> Result<(), Skip> {
    counted(kind, async |venue: &Venue| {
        let (bus, topic) = (venue.bus().await, venue.topic("t"));
        let seen = Seen::new();
        let subscription = bus
            .subscribe(&topic, &venue.group("g"), seen.handler())
            .await
            .unwrap();
        publish(&bus, &topic, 0..500, 50).await;
        seen.wait_for(500).await;
        drop((subscription, bus));
    })
}

/// Counts before and after `work`, on a runtime that goes on.
fn counted(kind: Kind, work: impl AsyncFn(&Venue)) -> Result<(), Skip> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder
        .worker_threads(2)
        .thread_name("worker")
        .enable_all()
        .build()
        .unwrap();
    let venue = runtime.block_on(async { Venue::open(kind, "leaks") })?;
    // Two workers and nothing else: they take a moment to start and to name themselves.
    let started = || {
        Resources::now()
            .threads
            .iter()
            .filter(|name| *name == "worker")
            .count()
            == 2
    };
    assert!(
        wait_for(started),
        "the runtime did not start: {:?}",
        Resources::now()
    );
    let before = Resources::now();
    runtime.block_on(work(&venue));
    let left = Resources::left_since(&before, Duration::from_secs(5));
    assert_eq!(left, None, "threads and sockets that were not there before");
    let metrics = runtime.metrics();
    let idle = || metrics.num_alive_tasks() == 0;
    assert!(
        wait_for(idle),
        "{} tasks are left",
        metrics.num_alive_tasks()
    );
    Ok(())
}

/// Whether `there` comes true within 5 seconds.
fn wait_for(there: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !there() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

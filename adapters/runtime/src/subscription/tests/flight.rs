//! The flight recorder: reports that are asked for, and those that write themselves.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use procession_core::{Epoch, Limits, OnReset, ParkedMode, PartitionId, Span};
use procession_sim::{Call, Failure, Judged, judge, parse};

use super::super::recorded::BREACH;
use super::super::{DriverOptions, NotRecorded, NotTold, Notice};
use super::World;
use crate::port::FeedEvent;
use crate::testing::ScriptFeed;

fn recorded(bytes: usize, directory: Option<&Path>) -> DriverOptions {
    let mut options = DriverOptions {
        flight_recorder: bytes,
        flight_directory: directory.map(Path::to_owned),
        ..DriverOptions::default()
    };
    options.core.stall_after = Span::from_secs(2);
    options.core.dedupe.ids = 100;
    options.core.limits.messages = 100;
    options
}

/// The answer of a future that another thread makes ready.
fn wait<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let mut cx = Context::from_waker(Waker::noop());
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return output;
        }
        assert!(Instant::now() < patience, "no answer");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// It leads where it led.
fn replayed(text: &str) -> Failure {
    let (failure, right) = parse(text).unwrap();
    let judged = judge(&failure, right, false, &mut |_, _, _| {});
    assert_eq!(judged, Judged::Again);
    failure
}

/// The only report in a directory, once it is there.
fn only(directory: &Path) -> String {
    let patience = Instant::now() + Duration::from_secs(20);
    loop {
        let all = std::fs::read_dir(directory).unwrap();
        let paths = all.map(|entry| entry.unwrap().path());
        let whole = paths.filter(|p| p.extension().is_some_and(|e| e == "procfail"));
        let whole: Vec<_> = whole.collect();
        if let [path] = &whole[..] {
            return std::fs::read_to_string(path).unwrap();
        }
        assert!(Instant::now() < patience && whole.is_empty(), "{whole:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_report_that_is_asked_for_replays() {
    let world = World::assigned(ScriptFeed::default(), recorded(1 << 20, None));
    world.deliver(1, "dRrjwzbA");
    world.millis(500);
    let asked = world.handle.record();
    world.shell.run();
    let failure = replayed(&wait(asked).unwrap());
    assert_eq!(failure.detail, "asked for");
    assert_eq!(failure.tape.steps[0].call, Call::Start);
    let all: String = failure
        .tape
        .steps
        .iter()
        .map(procession_sim::step_text)
        .collect();
    for word in [
        " open ",
        " offer ",
        "outcome=retry",
        "outcome=reject",
        "dead-letter-result",
    ] {
        assert!(all.contains(word), "{word}");
    }
}

#[test]
fn a_full_ring_goes_on_from_a_snapshot() {
    let mut options = recorded(1, None);
    options.core.dedupe.ids = 20_000;
    let world = World::assigned(ScriptFeed::default(), options);
    for batch in 0..1_000 {
        world.deliver(1 + 8 * batch, "drdddddd");
        world.millis(7);
    }
    world.deliver(8_001, "wwRA");
    let asked = world.handle.record();
    world.shell.run();
    let text = wait(asked).unwrap();
    let failure = replayed(&text);
    assert!(matches!(failure.tape.steps[0].call, Call::Restore(_)));
    // A snapshot of thousands of identities, and two segments of half of 64 KiB, in words.
    let longest = text.lines().map(str::len).max().unwrap_or_default();
    let (steps, bytes) = (failure.tape.steps.len(), text.len());
    assert!(
        longest > 256 << 10 && steps > 200 && bytes < 1 << 20,
        "{longest}, {steps}, {bytes}"
    );
    // S7: no more threads at once than may be, whoever asks how often.
    let many: Vec<_> = (0..12).map(|_| world.handle.record()).collect();
    world.shell.run();
    let answers: Vec<_> = many.into_iter().map(wait).collect();
    let made = answers.iter().filter(|a| a.is_ok()).count();
    let busy = answers.iter().filter(|a| **a == Err(NotRecorded::Busy));
    let busy = busy.count();
    assert!(4 <= made && 0 < busy && made + busy == 12, "{made} {busy}");
}

#[test]
fn a_stall_writes_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let options = recorded(1 << 20, Some(directory.path()));
    let world = World::assigned(ScriptFeed::default(), options);
    world.deliver(1, "wdd");
    world.millis(3_000);
    let failure = replayed(&only(directory.path()));
    assert_eq!(failure.detail, "partition 0 stalls at 1");
    let patience = Instant::now() + Duration::from_secs(20);
    let told = |n: &Notice| matches!(n, Notice::FlightReport { .. });
    while !world.notices().iter().any(told) {
        assert!(Instant::now() < patience, "nobody was told");
    }
}

#[test]
fn a_driver_that_panics_writes_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let options = recorded(1 << 20, Some(directory.path()));
    let world = World::assigned(ScriptFeed::default(), options);
    world.deliver(1, "dd");
    let died = catch_unwind(AssertUnwindSafe(|| world.deliver(3, "!")));
    assert!(died.is_err());
    let failure = replayed(&only(directory.path()));
    assert_eq!(failure.detail, "the driver panicked");
}

/// What the core was being told when it panicked is in the report, and nothing after it.
#[test]
fn a_core_that_panics_writes_a_report_with_the_call() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = recorded(1 << 20, Some(directory.path()));
    options.concurrency = 1;
    let world = World::assigned(ScriptFeed::default(), options);
    // The core is the last that has the second one, and panics when it lets go of it.
    world.deliver(1, "wp");
    let lose = || {
        world.feed.send(FeedEvent::Lost {
            partition: PartitionId(0),
            epoch: Epoch(1),
        });
        world.shell.run();
    };
    assert!(catch_unwind(AssertUnwindSafe(lose)).is_err());
    let (failure, right) = parse(&only(directory.path())).unwrap();
    assert_eq!(failure.verdict, Some(("core".into(), "panic".into())));
    let steps = &failure.tape.steps;
    let last = steps.len() - 1;
    assert_eq!(steps[last].call, Call::Lose(PartitionId(0), Epoch(1)));
    assert_eq!(failure.tape.digests.len(), last);
    // Everything else comes again. The panic does not: it was the message's.
    let judged = judge(&failure, right, false, &mut |_, _, _| {});
    assert_eq!(
        judged,
        Judged::Diverged(last, "the core did not panic".into())
    );
}

/// The core is looked at once a minute; what is wrong is told once.
#[test]
fn a_breach_writes_a_report() {
    let directory = tempfile::tempdir().unwrap();
    let options = recorded(1 << 20, Some(directory.path()));
    let world = World::assigned(ScriptFeed::default(), options);
    world.deliver(1, "drd");
    BREACH.set(Some("S3: the frontier is not, as it were, there"));
    world.deliver(4, "d");
    world.millis(1_000);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    for minute in 0..3 {
        world.millis(60_000);
        world.deliver(5 + minute, "d");
    }
    let failure = replayed(&only(directory.path()));
    let shape = "s3-the-frontier-is-not-as-it-were-there";
    assert_eq!(failure.verdict, Some(("core".into(), shape.into())));
    let detail = "checked: S3: the frontier is not, as it were, there";
    assert_eq!(failure.detail, detail);
    // Whoever asks is told as well.
    let asked = world.handle.record();
    world.shell.run();
    let failure = replayed(&wait(asked).unwrap());
    assert_eq!(failure.detail, detail.replace("checked", "asked for"));
    // It is still the only one.
    only(directory.path());
}

#[test]
fn there_is_no_report_without_a_recorder_and_none_after_the_end() {
    let world = World::assigned(ScriptFeed::default(), DriverOptions::default());
    let asked = world.handle.record();
    world.shell.run();
    assert_eq!(wait(asked), Err(NotRecorded::Off));
    world.handle.abort();
    let before = world.handle.record();
    world.shell.run();
    assert_eq!(wait(before), Err(NotRecorded::Off));
    world.millis(2_000);
    assert_eq!(wait(world.handle.record()), Err(NotRecorded::Ended));
}

/// What is said is state, and no command that queues: much at once fills no mailbox, and of each thing the
/// last counts.
#[test]
fn what_the_owner_says_reaches_the_core() {
    let mut options = recorded(1 << 20, None);
    options.core.partitions = 500;
    let world = World::assigned(ScriptFeed::default(), options);
    for weight in [1_000, 2] {
        for partition in 0..500 {
            let said = world.handle.set_weight(PartitionId(partition), weight);
            assert_eq!(said, Ok(()));
        }
    }
    let report = world.handle.record();
    world.shell.run();
    let failure = replayed(&wait(report).unwrap());
    let weights: Vec<_> = failure
        .tape
        .steps
        .iter()
        .filter_map(|step| match step.call {
            Call::SetWeight(partition, weight) => Some((partition.0, weight)),
            _ => None,
        })
        .collect();
    assert_eq!(weights, (0..500).map(|p| (p, 2)).collect::<Vec<_>>());
    // Neither are keys that are spoken of, as far as that goes; what does not go is said. Limits and resets
    // are no queue either.
    let limits = |messages| Limits {
        messages,
        ..recorded(0, None).core.limits
    };
    for n in 0..5_000 {
        // One place is for limits and resets.
        let said = world.handle.release_key(n);
        assert_eq!(said.is_ok(), n < 4_095, "{n}");
        world.handle.set_limits(limits(50 + (n % 3) as u32));
        world.handle.reset(PartitionId(7), OnReset::Latest);
    }
    assert_eq!(world.handle.set_parked(1, ParkedMode::Wait), Err(NotTold));
    let report = world.handle.record();
    world.shell.run();
    let failure = replayed(&wait(report).unwrap());
    let steps = failure.tape.steps.iter();
    let released = steps
        .clone()
        .filter(|s| matches!(s.call, Call::Release(..)));
    assert_eq!(released.count(), 4_095);
    let said: Vec<_> = steps
        .filter(|s| matches!(s.call, Call::SetLimits(..) | Call::Reset(..)))
        .map(|s| s.call.clone())
        .collect();
    let reset = Call::Reset(PartitionId(7), OnReset::Latest);
    assert_eq!(said, [Call::SetLimits(limits(51)), reset]);
    // A drain finds its way beside as many of them.
    for partition in 0..500 {
        let said = world.handle.set_weight(PartitionId(partition), 7);
        assert_eq!(said, Ok(()));
    }
    world.handle.drain(world.in_millis(1_000));
    world.shell.run();
    assert!(world.end().is_some());
}

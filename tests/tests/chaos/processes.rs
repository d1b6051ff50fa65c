//! Processes that end, in order and not.

use std::collections::BTreeMap;
use std::time::Duration;

use procession_tests::command::{Running, monotonic, number, text};
use rustix::process::Signal;

use crate::desk::{Desk, END_WITHIN, assert_exactly, assert_whole, judged};

const SOON: Duration = Duration::from_secs(30);

/// `kill -9` in the middle, a second process goes on: nothing lost, order kept, repeated at most
/// what was effective and not covered by the last confirmed commit.
pub(crate) fn a_killed_consumer_is_replaced(desk: &mut Desk) {
    let url = desk.server.url.clone();
    let produce = desk.produced("produce", 10_000);
    // The shortest session that a Kafka broker grants unless it is told otherwise.
    let lease = if url.starts_with("kafka") { 6 } else { 2 };
    let consume = format!("consume --group g --lease {lease}s --handler-time 1ms --concurrency 20");
    let mut first = desk.start(&url, "first", &consume);
    first.wait_for("end", 3_000, SOON);
    first.kill();
    let words = format!("{consume} --idle-exit 2s");
    let mut second = desk.start(&url, "second", &words);
    let status = second.wait(END_WITHIN);
    assert_eq!(status, 0, "{}", second.said());
    let report = judged(&[&produce, &first, &second]);
    assert_whole(&report, 10_000);
    let uncovered = uncovered(&first, usize::MAX);
    assert!(
        report.duplicates <= uncovered,
        "{} duplicates, but only {uncovered} were effective and not covered by a commit",
        report.duplicates
    );
    assert!(
        number_of(&second, "start") < 10_000,
        "the first commits were not used"
    );
}

/// Effective processings that the last confirmed commit of their partition does not cover, in the
/// first `count` lines.
pub(crate) fn uncovered(killed: &Running, count: usize) -> u64 {
    let mut lines = killed.lines();
    lines.truncate(count);
    let mut commits: BTreeMap<u64, (u64, Vec<(u64, u64)>)> = BTreeMap::new();
    for line in lines.iter().filter(|line| text(line, "ev") == "committed") {
        let pairs = line
            .get("beyond")
            .and_then(|beyond| beyond.as_array())
            .into_iter()
            .flatten();
        let beyond =
            pairs.filter_map(|pair| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_u64()?)));
        let commit = (number(line, "frontier"), beyond.collect());
        commits.insert(number(line, "partition"), commit);
    }
    let effective = lines
        .iter()
        .filter(|line| text(line, "ev") == "end" && text(line, "outcome") == "done");
    let uncovered = effective.filter(|line| {
        let position = number(line, "position");
        let covers = |(frontier, beyond): &(u64, Vec<(u64, u64)>)| {
            position < *frontier
                || beyond
                    .iter()
                    .any(|(from, to)| (*from..*to).contains(&position))
        };
        !commits.get(&number(line, "partition")).is_some_and(covers)
    });
    uncovered.count() as u64
}

fn number_of(running: &Running, event: &str) -> usize {
    running
        .lines()
        .iter()
        .filter(|line| text(line, "ev") == event)
        .count()
}

/// SIGTERM under load: the second member goes on with no duplicate.
pub(crate) fn a_stopped_consumer_hands_over(desk: &mut Desk) {
    let url = desk.server.url.clone();
    let words = "produce --count 10000 --keys 200 --payload 64 --rate 4000 --audit";
    let mut produce = desk.start(&url, "produce", words);
    let consume = "consume --group g --handler-time 1ms --concurrency 50";
    let mut first = desk.start(&url, "first", consume);
    first.wait_for("end", 500, SOON);
    let mut second = desk.start(&url, "second", &format!("{consume} --idle-exit 2s"));
    first.wait_for("end", 2_000, SOON);
    assert_eq!(number_of(&second, "start"), 0, "the second one stands by");
    first.signal(Signal::TERM);
    assert_eq!(first.wait(END_WITHIN), 0, "{}", first.said());
    assert_eq!(second.wait(END_WITHIN), 0, "{}", second.said());
    assert_eq!(produce.wait(END_WITHIN), 0, "{}", produce.said());
    let report = judged(&[&produce, &first, &second]);
    assert_exactly(&report, 10_000);
    assert!(
        number_of(&second, "start") > 0,
        "the second one never worked"
    );
}

/// SIGSTOP past the lease and SIGCONT: it starts nothing and moves no frontier.
pub(crate) fn a_paused_consumer_is_fenced(desk: &mut Desk) {
    let url = desk.server.url.clone();
    let produce = desk.produced("produce", 10_000);
    let consume = "consume --group g --lease 2s --handler-time 1ms --concurrency 20";
    let mut first = desk.start(&url, "first", consume);
    first.wait_for("end", 2_000, SOON);
    let mut second = desk.start(&url, "second", &format!("{consume} --idle-exit 3s"));
    second.wait_for("meta", 1, SOON);
    first.signal(Signal::STOP);
    // It owns the partitions, so the lease has run out.
    second.wait_for("start", 500, SOON);
    let woken = monotonic();
    first.signal(Signal::CONT);
    assert_eq!(second.wait(END_WITHIN), 0, "{}", second.said());
    first.signal(Signal::TERM);
    first.wait(END_WITHIN);
    let before =
        |line: &&serde_json::Value| text(line, "ev") == "start" && number(line, "t") < woken;
    let lines = first.lines();
    let held = lines
        .iter()
        .filter(before)
        .map(|line| number(line, "epoch"));
    let held = held.max().expect("it worked before");
    let others = second.lines();
    // An answer that lay in the socket while it stood still is heard late: of a commit from which the next
    // owner has gone on.
    let is_answer = |line: &&serde_json::Value| {
        let partition = number(line, "partition");
        let starts = others.iter().filter(|other| text(other, "ev") == "start");
        let mut theirs = starts.filter(|other| number(other, "partition") == partition);
        let frontier = number(line, "frontier");
        text(line, "ev") == "committed" && theirs.all(|other| frontier <= number(other, "position"))
    };
    let late: Vec<_> = lines
        .iter()
        .filter(|line| !is_answer(line))
        .filter(|line| number(line, "t") > woken)
        .filter(|line| matches!(text(line, "ev"), "start" | "committed"))
        // What it owns anew, when the second one has gone, is its own again.
        .filter(|line| number(line, "epoch") <= held)
        .collect();
    assert!(late.is_empty(), "after it was woken: {late:#?}");
    let report = judged(&[&produce, &first, &second]);
    assert_whole(&report, 10_000);
    assert!(
        report.duplicates <= uncovered(&first, usize::MAX),
        "{report:#?}"
    );
}

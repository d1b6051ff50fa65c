//! Members of a Kafka group: planned hand-over under load in every protocol, a member that is paused,
//! commits of strangers.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::sleep;
use std::time::Duration;

use procession::NoticeKind;
use procession_tests::command::{Running, number, text};
use procession_tests::seen::Seen;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use rustix::process::Signal;

use crate::desk::{Desk, END_WITHIN, assert_exactly, assert_whole, judged};
use crate::processes::uncovered;

const SOON: Duration = Duration::from_secs(30);
/// Longest silence of a partition that its owner keeps while others come and go.
const GAP_MAX: Duration = Duration::from_millis(250);

pub(crate) fn members_come_and_go_cooperative(desk: &mut Desk) {
    members_come_and_go(desk, "cooperative", true);
}

/// Here every rebalance stops everybody: nothing is kept.
pub(crate) fn members_come_and_go_eager(desk: &mut Desk) {
    members_come_and_go(desk, "eager", false);
}

pub(crate) fn members_come_and_go_consumer(desk: &mut Desk) {
    members_come_and_go(desk, "consumer", true);
}

/// A second and a third member join under load, and the first two leave in order: nothing is lost,
/// misordered or run twice, and partitions that stay with their owner go on.
fn members_come_and_go(desk: &mut Desk, protocol: &str, keeps: bool) {
    let url = desk.server.url.clone();
    let words = "produce --count 24000 --keys 2400 --partitions 6 --payload 64 --rate 2000 --audit";
    let mut produce = desk.start(&url, "produce", words);
    // Handlers that take a while make the hand-over take one, too: longer than a kept partition may
    // stand still.
    let consume = format!(
        "consume --group g --group-protocol {protocol} --handler-time 400ms --concurrency 2000"
    );
    let mut first = desk.start(&url, "first", &consume);
    first.wait_for("end", 1_000, SOON);
    let mut second = desk.start(&url, "second", &consume);
    second.wait_for("end", 500, SOON);
    let mut third = desk.start(&url, "third", &format!("{consume} --idle-exit 3s"));
    third.wait_for("end", 500, SOON);
    second.signal(Signal::TERM);
    assert_eq!(second.wait(END_WITHIN), 0, "{}", second.said());
    sleep(Duration::from_millis(500));
    first.signal(Signal::TERM);
    assert_eq!(first.wait(END_WITHIN), 0, "{}", first.said());
    assert_eq!(produce.wait(END_WITHIN), 0, "{}", produce.said());
    assert_eq!(third.wait(END_WITHIN), 0, "{}", third.said());
    let all = [&produce, &first, &second, &third];
    assert_exactly(&judged(&all), 24_000);
    if keeps {
        let stored = stored(&produce);
        let ticks = ticks(&produce);
        let mut kept = 0;
        for member in [&first, &second] {
            for (partition, gap, noise) in gaps(member, &stored, &ticks) {
                kept += 1;
                assert!(
                    gap <= GAP_MAX + noise,
                    "partition {partition} stood still for {gap:?}, the machine for {noise:?}"
                );
            }
        }
        assert!(kept > 0, "no partition was kept while others joined");
    }
}

/// When the publisher, which sends every half a millisecond, was at work: where it was not, the
/// machine was busy elsewhere.
fn ticks(produce: &Running) -> Vec<u64> {
    let lines = produce.lines().into_iter();
    let ticks = lines.filter(|line| text(line, "ev") == "accepted");
    ticks.map(|line| number(&line, "t")).collect()
}

/// When each position of each partition was known to be stored.
fn stored(produce: &Running) -> BTreeMap<(u64, u64), u64> {
    let lines = produce.lines().into_iter();
    let stored = lines.filter(|line| text(line, "ev") == "stored");
    stored
        .map(|line| {
            (
                (number(&line, "partition"), number(&line, "position")),
                number(&line, "t"),
            )
        })
        .collect()
}

/// The longest time without a start, although there was something to start, of each partition that was
/// assigned once and kept until the member ended, while another one was taken away; and the longest
/// silence of the publisher in that time.
fn gaps(
    member: &Running,
    stored: &BTreeMap<(u64, u64), u64>,
    ticks: &[u64],
) -> Vec<(u64, Duration, Duration)> {
    let lines = member.lines();
    let mut assigned: BTreeMap<u64, u32> = BTreeMap::new();
    let mut taken: BTreeSet<u64> = BTreeSet::new();
    let mut first_taken = None;
    let mut last_taken = 0;
    for line in &lines {
        match text(line, "ev") {
            "assigned" => *assigned.entry(number(line, "partition")).or_default() += 1,
            // At the end all of them are released, and none is taken away.
            "revoked" => {
                taken.insert(number(line, "partition"));
                first_taken.get_or_insert_with(|| number(line, "t"));
                last_taken = number(line, "t");
            }
            _ => {}
        }
    }
    let Some(from) = first_taken else {
        return Vec::new();
    };
    let (from, to) = (from - 500_000_000, last_taken + 1_000_000_000);
    let within: Vec<u64> = ticks
        .iter()
        .copied()
        .filter(|t| (from..=to).contains(t))
        .collect();
    let noise = within.windows(2).map(|pair| pair[1] - pair[0]).max();
    let noise = Duration::from_nanos(noise.unwrap_or_default());
    let kept = assigned
        .iter()
        .filter(|(partition, times)| **times == 1 && !taken.contains(partition));
    kept.map(|(partition, _)| {
        let starts = lines
            .iter()
            .filter(|line| text(line, "ev") == "start" && number(line, "partition") == *partition);
        let starts: Vec<(u64, u64)> = starts
            .map(|line| (number(line, "t"), number(line, "position")))
            .filter(|(t, _)| (from..=to).contains(t))
            .collect();
        let silence = |pair: &[(u64, u64)]| {
            let ((before, _), (next, position)) = (pair[0], pair[1]);
            let there = stored.get(&(*partition, position)).copied().unwrap_or(0);
            next.saturating_sub(before.max(there))
        };
        let longest = starts.windows(2).map(silence).max();
        (
            *partition,
            Duration::from_nanos(longest.unwrap_or(u64::MAX)),
            noise,
        )
    })
    .collect()
}

/// SIGSTOP past the session: others go on. Woken, it is a stranger that joins again: what it held may
/// run once more, as far as no commit covered it, and nothing is lost.
pub(crate) fn a_paused_consumer_loses_what_it_had(desk: &mut Desk) {
    let url = desk.server.url.clone();
    let produce = desk.produced("produce", 10_000);
    let consume = "consume --group g --lease 6s --handler-time 1ms --concurrency 20";
    let mut first = desk.start(&url, "first", consume);
    first.wait_for("end", 2_000, SOON);
    let mut second = desk.start(&url, "second", &format!("{consume} --idle-exit 10s"));
    second.wait_for("meta", 1, SOON);
    first.signal(Signal::STOP);
    second.wait_for("start", 500, SOON);
    let before = first.lines().len();
    first.signal(Signal::CONT);
    assert_eq!(second.wait(END_WITHIN), 0, "{}", second.said());
    first.signal(Signal::TERM);
    first.wait(END_WITHIN);
    let report = judged(&[&produce, &first, &second]);
    assert_whole(&report, 10_000);
    // What ran when it was paused ends after it woke: at most as many as run at once.
    let repeated = uncovered(&first, before) + uncovered(&second, usize::MAX) + 20;
    assert!(report.duplicates <= repeated, "{repeated}: {report:#?}");
}

/// Commits of other clients carry no map, or one that cannot be read: it is ignored as a whole, the
/// record at the committed offset runs, and a notice counts it.
pub(crate) fn strange_metadata_is_ignored_and_counted(desk: &mut Desk) {
    let url = desk.server.url.clone();
    desk.runtime.block_on(async {
        let bus = procession_tests::venue::builder(&url)
            .connect()
            .await
            .unwrap();
        procession_tests::seen::publish(&bus, "t", 0..300, 30).await;
        let servers = url.trim_start_matches("kafka://");
        let stranger: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", servers)
            .set("group.id", "g")
            .create()
            .unwrap();
        let partitions = bus.topic("t").await.unwrap().partitions;
        let texts = [
            "{\"offsets\":[1,2]}",
            "p1:AAAA",
            "p1:////////////////////////////////////////",
        ];
        let mut list = TopicPartitionList::new();
        for (partition, text) in (0..i32::try_from(partitions).unwrap()).zip(texts) {
            let mut element = list.add_partition("t", partition);
            element.set_offset(Offset::Offset(5)).unwrap();
            element.set_metadata(text);
        }
        stranger.commit(&list, CommitMode::Sync).unwrap();
        let seen = Seen::new();
        let subscription = bus.subscribe("t", "g", seen.handler()).await.unwrap();
        let left = 300 - 5 * usize::try_from(partitions).unwrap();
        seen.wait_for(left).await;
        let mut firsts = BTreeMap::new();
        for got in seen.all() {
            let first = firsts.entry(got.partition).or_insert(got.position);
            *first = (*first).min(got.position);
        }
        assert!(firsts.values().all(|position| *position == 5), "{firsts:?}");
        let (mut ignored, mut notices) = (0, subscription.notices());
        while ignored < partitions {
            let notice = tokio::time::timeout(SOON, notices.next()).await.unwrap();
            if let Some(procession::Notice::Core(notice)) = notice
                && notice.kind == NoticeKind::MapIgnored
            {
                ignored += notice.count;
            }
        }
        subscription.drain(Duration::from_secs(10)).await.unwrap();
        assert_eq!(seen.count(), left);
        bus.close(Duration::from_secs(10)).await.unwrap();
    });
}

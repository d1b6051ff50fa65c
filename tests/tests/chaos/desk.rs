//! What each case has: a server, a folder, the command line.

use std::path::PathBuf;
use std::time::Duration;

use procession_cli::brokers::{KafkaOptions, NatsOptions, RunningServer};
use procession_cli::check::{RunReport, check};
use procession_tests::command::{Running, number, text};
use procession_tests::proxy::Proxy;
use procession_tests::runner::Skip;
use procession_tests::servers::{own_kafka, own_nats};
use procession_tests::venue::Kind;

pub(crate) struct Desk {
    pub(crate) server: RunningServer,
    pub(crate) runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
}

/// How long a command may take to end.
pub(crate) const END_WITHIN: Duration = Duration::from_secs(120);

impl Desk {
    pub(crate) fn open(kind: Kind, name: &str) -> Result<Self, Skip> {
        let server = match kind {
            Kind::Kafka => own_kafka(KafkaOptions::default())?,
            Kind::Nats | Kind::Memory => own_nats(NatsOptions::default())?,
        };
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        Ok(Self {
            server,
            runtime: builder.worker_threads(2).enable_all().build().unwrap(),
            folder: tempfile::Builder::new().prefix(name).tempdir().unwrap(),
        })
    }

    /// Where its processes leave what they say.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Starts `procession WORDS --on URL --topic t`.
    pub(crate) fn start(&self, url: &str, name: &str, words: &str) -> Running {
        let (command, rest) = words.split_once(' ').unwrap_or((words, ""));
        let words = format!("{command} --on {url} --topic t {rest}");
        let binary = env!("CARGO_BIN_EXE_procession-under-test");
        Running::start(binary, self.folder.path(), name, &words)
    }

    /// A proxy in front of the server.
    pub(crate) fn proxy(&self) -> Proxy {
        self.runtime
            .block_on(Proxy::start(self.server.port))
            .unwrap()
    }

    /// Publishes `count` messages and waits for the end.
    pub(crate) fn produced(&self, name: &str, count: u64) -> Running {
        let words = format!("produce --count {count} --keys 200 --payload 64 --audit");
        let mut produce = self.start(&self.server.url, name, &words);
        assert_eq!(produce.wait(END_WITHIN), 0, "{}", produce.said());
        produce
    }
}

/// What `check` says of these histories.
pub(crate) fn judged(histories: &[&Running]) -> RunReport {
    let files: Vec<PathBuf> = histories
        .iter()
        .map(|running| running.history.clone())
        .collect();
    let report = check(&files).unwrap();
    assert_eq!(report.runs.len(), 1);
    report.runs.into_iter().next().unwrap()
}

/// Nothing lost, nothing out of order, no promise broken; duplicates are the caller's to judge.
pub(crate) fn assert_whole(report: &RunReport, messages: u64) {
    assert_eq!(report.lost, 0, "{report:#?}");
    assert_eq!(report.inversions, 0, "{report:#?}");
    assert_eq!(report.gaps, 0, "{report:#?}");
    assert_eq!(report.unique, messages, "{report:#?}");
    let broken: Vec<_> = report
        .breaches
        .keys()
        .filter(|name| **name != "S1-across")
        .collect();
    assert!(broken.is_empty(), "{report:#?}");
}

/// As [`assert_whole`], and nothing run twice.
pub(crate) fn assert_exactly(report: &RunReport, messages: u64) {
    assert_whole(report, messages);
    assert_eq!(report.duplicates, 0, "{report:#?}");
}

/// How long after `t` the next attempt started; `None` when none did.
pub(crate) fn next_start(running: &Running, t: u64) -> Option<Duration> {
    let starts = running
        .lines()
        .into_iter()
        .filter(|line| text(line, "ev") == "start");
    let after = starts
        .map(|line| number(&line, "t"))
        .filter(|at| *at > t)
        .min()?;
    Some(Duration::from_nanos(after - t))
}

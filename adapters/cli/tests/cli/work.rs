//! `produce` and `consume` as processes of their own, on a real server.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use procession_cli::brokers::{Nats, NatsOptions, RunningNats};
use procession_cli::check::{RunReport, check};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{brokers_dir, nats_or_skip, procession, status, stderr};

/// A server and a directory for histories.
struct Stage {
    server: RunningNats,
    dir: tempfile::TempDir,
}

impl Stage {
    fn new(test: &str) -> Option<Self> {
        nats_or_skip(test).then(|| Self {
            server: Nats::start(NatsOptions {
                brokers_dir: Some(brokers_dir()),
                ..NatsOptions::default()
            })
            .unwrap(),
            dir: tempfile::tempdir().unwrap(),
        })
    }

    fn history(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, command: &str, history: &str, arguments: &str) -> Command {
        let mut process = procession();
        process.args([command, "--on", &self.server.url, "--topic", "t"]);
        process.args(arguments.split_whitespace());
        process.arg("--history").arg(self.history(history));
        process.stdout(Stdio::piped()).stderr(Stdio::piped());
        process
    }

    fn run(&self, command: &str, history: &str, arguments: &str) -> Output {
        let output = self.command(command, history, arguments).output().unwrap();
        assert_eq!(
            status(&output),
            0,
            "{command} {arguments}: {}",
            stderr(&output)
        );
        output
    }

    fn start(&self, history: &str, arguments: &str) -> Child {
        self.command("consume", history, arguments).spawn().unwrap()
    }

    fn check(&self, histories: &[&str]) -> RunReport {
        let files: Vec<_> = histories.iter().map(|h| self.history(h)).collect();
        let report = check(&files).unwrap();
        assert_eq!(report.runs.len(), 1);
        report.runs[0].clone()
    }
}

/// Waits until a history has this many lines with these words.
fn wait_for(history: &Path, words: &str, lines: usize) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = std::fs::read_to_string(history).unwrap_or_default();
        if text.lines().filter(|l| l.contains(words)).count() >= lines {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{words} came not {lines} times:\n{text}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn a_killed_consumer_is_followed_without_loss() {
    let Some(stage) = Stage::new("a_killed_consumer_is_followed_without_loss") else {
        return;
    };
    stage.run("produce", "p", "--count 6000 --keys 100 --audit");
    let group = "--group g --lease 2s --handler-time 5ms";
    let mut first = stage.start("c1", group);
    wait_for(&stage.history("c1"), "\"done\"", 1_000);
    first.kill().unwrap();
    first.wait().unwrap();
    stage.run("consume", "c2", &format!("{group} --idle-exit 1s"));
    let run = stage.check(&["p", "c1", "c2"]);
    assert_eq!(run.verdict, Vec::<&str>::new(), "{run:?}");
    assert_eq!((run.stored, run.unique, run.lost), (6_000, 6_000, 0));
    assert_eq!(run.duplicates, run.duplicates_excused);
}

#[test]
fn a_consumer_that_is_asked_to_stop_hands_over_without_duplicates() {
    let test = "a_consumer_that_is_asked_to_stop_hands_over_without_duplicates";
    let Some(stage) = Stage::new(test) else {
        return;
    };
    stage.run("produce", "p", "--count 6000 --keys 100");
    let mut first = stage.start("c1", "--group g --handler-time 5ms");
    wait_for(&stage.history("c1"), "\"done\"", 500);
    let second = stage.start("c2", "--group g --handler-time 5ms --idle-exit 1s");
    wait_for(&stage.history("c1"), "\"done\"", 1_000);
    signal(&first, Signal::TERM);
    assert_eq!(first.wait().unwrap().code(), Some(0));
    let second = second.wait_with_output().unwrap();
    assert_eq!(status(&second), 0, "{}", stderr(&second));
    let run = stage.check(&["p", "c1", "c2"]);
    assert_eq!(run.verdict, Vec::<&str>::new(), "{run:?}");
    assert_eq!((run.unique, run.duplicates, run.lost), (6_000, 0, 0));
}

#[test]
fn count_ends_and_the_next_goes_on_there() {
    let Some(stage) = Stage::new("count_ends_and_the_next_goes_on_there") else {
        return;
    };
    stage.run(
        "produce",
        "p",
        "--count 2000 --keys 50 --rate 100000 --key-prefix k --partitions 2",
    );
    stage.run("consume", "c1", "--group g --count 500 --handler-time 2ms");
    stage.run("consume", "c2", "--group g --count 500 --handler-time 2ms");
    stage.run(
        "consume",
        "c3",
        "--group g --idle-exit 500ms --fail-rate 0.1",
    );
    let run = stage.check(&["p", "c1", "c2", "c3"]);
    assert_eq!(run.verdict, Vec::<&str>::new(), "{run:?}");
    assert_eq!((run.unique, run.duplicates), (2_000, 0));
    assert!(run.attempts > 2_000, "{run:?}");
    // Another number of partitions is wrong use.
    let other = stage
        .command("produce", "q", "--partitions 5")
        .output()
        .unwrap();
    assert_eq!(status(&other), 2);
    assert!(
        stderr(&other).contains('5') && stderr(&other).contains('2'),
        "{}",
        stderr(&other)
    );
}

#[test]
fn a_consumer_waits_for_a_topic_that_comes_later() {
    let Some(stage) = Stage::new("a_consumer_waits_for_a_topic_that_comes_later") else {
        return;
    };
    let waiting = stage.start("c", "--group g --count 100");
    wait_for(&stage.history("c"), "\"meta\"", 1);
    stage.run("produce", "p", "--count 100 --keys 10");
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(status(&output), 0, "{}", stderr(&output));
    let run = stage.check(&["p", "c"]);
    assert_eq!((run.unique, run.verdict.len()), (100, 0), "{run:?}");
}

#[test]
fn a_signal_ends_a_consumer_that_waits() {
    let Some(stage) = Stage::new("a_signal_ends_a_consumer_that_waits") else {
        return;
    };
    let mut waiting = stage.start("c", "--group g");
    wait_for(&stage.history("c"), "\"meta\"", 1);
    // Signals are listened to before the history begins.
    signal(&waiting, Signal::INT);
    assert_eq!(waiting.wait().unwrap().code(), Some(0));
    wait_for(&stage.history("c"), "\"closed\"", 1);
}

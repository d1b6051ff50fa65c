//! `compare` from outside: verdicts, negative controls, and a history that says the same.

use procession_cli::brokers::{Nats, NatsOptions};
use serde_json::Value;

use super::support::{nats_or_skip, procession, status, stderr};

/// What a run came to.
struct Compared {
    status: i32,
    last_line: String,
    /// What it said on standard error.
    said: String,
    /// The `runs` of `compare`.
    runs: Vec<Value>,
    /// The `runs` of `check` on its history.
    checked: Vec<Value>,
}

/// Runs `compare` with a history, and `check` on that.
fn compare(arguments: &str) -> Compared {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let (json, history, checked) = (path("json"), path("history"), path("checked"));
    let mut command = procession();
    command.arg("compare").args(arguments.split_whitespace());
    // Servers are fetched into the build directory that the other tests use.
    command.env(
        "CARGO_TARGET_DIR",
        super::support::brokers_dir().parent().unwrap(),
    );
    let output = command
        .args(["--json", &json, "--history", &history])
        .output()
        .unwrap();
    assert!(status(&output) < 2, "{arguments}: {}", stderr(&output));
    let check = procession()
        .args(["check", &history, "--json", &checked])
        .output()
        .unwrap();
    assert!(status(&check) < 2, "{arguments}: {}", stderr(&check));
    let runs = |file: &str| {
        let text = std::fs::read_to_string(file).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        value["runs"].as_array().unwrap().clone()
    };
    Compared {
        status: status(&output),
        said: stderr(&output),
        last_line: stderr(&output)
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned(),
        runs: runs(&json),
        checked: runs(&checked),
    }
}

/// All counts follow from the history alone.
fn assert_agreed(compared: &Compared) {
    assert_eq!(compared.runs.len(), compared.checked.len());
    for (run, checked) in compared.runs.iter().zip(&compared.checked) {
        for field in [
            "stored",
            "unique",
            "attempts",
            "lost",
            "duplicates",
            "dead",
            "inversions",
            "gaps",
            "delivery_rate",
            "loss_rate",
            "duplication_rate",
        ] {
            assert_eq!(run[field], checked[field], "{field} of {run} and {checked}");
        }
    }
}

fn on_every_broker(test: &str, arguments: &str, judge: impl Fn(&Compared)) {
    judge(&compare(&format!("--on memory {arguments}")));
    if nats_or_skip(test) {
        judge(&compare(&format!("--on nats {arguments}")));
    }
}

fn assert_fine(compared: &Compared) {
    assert_eq!(compared.status, 0, "{}", compared.last_line);
    for run in compared.runs.iter().chain(&compared.checked) {
        assert_eq!(run["verdict"], "ok", "{run}");
    }
    assert_agreed(compared);
}

fn assert_fault(compared: &Compared, fault: &str) {
    assert_eq!(compared.status, 1);
    assert!(compared.last_line.contains(fault), "{}", compared.last_line);
    let named = |run: &Value| {
        run["verdict"]
            .as_array()
            .is_some_and(|v| v.contains(&fault.into()))
    };
    assert!(compared.runs.iter().all(named), "{:?}", compared.runs);
    assert!(compared.checked.iter().all(named), "{:?}", compared.checked);
    assert_agreed(compared);
}

#[test]
fn every_load_is_kept_on_every_broker() {
    on_every_broker("every_load_is_kept_on_every_broker", "", |compared| {
        assert_fine(compared);
        let messages: Vec<_> = compared.runs.iter().map(|r| r["unique"].as_u64()).collect();
        assert_eq!(messages, [500, 2_000, 5_000, 10_000].map(Some));
    });
}

/// All buses of a process share the mock cluster, as they share memory.
#[test]
fn the_mock_cluster_is_compared_with() {
    let compared = compare("--on mock-kafka --load 2000x10 --topics 2");
    assert_fine(&compared);
}

#[test]
fn failing_slow_and_poisoned_messages_are_kept_over_a_restart() {
    let arguments = "--load medium --fail-rate 0.05 --poison-rate 0.005 \
        --handler-time 2ms --restart-at 0.5";
    on_every_broker("failing_slow_and_poisoned", arguments, |compared| {
        assert_fine(compared);
        let run = &compared.runs[0];
        assert!(
            run["dead"].as_u64() > Some(0) && run["attempts"].as_u64() > Some(2_000),
            "{run}"
        );
    });
}

#[test]
fn without_acks_a_restart_gives_duplicates() {
    let test = "without_acks_a_restart_gives_duplicates";
    let switched = "--load low --restart-at 0.5 --without acks";
    on_every_broker(test, switched, |compared| {
        assert_fault(compared, "duplicates")
    });
    on_every_broker(test, "--load low --restart-at 0.5", assert_fine);
}

#[test]
fn without_lanes_slow_handlers_give_inversions() {
    let test = "without_lanes_slow_handlers_give_inversions";
    let switched = "--load low --handler-time 5ms --without lanes";
    on_every_broker(test, switched, |compared| {
        assert_fault(compared, "inversions")
    });
    on_every_broker(test, "--load low --handler-time 5ms", assert_fine);
}

#[test]
fn without_dedupe_copies_give_duplicates() {
    let test = "without_dedupe_copies_give_duplicates";
    let switched = "--load low --republish-rate 0.05 --without dedupe";
    on_every_broker(test, switched, |compared| {
        assert_fault(compared, "duplicates")
    });
    on_every_broker(test, "--load low --republish-rate 0.05", assert_fine);
}

#[test]
fn raw_messages_are_compared_too() {
    on_every_broker(
        "raw_messages_are_compared_too",
        "--load low --form raw",
        assert_fine,
    );
}

/// Messages of each run.
fn sizes(compared: &Compared) -> Vec<u64> {
    let runs = compared.runs.iter();
    runs.filter_map(|run| run["unique"].as_u64()).collect()
}

#[test]
fn everything_is_repeated_so_often() {
    let test = "everything_is_repeated_so_often";
    on_every_broker(test, "--load 60 --load 70 --repeat 3", |compared| {
        assert_fine(compared);
        assert_eq!(sizes(compared), [60, 70, 60, 70, 60, 70]);
        // One after the other, in one process.
        let begun: Vec<_> = compared
            .runs
            .iter()
            .map(|r| r["started_s"].as_f64())
            .collect();
        assert!(begun.is_sorted_by(|a, b| a < b), "{begun:?}");
    });
}

#[test]
fn everything_is_repeated_until_the_time_is_over() {
    let test = "everything_is_repeated_until_the_time_is_over";
    on_every_broker(test, "--load 50 --duration 2s", |compared| {
        assert_fine(compared);
        let begun = |run: &Value| run["started_s"].as_f64().unwrap();
        let (first, last) = (&compared.runs[0], compared.runs.last().unwrap());
        let ended = last["over_time"]["at_s"].as_array().unwrap();
        let ended = begun(last) + ended.last().and_then(Value::as_f64).unwrap();
        assert!(ended - begun(first) >= 1.9, "{ended}");
        // The last round was begun before the time was over.
        assert!(begun(last) - begun(first) < 2.0);
    });
}

#[test]
fn a_broker_that_holds_many_topics_is_replaced_by_a_fresh_one() {
    let test = "a_broker_that_holds_many_topics_is_replaced_by_a_fresh_one";
    if !nats_or_skip(test) {
        return;
    }
    let compared = compare("--on nats --load 100 --topics 100 --partitions 1 --repeat 3");
    assert_fine(&compared);
    assert_eq!(sizes(&compared), [100, 100, 100]);
    let fresh = "nats: a fresh server after 200 topics and 200 messages";
    assert!(compared.said.contains(fresh), "{}", compared.said);
    assert_eq!(compared.said.matches("fresh server").count(), 1);
}

#[test]
fn presets_are_lists_of_loads() {
    let seeds = compare("--on memory --preset seeds");
    assert_fine(&seeds);
    assert_eq!(sizes(&seeds), [500, 2_000, 5_000, 10_000]);
    let pool = compare("--on memory --preset actor-pool");
    assert_fine(&pool);
    assert_eq!(sizes(&pool), [1_000, 4_000, 6_000, 10_000]);
    let aggregates: Vec<_> = pool.runs.iter().map(|r| r["aggregates"].as_u64()).collect();
    assert_eq!(aggregates, [100, 400, 600, 1_000].map(Some));
}

/// Bytes of messages that a NATS server keeps in files, in its own directory.
fn stored_in_files(dir: &std::path::Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            // Progress records are files whatever topics are.
            let is_theirs = path
                .file_name()
                .is_some_and(|n| n.to_string_lossy().contains("cmp-"));
            bytes += if is_theirs {
                blocks(&path)
            } else {
                stored_in_files(&path)
            };
        }
    }
    bytes
}

fn blocks(stream: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(stream.join("msgs"))
        .into_iter()
        .flatten()
        .flatten();
    files
        .filter(|file| file.path().extension().is_some_and(|e| e == "blk"))
        .filter_map(|file| file.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[test]
fn storage_is_where_it_was_asked_for() {
    if !nats_or_skip("storage_is_where_it_was_asked_for") {
        return;
    }
    for (storage, in_files) in [("file", true), ("memory", false)] {
        let server = Nats::start(NatsOptions {
            brokers_dir: Some(super::support::brokers_dir()),
            ..NatsOptions::default()
        });
        let server = server.unwrap();
        let compared = compare(&format!(
            "--on {} --load low --storage {storage}",
            server.url
        ));
        assert_fine(&compared);
        assert_eq!(compared.runs[0]["storage"], storage);
        let bytes = stored_in_files(&server.dir);
        // 500 messages of 256 bytes and more.
        assert_eq!(bytes > 128_000, in_files, "{storage}: {bytes} bytes");
        assert!(in_files || bytes == 0, "{storage}: {bytes} bytes");
    }
}

#[test]
fn a_control_that_cannot_fail_is_refused() {
    for without in ["acks", "lanes", "dedupe"] {
        let mut command = procession();
        command.args([
            "compare",
            "--on",
            "memory",
            "--load",
            "low",
            "--without",
            without,
        ]);
        let output = command.output().unwrap();
        assert_eq!(status(&output), 2);
        assert!(stderr(&output).contains("add --"), "{}", stderr(&output));
    }
}

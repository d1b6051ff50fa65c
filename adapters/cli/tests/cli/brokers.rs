//! Real servers: found or fetched, started, found again by another process, stopped.

use std::net::TcpStream;

use procession_cli::brokers::{Nats, NatsOptions, ensure_nats_in};

use super::support::{brokers_dir, nats_or_skip, procession, run, status, stderr, stdout};

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn answers(url: &str) -> bool {
    TcpStream::connect(("127.0.0.1", port_of(url))).is_ok()
}

#[test]
fn up_is_found_by_status_and_ended_by_down() {
    if !nats_or_skip("up_is_found_by_status_and_ended_by_down") {
        return;
    }
    // A directory of its own with the binary that is there already.
    let server = ensure_nats_in(&brokers_dir(), false).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().to_str().unwrap();
    let brokers = |arguments: &[&str]| {
        let mut command = procession();
        command
            .env("NATS_SERVER", &server)
            .arg("brokers")
            .args(arguments);
        let output = command.args(["--dir", dir]).output().unwrap();
        assert_eq!(status(&output), 0, "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let up = json(&brokers(&["up", "nats", "--json", "-"]));
    let broker = &up["brokers"][0];
    let url = broker["url"].as_str().unwrap();
    assert!(answers(url), "{up}");
    assert_eq!(broker["kind"], "nats");
    assert!(broker["pid"].as_u64().unwrap() > 1 && broker["version"].is_string());
    // A second `up` finds the first one.
    assert_eq!(json(&brokers(&["up", "nats", "--json", "-"])), up);
    assert_eq!(json(&brokers(&["status", "--json", "-"])), up);
    brokers(&["down"]);
    assert!(!answers(url));
    assert_eq!(
        json(&brokers(&["status", "--json", "-"]))["brokers"],
        serde_json::json!([])
    );
    brokers(&["down"]);
}

#[test]
fn a_server_keeps_its_port_and_data_over_a_restart_and_is_gone_after_a_drop() {
    if !nats_or_skip("a_server_keeps_its_port_and_data_over_a_restart") {
        return;
    }
    let mut server = Nats::start(NatsOptions {
        brokers_dir: Some(brokers_dir()),
        ..NatsOptions::default()
    })
    .unwrap();
    let (url, dir) = (server.url.clone(), server.dir.clone());
    for graceful in [true, false] {
        let before = server.pid;
        if graceful {
            server.stop();
        } else {
            server.kill();
        }
        assert!(!answers(&url) && !server.is_running());
        server.restart().unwrap();
        assert!(answers(&url) && server.url == url && server.pid != before);
    }
    drop(server);
    assert!(!answers(&url) && !dir.exists());
}

#[test]
fn a_server_of_a_killed_process_is_cleared_away_by_the_next() {
    if !nats_or_skip("a_server_of_a_killed_process_is_cleared_away_by_the_next") {
        return;
    }
    let server = ensure_nats_in(&brokers_dir(), false).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let start = || {
        let options = NatsOptions {
            brokers_dir: Some(scratch.path().to_owned()),
            dir: Some(scratch.path().join("left")),
            ..NatsOptions::default()
        };
        // The binary that is there already, under the name by which it is looked for.
        let bin = scratch.path().join("bin");
        std::fs::create_dir_all(&bin).unwrap();
        let version = procession_cli::brokers::NATS_VERSION;
        let link = bin.join(format!("nats-server-{version}"));
        let _there = std::os::unix::fs::symlink(&server, link);
        Nats::start(options).unwrap()
    };
    let left = start();
    let url = left.url.clone();
    // As after a kill -9 of its owner: the record names an owner that is gone.
    let record_path = left.dir.join("broker.json");
    let mut record: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&record_path).unwrap()).unwrap();
    record["owner"] = serde_json::json!({"pid": 1, "started": 1_234_567_890});
    std::fs::write(&record_path, record.to_string()).unwrap();
    // Its handle must not end it: only the next start may.
    let keeper = std::thread::spawn(move || {
        let mut left = left;
        while left.is_running() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let next = start();
    keeper.join().unwrap();
    assert!(!answers(&url) || next.url == url);
    assert!(answers(&next.url));
}

#[test]
fn what_cannot_be_had_is_status_3_with_the_fix() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = procession();
    // Without PATH nothing is found, and nothing may be fetched.
    command.env_remove("NATS_SERVER").env("PATH", "");
    command
        .args(["brokers", "up", "nats", "--offline", "--dir"])
        .arg(scratch.path());
    let output = command.output().unwrap();
    assert_eq!(status(&output), 3);
    let message = stderr(&output);
    assert!(
        message.contains("nats-server") && message.contains("--offline"),
        "{message}"
    );
    let output = run(&["brokers", "up", "kafka"]);
    assert_eq!(status(&output), 3);
    assert!(
        stderr(&output).contains("not built yet"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_directory_that_cannot_be_written_is_named() {
    let mut command = procession();
    command
        .env_remove("NATS_SERVER")
        .env("PATH", "/usr/bin:/bin");
    command.args(["brokers", "up", "nats", "--dir", "/proc/nowhere"]);
    let output = command.output().unwrap();
    assert_eq!(status(&output), 3);
    assert!(
        stderr(&output).contains("/proc/nowhere"),
        "{}",
        stderr(&output)
    );
}

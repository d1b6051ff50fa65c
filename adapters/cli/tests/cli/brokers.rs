//! Real servers: found or fetched, started, found again by another process, stopped.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use procession_cli::brokers::{
    Kafka, KafkaOptions, Nats, NatsOptions, RunningServer, ensure_kafka_in, ensure_nats_in,
};

use super::support::{
    brokers_dir, kafka_or_skip, nats_or_skip, procession, status, stderr, stdout,
};

fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

fn answers(url: &str) -> bool {
    TcpStream::connect(("127.0.0.1", port_of(url))).is_ok()
}

#[test]
fn up_is_found_by_status_and_ended_by_down() {
    const NAME: &str = "up_is_found_by_status_and_ended_by_down";
    for (kind, there) in [("nats", nats_or_skip(NAME)), ("kafka", kafka_or_skip(NAME))] {
        if there {
            goes_up_and_down(kind);
        }
    }
}

fn goes_up_and_down(kind: &str) {
    // A directory of its own with the programs that are there already.
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().to_str().unwrap();
    let brokers = |arguments: &[&str]| {
        let mut command = procession();
        with_programs_of_this_build(&mut command);
        command.arg("brokers").args(arguments);
        let output = command.args(["--dir", dir]).output().unwrap();
        assert_eq!(status(&output), 0, "{arguments:?}: {}", stderr(&output));
        stdout(&output)
    };
    let json = |text: &str| -> serde_json::Value { serde_json::from_str(text).unwrap() };
    let up = json(&brokers(&["up", kind, "--json", "-"]));
    let broker = &up["brokers"][0];
    let url = broker["url"].as_str().unwrap();
    assert!(answers(url), "{up}");
    assert!(url.starts_with(&format!("{kind}://127.0.0.1:")), "{up}");
    assert_eq!(broker["kind"], kind);
    assert!(broker["pid"].as_u64().unwrap() > 1 && broker["version"].is_string());
    // A second `up` finds the first one.
    assert_eq!(json(&brokers(&["up", kind, "--json", "-"])), up);
    assert_eq!(json(&brokers(&["status", "--json", "-"])), up);
    brokers(&["down"]);
    assert!(!answers(url));
    assert_eq!(
        json(&brokers(&["status", "--json", "-"]))["brokers"],
        serde_json::json!([])
    );
    brokers(&["down"]);
}

/// So that a command with a brokers directory of its own fetches nothing.
fn with_programs_of_this_build(command: &mut Command) {
    if let Ok(server) = ensure_nats_in(&brokers_dir(), true) {
        command.env("NATS_SERVER", server);
    }
    if let Ok(kafka) = ensure_kafka_in(&brokers_dir(), true) {
        command.env("KAFKA_HOME", kafka.libs.parent().unwrap());
    }
}

#[test]
fn a_server_keeps_its_port_and_data_over_a_restart_and_is_gone_after_a_drop() {
    if nats_or_skip("a_server_keeps_its_port_and_data_over_a_restart") {
        let server = Nats::start(NatsOptions {
            brokers_dir: Some(brokers_dir()),
            ..NatsOptions::default()
        });
        restarts_and_goes(server.unwrap(), |_| {});
    }
    if kafka_or_skip("a_server_keeps_its_port_and_data_over_a_restart") {
        let server = Kafka::start(KafkaOptions {
            brokers_dir: Some(brokers_dir()),
            for_tests: true,
            ..KafkaOptions::default()
        });
        // Another cluster's id would mean that the data directory was made anew.
        let mut first = None;
        restarts_and_goes(server.unwrap(), move |server| {
            let now = std::fs::read(server.dir.join("data/meta.properties")).unwrap();
            assert_eq!(*first.get_or_insert_with(|| now.clone()), now);
        });
    }
}

fn restarts_and_goes(mut server: RunningServer, mut look: impl FnMut(&RunningServer)) {
    let (url, dir) = (server.url.clone(), server.dir.clone());
    for graceful in [true, false] {
        look(&server);
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
    look(&server);
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
}

/// `brokers up kafka` where the only Java is a script that says `version`.
fn up_kafka_with_java(dir: &Path, version: &str) -> Command {
    use std::os::unix::fs::PermissionsExt as _;
    let bin = dir.join("jdk/bin");
    std::fs::create_dir_all(&bin).unwrap();
    let java = bin.join("java");
    let script = format!("#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n");
    std::fs::write(&java, script).unwrap();
    std::fs::set_permissions(&java, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = procession();
    command
        .env_remove("KAFKA_HOME")
        .env("JAVA_HOME", dir.join("jdk"))
        .env("PATH", "")
        .args(["brokers", "up", "kafka", "--dir"])
        .arg(dir.join("brokers"));
    command
}

#[test]
fn a_kafka_that_cannot_be_had_is_status_3_with_the_fix() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path();
    let mut no_java = up_kafka_with_java(dir, "17.0.1");
    no_java.env_remove("JAVA_HOME");
    let mut broken_java = up_kafka_with_java(dir, "17.0.1");
    broken_java.env("JAVA_HOME", dir);
    let mut wrong_home = up_kafka_with_java(dir, "17.0.1");
    wrong_home.env("KAFKA_HOME", dir);
    let mut offline = up_kafka_with_java(dir, "17.0.1");
    offline.arg("--offline");
    let old = tempfile::tempdir().unwrap();
    for (mut command, says) in [
        (
            no_java,
            ["java, which runs Kafka, is not on PATH", "JAVA_HOME"],
        ),
        (broken_java, ["does not run", "version 17 or newer"]),
        (
            up_kafka_with_java(old.path(), "11.0.2"),
            ["of version 11", "version 17 or newer"],
        ),
        (wrong_home, ["KAFKA_HOME is", "unset it"]),
        (offline, ["--offline forbids", "KAFKA_HOME"]),
        (
            up_kafka_with_java(dir, "21"),
            ["mvn (Maven)", "install Maven"],
        ),
    ] {
        let output = command.output().unwrap();
        let message = stderr(&output);
        assert_eq!(status(&output), 3, "{message}");
        assert!(
            says.iter().all(|words| message.contains(words)),
            "{message}"
        );
    }
}

#[test]
fn a_kafka_that_does_not_start_says_why() {
    if !kafka_or_skip("a_kafka_that_does_not_start_says_why") {
        return;
    }
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let options = KafkaOptions {
        brokers_dir: Some(brokers_dir()),
        for_tests: true,
        ..KafkaOptions::default()
    };
    let no_port = KafkaOptions {
        port: Some(taken.local_addr().unwrap().port()),
        ..options.clone()
    };
    let no_number = KafkaOptions {
        settings: vec![("broker.session.timeout.ms".into(), "soon".into())],
        ..options
    };
    for (options, says) in [
        (no_port, "Address already in use"),
        (no_number, "broker.session.timeout.ms"),
    ] {
        let cannot = Kafka::start(options).unwrap_err().to_string();
        assert!(cannot.contains(says), "{cannot}");
    }
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

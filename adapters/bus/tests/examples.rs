//! Every example runs as it stands, on the broker of the process.
//!
//! `cargo test` builds the examples of a package before its tests run.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than any of them may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let built = own.parent().unwrap().parent().unwrap().join("examples");
    let path = built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "{} is not built; run `cargo build -p procession --examples`",
        path.display()
    );
    path
}

/// Runs an example to its end and returns what it said.
fn run(name: &str) -> String {
    let mut child = Command::new(example(name))
        .arg("memory://")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).unwrap();
        text
    });
    let since = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if PATIENCE < since.elapsed() {
            child.kill().unwrap();
            panic!("{name} does not end: {}", reader.join().unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let text = reader.join().unwrap();
    assert!(status.success(), "{name} ended with {status}:\n{text}");
    text
}

#[test]
fn memory() {
    assert!(run("memory").contains("Some(\"order-42\") owes 3"));
}

#[test]
fn typed_json() {
    let text = run("typed_json");
    assert!(text.contains("billed 18"), "{text}");
    assert!(text.contains("dead: order-2"), "{text}");
}

#[test]
fn stream() {
    let text = run("stream");
    let orders = text.lines().filter(|line| line.starts_with("order "));
    assert_eq!(orders.count(), 6, "{text}");
    assert!(text.contains("order 4 at attempt 2"), "{text}");
}

#[test]
fn tower() {
    let text = run("tower");
    assert!(text.contains("key-3 at attempt 2"), "{text}");
    assert!(text.contains("at most 2 at a time"), "{text}");
}

#[test]
fn graceful_shutdown() {
    let text = run("graceful_shutdown");
    assert!(text.contains("handled tick-0"), "{text}");
    assert!(text.contains("handed back 0, abandoned 0"), "{text}");
}

#[test]
fn metrics() {
    let mut child = Command::new(example("metrics"))
        .args(["memory://", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let address = line.strip_prefix("metrics on http://").unwrap();
    let address = address.strip_suffix("/metrics").unwrap().to_owned();
    let scrape = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let since = Instant::now();
    let handled = "procession_handle_attempts_total{topic=\"metrics-orders\",group=\"counting\",\
                   ending=\"done\"}";
    let text = loop {
        let text = scrape();
        if text.contains(handled) || PATIENCE < since.elapsed() {
            break text;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(text.starts_with("HTTP/1.1 200 OK"), "{text}");
    assert!(text.contains(handled), "{text}");
}

//! Running the binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use procession_cli::brokers::CannotBeHad;

/// The binary, ready to be given arguments.
pub(crate) fn procession() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_procession"));
    command.stdin(Stdio::null());
    command
}

/// Runs the binary with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Output {
    procession()
        .args(arguments)
        .output()
        .expect("the binary runs")
}

pub(crate) fn status(output: &Output) -> i32 {
    output.status.code().expect("it was not killed")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The brokers directory of this build, shared with every other test so that a server is fetched
/// once.
pub(crate) fn brokers_dir() -> PathBuf {
    // .../target/debug/procession
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_procession"));
    let target = binary.ancestors().nth(2).expect("a build directory");
    target.join("brokers")
}

/// Whether a real nats-server can be had, else [`skipped`].
pub(crate) fn nats_or_skip(test: &str) -> bool {
    let had = procession_cli::brokers::ensure_nats_in(&brokers_dir(), false);
    had.map_err(|cannot| skipped(test, &cannot)).is_ok()
}

/// Whether Apache Kafka can be had, else [`skipped`].
pub(crate) fn kafka_or_skip(test: &str) -> bool {
    let had = procession_cli::brokers::ensure_kafka_in(&brokers_dir(), false);
    had.map_err(|cannot| skipped(test, &cannot)).is_ok()
}

/// The test cannot be run here: said where everybody sees it; with `PROCESSION_BROKERS=required` a
/// failure.
fn skipped(test: &str, cannot: &CannotBeHad) {
    let required = std::env::var("PROCESSION_BROKERS").is_ok_and(|v| v == "required");
    assert!(!required, "{test}: {cannot}");
    // Past the capture of the test harness: a skipped test must be seen.
    use std::io::Write as _;
    let _told = writeln!(std::io::stderr(), "SKIPPED {test}: {cannot}");
}

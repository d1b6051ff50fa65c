//! Running the binary.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

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

/// Whether a real nats-server can be had. Without one the caller returns, after saying so where
/// everybody sees it; with `PROCESSION_BROKERS=required` that is a failure.
pub(crate) fn nats_or_skip(test: &str) -> bool {
    match procession_cli::brokers::ensure_nats_in(&brokers_dir(), false) {
        Ok(_) => true,
        Err(cannot) => {
            let required = std::env::var("PROCESSION_BROKERS").is_ok_and(|v| v == "required");
            assert!(!required, "{test} needs nats-server: {cannot}");
            // Past the capture of the test harness: a skipped test must be seen.
            use std::io::Write as _;
            let _told = writeln!(std::io::stderr(), "SKIPPED {test}: {cannot}");
            false
        }
    }
}

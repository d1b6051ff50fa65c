//! The command line as child processes, with histories that are read while they grow.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A `procession` that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    /// Its history.
    pub history: PathBuf,
    name: String,
    child: Child,
}

impl Running {
    /// Starts `binary` with `words`, separated by blanks, and a history of its own in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(binary: &str, folder: &Path, name: &str, words: &str) -> Self {
        let history = folder.join(format!("{name}.hist"));
        let errors = fs::File::create(folder.join(format!("{name}.log"))).expect("a log");
        let output = errors.try_clone().expect("a log");
        let child = Command::new(binary)
            .args(words.split_ascii_whitespace())
            .arg("--history")
            .arg(&history)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .spawn()
            .expect("the command line starts");
        Self {
            history,
            name: name.to_owned(),
            child,
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A child that was not waited for keeps its pid, so this can hit no stranger.
        if let Some(pid) = pid {
            let _ended_already = kill_process(pid, signal);
        }
    }

    /// Waits for its end and returns its status; -1 when a signal ended it.
    ///
    /// # Panics
    /// When it does not end within `within`; with what it last said.
    pub fn wait(&mut self, within: Duration) -> i32 {
        let deadline = Instant::now() + within;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.code().unwrap_or(-1);
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {within:?}; it said: {}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The last lines of its output.
    #[must_use]
    pub fn said(&self) -> String {
        let log = fs::read_to_string(self.history.with_extension("log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
    }

    /// The whole lines of its history so far. A torn last line is left out.
    #[must_use]
    pub fn lines(&self) -> Vec<Value> {
        let text = fs::read(&self.history).unwrap_or_default();
        let whole = text.split_inclusive(|byte| *byte == b'\n');
        let whole = whole.filter(|line| line.ends_with(b"\n"));
        whole
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect()
    }

    /// Waits until its history has at least `count` lines of the event `event`.
    ///
    /// # Panics
    /// When that takes longer than `within`, or the process ended before.
    pub fn wait_for(&mut self, event: &str, count: usize, within: Duration) {
        let needle = format!("\"ev\":\"{event}\"");
        let deadline = Instant::now() + within;
        loop {
            let text = fs::read_to_string(&self.history).unwrap_or_default();
            let found = text.matches(&needle).count();
            if found >= count {
                return;
            }
            let ended = self.child.try_wait().ok().flatten();
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{}: {found} of {count} `{event}` lines; {ended:?}; it said: {}",
                self.name,
                self.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Nanoseconds of the clock that histories use.
#[must_use]
pub fn monotonic() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or_default()
}

/// The text field `name` of a line.
#[must_use]
pub fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The number field `name` of a line.
#[must_use]
pub fn number(line: &Value, name: &str) -> u64 {
    line.get(name).and_then(Value::as_u64).unwrap_or_default()
}

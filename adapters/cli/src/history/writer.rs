//! Appends lines to a history file.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::Line;
use crate::failure::Failure;

/// What the first line of a history says of its process.
#[derive(Clone, Debug)]
pub struct Meta<'a> {
    /// `compare`, `produce` or `consume`.
    pub role: &'a str,
    /// The member's name; empty for a producer.
    pub member: &'a str,
    /// The group; empty for a producer.
    pub group: &'a str,
    /// The configuration of the run.
    pub config: serde_json::Value,
}

/// A history file of this process.
#[derive(Debug)]
pub struct History {
    file: File,
    path: PathBuf,
    lines: AtomicU64,
    /// The first write that failed: a history with a hole must not pass for a whole one.
    failed: OnceLock<String>,
}

impl History {
    /// Creates the file and writes its first line.
    ///
    /// # Errors
    /// Status 2 when the file exists and is not empty, or cannot be written.
    pub fn create(path: &Path, meta: &Meta<'_>) -> Result<Self, Failure> {
        let name = path.display();
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(|e| {
                Failure::usage(format!(
                    "--history {name}: cannot be written: {e}; name a file in a directory that \
                     exists and is writable"
                ))
            })?;
        if file.metadata().is_ok_and(|m| m.len() > 0) {
            return Err(Failure::usage(format!(
                "--history {name}: the file exists and is not empty; a history belongs to one \
                 process: name a new file, or remove this one"
            )));
        }
        let history = Self {
            file,
            path: path.to_owned(),
            lines: AtomicU64::new(0),
            failed: OnceLock::new(),
        };
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX));
        history.write(
            Line::new("meta")
                .num("version", 1)
                .num("wall", wall)
                .num("pid", std::process::id().into())
                .text("boot", &boot_id())
                .text("role", meta.role)
                .text("member", meta.member)
                .text("group", meta.group)
                .json("config", &meta.config.to_string()),
        );
        history.check()?;
        Ok(history)
    }

    /// Appends a line with one `write`.
    pub fn write(&self, line: Line) {
        let text = line.finish();
        match (&self.file).write(text.as_bytes()) {
            Ok(n) if n == text.len() => {
                self.lines.fetch_add(1, Ordering::Relaxed);
            }
            Ok(n) => self.fail(format!(
                "only {n} of {} bytes of a line were written",
                text.len()
            )),
            Err(error) => self.fail(error.to_string()),
        }
    }

    /// Writes the last line and says whether every line was written.
    ///
    /// # Errors
    /// Status 2 when any line could not be written.
    pub fn close(&self, status: u8) -> Result<(), Failure> {
        self.write(Line::new("closed").num("status", status.into()));
        self.check()
    }

    fn fail(&self, why: String) {
        let _only_the_first_counts = self.failed.set(why);
    }

    fn check(&self) -> Result<(), Failure> {
        match self.failed.get() {
            None => Ok(()),
            Some(why) => Err(Failure::usage(format!(
                "--history {}: line {} could not be written: {why}; make room, or name a file on \
                 another disk",
                self.path.display(),
                self.lines.load(Ordering::Relaxed) + 1
            ))),
        }
    }
}

/// Names this boot: times of CLOCK_MONOTONIC are comparable only within one.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |s| s.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta<'static> {
        Meta {
            role: "consume",
            member: "m",
            group: "g",
            config: serde_json::json!({"lease_ms": 15000}),
        }
    }

    #[test]
    fn a_history_begins_with_meta_and_ends_with_closed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h");
        let history = History::create(&path, &meta()).unwrap();
        history.write(Line::new("drained").num("left", 0));
        history.close(0).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(lines[0]["ev"], "meta");
        assert_eq!(lines[0]["version"], 1);
        assert_eq!(lines[0]["config"]["lease_ms"], 15000);
        assert_eq!(lines[2]["ev"], "closed");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_file_that_holds_something_is_refused_with_status_2() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("h");
        std::fs::write(&path, "something\n").unwrap();
        let failure = History::create(&path, &meta()).unwrap_err();
        assert_eq!(failure.status, crate::failure::Status::Usage);
        assert!(failure.message.contains("--history"), "{failure}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "something\n");
    }

    #[test]
    fn a_full_disk_is_reported_and_not_passed_over() {
        let full = Path::new("/dev/full");
        let failure = History::create(full, &meta()).unwrap_err();
        assert!(
            failure.message.contains("could not be written"),
            "{failure}"
        );
    }
}

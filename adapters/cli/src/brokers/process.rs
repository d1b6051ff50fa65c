//! Which process is meant: a pid alone may have been given to a stranger since.

use std::fs;

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

/// Names one process for good: its pid and when it started, in clock ticks since boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The pid.
    pub pid: u32,
    /// When it started, in clock ticks since boot: another process with the same pid differs here.
    pub started: u64,
}

impl Identity {
    /// The process that has this pid at the moment.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The second field, the name in brackets, may itself hold brackets and spaces.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Self { pid, started })
    }

    /// Whether it still runs, and its command line holds `mark`.
    #[must_use]
    pub fn is_alive(&self, mark: &str) -> bool {
        Self::of(self.pid) == Some(*self)
            && fs::read(format!("/proc/{}/cmdline", self.pid))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    }

    /// Sends a signal, after making sure that it is still the same process.
    pub(super) fn signal(&self, mark: &str, signal: Signal) -> bool {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        self.is_alive(mark) && pid.is_some_and(|pid| kill_process(pid, signal).is_ok())
    }
}

//! What is remembered of a started broker, so that other processes can find and stop it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::server::STOP_WITHIN;
use super::{CannotBeHad, Identity};

/// A started broker, as its record file `broker.json` in its directory says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BrokerRecord {
    /// `nats` or `kafka`.
    pub kind: String,
    /// Where it answers.
    pub url: String,
    /// The server process.
    pub process: Identity,
    /// The server's version.
    pub version: String,
    /// Its own directory: data, log, this record.
    pub dir: PathBuf,
    /// The process that it belongs to and ends with; `None` for one that was started to stay.
    pub owner: Option<Identity>,
}

impl BrokerRecord {
    const FILE: &'static str = "broker.json";

    /// Reads the record of a broker's directory.
    #[must_use]
    pub fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(dir.join(Self::FILE)).ok()?).ok()
    }

    /// Whether the server still runs. Its command line holds its directory.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.process.is_alive(&self.mark())
    }

    /// Whether it was left behind: the process that it belongs to is gone.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.owner.is_some_and(|o| Identity::of(o.pid) != Some(o))
    }

    /// Ends the server (SIGTERM, after 10 s SIGKILL) and forgets it. Whether it was running.
    pub fn stop(&self) -> bool {
        let mark = self.mark();
        let was_running = self.process.signal(&mark, Signal::TERM);
        let deadline = Instant::now() + STOP_WITHIN;
        while self.process.is_alive(&mark) {
            if Instant::now() > deadline {
                self.process.signal(&mark, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Self::forget(&self.dir);
        was_running
    }

    pub(super) fn write(&self) -> Result<(), CannotBeHad> {
        let path = self.dir.join(Self::FILE);
        let json = serde_json::to_vec_pretty(self).unwrap_or_default();
        fs::write(&path, json).map_err(|e| {
            CannotBeHad::new(
                format!("cannot write {}: {e}", path.display()),
                "choose another directory with --dir, or make it writable",
            )
        })
    }

    pub(super) fn forget(dir: &Path) {
        let _gone_already = fs::remove_file(dir.join(Self::FILE));
    }

    fn mark(&self) -> String {
        self.dir.to_string_lossy().into_owned()
    }
}

/// The records of all brokers under a brokers directory.
#[must_use]
pub fn find_records(brokers_dir: &Path) -> Vec<BrokerRecord> {
    let mut found: Vec<_> = fs::read_dir(brokers_dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| BrokerRecord::read(&entry.ok()?.path()))
        .collect();
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

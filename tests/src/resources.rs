//! What a process holds: threads, sockets, memory.

use std::fs;
use std::time::{Duration, Instant};

/// Threads and sockets of this process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Resources {
    /// Names of the threads, sorted.
    pub threads: Vec<String>,
    /// What the sockets among the open files are, sorted: `socket:[INODE]`.
    pub sockets: Vec<String>,
}

impl Resources {
    /// As it is now.
    #[must_use]
    pub fn now() -> Self {
        let mut threads: Vec<_> = entries("/proc/self/task")
            .filter_map(|path| fs::read_to_string(path.join("comm")).ok())
            .map(|name| name.trim_end().to_owned())
            .collect();
        threads.sort();
        let mut sockets: Vec<_> = entries("/proc/self/fd")
            .filter_map(|path| fs::read_link(path).ok())
            .map(|target| target.to_string_lossy().into_owned())
            .filter(|target| target.starts_with("socket:"))
            .collect();
        sockets.sort();
        Self { threads, sockets }
    }

    /// Waits until nothing is left that was not there `before`. What was left, if something was.
    #[must_use]
    pub fn left_since(before: &Self, within: Duration) -> Option<String> {
        let deadline = Instant::now() + within;
        loop {
            let now = Self::now();
            let left = difference(&now.threads, &before.threads)
                .chain(difference(&now.sockets, &before.sockets))
                .collect::<Vec<_>>();
            if left.is_empty() {
                return None;
            }
            if Instant::now() > deadline {
                return Some(left.join(", "));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn entries(folder: &str) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path())
}

/// What `now` holds more often than `before`.
fn difference<'a>(now: &'a [String], before: &'a [String]) -> impl Iterator<Item = String> + 'a {
    let mut before: Vec<_> = before.iter().collect();
    now.iter().filter_map(
        move |name| match before.iter().position(|known| *known == name) {
            Some(known) => {
                before.swap_remove(known);
                None
            }
            None => Some(name.clone()),
        },
    )
}

//! Directories: where brokers are kept, and where programs are looked for.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::CannotBeHad;

/// The brokers directory when nobody names one: `brokers` in the build directory.
///
/// `CARGO_TARGET_DIR` when set, else `target` beside the nearest `Cargo.lock` above the current
/// directory, else `target` here. So the command line, the tests and CI share one fetched server.
#[must_use]
pub fn default_dir() -> PathBuf {
    if let Some(target) = std::env::var_os("CARGO_TARGET_DIR").filter(|v| !v.is_empty()) {
        return PathBuf::from(target).join("brokers");
    }
    let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    here.ancestors()
        .find(|dir| dir.join("Cargo.lock").is_file())
        .unwrap_or(&here)
        .join("target")
        .join("brokers")
}

pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

const FRESH: &str = "run-";

/// A directory for one run of one server, to be removed in the end.
pub(super) fn fresh_dir(brokers_dir: &Path) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_micros());
    brokers_dir.join(format!("{FRESH}{}-{n}-{since}", std::process::id()))
}

/// Whether it was made by [`fresh_dir`].
pub(super) fn is_fresh_dir(dir: &Path) -> bool {
    dir.file_name()
        .is_some_and(|n| n.to_string_lossy().starts_with(FRESH))
}

/// A path that cannot be written, and why.
pub(super) fn unwritable(path: &Path, error: &dyn std::fmt::Display) -> CannotBeHad {
    CannotBeHad::new(
        format!("cannot write to {}: {error}", path.display()),
        "choose another directory with --dir, or make it writable",
    )
}

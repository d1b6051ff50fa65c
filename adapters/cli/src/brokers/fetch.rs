//! Fetching what is not there, once.

use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::CannotBeHad;
use super::dirs::unwritable;
use crate::terminal;

/// Fetches `what` unless it is `there`, with progress on a terminal. `fetch` gets a directory of
/// its own under `dir`, which is removed in the end, and moves the result to its place as its last
/// step. Several processes may want it at once: the first one holds a file lock, the others find it
/// done.
pub(super) fn fetch_once(
    dir: &Path,
    what: &str,
    there: impl Fn() -> bool,
    fetch: impl FnOnce(&Path) -> Result<(), CannotBeHad>,
) -> Result<(), CannotBeHad> {
    fs::create_dir_all(dir).map_err(|e| unwritable(dir, &e))?;
    let lock = File::create(dir.join("fetch.lock")).map_err(|e| unwritable(dir, &e))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|e| unwritable(dir, &e))?;
    if there() {
        return Ok(());
    }
    let progress = terminal::spinner(&format!("fetching {what}"));
    let scratch = dir.join(format!("fetch-{}", std::process::id()));
    let fetched = fs::create_dir_all(&scratch)
        .map_err(|e| unwritable(&scratch, &e))
        .and_then(|()| fetch(&scratch));
    let _best_effort = fs::remove_dir_all(&scratch);
    progress.finish_and_clear();
    fetched
}

//! `report`: the page of comparisons that were written down.

use std::path::Path;

use crate::args::ReportArgs;
use crate::failure::Failure;
use crate::html::{Comparison, page};

pub(super) fn run(args: &ReportArgs) -> Result<(), Failure> {
    let read = |path: &std::path::PathBuf| {
        let wrong = |why: String| Failure::usage(format!("{}: {why}", path.display()));
        let text = std::fs::read_to_string(path)
            .map_err(|e| wrong(format!("cannot be read: {e}; name what --json wrote")))?;
        let value = serde_json::from_str(&text)
            .map_err(|e| wrong(format!("not JSON: {e}; name what `compare --json` wrote")))?;
        Comparison::read(&value).map_err(wrong)
    };
    let comparisons = args.files.iter().map(read);
    let comparisons: Vec<_> = comparisons.collect::<Result<_, _>>()?;
    write_page(&comparisons, &args.html)
}

/// Makes sure that the page can be written, before anything long is run.
pub(super) fn prepare(path: &Path) -> Result<(), Failure> {
    let mut options = std::fs::OpenOptions::new();
    let opened = options.create(true).append(true).open(path);
    opened.map(drop).map_err(|e| unwritable(path, &e))
}

pub(super) fn write_page(comparisons: &[Comparison], path: &Path) -> Result<(), Failure> {
    let wrong = |why| Failure::usage(format!("--html {}: {why}", path.display()));
    let page = page(comparisons).map_err(wrong)?;
    std::fs::write(path, page).map_err(|e| unwritable(path, &e))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::usage(format!(
        "--html {}: cannot be written: {error}; name a file in a directory that exists and is writable",
        path.display()
    ))
}

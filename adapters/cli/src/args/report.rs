//! `report`.

use std::path::PathBuf;

/// `report`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    procession compare --json run.json; procession report run.json --html run.html\n  \
    procession report file.json memory.json --html storage.html   (side by side)")]
pub struct ReportArgs {
    /// What `compare --json` wrote; several are put side by side, and the same conditions together.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where the page is written: one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: PathBuf,
}

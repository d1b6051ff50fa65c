//! The report as one HTML file that needs nothing else: no network, no fonts, no scripts.

mod chart;
mod course;
mod data;
mod figures;
mod latency;
mod page;
mod predecessor;
mod repeats;
mod series;
mod throughput;

use askama::Template as _;

pub(crate) use data::Comparison;
use page::Page;

/// The page of these comparisons, side by side.
///
/// # Errors
/// Why it cannot be drawn.
pub(crate) fn page(comparisons: &[Comparison]) -> Result<String, String> {
    Page::new(comparisons)?.render().map_err(|e| e.to_string())
}

//! The history: one JSON line for everything that a checker must know, appended with one write a
//! line, so that a killed process leaves at most one torn last line.

mod line;
mod writer;

pub use line::Line;
pub use writer::{History, Meta};

//! The history: one JSON line for everything that a checker must know, appended with one write a
//! line, so that a killed process leaves at most one torn last line.

mod line;
mod named;
mod publisher;
mod subscriber;
mod writer;

pub use line::Line;
pub(crate) use line::monotonic_nanos;
pub(crate) use named::{Named, sequence_of};
pub(crate) use publisher::PublisherLines;
pub(crate) use subscriber::SubscriberLines;
pub use writer::{History, Meta};

//! The in-process broker through the seam that drivers use, polled by hand on a clock of its own.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod feed;
mod member;
mod shell;
mod sink;
mod topics;

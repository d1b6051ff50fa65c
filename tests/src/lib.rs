//! What the tests of the workspace share.
//!
//! * [`proxy`]: a TCP proxy that does harm, with [`frames`] of the NATS protocol.
//! * [`runner`]: runs cases and counts what was skipped.
//! * [`tree`]: the source files of the workspace.
#![warn(missing_docs)]

pub mod frames;
pub mod proxy;
pub mod runner;
pub mod tree;

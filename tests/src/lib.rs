//! What the tests of the workspace share.
//!
//! * [`proxy`]: a TCP proxy that does harm, with [`frames`] of the NATS protocol.
//! * [`resources`]: what the process holds.
//! * [`runner`]: runs cases and counts what was skipped.
//! * [`venue`]: a broker for one case, from [`servers`] where it is a real one.
//! * [`seen`], [`watch`]: handlers and observers that remember, and judge by the promises.
//! * [`tree`]: the source files of the workspace.
#![warn(missing_docs)]

pub mod frames;
pub mod proxy;
pub mod resources;
pub mod runner;
pub mod seen;
pub mod servers;
pub mod tree;
pub mod venue;
pub mod watch;

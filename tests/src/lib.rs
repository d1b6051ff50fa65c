//! What the tests of the workspace share.
//!
//! * [`command`]: the command line as child processes; [`raw_nats`]: a few raw requests.
//! * [`proxy`]: a TCP proxy that does harm, with [`frames`] of the NATS protocol.
//! * [`resources`]: what the process holds.
//! * [`feeding`]: a feed of any broker, driven by hand.
//! * [`runner`]: runs cases and counts what was skipped.
//! * [`venue`]: a broker for one case, from [`servers`] where it is a real one.
//! * [`seen`], [`watch`]: handlers and observers that remember, and judge by the promises.
//! * [`tree`]: the source files of the workspace.
#![warn(missing_docs)]

pub mod command;
pub mod feeding;
pub mod frames;
pub mod proxy;
pub mod raw_nats;
pub mod resources;
pub mod runner;
pub mod seen;
pub mod servers;
pub mod tree;
pub mod venue;
pub mod watch;

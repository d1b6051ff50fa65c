//! The binary from outside: arguments, exit statuses, files.

// The lint's exception for tests does not see helper functions of an integration test.
#![allow(clippy::unwrap_used)]

mod arguments;
mod bench;
mod brokers;
mod check;
mod compare;
mod flight;
mod report;
mod shell;
mod sim;
mod support;
mod work;

//! The binary from outside: arguments, exit statuses, files.

mod arguments;
mod brokers;
mod check;
mod support;

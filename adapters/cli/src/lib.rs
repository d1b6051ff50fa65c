//! The command line of Procession, as a library: the binary `procession` is a thin shell around
//! [`run`](commands::run), and tests use [`brokers`] and [`check`] directly.
#![warn(missing_docs)]

pub mod brokers;
pub mod check;
pub mod failure;
pub mod history;
mod terminal;

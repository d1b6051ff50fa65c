//! The command line of Procession, as a library: the binary `procession` is a thin shell around
//! [`commands::main`], and tests use [`brokers`] and [`check`] directly.
#![warn(missing_docs)]

pub mod args;
#[cfg(feature = "bench")]
mod bench;
pub mod brokers;
pub mod check;
pub mod commands;
mod compare;
mod consume;
pub mod failure;
pub mod history;
mod html;
mod picks;
mod produce;
mod runtime;
mod sample;
mod signals;
mod sites;
mod terminal;
mod work;

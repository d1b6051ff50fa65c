//! An executor, a clock, and scripted ports: everything that the tests of the drivers run on.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tests pick out what they look for"
)]

mod feed;
mod shell;
mod sink;
mod work;

pub(crate) use feed::ScriptFeed;
pub(crate) use shell::TestShell;
pub(crate) use sink::ScriptSink;
pub(crate) use work::{Event, Log, Recorder, TestWork};

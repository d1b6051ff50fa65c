//! How a command ends when it does not end well: the exit status and one clear sentence.

use std::fmt;
use std::process::ExitCode;

/// The exit statuses of the command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Everything asked for was done and no promise was broken.
    Fine = 0,
    /// A promise was broken or a fault was found; the last line names it.
    Fault = 1,
    /// Wrong use or configuration; the message names the option, its value and the fix.
    Usage = 2,
    /// A broker that was asked for cannot be had; the message names what is missing and the fix.
    Unavailable = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// A command that cannot go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The exit status.
    pub status: Status,
    /// What happened and what to do, in one line.
    pub message: String,
}

impl Failure {
    /// A promise was broken or a fault was found.
    pub fn fault(message: impl Into<String>) -> Self {
        Self {
            status: Status::Fault,
            message: message.into(),
        }
    }

    /// Wrong use: name the option, its value and the fix.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            status: Status::Usage,
            message: message.into(),
        }
    }

    /// A broker cannot be had: name what is missing and how to get it.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self {
            status: Status::Unavailable,
            message: message.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

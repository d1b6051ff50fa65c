//! The two ends of a publish.

use core::fmt;
use std::sync::Arc;

use procession_core::Position;

/// A message is in the log: the broker's acknowledgement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stored {
    /// The partition.
    pub partition: u32,
    /// The position.
    pub position: Position,
    /// The broker had this identity already; it is in the log once.
    pub duplicate: bool,
}

/// Why a publish has no acknowledgement.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// There was no room, at once or until the deadline. Nothing was sent.
    Full,
    /// It is not in the log, and never will be. The reason.
    Refused(Arc<str>),
    /// It is not in the log, and never will be: another message than the expected one is the last of its
    /// key. What the broker said.
    Conflict(Arc<str>),
    /// Its deadline passed without an answer: it may be in the log or not. The reason.
    Unknown(Arc<str>),
    /// The publisher is closed. Nothing was sent.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str(
                "no room: too many publishes are outstanding; wait for results, or raise the \
                 publishing limits",
            ),
            Self::Refused(why) => write!(f, "not stored: {why}"),
            Self::Conflict(why) => write!(f, "not stored, another was faster: {why}"),
            Self::Unknown(why) => write!(f, "nobody knows whether it was stored: {why}"),
            Self::Closed => f.write_str("the publisher is closed"),
        }
    }
}

impl std::error::Error for PublishError {}

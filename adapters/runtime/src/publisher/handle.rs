//! What publishers hold.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::{Position, Time};

use crate::port::Outgoing;

/// Publishes through one sink. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PublisherHandle {}

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
            Self::Unknown(why) => write!(f, "nobody knows whether it was stored: {why}"),
            Self::Closed => f.write_str("the publisher is closed"),
        }
    }
}

impl std::error::Error for PublishError {}

impl PublisherHandle {
    /// Publishes a message. The first poll hands it to the driver.
    ///
    /// `lane` is the 64-bit hash of (topic, key), `None` without a key. `deadline` is on the clock
    /// of the shell. With `wait_for_room` the publish waits for room until its deadline, else it
    /// fails at once with [`PublishError::Full`].
    ///
    /// Dropping the future before the driver has accepted it sends nothing; after that it changes
    /// nothing.
    #[must_use = "a publish does nothing until it is polled"]
    pub fn publish(
        &self,
        _message: Outgoing,
        _lane: Option<u64>,
        _deadline: Time,
        _wait_for_room: bool,
    ) -> Publish {
        Publish {}
    }

    /// Takes no further publishes, waits for the results of the accepted ones until `deadline`, and
    /// ends: what is without an answer then is unknown.
    pub fn close(&self, _deadline: Time) {}

    /// How many publishes are accepted and without a result.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        0
    }

    /// Resolves once the driver has ended and the sink is closed.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        core::future::ready(())
    }
}

/// A publish on its way.
#[derive(Debug)]
pub struct Publish {}

impl Future for Publish {
    type Output = Result<Stored, PublishError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Err(PublishError::Closed))
    }
}

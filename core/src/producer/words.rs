//! What goes into a [`Producer`](super::Producer) and what comes out.

use core::fmt;

use crate::{Time, Token};

/// A message to publish. `M` is opaque: moved in, lent for each send, moved out with the result.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publish<M> {
    /// 64-bit hash of (topic, key): what must reach the log in order. A message without a key gets
    /// a number of its own (its identity's hash), so that it waits for nothing.
    pub lane: u64,
    /// What it is charged, in bytes.
    pub bytes: u32,
    /// When its result is due at the latest (S10).
    pub deadline: Time,
    /// The message.
    pub message: M,
}

/// A publish that was not accepted, given back. Nothing of it was or will be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Full<M> {
    /// Why.
    pub why: NoRoom,
    /// What was to be published.
    pub publish: Publish<M>,
}

/// Why a publish was not accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoRoom {
    /// The window is full, in messages or bytes. [`Producer::poll_room`](super::Producer::poll_room)
    /// tells when to try again.
    Window,
    /// The message is larger than the whole window; it never fits.
    TooLarge,
    /// The producer drains: nothing new is taken.
    Draining,
    /// The producer ended with a fatal error.
    Closed,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Window => "the window of unfinished publishes is full",
            Self::TooLarge => "the message is larger than the whole window of the producer",
            Self::Draining => "the producer is being closed",
            Self::Closed => "the producer ended with a fatal error",
        })
    }
}

impl<M> fmt::Display for Full<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a publish of {} bytes was not accepted: {}",
            self.publish.bytes, self.why
        )
    }
}

impl<M: fmt::Debug> core::error::Error for Full<M> {}

/// Send this message now. The producer keeps it until its result.
#[derive(Debug)]
#[must_use = "a send that is not carried out must be settled"]
pub struct Transmit<'a, M> {
    /// Names the publish.
    pub token: Token,
    /// Counts the sends of this publish, from 1.
    pub attempt: u32,
    /// When its result is due.
    pub deadline: Time,
    /// The message.
    pub message: &'a M,
}

/// What the broker, or the port, said about one send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It is in the log, acknowledged.
    Stored,
    /// It is not in the log, and sending it again would change nothing (too large, not permitted).
    NotStored,
    /// It was to go in only behind a certain message of its key, and another one is the last: it is not
    /// in the log, and neither is an earlier send of its identity. A broker that compares before it looks
    /// for copies finds its own copy in the way: an adapter that cannot tell says
    /// [`Unknown`](Self::Unknown).
    Conflict,
    /// It is not in the log, for a passing reason. It is sent again under the same identity.
    Retry,
    /// It is not in the log, because its request was refused as a whole: for what one of those in it is.
    /// It is sent again at once, and from then on by itself, so that each has its own answer. Said of a
    /// send that was by itself already, it is [`Retry`](Self::Retry).
    Apart,
    /// Nobody knows; it may still land. It is sent again under the same identity.
    Unknown,
    /// The port cannot go on: as [`Producer::fail`](super::Producer::fail).
    Fatal,
}

/// The one result of a publish (S10), with its message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "it is the only result that this publish gets"]
pub struct Done<M> {
    /// Names the publish.
    pub token: Token,
    /// How it ended.
    pub result: Published,
    /// Sends that were made.
    pub attempts: u32,
    /// The message.
    pub message: M,
}

/// How a publish ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Published {
    /// In the log, acknowledged by the broker.
    Stored,
    /// Not in the log, and it never will be.
    Refused(Unsent),
    /// It was sent, and nobody knows: it may be in the log, or may still get there.
    Unknown,
}

/// Why a publish is surely not in the log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Unsent {
    /// The broker refused it for good.
    Broker,
    /// Another message than the expected one is the last of its key: somebody was faster.
    Conflict,
    /// Its deadline passed before it was sent, or after every send had failed.
    Deadline,
    /// An older publish of its key is unknown and may still land: sending this one could put it in
    /// front (S8).
    Predecessor,
    /// A newer publish of its key is in the log already; sending this one again would put it behind
    /// (S8). Only with a broker that was declared to keep order and did not.
    Overtaken,
    /// The producer ended with a fatal error.
    Closed,
}

/// There is room again: those who wait may publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Messages.
    pub messages: u32,
    /// Bytes.
    pub bytes: u64,
}

/// Counters since the start, and what is held now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProducerStats {
    /// Slots in use: unfinished publishes, results that were not fetched, and blocked keys.
    pub held: u32,
    /// Bytes of the messages held.
    pub held_bytes: u64,
    /// Sends without an answer whose answer can still come; several of a key in one request count as one.
    pub in_flight: u32,
    /// Publishes that ended as unknown and may still land: each blocks its key.
    pub uncertain: u32,
    /// Those of them for which no answer can come any more. Only a new connection frees their keys:
    /// an adapter that sees this stay above zero connects again.
    pub stuck: u32,
    /// Publishes accepted.
    pub accepted: u64,
    /// Sends, repeated ones included.
    pub sent: u64,
    /// Requests that they went in.
    pub requests: u64,
    /// Results: stored.
    pub stored: u64,
    /// Results: refused.
    pub refused: u64,
    /// Results: unknown.
    pub unknown: u64,
    /// Answers for what had ended before.
    pub stale: u64,
}

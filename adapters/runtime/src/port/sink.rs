//! The publishing half of a broker.

use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::Position;

use super::{Outgoing, PortError};

/// The publishing half of a broker, for one bus.
///
/// Takes every message at once: the window of outstanding messages is the core's decision. As with
/// a feed, an answer that is there at once must wake whoever polled last.
pub trait Sink: Send + 'static {
    /// Takes a command. Never blocks.
    fn submit(&mut self, command: SinkCommand);

    /// Ends the connection and makes a new one: answered by [`SinkEvent::Disconnected`] and, once it
    /// is there, [`SinkEvent::Connected`]. Asked for when a send has no known outcome and can have no
    /// answer any more: only a new connection tells that it cannot land (S8). Never blocks. A port
    /// whose sends always have a known outcome need not do anything.
    fn reconnect(&mut self) {}

    /// Appends what happened to `into`; pending when nothing did.
    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()>;
}

impl Sink for Box<dyn Sink> {
    fn submit(&mut self, command: SinkCommand) {
        (**self).submit(command);
    }
    fn reconnect(&mut self) {
        (**self).reconnect();
    }
    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()> {
        (**self).poll_events(cx, into)
    }
}

/// Names one send: the producer's token as a number, and which send of it this is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SinkTicket {
    /// `procession_core::Token::to_bits` of the publish.
    pub token: u64,
    /// Counts the sends of one publish.
    pub attempt: u32,
}

/// One of several messages that are sent together.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// Names the send.
    pub ticket: SinkTicket,
    /// The message. Shared with the core, which may send it again.
    pub message: Arc<Outgoing>,
}

/// What a sink is told to do.
#[derive(Clone, Debug)]
pub enum SinkCommand {
    /// Send. Answered by exactly one [`SinkEvent::Result`] per ticket, unless the connection is
    /// lost: then the ticket's outcome is unknown until the same message is sent again.
    Send {
        /// Names the send.
        ticket: SinkTicket,
        /// The message. Shared with the core, which may send it again.
        message: Arc<Outgoing>,
    },
    /// Send several messages of one topic, key and partition in one request, in this order. Each is
    /// answered by itself, as one that was sent by itself. What is sent together keeps its order: as long
    /// as one of them is not in the log, and was not refused for good, none behind it may get there.
    ///
    /// A port that stores in the order in which it sends takes them as a row. One that can have several
    /// stored as a whole, or not at all, does so; what it cannot send so it answers with
    /// [`SinkReceipt::Apart`]. Comes only where `ProducerConfig::batch` is above 1 and
    /// [`BrokerInfo::pipelining`](super::BrokerInfo::pipelining) is not set.
    SendTogether(Vec<Parcel>),
    /// End everything. Answered by [`SinkEvent::Closed`].
    Close,
}

/// How a send ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SinkReceipt {
    /// In the log.
    Stored {
        /// The partition.
        partition: u32,
        /// The position.
        position: Position,
        /// The broker had this identity already; it is in the log once.
        duplicate: bool,
    },
    /// Not in the log, and it never will be: refused by the broker.
    NotStored(PortError),
    /// Not in the log: another message than the [expected](super::Expect) one is the last of its key, and
    /// that is no earlier copy of this identity, nor is one before it.
    Conflict(PortError),
    /// Not in the log for a passing reason; may be sent again.
    Retry(PortError),
    /// Not in the log, because what it was sent together with was refused as a whole, or cannot be sent so:
    /// to be sent again by itself, at once.
    Apart(PortError),
    /// Nobody knows; may still land.
    Unknown(PortError),
}

/// What happened on the publishing half.
#[derive(Clone, Debug)]
pub enum SinkEvent {
    /// The end of a send.
    Result {
        /// Names the send.
        ticket: SinkTicket,
        /// How it ended.
        receipt: SinkReceipt,
    },
    /// The connection is there (again). Sends that were without an answer at the
    /// [`SinkEvent::Disconnected`] before cannot land any more.
    Connected,
    /// The connection is gone; every send without an answer is uncertain.
    Disconnected,
    /// The sink cannot go on. [`SinkEvent::Closed`] follows.
    Failed(PortError),
    /// The end: no task, thread or socket of this sink is left.
    Closed,
}

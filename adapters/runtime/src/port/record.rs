//! Messages as brokers see them: bytes with header fields, free of any broker's types.

use std::sync::Arc;

use bytes::Bytes;
use procession_core::{Position, Stamp};

use super::Headers;

/// A message that a broker delivered. Owned bytes: nothing of the client library is held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// Kafka offset or JetStream stream sequence.
    pub position: Position,
    /// The broker's timestamp: nanoseconds since 1970 on JetStream and memory.
    pub stamp: Stamp,
    /// Number of the delivery within the session, from 1, the overlapping one not counted; see
    /// `procession_core::Arrival::delivery`.
    pub delivery: Option<u64>,
    /// The broker's own key field (Kafka); `None` where the key travels in a header.
    pub key: Option<Bytes>,
    /// Header fields.
    pub headers: Headers,
    /// The body.
    pub payload: Bytes,
    /// What the message is charged: key, headers and body, in bytes.
    pub bytes: u32,
}

/// A message on its way to a broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The topic.
    pub topic: Arc<str>,
    /// The raw key; the port maps it to a partition (`docs/wire.md`).
    pub key: Option<Bytes>,
    /// The id's bytes: choose the partition of a message without a key.
    pub id: Arc<str>,
    /// 128-bit identity, for the broker's own dedupe (`Nats-Msg-Id`, as 32 hex digits).
    pub identity: u128,
    /// Copy number, 0 for the first: a copy past the broker's dedupe gets `.c1` after its message id.
    pub copy: u8,
    /// Header fields as they go on the wire.
    pub headers: Headers,
    /// The body.
    pub payload: Bytes,
    /// Set when the partition is fixed (dead letters keep the partition of their original).
    pub partition: Option<u32>,
    /// Behind what it may go into the log; `None`: behind anything.
    pub expect: Option<Expect>,
}

/// Behind what a message may go into the log: what its publisher believes to be the last message of its
/// key. Optimistic concurrency, for aggregates that are stored as events.
///
/// A port whose broker cannot compare refuses such a message
/// ([`SinkReceipt::NotStored`](super::SinkReceipt::NotStored)); it never sends it without.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Expect {
    /// The log holds no message of this key.
    First,
    /// The last message of this key stands here.
    After(Position),
}

impl Outgoing {
    /// What the message is charged, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.len() + self.headers.byte_len() + self.key.as_ref().map_or(0, Bytes::len) + 64
    }
}

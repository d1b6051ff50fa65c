//! How an envelope looks on the wire; the specification is `docs/wire.md`.

mod decode;
mod encode;
mod escape;
mod form;
mod forms;
mod json;
mod predecessor;
pub(crate) mod rfc3339;
mod structured;
#[cfg(test)]
mod tests;

pub(crate) use decode::decode;
pub(crate) use encode::{Encoder, for_wire};
pub(crate) use escape::{escape, unescape};
pub use form::Form;
pub(crate) use forms::write;
use forms::{form_of_rest, starts};

use procession_core::{Position, Stamp};
use procession_runtime::port::{Outgoing, Record};

use crate::Envelope;

/// A message on its way out as its receiver will read it.
pub(crate) fn read_back(message: &Outgoing) -> Envelope {
    let record = Record {
        position: Position(0),
        stamp: Stamp(0),
        delivery: None,
        key: message.key.clone(),
        headers: message.headers.clone(),
        payload: message.payload.clone(),
        bytes: 0,
    };
    decode(&message.topic, 0, record)
}

/// How CloudEvents attributes become header fields.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Binding {
    /// `ce-id`, values percent-encoded: NATS and memory.
    Dashed,
    /// `ce_id`, values as they are: Kafka.
    Underscored,
}

impl Binding {
    /// The binding of a kind of broker.
    pub(crate) fn of(kind: &str) -> Self {
        match kind {
            "kafka" | "mock-kafka" => Self::Underscored,
            _ => Self::Dashed,
        }
    }
}

//! How an envelope looks on the wire; the specification is `docs/wire.md`.

mod decode;
mod encode;
mod escape;
pub(crate) mod rfc3339;

pub(crate) use decode::decode;
pub(crate) use encode::{Encoder, for_wire};
pub(crate) use escape::escape;

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

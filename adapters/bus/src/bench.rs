//! Inner parts for the benchmarks of this crate; no part of the interface.

use std::sync::Arc;

use procession_core::{Position, Stamp};
use procession_runtime::port::{Headers, Record};

use crate::Envelope;
use crate::wire::{self, Binding};

/// The header fields of an envelope as they go to NATS.
#[must_use]
pub fn for_wire(envelope: &Envelope, source: &str) -> Headers {
    wire::for_wire(envelope, Binding::Dashed, source)
}

/// An envelope as a broker delivers it, and its topic.
#[must_use]
pub fn record(envelope: &Envelope) -> (Arc<str>, Record) {
    let record = Record {
        position: Position(1),
        stamp: Stamp(1),
        delivery: Some(1),
        key: None,
        headers: for_wire(envelope, "shop"),
        payload: envelope.payload().clone(),
        bytes: 512,
    };
    ("orders".into(), record)
}

/// Reads a record.
#[must_use]
pub fn decode(topic: &Arc<str>, record: Record) -> Envelope {
    wire::decode(topic, 0, record)
}

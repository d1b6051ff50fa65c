//! How messages are called in histories.

use std::borrow::Cow;

use procession::Envelope;

/// Key, id and sequence of a message.
pub(crate) struct Named<'a> {
    pub(crate) key: Option<Cow<'a, str>>,
    pub(crate) id: Cow<'a, str>,
    pub(crate) seq: Option<u64>,
}

impl<'a> Named<'a> {
    /// By the fields of its envelope.
    pub(crate) fn of(envelope: &'a Envelope) -> Self {
        Self {
            key: envelope.key_bytes().map(String::from_utf8_lossy),
            id: envelope.id().into(),
            seq: envelope.sequence().or_else(|| sequence_of(envelope.id())),
        }
    }
}

/// The sequence in an id of the form `KEY-SEQ`.
pub(crate) fn sequence_of(id: &str) -> Option<u64> {
    id.rsplit_once('-')?.1.parse().ok()
}

//! The envelope: what is published and what arrives.

mod attribute;
mod builder;
mod error;
pub(crate) mod validate;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use bytes::Bytes;
use procession_runtime::port::Headers;

pub(crate) use attribute::Attribute;
pub use builder::EnvelopeBuilder;
pub use error::EnvelopeError;

use crate::wire::{Binding, Form, rfc3339, unescape};

/// A message with its context: id, source, type, key and so on, and a payload that the bus neither
/// copies nor parses.
///
/// An envelope keeps its header fields as they are on the wire, so that fields which Procession
/// does not know survive a round trip; the accessors find theirs by number.
///
/// ```
/// use procession::Envelope;
///
/// let placed = Envelope::builder("OrderPlaced")
///     .key("order-42")
///     .json(&serde_json::json!({ "total": 3 }))?;
/// assert_eq!(placed.key(), Some("order-42"));
/// assert_eq!(placed.content_type(), Some("application/json"));
/// # Ok::<(), procession::EnvelopeError>(())
/// ```
/// Cloning is cheap: clones share everything.
#[derive(Clone)]
pub struct Envelope {
    pub(crate) parts: Arc<Parts>,
}

/// What an envelope is made of.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) headers: Headers,
    pub(crate) payload: Bytes,
    pub(crate) topic: Option<Arc<str>>,
    /// The broker's own key field, where it has one; else the key is in a header field.
    pub(crate) record_key: Option<Bytes>,
    pub(crate) index: Index,
    /// Values that differ from what their header field holds: unescaped ones, and the id and
    /// source of a raw message. Nearly always none.
    pub(crate) text: Vec<(Attribute, Box<str>)>,
    pub(crate) raw: bool,
    /// The record as it came, where it is not what `headers` and `payload` hold: the JSON forms.
    pub(crate) original: Option<Box<Original>>,
    /// What is wrong with a record that could not be read. Such an envelope never reaches a
    /// handler.
    pub(crate) malformed: Option<Box<EnvelopeError>>,
    /// Set by a typed handler that could not read the payload: the dead letter tells of it.
    pub(crate) undecodable: AtomicBool,
}

/// A record of a JSON form as it came.
#[derive(PartialEq, Eq)]
pub(crate) struct Original {
    pub(crate) form: Form,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
}

/// For each attribute the number of its header field, or [`ABSENT`].
#[derive(Clone, Copy)]
pub(crate) struct Index([u8; Attribute::COUNT]);

impl Default for Index {
    fn default() -> Self {
        Self([ABSENT; Attribute::COUNT])
    }
}

impl Index {
    /// The number of the attribute's header field.
    pub(crate) fn get(&self, attribute: Attribute) -> Option<usize> {
        match self.0.get(attribute as usize) {
            None | Some(&ABSENT) => None,
            Some(&number) => Some(number.into()),
        }
    }

    /// Notes where an attribute is. There are fewer fields than numbers (`validate::FIELDS_MAX`).
    pub(crate) fn set(&mut self, attribute: Attribute, number: usize) {
        if let Some(slot) = self.0.get_mut(attribute as usize) {
            *slot = u8::try_from(number).unwrap_or(ABSENT);
        }
    }
}

/// No header field holds this attribute.
const ABSENT: u8 = u8::MAX;

impl Envelope {
    /// Begins an envelope of this type (`OrderPlaced`, `com.example.order.placed`).
    pub fn builder(event_type: impl Into<String>) -> EnvelopeBuilder {
        EnvelopeBuilder::new(event_type.into())
    }

    /// A message without the fields of an envelope: on the wire it is the payload, and the key if
    /// there is one. The id serves the broker's own dedupe only and is not sent; the receiver sees
    /// an id made of topic, partition and position.
    ///
    /// # Errors
    /// An id or a key that breaks its rule.
    pub fn raw(
        id: impl Into<String>,
        key: Option<&str>,
        payload: impl Into<Bytes>,
    ) -> Result<Self, EnvelopeError> {
        builder::raw(id.into(), key, payload.into())
    }

    /// The id: unique within its source. Copies of a message have the same one.
    #[must_use]
    pub fn id(&self) -> &str {
        self.attribute(Attribute::Id).unwrap_or_default()
    }

    /// Where the message comes from. Empty in an envelope that is not published yet and was built
    /// without one: publishing fills in the bus's default.
    #[must_use]
    pub fn source(&self) -> &str {
        self.attribute(Attribute::Source).unwrap_or_default()
    }

    /// What kind of event this is; empty for a raw message.
    #[must_use]
    pub fn event_type(&self) -> &str {
        self.attribute(Attribute::Type).unwrap_or_default()
    }

    /// The topic that it came from; `None` before it was published.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.parts.topic.as_deref()
    }

    /// The key: the aggregate whose messages are handled in order. `None` without a key, and for a
    /// foreign message whose key is not UTF-8 (see [`key_bytes`](Self::key_bytes)).
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        core::str::from_utf8(self.key_bytes()?).ok()
    }

    /// The key as raw bytes.
    #[must_use]
    pub fn key_bytes(&self) -> Option<&[u8]> {
        match &self.parts.record_key {
            Some(key) => Some(&key[..]),
            None => self.attribute(Attribute::Key).map(str::as_bytes),
        }
        .filter(|key| !key.is_empty())
    }

    /// The number of this message among those of its key, where its publisher counts them.
    #[must_use]
    pub fn sequence(&self) -> Option<u64> {
        self.attribute(Attribute::Sequence)?.parse().ok()
    }

    /// When the event happened, by its publisher's clock.
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        rfc3339::parse(self.attribute(Attribute::Time)?)
    }

    /// Until when it is worth handling, by its publisher's clock: the CloudEvents extension
    /// `expirytime`.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        rfc3339::parse(&self.extension("expirytime")?)
    }

    /// The media type of the payload.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.attribute(Attribute::ContentType)
    }

    /// The W3C trace context.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.attribute(Attribute::TraceParent)
    }

    /// The vendors' part of the W3C trace context.
    #[must_use]
    pub fn tracestate(&self) -> Option<&str> {
        self.attribute(Attribute::TraceState)
    }

    /// The id of the conversation that this message belongs to.
    #[must_use]
    pub fn correlation(&self) -> Option<&str> {
        self.attribute(Attribute::Correlation)
    }

    /// The tenant that this message belongs to.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.attribute(Attribute::Tenant)
    }

    /// The value of a CloudEvents extension attribute (`subject` and `dataschema` too), whatever the
    /// binding that it came in.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<Cow<'_, str>> {
        let own = |(field, _): &(&str, &[u8])| {
            let attribute = field.get(3..).unwrap_or_default();
            validate::is_attribute(field) && attribute.eq_ignore_ascii_case(name)
        };
        let (field, value) = self.parts.headers.iter().find(own)?;
        let value = core::str::from_utf8(value).ok()?;
        match field.contains('-') {
            true => unescape(value),
            false => Some(Cow::Borrowed(value)),
        }
    }

    /// The first value of a header field, as it is on the wire, whatever the name's case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.parts.headers.get(name)
    }

    /// The header fields that do not belong to the envelope, in order, duplicates included.
    pub fn free_headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts
            .headers
            .iter()
            .filter(|(name, _)| !validate::is_reserved(name))
    }

    /// All header fields as they are on the wire. A message that came as one JSON object shows those
    /// that it would have in binary mode.
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.parts.headers
    }

    /// The form in which the message came; `None` for a raw message.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        match &self.parts.original {
            Some(original) => Some(original.form),
            None => (!self.is_raw()).then_some(Form::Binary),
        }
    }

    /// Header fields and body of the record as it came.
    pub(crate) fn record(&self) -> (&Headers, &Bytes) {
        match &self.parts.original {
            Some(original) => (&original.headers, &original.body),
            None => (&self.parts.headers, &self.parts.payload),
        }
    }

    /// The payload.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.parts.payload
    }

    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// What serde found.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.parts.payload)
    }

    /// Whether the message came (or goes) without the fields of an envelope.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.parts.raw
    }

    pub(crate) fn attribute(&self, attribute: Attribute) -> Option<&str> {
        if let Some((_, value)) = self.parts.text.iter().find(|(a, _)| *a == attribute) {
            return Some(value);
        }
        let index = self.parts.index.get(attribute)?;
        let value = self.parts.headers.value_at(index)?;
        core::str::from_utf8(value).ok()
    }
}

impl From<Parts> for Envelope {
    fn from(parts: Parts) -> Self {
        Self {
            parts: Arc::new(parts),
        }
    }
}

/// Two envelopes are equal when everything that is sent or was received is.
impl PartialEq for Envelope {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (&*self.parts, &*other.parts);
        a.topic == b.topic
            && a.record_key == b.record_key
            && a.headers == b.headers
            && a.payload == b.payload
            && a.text == b.text
            && a.raw == b.raw
            && a.original == b.original
    }
}

impl fmt::Debug for Envelope {
    /// Everything but the payload, of which only the length is shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("topic", &self.topic())
            .field("id", &self.id())
            .field("key", &self.key())
            .field("headers", self.headers())
            .field("payload_bytes", &self.parts.payload.len())
            .finish_non_exhaustive()
    }
}

/// The header field of an attribute in an envelope that has not been sent yet.
pub(crate) const fn draft_header(attribute: Attribute) -> &'static str {
    attribute.header(Binding::Dashed)
}

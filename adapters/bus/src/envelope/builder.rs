//! Building an envelope.

use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use super::{Attribute, Envelope, EnvelopeError, validate};
use crate::wire::{Encoder, rfc3339};

/// Builds an [`Envelope`]. Every rule is checked at the end, by [`json`](Self::json) or
/// [`payload`](Self::payload).
#[derive(Clone, Debug)]
#[must_use = "an envelope is built by `json` or `payload`"]
pub struct EnvelopeBuilder {
    event_type: String,
    id: Option<String>,
    source: Option<String>,
    key: Option<String>,
    sequence: Option<u64>,
    time: Option<SystemTime>,
    traceparent: Option<String>,
    tracestate: Option<String>,
    correlation: Option<String>,
    tenant: Option<String>,
    extensions: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

impl EnvelopeBuilder {
    pub(super) fn new(event_type: String) -> Self {
        Self {
            event_type,
            id: None,
            source: None,
            key: None,
            sequence: None,
            time: None,
            traceparent: None,
            tracestate: None,
            correlation: None,
            tenant: None,
            extensions: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// The aggregate id: messages of one key are handled in order. At most 512 bytes.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The id, at most 256 bytes; a new UUIDv7 unless given. Give one when the same message may be
    /// published twice: copies with one id (of one source) are handled once.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Where the message comes from, at most 512 bytes; the bus's default unless given.
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The number of this message among those of its key.
    pub fn sequence(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// When the event happened; now unless given.
    pub fn time(mut self, time: SystemTime) -> Self {
        self.time = Some(time);
        self
    }

    /// Until when it is worth handling: the CloudEvents extension `expirytime`. What a subscription does
    /// with it then is its `on_expired`. Between 1970 and 9999; a clock that is wrong is wrong here, too.
    pub fn expires_at(self, time: SystemTime) -> Self {
        // Out of range there is no text, and the rule for this attribute refuses that.
        let time = rfc3339::format(time).unwrap_or_default();
        self.extension("expirytime", time)
    }

    /// The W3C trace context, `00-<trace>-<span>-<flags>`.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = Some(traceparent.into());
        self
    }

    /// The vendors' part of the W3C trace context.
    pub fn tracestate(mut self, tracestate: impl Into<String>) -> Self {
        self.tracestate = Some(tracestate.into());
        self
    }

    /// The id of the conversation that this message belongs to, at most 256 bytes.
    pub fn correlation(mut self, correlation: impl Into<String>) -> Self {
        self.correlation = Some(correlation.into());
        self
    }

    /// Takes over what belongs to the conversation from the message that led to this one: trace
    /// context, correlation id (its id, when it has none), tenant. What is set already stays.
    pub fn caused_by(mut self, cause: &Envelope) -> Self {
        let own = |text: &str| Some(text.to_owned());
        self.traceparent = self.traceparent.or_else(|| own(cause.traceparent()?));
        self.tracestate = self.tracestate.or_else(|| own(cause.tracestate()?));
        let correlation = cause.correlation().unwrap_or_else(|| cause.id());
        self.correlation = self.correlation.or_else(|| own(correlation));
        self.tenant = self.tenant.or_else(|| own(cause.tenant()?));
        self
    }

    /// The tenant that this message belongs to, at most 128 bytes.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// A CloudEvents extension attribute (`subject` and `dataschema` too): 1 to 20 characters a-z
    /// and 0-9.
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extensions.push((name.into(), value.into()));
        self
    }

    /// A header field of your own. Order is kept, and so are several fields of one name.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Ends with a JSON payload of type `application/json`.
    ///
    /// # Errors
    /// A value that serde cannot write as JSON, or a field that breaks a rule.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Envelope, EnvelopeError> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            EnvelopeError::new(
                "payload",
                core::any::type_name::<T>(),
                format!("it cannot be written as JSON: {error}"),
                "give a value whose Serialize succeeds, with text as map keys",
            )
        })?;
        self.payload(bytes, "application/json")
    }

    /// Ends with a payload as bytes, and its media type.
    ///
    /// # Errors
    /// A field that breaks a rule: the first one found, with its value and the fix.
    pub fn payload(
        self,
        payload: impl Into<Bytes>,
        content_type: &str,
    ) -> Result<Envelope, EnvelopeError> {
        self.build(payload.into(), content_type)
    }

    fn build(self, payload: Bytes, content_type: &str) -> Result<Envelope, EnvelopeError> {
        if content_type
            .get(..23)
            .is_some_and(|start| start.eq_ignore_ascii_case("application/cloudevents"))
        {
            return Err(EnvelopeError::new(
                "content type",
                content_type,
                "it would make receivers look for the envelope inside the payload",
                "give the media type of the payload itself",
            ));
        }
        if let Some(traceparent) = &self.traceparent {
            validate::traceparent(traceparent)?;
        }
        let mut uuid = uuid::Uuid::encode_buffer();
        let id = match &self.id {
            Some(id) => id,
            None => &*uuid::Uuid::now_v7().hyphenated().encode_lower(&mut uuid),
        };
        let time = self.time.unwrap_or_else(SystemTime::now);
        let Some(time) = rfc3339::format(time) else {
            return Err(EnvelopeError::new(
                "time",
                &format!("{time:?}"),
                "before 1970 or after 9999",
                "give a time in between",
            ));
        };
        let sequence = self.sequence.map(|sequence| sequence.to_string());
        let mut encoder = Encoder::new(payload);
        encoder.attribute(Attribute::SpecVersion, Some("1.0"))?;
        encoder.attribute(Attribute::Id, Some(id))?;
        encoder.attribute(Attribute::Source, self.source.as_deref())?;
        encoder.attribute(Attribute::Type, Some(&self.event_type))?;
        encoder.attribute(Attribute::Time, Some(&time))?;
        encoder.attribute(Attribute::ContentType, Some(content_type))?;
        encoder.attribute(Attribute::Key, self.key.as_deref())?;
        encoder.attribute(Attribute::Sequence, sequence.as_deref())?;
        encoder.attribute(Attribute::TraceParent, self.traceparent.as_deref())?;
        encoder.attribute(Attribute::TraceState, self.tracestate.as_deref())?;
        encoder.attribute(Attribute::Correlation, self.correlation.as_deref())?;
        encoder.attribute(Attribute::Tenant, self.tenant.as_deref())?;
        for (name, value) in &self.extensions {
            validate::extension(name, value)?;
            encoder.extension(name, value);
        }
        for (name, value) in &self.headers {
            validate::free_header(name, value)?;
            encoder.free(name, value);
        }
        encoder.finish()
    }
}

/// See [`Envelope::raw`].
pub(super) fn raw(
    id: String,
    key: Option<&str>,
    payload: Bytes,
) -> Result<Envelope, EnvelopeError> {
    validate::text(Attribute::Id, &id)?;
    let mut encoder = Encoder::new(payload);
    encoder.attribute(Attribute::Key, key)?;
    encoder.raw(id);
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_filled_in() {
        let built = Envelope::builder("T").payload("x", "text/plain").unwrap();
        assert_eq!(built.id().len(), 36);
        assert_eq!(built.id().as_bytes()[14], b'7');
        assert_eq!((built.source(), built.key()), ("", None));
        assert!(built.time().unwrap() <= SystemTime::now());
        assert_eq!(built.header("ce-specversion"), Some(&b"1.0"[..]));
    }

    #[test]
    fn every_field_comes_back_and_headers_keep_order_and_duplicates() {
        let built = Envelope::builder("Käse gereift")
            .key("order 42")
            .id("i%1")
            .source("/shop")
            .sequence(7)
            .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .tracestate("a=b")
            .correlation("c")
            .tenant("t")
            .extension("subject", "ein Betreff")
            .header("x-b", "1")
            .header("x-a", "ä 2")
            .header("X-B", "3")
            .payload("{}", "application/json")
            .unwrap();
        assert_eq!(built.event_type(), "Käse gereift");
        assert_eq!((built.key(), built.id()), (Some("order 42"), "i%1"));
        assert_eq!((built.source(), built.sequence()), ("/shop", Some(7)));
        assert_eq!(
            (built.correlation(), built.tenant()),
            (Some("c"), Some("t"))
        );
        assert_eq!(built.tracestate(), Some("a=b"));
        assert!(built.traceparent().unwrap().starts_with("00-0af7"));
        assert_eq!(built.header("ce-subject"), Some(&b"ein%20Betreff"[..]));
        let free: Vec<_> = built.free_headers().collect();
        let expected = [
            ("x-b", &b"1"[..]),
            ("x-a", "ä 2".as_bytes()),
            ("X-B", &b"3"[..]),
        ];
        assert_eq!(free, expected);
    }

    #[test]
    fn a_conversation_is_carried_over() {
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let cause = Envelope::builder("A")
            .id("1")
            .tenant("t")
            .traceparent(trace);
        let cause = cause.json(&1).unwrap();
        let effect = Envelope::builder("B").caused_by(&cause).json(&2).unwrap();
        assert_eq!(effect.traceparent(), Some(trace));
        assert_eq!(
            (effect.correlation(), effect.tenant()),
            (Some("1"), Some("t"))
        );
        let next = Envelope::builder("C").tenant("own").caused_by(&effect);
        let next = next.json(&3).unwrap();
        assert_eq!(
            (next.correlation(), next.tenant()),
            (Some("1"), Some("own"))
        );
    }

    type Bad = fn(EnvelopeBuilder) -> EnvelopeBuilder;

    #[test]
    fn each_bad_field_has_its_own_clear_error() {
        let table: &[(Bad, &str, &str)] = &[
            (|b| b.key(""), "key", "must not be empty"),
            (
                |b| b.key("k".repeat(513)),
                "key",
                "513 bytes long, allowed are 512",
            ),
            (|b| b.key("a\nb"), "key", "control character"),
            (
                |b| b.id("i".repeat(257)),
                "id",
                "257 bytes long, allowed are 256",
            ),
            (|b| b.id(""), "id", "must not be empty"),
            (|b| b.source("\u{7f}"), "source", "control character"),
            (|b| b.tenant("t".repeat(129)), "tenant", "allowed are 128"),
            (
                |b| b.correlation("\u{85}"),
                "correlation",
                "control character",
            ),
            (
                |b| b.traceparent("00-1-2-3"),
                "traceparent",
                "not a W3C trace context",
            ),
            (|b| b.header("ce-id", "x"), "header ce-id", "reserved"),
            (
                |b| b.header("Nats-Msg-Id", "x"),
                "header Nats-Msg-Id",
                "reserved",
            ),
            (
                |b| b.header("a b", "x"),
                "header a b",
                "name is not allowed",
            ),
            (
                |b| b.header("x", " y"),
                "header x",
                "do not survive every broker",
            ),
            (
                |b| b.header("x", "a\r\nb"),
                "header x",
                "do not survive every broker",
            ),
            (
                |b| b.header("x", "y".repeat(8193)),
                "header x",
                "longer than 8192",
            ),
            (
                |b| b.extension("Subject", "x"),
                "extension Subject",
                "name is not allowed",
            ),
            (
                |b| b.extension("id", "x"),
                "extension id",
                "method of its own",
            ),
            (
                |b| b.extension("expirytime", "tomorrow"),
                "extension expirytime",
                "not a timestamp",
            ),
            (
                |b| b.expires_at(SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1)),
                "extension expirytime",
                "not a timestamp",
            ),
            (
                |b| (0..130).fold(b, |b, i| b.header(format!("x-{i}"), "")),
                "headers",
                "more than 128 header fields",
            ),
            (
                |b| (0..5).fold(b, |b, i| b.header(format!("x-{i}"), "v".repeat(8000))),
                "headers",
                "more than 32768 bytes",
            ),
            (
                |b| b.time(SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1)),
                "time",
                "before 1970",
            ),
        ];
        for (bad, field, problem) in table {
            let builder = bad(Envelope::builder("T").key("k"));
            let error = builder.payload("x", "text/plain").unwrap_err();
            assert_eq!(error.field(), *field);
            let text = error.to_string();
            assert!(text.contains(problem), "{text}");
            assert!(!error.fix().is_empty() && !text.contains('\n'), "{text}");
        }
        let typeless = Envelope::builder("")
            .payload("x", "text/plain")
            .unwrap_err();
        assert_eq!(typeless.field(), "type");
        let structured = Envelope::builder("T").payload("x", "Application/CloudEvents+json");
        assert_eq!(structured.unwrap_err().field(), "content type");
        let unprintable = std::collections::BTreeMap::from([((1, 2), 3)]);
        let error = Envelope::builder("T").json(&unprintable).unwrap_err();
        assert_eq!(error.field(), "payload");
    }
}

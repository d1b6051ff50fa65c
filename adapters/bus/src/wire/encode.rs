//! From an envelope to header fields.

use bytes::Bytes;
use procession_runtime::port::{Headers, HeadersBuilder};

use super::escape::{escape, unescape};
use super::{Binding, starts};
use crate::envelope::{Attribute, Envelope, EnvelopeError, Parts, draft_header, validate};

/// Writes header fields and remembers where each attribute went.
pub(crate) struct Encoder {
    headers: HeadersBuilder,
    fields: usize,
    parts: Parts,
}

impl Encoder {
    pub(crate) fn new(payload: Bytes) -> Self {
        Self {
            headers: HeadersBuilder::with_capacity(10, 320),
            fields: 0,
            parts: Parts {
                payload,
                ..Parts::default()
            },
        }
    }

    /// Writes an attribute, if there is one.
    pub(crate) fn attribute(
        &mut self,
        attribute: Attribute,
        value: Option<&str>,
    ) -> Result<(), EnvelopeError> {
        let Some(value) = value else { return Ok(()) };
        // Nearly every value is plain: one look at each byte, and it goes as it is.
        let plain = |b: u8| (0x21..0x7f).contains(&b) && !matches!(b, b'"' | b'%');
        if (1..=attribute.max_bytes()).contains(&value.len()) && value.bytes().all(plain) {
            self.parts.index.set(attribute, self.fields);
            self.push(draft_header(attribute), value.as_bytes());
            return Ok(());
        }
        validate::text(attribute, value)?;
        let escaped = escape(value);
        // Not by `Cow`: an escape alone is borrowed, too.
        if escaped != value {
            self.parts.text.push((attribute, value.into()));
        }
        self.parts.index.set(attribute, self.fields);
        self.push(draft_header(attribute), escaped.as_bytes());
        Ok(())
    }

    /// Writes an extension attribute, checked before.
    pub(crate) fn extension(&mut self, name: &str, value: &str) {
        self.push(&format!("ce-{name}"), escape(value).as_bytes());
    }

    /// Writes a free header field, checked before.
    pub(crate) fn free(&mut self, name: &str, value: &str) {
        self.push(name, value.as_bytes());
    }

    /// Takes over a header field as it was received.
    pub(crate) fn field(&mut self, name: &str, value: &[u8]) {
        self.push(name, value);
    }

    /// Marks a message without the fields of an envelope; its id is not sent.
    pub(crate) fn raw(&mut self, id: String) {
        self.parts.raw = true;
        self.parts.text.push((Attribute::Id, id.into_boxed_str()));
    }

    /// The envelope.
    pub(crate) fn finish(self) -> Result<Envelope, EnvelopeError> {
        self.finish_parts().map(Envelope::from)
    }

    /// The parts of the envelope.
    pub(crate) fn finish_parts(mut self) -> Result<Parts, EnvelopeError> {
        self.parts.headers = self.headers.build();
        validate::header_block(self.fields, self.parts.headers.byte_len())?;
        Ok(self.parts)
    }

    fn push(&mut self, name: &str, value: &[u8]) {
        self.headers.push(name, value);
        self.fields += 1;
    }
}

/// The header fields as they go to a broker: its binding, the default source filled in, and nothing
/// that an earlier broker added.
pub(crate) fn for_wire(envelope: &Envelope, binding: Binding, source: &str) -> Headers {
    let needs_source = !envelope.is_raw() && envelope.attribute(Attribute::Source).is_none();
    let foreign = |name: &str| match binding {
        Binding::Dashed => starts(name, "ce_") || starts(name, "nats-"),
        Binding::Underscored => starts(name, "ce-") || starts(name, "nats-"),
    };
    // A broker without a key field of its own needs the header field.
    let record_key = match envelope.parts.index.get(Attribute::Key) {
        None => envelope
            .parts
            .record_key
            .as_ref()
            .and_then(|_| envelope.key()),
        Some(_) => None,
    };
    if !needs_source
        && record_key.is_none()
        && !envelope.headers().iter().any(|(name, _)| foreign(name))
    {
        return envelope.headers().clone();
    }
    let fields = envelope.headers().len() + 1;
    let bytes = envelope.headers().byte_len() + source.len() + 16;
    let mut builder = HeadersBuilder::with_capacity(fields, bytes);
    for (number, (name, value)) in envelope.headers().iter().enumerate() {
        let is = |attribute| envelope.parts.index.get(attribute) == Some(number);
        if starts(name, "nats-") {
            continue;
        } else if is(Attribute::ContentType) {
            let header = Attribute::ContentType.header(binding);
            translate(&mut builder, name, ("", header), value, binding);
        } else if foreign(name) {
            let prefix = if binding == Binding::Dashed {
                "ce-"
            } else {
                "ce_"
            };
            let attribute = name.get(3..).unwrap_or_default();
            translate(&mut builder, name, (prefix, attribute), value, binding);
        } else {
            builder.push(name, value);
        }
        if needs_source && is(Attribute::Id) {
            let value = match binding {
                Binding::Dashed => escape(source),
                Binding::Underscored => source.into(),
            };
            builder.push(Attribute::Source.header(binding), value.as_bytes());
        }
    }
    if let Some(key) = record_key {
        let value = match binding {
            Binding::Dashed => escape(key),
            Binding::Underscored => key.into(),
        };
        builder.push(Attribute::Key.header(binding), value.as_bytes());
    }
    builder.build()
}

/// Moves a value from the binding that its old name tells of to `binding`, under a name of two parts.
fn translate(
    builder: &mut HeadersBuilder,
    old: &str,
    new: (&str, &str),
    value: &[u8],
    binding: Binding,
) {
    // Nearly every value is the same in both: nothing is made of it.
    if value
        .iter()
        .all(|b| (0x21..0x7f).contains(b) && !matches!(b, b'%' | b'"'))
    {
        builder.push_joined(new.0, new.1, value);
        return;
    }
    let text = String::from_utf8_lossy(value);
    let plain = if starts(old, "ce-") {
        unescape(&text).unwrap_or_else(|| text.clone())
    } else {
        text
    };
    let value = match binding {
        Binding::Dashed => escape(&plain).into_owned(),
        Binding::Underscored => plain.into_owned(),
    };
    builder.push_joined(new.0, new.1, value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &Headers) -> Vec<String> {
        headers
            .iter()
            .map(|(n, v)| format!("{n}: {}", String::from_utf8_lossy(v)))
            .collect()
    }

    fn envelope() -> Envelope {
        Envelope::builder("Order placed")
            .id("1")
            .key("k ü")
            .time(std::time::UNIX_EPOCH)
            .extension("subject", "a b")
            .header("x", "y z")
            .payload("", "text/plain")
            .unwrap()
    }

    #[test]
    fn the_default_source_goes_behind_the_id() {
        let headers = for_wire(&envelope(), Binding::Dashed, "my shop");
        let expected = [
            "ce-specversion: 1.0",
            "ce-id: 1",
            "ce-source: my%20shop",
            "ce-type: Order%20placed",
            "ce-time: 1970-01-01T00:00:00Z",
            "ce-datacontenttype: text/plain",
            "ce-partitionkey: k%20%C3%BC",
            "ce-subject: a%20b",
            "x: y z",
        ];
        assert_eq!(names(&headers), expected);
    }

    #[test]
    fn kafka_gets_underscores_and_plain_values() {
        let headers = for_wire(&envelope(), Binding::Underscored, "my shop");
        let expected = [
            "ce_specversion: 1.0",
            "ce_id: 1",
            "ce_source: my shop",
            "ce_type: Order placed",
            "ce_time: 1970-01-01T00:00:00Z",
            "content-type: text/plain",
            "ce_partitionkey: k ü",
            "ce_subject: a b",
            "x: y z",
        ];
        assert_eq!(names(&headers), expected);
    }

    #[test]
    fn a_value_that_is_one_escape_comes_back_as_it_was() {
        for value in ["\"", "%", "ü", " "] {
            let envelope = Envelope::builder("T").correlation(value).json(&1).unwrap();
            assert_eq!(envelope.correlation(), Some(value));
        }
    }
}

//! From a broker's record to an envelope.

use std::borrow::Cow;
use std::sync::Arc;

use procession_runtime::port::Record;

use super::escape::unescape;
use super::forms;
use super::rfc3339;
use crate::envelope::{Attribute, Envelope, EnvelopeError, Index, Parts, validate};

/// Reads a record, whatever its form. A record without any of the four fields that CloudEvents asks
/// for (specversion, id, source, type), and whose body is no object of a form that we know, is a raw
/// message; one with some of them only is malformed, and says so in its parts.
///
/// Nothing is copied but values that are escaped: payload and header fields are shared.
pub(crate) fn decode(topic: &Arc<str>, partition: u32, record: Record) -> Envelope {
    let mut parts = Parts::default();
    let mut read = attributes(&record, &mut parts);
    if (parts.raw && read.is_ok()) || forms::is_declared(&parts, &record.headers) {
        match forms::read(&record, &parts) {
            None => {}
            Some(Ok(translated)) => {
                parts = translated;
                parts.topic = Some(Arc::clone(topic));
                return parts.into();
            }
            Some(Err(unread)) => {
                parts = unread.parts;
                read = Err(unread.error);
            }
        }
    }
    if let Err(error) = read {
        // The key is kept where it can be read: the dead letter waits its turn behind it.
        let key = parts.index.get(Attribute::Key);
        parts.index = Index::default();
        parts
            .text
            .retain(|(attribute, _)| *attribute == Attribute::Key);
        if let Some(number) = key {
            parts.index.set(Attribute::Key, number);
        }
        parts.malformed = Some(Box::new(error));
        parts.raw = true;
    }
    if parts.raw {
        // The stamp keeps apart what one position held before and after a log was rewritten.
        let id = format!("{topic}/{partition}/{}", record.position.0);
        parts.text.push((Attribute::Id, id.into_boxed_str()));
        let source = format!("raw:{}", record.stamp.0);
        parts
            .text
            .push((Attribute::Source, source.into_boxed_str()));
    }
    parts.topic = Some(Arc::clone(topic));
    parts.headers = record.headers;
    parts.payload = record.payload;
    parts.record_key = record.key;
    parts.into()
}

/// Finds the attributes among the header fields and checks them.
fn attributes(record: &Record, parts: &mut Parts) -> Result<(), EnvelopeError> {
    let headers = &record.headers;
    validate::header_block(headers.len(), headers.byte_len())?;
    let mut fault = Ok(());
    for (number, (name, value)) in headers.iter_bytes().enumerate() {
        let Some((attribute, escaped)) = attribute_of(name) else {
            continue;
        };
        // The first fault counts; what follows is read for the key.
        let read = field(parts, number, attribute, escaped, value);
        fault = fault.and(read);
    }
    fault?;
    let has = |attribute: Attribute| parts.index.get(attribute).is_some();
    parts.raw = !REQUIRED.into_iter().any(has);
    if parts.raw {
        return Ok(());
    }
    if let Some(missing) = REQUIRED.into_iter().find(|&a| !has(a)) {
        return Err(EnvelopeError::new(
            missing.label(),
            "",
            "the field is missing, although others of CloudEvents are there",
            "let the publisher send ce-specversion, ce-id, ce-source and ce-type, or none of them",
        ));
    }
    let value = |attribute: Attribute| {
        if let Some((_, unescaped)) = parts.text.iter().find(|(a, _)| *a == attribute) {
            return Some(&**unescaped);
        }
        let value = headers.value_at(parts.index.get(attribute)?)?;
        core::str::from_utf8(value).ok()
    };
    for attribute in [Attribute::SpecVersion, Attribute::Time] {
        if let Some(value) = value(attribute) {
            check(attribute, value)?;
        }
    }
    Ok(())
}

/// Checks what the value of an attribute must be, beyond its length and its characters.
pub(super) fn check(attribute: Attribute, value: &str) -> Result<(), EnvelopeError> {
    let (problem, fix) = if attribute == Attribute::SpecVersion && !value.starts_with("1.") {
        (
            "this version of CloudEvents is not known",
            "let the publisher send 1.0",
        )
    } else if attribute == Attribute::Time && rfc3339::parse(value).is_none() {
        (
            "not a timestamp of RFC 3339 since 1970",
            "let the publisher send something like 2026-01-31T12:00:00Z",
        )
    } else {
        return Ok(());
    };
    Err(EnvelopeError::new(attribute.label(), value, problem, fix))
}

/// Takes in one header field of a known attribute.
fn field(
    parts: &mut Parts,
    number: usize,
    attribute: Attribute,
    escaped: bool,
    value: &[u8],
) -> Result<(), EnvelopeError> {
    // Nearly every value is plain: one look at each byte, and nothing is made of it.
    let odd = |&b: &u8| !(0x20..0x7f).contains(&b) || (escaped && matches!(b, b'%' | b'"'));
    let fits = (1..=attribute.max_bytes()).contains(&value.len());
    if fits && parts.index.get(attribute).is_none() && !value.iter().any(odd) {
        parts.index.set(attribute, number);
        return Ok(());
    }
    odd_field(parts, number, attribute, escaped, value)
}

/// Takes in a header field that is escaped, not ASCII, or at fault.
#[cold]
fn odd_field(
    parts: &mut Parts,
    number: usize,
    attribute: Attribute,
    escaped: bool,
    value: &[u8],
) -> Result<(), EnvelopeError> {
    let value = core::str::from_utf8(value)
        .map_err(|_| not_utf8(attribute, &String::from_utf8_lossy(value)))?;
    let plain = if escaped {
        unescape(value).ok_or_else(|| not_utf8(attribute, value))?
    } else {
        Cow::Borrowed(value)
    };
    if plain.is_empty() && !REQUIRED.contains(&attribute) {
        return Ok(());
    }
    if parts.index.get(attribute).is_some() {
        // A `content-type` beside `ce-datacontenttype` is common and harmless.
        if attribute == Attribute::ContentType {
            // It is told apart from that of a structured message, though.
            if forms::is_cloud_events(&plain) {
                parts.index.set(attribute, number);
            }
            return Ok(());
        }
        return Err(EnvelopeError::new(
            attribute.label(),
            &plain,
            "there are several header fields for it",
            "let the publisher send one",
        ));
    }
    validate::text(attribute, &plain)?;
    parts.index.set(attribute, number);
    if let Cow::Owned(plain) = plain {
        parts.text.push((attribute, plain.into_boxed_str()));
    }
    Ok(())
}

/// What CloudEvents asks for.
pub(super) const REQUIRED: [Attribute; 4] = [
    Attribute::SpecVersion,
    Attribute::Id,
    Attribute::Source,
    Attribute::Type,
];

/// Which attribute a header field stands for, and whether its value is escaped.
fn attribute_of(name: &[u8]) -> Option<(Attribute, bool)> {
    if let [b'c' | b'C', b'e' | b'E', dash @ (b'-' | b'_'), rest @ ..] = name {
        let attribute = Attribute::find(rest)?;
        return Some((attribute, *dash == b'-'));
    }
    let is_content_type = name.len() == 12 && name.eq_ignore_ascii_case(b"content-type");
    is_content_type.then_some((Attribute::ContentType, false))
}

fn not_utf8(attribute: Attribute, value: &str) -> EnvelopeError {
    EnvelopeError::new(
        attribute.label(),
        value,
        "not UTF-8",
        "let the publisher send UTF-8, percent-encoded where the broker's binding asks for it",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use procession_core::{Position, Stamp};
    use procession_runtime::port::Headers;
    use proptest::prelude::*;

    fn record(fields: &[(&str, &str)]) -> Record {
        let headers: Headers = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        Record {
            position: Position(7),
            stamp: Stamp(99),
            delivery: None,
            key: None,
            headers,
            payload: Bytes::from_static(b"body"),
            bytes: 4,
        }
    }

    fn read(fields: &[(&str, &str)]) -> Result<Envelope, EnvelopeError> {
        let envelope = decode(&"orders".into(), 2, record(fields));
        match &envelope.parts.malformed {
            Some(error) => Err((**error).clone()),
            None => Ok(envelope),
        }
    }

    const GOOD: [(&str, &str); 4] = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "T"),
    ];

    #[test]
    fn without_our_fields_it_is_raw_and_named_by_its_place() {
        let raw = read(&[("x", "y"), ("ce-partitionkey", "k%201")]).unwrap();
        assert!(raw.is_raw());
        assert_eq!((raw.id(), raw.source()), ("orders/2/7", "raw:99"));
        assert_eq!((raw.key(), raw.event_type()), (Some("k 1"), ""));
        assert_eq!(raw.header("X"), Some(&b"y"[..]));
        assert_eq!(raw.payload(), "body");
    }

    #[test]
    fn both_bindings_are_read_whatever_the_case() {
        let kafka = read(&[
            ("ce_specversion", "1.0"),
            ("CE_ID", "a%20b"),
            ("ce_source", "/s"),
            ("ce_type", "T"),
            ("Content-Type", "text/plain"),
        ])
        .unwrap();
        assert_eq!(
            (kafka.id(), kafka.content_type()),
            ("a%20b", Some("text/plain"))
        );
        let nats = read(&[
            ("Ce-Specversion", "1.0"),
            ("CE-ID", "a%20b"),
            ("ce-source", "\"/s\""),
            ("ce-type", "T"),
            ("ce-sequence", "abc"),
            ("ce-tenantid", ""),
        ])
        .unwrap();
        assert_eq!((nats.id(), nats.source()), ("a b", "/s"));
        assert_eq!((nats.sequence(), nats.tenant()), (None, None));
    }

    #[test]
    fn the_brokers_key_wins_and_an_empty_one_is_none() {
        let mut keyed = record(&[("ce-partitionkey", "other")]);
        keyed.key = Some(Bytes::from_static(b"k\xff"));
        let raw = decode(&"t".into(), 0, keyed.clone());
        assert_eq!((raw.key(), raw.key_bytes()), (None, Some(&b"k\xff"[..])));
        keyed.key = Some(Bytes::new());
        let raw = decode(&"t".into(), 0, keyed);
        assert_eq!(raw.key_bytes(), None);
    }

    #[test]
    fn what_is_malformed_says_so() {
        let with = |field: (&'static str, &'static str)| {
            let mut fields: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != field.0).collect();
            fields.push(field);
            read(&fields).unwrap_err().to_string()
        };
        let table = [
            (("ce-id", ""), "must not be empty"),
            (("ce-id", "%FF"), "not UTF-8"),
            (("ce-id", "a%0Ab"), "control character"),
            (
                ("ce-specversion", "0.3"),
                "version of CloudEvents is not known",
            ),
            (("ce-time", "yesterday"), "not a timestamp"),
            (("CE_ID", "2"), "several header fields"),
        ];
        for (field, problem) in table {
            let text = with(field);
            assert!(text.contains(problem), "{field:?}: {text}");
        }
        let error = read(&GOOD[..3]).unwrap_err();
        assert_eq!(error.field(), "type");
        let keyed = record(&[("ce-id", ""), ("ce-partitionkey", "k%201")]);
        let envelope = decode(&"t".into(), 0, keyed);
        assert!(envelope.parts.malformed.is_some());
        assert_eq!((envelope.key(), envelope.id()), (Some("k 1"), "t/0/7"));
        let many: Vec<_> = (0..129).map(|_| ("x", "y")).collect();
        assert_eq!(read(&many).unwrap_err().field(), "headers");
    }

    proptest! {
        #[test]
        fn any_fields_are_read_or_refused(
            fields in proptest::collection::vec(
                ("(ce[-_](id|type|source|specversion|time|partitionkey)|x)", "\\PC{0,20}"),
                0..10,
            )
        ) {
            let fields: Vec<_> = fields.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let given = record(&fields);
            let envelope = decode(&"t".into(), 0, given.clone());
            // Unknown or not, every field is still there.
            prop_assert_eq!(envelope.headers(), &given.headers);
            prop_assert!(!envelope.id().is_empty());
            prop_assert!(!envelope.source().is_empty());
        }
    }
}

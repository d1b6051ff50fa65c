//! All forms against each other: what is written is read, whatever way it went.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use procession_core::{Position, Stamp};
use procession_runtime::port::{Headers, Record};
use proptest::prelude::*;

use super::{Binding, Form, decode, write};
use crate::{Envelope, EnvelopeError};

fn record(headers: Headers, payload: impl Into<Bytes>) -> Record {
    Record {
        position: Position(7),
        stamp: Stamp(99),
        delivery: None,
        key: None,
        headers,
        payload: payload.into(),
        bytes: 4,
    }
}

fn read(fields: &[(&str, &str)], body: &str) -> Envelope {
    let headers = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    decode(&"orders".into(), 2, record(headers, body.to_owned()))
}

fn fault(fields: &[(&str, &str)], body: &str) -> EnvelopeError {
    let envelope = read(fields, body);
    let error = envelope.parts.malformed.as_ref();
    (**error.unwrap_or_else(|| panic!("it was read: {body}"))).clone()
}

const EVENT: &str = r#"{"event_id":"e-1","aggregate_id":"order-42","event_type":"OrderPlaced",
"event_version":3,"timestamp":"2025-10-01T08:00:00.123456789+08:00","payload":{"total":3}}"#;

/// The event with one member replaced, or left out.
fn event(member: &str, value: Option<&str>) -> String {
    let mut event: serde_json::Map<_, _> = serde_json::from_str(EVENT).unwrap();
    match value {
        Some(value) => event.insert(member.into(), serde_json::from_str(value).unwrap()),
        None => event.remove(member),
    };
    serde_json::to_string(&event).unwrap()
}

#[test]
fn the_predecessors_event_is_read_wherever_its_aggregate_id_stands() {
    let envelope = read(&[], EVENT);
    assert_eq!(envelope.form(), Some(Form::Predecessor));
    assert_eq!((envelope.id(), envelope.source()), ("e-1", "predecessor"));
    assert_eq!(
        (envelope.key(), envelope.sequence()),
        (Some("order-42"), Some(3))
    );
    assert_eq!(envelope.payload(), "{\"total\":3}");
    assert_eq!((envelope.tenant(), envelope.correlation()), (None, None));
    let nanos = Duration::new(1_759_276_800, 123_456_789);
    assert_eq!(envelope.time(), Some(UNIX_EPOCH + nanos));
    let without = event("aggregate_id", None);
    for name in [
        "X-Aggregate-ID",
        "x-aggregate-id",
        "Aggregate-ID",
        "aggregate-id",
    ] {
        assert_eq!(read(&[(name, "a")], &without).key(), Some("a"), "{name}");
    }
    let mut keyed = record(Headers::default(), without);
    keyed.key = Some(Bytes::from_static(b"from/kafka"));
    assert_eq!(decode(&"t".into(), 0, keyed).key(), Some("from/kafka"));
    // The body counts before the broker's key.
    let mut keyed = record(Headers::default(), EVENT);
    keyed.key = Some(Bytes::from_static(b"other"));
    assert_eq!(decode(&"t".into(), 0, keyed).key(), Some("order-42"));
}

#[test]
fn each_malformed_event_of_the_predecessor_has_its_own_error() {
    let long = format!("\"{}\"", "a".repeat(257));
    let table = [
        ("event_id", Some("\" \""), "event_id", "blank"),
        ("event_id", Some("7"), "event_id", "not a text"),
        ("event_type", Some("\"\""), "event_type", "blank"),
        ("event_version", None, "event_version", "has none"),
        ("event_version", Some("0"), "event_version", "above 0"),
        ("event_version", Some("-1"), "event_version", "above 0"),
        ("event_version", Some("1.5"), "event_version", "above 0"),
        ("event_version", Some("\"1\""), "event_version", "above 0"),
        ("timestamp", None, "timestamp", "has none"),
        ("timestamp", Some("\"soon\""), "time", "RFC 3339"),
        ("payload", None, "payload", "has none"),
        ("aggregate_id", None, "aggregate_id", "nor the broker's key"),
        (
            "aggregate_id",
            Some("\"a b\""),
            "aggregate_id",
            "A-Z a-z 0-9",
        ),
        ("aggregate_id", Some(&long), "aggregate_id", "at most 256"),
        ("tenant_id", Some("\"7\""), "tenant_id", "above 0"),
        ("trace_id", Some("[]"), "trace_id", "not a text"),
    ];
    for (member, value, field, problem) in table {
        let error = fault(&[], &event(member, value));
        assert_eq!(error.field(), field, "{member} {value:?}: {error}");
        assert!(error.to_string().contains(problem), "{error}");
    }
    let cut = &EVENT[..EVENT.len() - 1];
    assert_eq!(fault(&[], cut).field(), "body");
    // The key is kept where it can be read: the dead letter waits its turn behind it.
    let envelope = read(&[], &event("event_version", None));
    assert_eq!(
        (envelope.key(), envelope.id()),
        (Some("order-42"), "orders/2/7")
    );
    assert_eq!(envelope.payload(), event("event_version", None).as_bytes());
}

const CLOUD: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"T",
"partitionkey":"k","sequence":5,"comexample":true,"Odd-Name":{"a":1},"data":"text"}"#;

#[test]
fn structured_events_are_recognised_by_type_or_by_content() {
    let kinds = [
        Some("application/cloudevents+json"),
        Some("Application/CloudEvents+json; charset=utf-8"),
        Some("application/cloudevents"),
        Some("application/json"),
        None,
    ];
    for kind in kinds {
        let fields: Vec<_> = kind
            .map(|kind| ("content-type", kind))
            .into_iter()
            .collect();
        let envelope = read(&fields, CLOUD);
        assert_eq!(envelope.form(), Some(Form::Structured), "{kind:?}");
        assert_eq!((envelope.key(), envelope.sequence()), (Some("k"), Some(5)));
        assert_eq!(envelope.payload(), "\"text\"");
        assert_eq!(envelope.header("ce-comexample"), Some(&b"true"[..]));
    }
    // A broker's copies of the attributes in header fields change nothing.
    let copies = [
        ("ce_specversion", "1.0"),
        ("ce_id", "other"),
        ("ce_source", "/s"),
        ("ce_type", "T"),
        ("content-type", "application/cloudevents+json"),
    ];
    assert_eq!(read(&copies, CLOUD).id(), "1");
    // What says that it is something else, or only holds such words, is a raw message.
    assert!(read(&[("content-type", "text/plain")], CLOUD).is_raw());
    for body in [
        "{\"x\":{\"specversion\":\"1.0\"}}",
        "[\"specversion\"]",
        "{\"total\":3}",
    ] {
        let envelope = read(&[], body);
        assert!(
            envelope.is_raw() && envelope.parts.malformed.is_none(),
            "{body}"
        );
    }
}

#[test]
fn each_malformed_structured_event_has_its_own_error() {
    let with = |from: &str, to: &str| CLOUD.replacen(from, to, 1);
    let table = [
        (with("\"id\":\"1\",", ""), "id", "no member `id`"),
        (with("\"T\"", "null"), "type", "no member `type`"),
        (with("\"/s\"", "\"\""), "source", "must not be empty"),
        (with("\"1\"", "7"), "id", "not a text"),
        (with("\"1.0\"", "\"0.3\""), "specversion", "not known"),
        (with("\"k\"", "\"a\\nb\""), "key", "control character"),
        (
            with("\"sequence\":5", "\"sequence\":[]"),
            "sequence",
            "not a text",
        ),
        (
            with("\"comexample\":true", "\"time\":\"x\""),
            "time",
            "RFC 3339",
        ),
        (
            with("\"comexample\":true", "\"id\":\"2\""),
            "body",
            "`id` is there twice",
        ),
        (
            with("\"comexample\":true", "\"data_base64\":\"\""),
            "payload",
            "both",
        ),
        (
            with("\"data\":\"text\"", "\"data_base64\":\"x\""),
            "payload",
            "not Base64",
        ),
        (CLOUD[..40].to_owned(), "body", "not a JSON object"),
    ];
    for (body, field, problem) in table {
        let error = fault(&[], &body);
        assert_eq!(error.field(), field, "{body}: {error}");
        assert!(error.to_string().contains(problem), "{error}");
    }
    let kind = |kind| [("content-type", kind)];
    let batch = kind("application/cloudevents-batch+json");
    assert!(
        fault(&kind("application/cloudevents+avro"), CLOUD)
            .to_string()
            .contains("not known")
    );
    assert_eq!(fault(&batch, "[]").field(), "body");
    assert_eq!(
        fault(&kind("application/cloudevents+json"), "").field(),
        "body"
    );
}

#[test]
fn fields_that_nobody_knows_survive_every_way_round() {
    let odd = event("region", Some("{\"zone\":[1, 2]}"));
    let came = read(&[("X-Event-ID", "e-1"), ("x-own", "1")], &odd);
    assert_eq!(
        came.free_headers().collect::<Vec<_>>(),
        [("x-own", &b"1"[..])]
    );
    for binding in [Binding::Dashed, Binding::Underscored] {
        // In the same form: to the byte.
        let (_, body) = write(&came, Form::Predecessor, binding, "").unwrap();
        assert_eq!(body, odd.as_bytes());
        for between in [Form::Binary, Form::Structured] {
            let (headers, body) = write(&came, between, binding, "").unwrap();
            let moved = decode(&"t".into(), 0, record(headers, body));
            assert_eq!(moved.form(), Some(between));
            let (_, back) = write(&moved, Form::Predecessor, binding, "").unwrap();
            let value: serde_json::Value = serde_json::from_slice(&back).unwrap();
            assert_eq!(
                value,
                serde_json::from_str::<serde_json::Value>(&odd).unwrap()
            );
        }
    }
    let cloud = read(&[], CLOUD);
    let (_, body) = write(&cloud, Form::Structured, Binding::Dashed, "").unwrap();
    assert_eq!(body, CLOUD);
    let (headers, _) = write(&cloud, Form::Binary, Binding::Underscored, "").unwrap();
    assert_eq!(
        headers.get("ce_otherfields"),
        Some(&b"{\"Odd-Name\":{\"a\":1}}"[..])
    );
    let heavy = event("notes", Some(&format!("\"{}\"", "x".repeat(9_000))));
    let error = write(&read(&[], &heavy), Form::Binary, Binding::Dashed, "").unwrap_err();
    assert_eq!(error.field(), "otherfields");
}

#[test]
fn what_the_predecessor_cannot_say_is_refused() {
    let draft = || Envelope::builder("T").key("k").sequence(1);
    let table = [
        (Envelope::builder("T").sequence(1).json(&1), "key", "`key`"),
        (draft().key("a b").json(&1), "aggregate_id", "A-Z a-z"),
        (
            Envelope::builder("T").key("k").json(&1),
            "sequence",
            "`sequence`",
        ),
        (draft().sequence(0).json(&1), "sequence", "above 0"),
        (draft().tenant("acme").json(&1), "tenant", "only numbers"),
        (
            draft().payload("x", "text/plain"),
            "payload",
            "one JSON value",
        ),
        (
            draft().payload("{", "application/json"),
            "payload",
            "one JSON value",
        ),
        (
            draft().header("X-Event-ID", "x").json(&1),
            "header X-Event-ID",
            "belongs to",
        ),
        (
            Envelope::builder(" ").key("k").sequence(1).json(&1),
            "type",
            "not blank",
        ),
    ];
    for (draft, field, problem) in table {
        let draft = draft.unwrap();
        let error = write(&draft, Form::Predecessor, Binding::Dashed, "s").unwrap_err();
        assert_eq!(error.field(), field, "{error}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}

#[test]
fn a_foreign_key_of_kafka_is_not_lost_on_the_way_to_another_broker() {
    let headers: Headers = [("ce_specversion", "1.0"), ("ce_id", "1")]
        .into_iter()
        .chain([("ce_source", "s"), ("ce_type", "T")])
        .map(|(n, v)| (n, v.as_bytes()))
        .collect();
    let mut keyed = record(headers, "x");
    keyed.key = Some(Bytes::from_static(b"order 1"));
    let came = decode(&"t".into(), 0, keyed);
    for form in [Form::Binary, Form::Structured] {
        let (headers, body) = write(&came, form, Binding::Dashed, "").unwrap();
        assert_eq!(
            decode(&"t".into(), 0, record(headers, body)).key(),
            Some("order 1")
        );
    }
}

/// Envelopes that every form can hold, and more than that for those of CloudEvents.
fn envelopes(plain: bool) -> impl Strategy<Value = Envelope> {
    let key = if plain { "[a-z0-9]{1,9}" } else { "\\PC{1,20}" };
    let tenant = if plain {
        "[1-9][0-9]{0,8}"
    } else {
        "\\PC{1,20}"
    };
    let id = "[!-~]{1,20}";
    let payload = prop_oneof![
        any::<i64>().prop_map(|n| (n.to_string().into_bytes(), "application/json")),
        "\\PC{0,30}".prop_map(|t| (serde_json::to_vec(&t).unwrap(), "application/x+json")),
        (proptest::collection::vec(any::<u8>(), 0..20), any::<bool>()).prop_map(
            move |(bytes, text)| match (plain, text) {
                (true, _) => (b"[1, {}]".to_vec(), "application/json"),
                (_, true) => (bytes, "text/plain"),
                (_, false) => (bytes, "application/json"),
            }
        ),
    ];
    let optional = (
        proptest::option::of(tenant),
        proptest::option::of("[!-~]{1,20}"),
        proptest::option::of("[!-~&&[^%\"]]([ -~]{0,9}[!-~])?"),
    );
    let required = (key, id, "[!-~]\\PC{0,20}", 1u64.., 0u64..4_000_000_000);
    (required, optional, payload).prop_map(
        |((key, id, kind, sequence, time), (tenant, correlation, extension), (payload, media))| {
            let mut builder = Envelope::builder(kind)
                .key(key)
                .id(id)
                .source("shop")
                .sequence(sequence)
                .time(UNIX_EPOCH + Duration::from_millis(time))
                .header("x-free", "Köln")
                .header("X-Free", "2");
            if let Some(tenant) = tenant {
                builder = builder.tenant(tenant);
            }
            if let Some(correlation) = correlation {
                builder = builder.correlation(correlation);
            }
            if let Some(extension) = extension {
                builder = builder.extension("subject", extension);
            }
            builder.payload(payload, media).unwrap()
        },
    )
}

/// Everything that a form keeps.
fn same(a: &Envelope, b: &Envelope) {
    assert_eq!(
        (a.id(), a.key(), a.sequence()),
        (b.id(), b.key(), b.sequence())
    );
    assert_eq!((a.event_type(), a.time()), (b.event_type(), b.time()));
    assert_eq!((a.tenant(), a.correlation()), (b.tenant(), b.correlation()));
    assert_eq!(
        (a.payload(), a.extension("subject")),
        (b.payload(), b.extension("subject"))
    );
    assert!(a.free_headers().eq(b.free_headers()));
}

fn over(envelope: &Envelope, form: Form, binding: Binding) -> Envelope {
    let (headers, body) = write(envelope, form, binding, "shop").unwrap();
    let read = decode(&"orders".into(), 2, record(headers, body));
    assert!(read.parts.malformed.is_none(), "{:?}", read.parts.malformed);
    assert_eq!(read.form(), Some(form));
    read
}

proptest! {
    #[test]
    fn cloud_events_go_round_both_modes(envelope in envelopes(false)) {
        for binding in [Binding::Dashed, Binding::Underscored] {
            let structured = over(&envelope, Form::Structured, binding);
            same(&over(&structured, Form::Structured, Binding::Dashed), &structured);
            let binary = over(&structured, Form::Binary, Binding::Dashed);
            same(&binary, &envelope);
            prop_assert_eq!(binary.content_type(), envelope.content_type());
            prop_assert_eq!(structured.source(), "shop");
        }
    }

    #[test]
    fn plain_events_go_round_all_forms(envelope in envelopes(true)) {
        for binding in [Binding::Dashed, Binding::Underscored] {
            let old = over(&envelope, Form::Predecessor, binding);
            let new = over(&over(&old, Form::Structured, binding), Form::Binary, Binding::Dashed);
            same(&over(&new, Form::Predecessor, binding), &envelope);
        }
    }

    #[test]
    fn any_body_is_read_or_refused_and_kept(
        body in "\\{(\"(event_id|event_type|specversion|id|source|type|data|aggregate_id|payload)\":(\"\\PC{0,5}\"|[0-9]|null|\\{\\}),?){0,8}\\}?"
    ) {
        let envelope = read(&[], &body);
        prop_assert_eq!(&envelope.record().1[..], body.as_bytes());
        prop_assert!(!envelope.id().is_empty() && !envelope.source().is_empty());
    }
}

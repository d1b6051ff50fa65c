//! The wire forms against golden files, and both against `docs/wire.md`.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use procession_core::{PartitionId, Position, Stamp, Why};
use procession_runtime::partition_of;
use procession_runtime::port::{Headers, Record};
use procession_runtime::subscription::Letter;

use crate::dead_letter::{DeadLetters, dead_letter_topic};
use crate::wire::{Binding, Form, decode, escape, for_wire, write};
use crate::{Envelope, identity};

const PAGE: &str = include_str!("../../../docs/wire.md");

const GOLDEN: [(&str, &str); 9] = [
    (
        "envelope-nats",
        include_str!("../tests/golden/envelope-nats.golden"),
    ),
    (
        "envelope-kafka",
        include_str!("../tests/golden/envelope-kafka.golden"),
    ),
    (
        "structured",
        include_str!("../tests/golden/structured.golden"),
    ),
    (
        "structured-base64",
        include_str!("../tests/golden/structured-base64.golden"),
    ),
    (
        "predecessor-nats",
        include_str!("../tests/golden/predecessor-nats.golden"),
    ),
    (
        "predecessor-kafka",
        include_str!("../tests/golden/predecessor-kafka.golden"),
    ),
    ("raw-nats", include_str!("../tests/golden/raw-nats.golden")),
    (
        "dead-letter",
        include_str!("../tests/golden/dead-letter.golden"),
    ),
    (
        "dead-letter-reference",
        include_str!("../tests/golden/dead-letter-reference.golden"),
    ),
];

fn golden(name: &str) -> &'static str {
    GOLDEN.iter().find(|(n, _)| *n == name).unwrap().1
}

/// The content of a fenced block of the page.
fn block(head: &str) -> &'static str {
    let (_, after) = PAGE.split_once(&format!("```{head}\n")).expect(head);
    after.split_once("\n```").expect(head).0
}

/// The rows of a block of vectors, without their heading.
fn rows(head: &str, heading: usize) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = block(head).lines().skip(heading);
    lines.map(|line| line.split('|').map(str::trim).collect())
}

fn render(headers: &Headers, payload: &[u8]) -> String {
    let line = |(n, v): (&str, &[u8])| format!("{n}: {}\n", String::from_utf8_lossy(v));
    let lines: String = headers.iter().map(line).collect();
    format!("{lines}\n{}", String::from_utf8_lossy(payload))
}

fn parse(text: &'static str, key: Option<&'static str>) -> Record {
    let (fields, payload) = text.split_once("\n\n").unwrap();
    let fields = fields.lines().map(|line| line.split_once(": ").unwrap());
    Record {
        position: Position(7),
        stamp: Stamp(99),
        delivery: None,
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        headers: fields.map(|(n, v)| (n, v.as_bytes())).collect(),
        payload: Bytes::from_static(payload.as_bytes()),
        bytes: 100,
    }
}

fn order() -> Envelope {
    Envelope::builder("OrderPlaced")
        .key("order 42")
        .id("order-42-1")
        .sequence(1)
        .time(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_177_505_123))
        .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .correlation("c-7")
        .tenant("tür")
        .extension("subject", "a subject")
        .header("x-shop", "Köln Süd")
        .header("x-tag", "a")
        .header("X-Tag", "b")
        .json(&serde_json::json!({ "total": 3 }))
        .unwrap()
}

/// What the predecessor can say, too.
fn plain_order() -> Envelope {
    Envelope::builder("OrderPlaced")
        .key("order-42")
        .id("order-42-1")
        .sequence(1)
        .time(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_177_505_123))
        .traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .correlation("c-7")
        .tenant("7")
        .header("x-shop", "Köln")
        .json(&serde_json::json!({ "total": 3 }))
        .unwrap()
}

#[test]
fn json_forms_are_written_and_read_back_as_the_golden_files_say() {
    let bytes = Envelope::builder("Photo")
        .id("1")
        .time(SystemTime::UNIX_EPOCH)
        .payload(&b"\x00\xff"[..], "image/png");
    let table = [
        (order(), Form::Structured, Binding::Dashed, "structured"),
        (
            order(),
            Form::Structured,
            Binding::Underscored,
            "structured",
        ),
        (
            bytes.unwrap(),
            Form::Structured,
            Binding::Dashed,
            "structured-base64",
        ),
        (
            plain_order(),
            Form::Predecessor,
            Binding::Dashed,
            "predecessor-nats",
        ),
        (
            plain_order(),
            Form::Predecessor,
            Binding::Underscored,
            "predecessor-kafka",
        ),
    ];
    for (sent, form, binding, name) in table {
        let (headers, body) = write(&sent, form, binding, "shop").unwrap();
        assert_eq!(render(&headers, &body), golden(name), "{name}");
        let received = decode(&"orders".into(), 2, parse(golden(name), None));
        assert!(received.parts.malformed.is_none(), "{name}");
        assert_eq!(received.form(), Some(form));
        assert_eq!(
            (received.id(), received.key(), received.sequence()),
            (sent.id(), sent.key(), sent.sequence()),
            "{name}"
        );
        assert_eq!(received.source(), form.source("shop"));
        assert_eq!(received.payload(), sent.payload());
        assert_eq!(received.content_type(), sent.content_type());
        assert_eq!(received.traceparent(), sent.traceparent());
        assert_eq!(received.tenant(), sent.tenant());
        assert!(received.free_headers().eq(sent.free_headers()));
        let (headers, body) = write(&received, form, binding, "").unwrap();
        assert_eq!(render(&headers, &body), golden(name), "{name} again");
    }
}

#[test]
fn the_page_shows_the_golden_files() {
    for (name, content) in GOLDEN {
        let shown = block(&format!("golden {name}"));
        assert_eq!(shown.trim_end(), content.trim_end(), "{name}");
    }
}

#[test]
fn envelopes_are_written_as_the_golden_files_say() {
    let bindings = [
        (Binding::Dashed, "envelope-nats"),
        (Binding::Underscored, "envelope-kafka"),
    ];
    for (binding, name) in bindings {
        let headers = for_wire(&order(), binding, "shop");
        assert_eq!(render(&headers, order().payload()), golden(name));
    }
    let raw = Envelope::raw("id", Some("order-42"), "version 1").unwrap();
    let headers = for_wire(&raw, Binding::Dashed, "shop");
    assert_eq!(render(&headers, raw.payload()), golden("raw-nats"));
}

#[test]
fn golden_files_are_read_back_and_written_again_unchanged() {
    let bindings = [
        (Binding::Dashed, "envelope-nats", None),
        (Binding::Underscored, "envelope-kafka", Some("order 42")),
    ];
    let sent = order();
    for (binding, name, key) in bindings {
        let received = decode(&"orders".into(), 2, parse(golden(name), key));
        assert!(!received.is_raw() && received.parts.malformed.is_none());
        assert_eq!(received.source(), "shop");
        assert_eq!((received.id(), received.key()), (sent.id(), sent.key()));
        assert_eq!(received.event_type(), sent.event_type());
        assert_eq!(
            (received.time(), received.sequence()),
            (sent.time(), Some(1))
        );
        assert_eq!(received.content_type(), sent.content_type());
        assert_eq!(received.traceparent(), sent.traceparent());
        assert_eq!(
            (received.correlation(), received.tenant()),
            (Some("c-7"), Some("tür"))
        );
        assert!(received.free_headers().eq(sent.free_headers()));
        let again = for_wire(&received, binding, "another default");
        assert_eq!(render(&again, received.payload()), golden(name));
        // And over to the other broker and back.
        for (other, _, _) in bindings {
            let over = for_wire(&received, other, "");
            let mut record = parse(golden(name), key);
            record.headers = over;
            let back = for_wire(&decode(&"orders".into(), 2, record), binding, "");
            assert_eq!(render(&back, b""), render(&again, b""));
        }
    }
}

#[test]
fn dead_letters_are_written_as_the_golden_files_say() {
    let original = "ce-specversion: 1.0\nce-id: order-42-1\nce-source: shop\n\
                    ce-type: OrderPlaced\nNats-Msg-Id: 8f8d\nce-partitionkey: order%2042\n\
                    x-tag: a\nX-Tag: b\n\n{\"total\":3}";
    let envelope = decode(&"orders".into(), 2, parse(original, None));
    let letters = DeadLetters {
        topic: dead_letter_topic("orders", "billing").into(),
        group: "billing".into(),
    };
    for (shorten, name) in [(0, "dead-letter"), (2, "dead-letter-reference")] {
        let letter = Letter {
            partition: PartitionId(2),
            position: Position(7),
            why: Why::Exhausted,
            attempts: 5,
            error: Some(Arc::from("no money\nleft")),
            shorten,
        };
        let out = letters.write(&envelope, &letter);
        let rendered = render(&out.headers, &out.payload);
        assert_eq!(rendered.trim_end(), golden(name).trim_end());
    }
}

#[test]
fn vectors_of_the_page() {
    for row in rows("vectors escape", 0) {
        assert_eq!(escape(row[0]), row[1]);
    }
    for row in rows("vectors identity", 1) {
        let replay = row[3].parse().unwrap();
        let hash = identity::identity(row[0], row[1], row[2], replay);
        assert_eq!(format!("{hash:032x}"), row[4], "{row:?}");
    }
    for row in rows("vectors key", 1) {
        let key = row[1].as_bytes();
        let lane = |seed| format!("{:016x}", identity::lane_hash(row[0], key, seed));
        let hash = identity::key_hash(row[0], key);
        assert_eq!(format!("{hash:032x}"), row[2], "{row:?}");
        assert_eq!(
            (lane(0), lane(0x0123_4567_89ab_cdef)),
            (row[3].into(), row[4].into())
        );
    }
    for row in rows("vectors partition", 1) {
        let of = |n| partition_of(row[0].as_bytes(), n).to_string();
        assert_eq!((of(3), of(12)), (row[1].into(), row[2].into()), "{row:?}");
    }
    for row in rows("vectors identity of forms", 1) {
        let form = match row[0] {
            "structured" => Form::Structured,
            "predecessor" => Form::Predecessor,
            _ => Form::Binary,
        };
        let hash = identity::identity(row[1], form.source(row[2]), row[3], 0);
        assert_eq!(format!("{hash:032x}"), row[4], "{row:?}");
    }
    assert!(4 <= rows("vectors identity", 1).count());
}

//! One table of bad inputs of all kinds: settings, variables, addresses, envelopes, bytes on the wire.
//! Each has an error of its own, on one line, that names the thing and says what to do. Those of the
//! command line are in `adapters/cli/tests`.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use common::{PATIENCE, quick, until};
use procession::{Bus, Envelope, EnvelopeBuilder, Form, Settings, raw};

/// What was given, what its error must say, and what it says.
struct Row {
    given: String,
    expected: &'static str,
    error: String,
}

fn settings() -> Vec<Row> {
    let table = [
        ("[publsh]\ndeadline = '1s'", "did you mean [publish]?"),
        ("deadline = '1s'", "outside of any table"),
        ("[publish]\ndeadlne = '1s'", "did you mean `deadline`?"),
        ("[publish]\ndeadline = 30", "needs a unit"),
        ("[publish]\ndeadline = '30 parsecs'", "not a length of time"),
        ("[publish]\ndeadline = '2h'", "at most 1h"),
        ("[publish]\nwindow_bytes = '1 pound'", "not a size"),
        ("[publish]\nwindow_messages = 0", "1 to 4000000"),
        ("[publish]\nbatch = 0", "1 to 256"),
        ("[publish]\nwhen_full = 'maybe'", "write one of: wait, fail"),
        ("[subscribe]\nattempts = 0", "1 to 1000000"),
        ("[subscribe]\nconcurrency = 1.5", "not a whole number"),
        (
            "[subscribe]\njitter_percent = 300",
            "write a smaller number",
        ),
        ("[subscribe]\norder = 'kee'", "did you mean `key`?"),
        ("[subscribe]\nlease = '10ms'", "1s to 1h"),
        (
            "[subscribe.billing]\natempts = 1",
            "did you mean `attempts`?",
        ),
        (
            "[subscribe.billing.deeper]\nattempts = 1",
            "`subscribe.billing.deeper`",
        ),
        ("[topics.orders]\npartitions = 0", "write 1 to 4096"),
        (
            "[topics.orders]\nform = 'avro'",
            "binary, structured, predecessor",
        ),
        ("[topics.orders]\nstorage = 'disk'", "file, memory"),
        ("[topics.orders]\nlayout = 'plain'", "partitioned, keyed"),
        ("[topics]\norders = 3", "[topics.NAME]"),
        ("[bus]\nsource = ''", "not empty"),
        ("[bus]\ncredit_messages = 0", "at least 1"),
        ("[bus", "must be TOML"),
    ];
    let row = |(given, expected): (&str, &'static str)| Row {
        given: given.to_owned(),
        expected,
        error: Settings::from_toml(given).expect_err(given).to_string(),
    };
    table.into_iter().map(row).collect()
}

fn variables() -> Vec<Row> {
    let table = [
        (
            "PROCESSION_PUBLISH__DEADLINE",
            "soon",
            "PROCESSION_PUBLISH__DEADLINE",
        ),
        ("PROCESSION_PUBLISH_DEADLINE", "1s", "two underscores"),
        (
            "PROCESSION_PUBLISHER__DEADLINE",
            "1s",
            "did you mean [publish]?",
        ),
        (
            "PROCESSION_TOPICS__ORDERS__FORM",
            "old",
            "topics.orders.form",
        ),
    ];
    let row = |(name, value, expected): (&str, &str, &'static str)| {
        let variable = [(name.to_owned(), value.to_owned())];
        Row {
            given: format!("{name}={value}"),
            expected,
            error: Settings::from_parts(None, variable)
                .expect_err(name)
                .to_string(),
        }
    };
    table.into_iter().map(row).collect()
}

async fn addresses() -> Vec<Row> {
    let table = [
        ("localhost", "has no scheme"),
        ("amqp://h", "unknown scheme `amqp`"),
        ("nats://h:notaport", "port `notaport`"),
        ("nats://", "nats://"),
    ];
    let mut rows = Vec::new();
    for (given, expected) in table {
        rows.push(Row {
            given: given.to_owned(),
            expected,
            error: Bus::connect(given).await.expect_err(given).to_string(),
        });
    }
    rows
}

fn envelopes() -> Vec<Row> {
    type Bad = fn(EnvelopeBuilder) -> EnvelopeBuilder;
    let table: [(Bad, &'static str); 12] = [
        (|b| b.key(""), "key is \"\": it must not be empty"),
        (
            |b| b.key("k".repeat(513)),
            "513 bytes long, allowed are 512",
        ),
        (|b| b.key("a\nb"), "control character"),
        (|b| b.id(""), "id is \"\""),
        (|b| b.source("s".repeat(600)), "600 bytes long"),
        (|b| b.traceparent("00-1-2-3"), "not a W3C trace context"),
        (|b| b.tenant("t".repeat(129)), "allowed are 128"),
        (|b| b.header("ce-id", "x"), "header ce-id"),
        (|b| b.header("a b", "x"), "its name is not allowed"),
        (|b| b.header("x", " y"), "do not survive every broker"),
        (|b| b.extension("Subject", "x"), "as CloudEvents asks"),
        (
            |b| b.time(SystemTime::UNIX_EPOCH - Duration::from_secs(1)),
            "before 1970",
        ),
    ];
    let row = |(number, (bad, expected)): (usize, (Bad, &'static str))| Row {
        given: format!("envelope {number}"),
        expected,
        error: bad(Envelope::builder("T"))
            .json(&1)
            .expect_err(expected)
            .to_string(),
    };
    table.into_iter().enumerate().map(row).collect()
}

/// What another client may have written: it is quarantined, and its dead letter says why.
async fn wire() -> Vec<Row> {
    let event = r#""event_id":"1","aggregate_id":"k","event_type":"T""#;
    let whole = format!(r#"{event},"event_version":1,"timestamp":"2025-01-01T00:00:00Z""#);
    let table = [
        (
            r#"{"specversion":"1.0","source":"s","type":"T"}"#.to_owned(),
            "no member `id`",
        ),
        (
            r#"{"specversion":"0.3","id":"1","source":"s","type":"T"}"#.to_owned(),
            "not known",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":7}"#.to_owned(),
            "JSON string",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"T","time":"now"}"#.to_owned(),
            "RFC 3339",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"T","data":1,"data_base64":""}"#
                .to_owned(),
            "both `data` and `data_base64`",
        ),
        (
            r#"{"specversion":"1.0","id":"1","source":"s","type":"T","data_base64":"?"}"#
                .to_owned(),
            "not Base64",
        ),
        (
            r#"{"specversion":"1.0","id":"1""#.to_owned(),
            "one whole object",
        ),
        (
            r#"{"specversion":"1.0","specversion":"1.0"}"#.to_owned(),
            "there twice",
        ),
        (format!("{{{event},\"payload\":1}}"), "event_version"),
        (format!("{{{whole}}}"), "payload"),
        (
            format!("{{{},\"payload\":1}}", whole.replace("\"k\"", "\"a b\"")),
            "A-Z a-z 0-9",
        ),
        (
            format!("{{{},\"payload\":1}}", whole.replace("2025", "0025")),
            "since 1970",
        ),
        (
            format!("{{{whole},\"payload\":1,\"tenant_id\":-7}}"),
            "whole number above 0",
        ),
    ];
    let bus = Bus::connect("memory://").await.unwrap();
    let handler = raw(|envelope: Envelope, _cx| async move {
        panic!("a handler got it: {envelope:?}");
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    for (number, (body, _)) in table.iter().enumerate() {
        let message = Envelope::raw(number.to_string(), None, body.clone()).unwrap();
        bus.publish("orders", message).await.unwrap();
    }
    let count = u64::try_from(table.len()).unwrap();
    until(|| subscription.health().stats.dead == count).await;
    let letters = bus.audit("orders-dlq-g").await.unwrap();
    let rows = table.into_iter().map(|(given, expected)| {
        let letter = letters
            .iter()
            .find(|(.., letter)| letter.payload() == given.as_bytes());
        let (.., letter) = letter.unwrap_or_else(|| panic!("no dead letter of {given}"));
        assert_eq!(letter.header("procession-dlq-why"), Some(&b"malformed"[..]));
        let error = letter.header("procession-dlq-error").unwrap();
        let error = std::str::from_utf8(error).unwrap();
        Row {
            given,
            expected,
            error: unescaped(error),
        }
    });
    let rows = rows.collect();
    bus.close(PATIENCE).await.unwrap();
    rows
}

/// Percent-encoding undone, as a reader of a dead letter does it.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = std::str::from_utf8(after.get(..2).unwrap_or_default()).unwrap_or_default();
        match (byte, u8::from_str_radix(code, 16)) {
            (b'%', Ok(escaped)) => {
                bytes.push(escaped);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What a form cannot say is refused before anything is sent.
async fn forms() -> Vec<Row> {
    let bus = Bus::builder("memory://").with(|settings| {
        let mut topic = procession::settings::TopicSettings::default();
        topic.form = Form::Predecessor;
        settings.topics.insert("old".to_owned(), topic);
    });
    let bus = bus.connect().await.unwrap();
    let draft = || Envelope::builder("T").key("k").sequence(1);
    let table = [
        (
            "no key",
            Envelope::builder("T").sequence(1).json(&1),
            "aggregate id by `key`",
        ),
        (
            "no sequence",
            Envelope::builder("T").key("k").json(&1),
            "give it by `sequence`",
        ),
        (
            "tenant",
            draft().tenant("acme").json(&1),
            "knows only numbers",
        ),
        (
            "payload",
            draft().payload("x", "text/plain"),
            "end the builder with `json`",
        ),
    ];
    let mut rows = Vec::new();
    for (given, envelope, expected) in table {
        rows.push(Row {
            given: given.to_owned(),
            expected,
            error: bus
                .publish("old", envelope.unwrap())
                .await
                .unwrap_err()
                .to_string(),
        });
    }
    assert!(bus.audit("old").await.unwrap().is_empty());
    bus.close(PATIENCE).await.unwrap();
    rows
}

#[tokio::test]
async fn each_bad_input_has_an_error_of_its_own() {
    let mut rows = settings();
    rows.extend(variables());
    rows.extend(addresses().await);
    rows.extend(envelopes());
    rows.extend(wire().await);
    rows.extend(forms().await);
    assert!(40 <= rows.len(), "{}", rows.len());
    let mut seen = BTreeMap::new();
    for Row {
        given,
        expected,
        error,
    } in rows
    {
        assert!(error.contains(expected), "{given}: {error}");
        assert!(!error.contains('\n'), "{given}: {error}");
        // What is wrong, and what to do.
        assert!(
            error.contains("; ") || error.contains("did you mean"),
            "{given}: {error}"
        );
        if let Some(before) = seen.insert(error.clone(), given.clone()) {
            panic!("{before} and {given} have one error: {error}");
        }
    }
}

//! Dead letters: the raw record, and why it ended there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use procession_core::Why;
use procession_runtime::port::{HeadersBuilder, Outgoing};
use procession_runtime::subscription::Letter;
use xxhash_rust::xxh3::xxh3_128;

use crate::Envelope;
use crate::identity::identity;
use crate::wire::escape;

/// The longest text of an error in a dead letter, in bytes before escaping.
const ERROR_MAX: usize = 1_024;

/// The topic that dead letters of `topic` go to when `group` cannot handle them.
#[must_use]
pub fn dead_letter_topic(topic: &str, group: &str) -> String {
    format!("{topic}-dlq-{group}")
}

/// Writes the dead letters of one subscription. The form is fixed in `docs/wire.md`.
pub(crate) struct DeadLetters {
    /// Where they go.
    pub(crate) topic: Arc<str>,
    /// The group that could not handle them.
    pub(crate) group: Arc<str>,
}

impl DeadLetters {
    /// The dead letter: key, header fields in their order with duplicates, and bytes of the
    /// original, with header fields behind them that tell where it comes from and why.
    pub(crate) fn write(&self, envelope: &Envelope, letter: &Letter) -> Outgoing {
        let (original, body) = envelope.record();
        let reference_only = 2 <= letter.shorten;
        let fields = original.len() + 10;
        let mut headers = HeadersBuilder::with_capacity(fields, original.byte_len() + 512);
        let mut has_key = false;
        for (name, value) in original.iter() {
            // What a broker added for itself would confuse it; of a reference only the key is kept.
            let key = name.eq_ignore_ascii_case("ce-partitionkey")
                || name.eq_ignore_ascii_case("ce_partitionkey");
            if starts(name, "nats-") || (reference_only && !key) {
                continue;
            }
            has_key |= key;
            headers.push(name, value);
        }
        // The key of a JSON form stands in the body, which a reference does not have.
        if reference_only
            && !has_key
            && let Some(key) = envelope.key()
        {
            headers.push("ce-partitionkey", escape(key).as_bytes());
        }
        let topic = envelope.topic().unwrap_or_default();
        let mut push = |name: &str, value: &str| {
            headers.push(name, escape(value).as_bytes());
        };
        push("procession-dlq-topic", topic);
        push("procession-dlq-group", &self.group);
        push("procession-dlq-partition", &letter.partition.0.to_string());
        push("procession-dlq-position", &letter.position.0.to_string());
        push("procession-dlq-attempts", &letter.attempts.to_string());
        push("procession-dlq-why", why(envelope, letter.why));
        if letter.shorten == 0
            && let Some(error) = error_text(envelope, letter)
        {
            push("procession-dlq-error", cut(&error));
        }
        let payload = if reference_only {
            let digest = format!("{:032x}", xxh3_128(body));
            push("procession-dlq-payload-xxh3", &digest);
            push("procession-dlq-payload-bytes", &body.len().to_string());
            Bytes::new()
        } else {
            body.clone()
        };
        Outgoing {
            topic: Arc::clone(&self.topic),
            key: envelope.key_bytes().map(Bytes::copy_from_slice),
            id: envelope.id().into(),
            identity: identity(&self.topic, envelope.source(), envelope.id(), 0),
            copy: 0,
            headers: headers.build(),
            payload,
            partition: Some(letter.partition.0),
            expect: None,
        }
    }
}

fn why(envelope: &Envelope, why: Why) -> &'static str {
    match why {
        Why::Exhausted => "exhausted",
        Why::Rejected if envelope.parts.undecodable.load(Ordering::Relaxed) => "malformed",
        Why::Rejected => "rejected",
        Why::Malformed => "malformed",
        Why::TooLarge => "too-large",
        Why::Keyless => "keyless",
        Why::Parked => "parked",
        Why::Discarded => "discarded",
        Why::Expired => "expired",
        Why::Gap => "gap",
        Why::Suspect => "suspect",
    }
}

fn error_text(envelope: &Envelope, letter: &Letter) -> Option<String> {
    match (&letter.error, &envelope.parts.malformed) {
        (Some(error), _) => Some(error.to_string()),
        (None, Some(malformed)) => Some(malformed.to_string()),
        (None, None) => None,
    }
}

fn cut(text: &str) -> &str {
    let fits = (0..=ERROR_MAX.min(text.len())).rev();
    let end = fits.into_iter().find(|&end| text.is_char_boundary(end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn starts(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use procession_core::{PartitionId, Position, Stamp};
    use procession_runtime::port::{Headers, Record};

    fn letter(shorten: u8) -> Letter {
        Letter {
            partition: PartitionId(2),
            position: Position(7),
            why: Why::Exhausted,
            attempts: 5,
            error: Some("no\nmoney".into()),
            shorten,
        }
    }

    fn envelope() -> Envelope {
        let fields = [
            ("ce-specversion", "1.0"),
            ("x", "1"),
            ("ce-id", "1"),
            ("Nats-Msg-Id", "gone"),
            ("X", "2"),
            ("ce-source", "/s"),
            ("ce-type", "T"),
            ("ce-partitionkey", "k%201"),
        ];
        let headers: Headers = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        let record = Record {
            position: Position(7),
            stamp: Stamp(1),
            delivery: None,
            key: None,
            headers,
            payload: Bytes::from_static(b"body"),
            bytes: 10,
        };
        crate::wire::decode(&"orders".into(), 2, record)
    }

    fn write(shorten: u8) -> (Outgoing, Vec<String>) {
        let letters = DeadLetters {
            topic: dead_letter_topic("orders", "billing").into(),
            group: "billing".into(),
        };
        let out = letters.write(&envelope(), &letter(shorten));
        let text = |(n, v): (&str, &[u8])| format!("{n}: {}", String::from_utf8_lossy(v));
        let lines = out.headers.iter().map(text).collect();
        (out, lines)
    }

    const TAIL: [&str; 6] = [
        "procession-dlq-topic: orders",
        "procession-dlq-group: billing",
        "procession-dlq-partition: 2",
        "procession-dlq-position: 7",
        "procession-dlq-attempts: 5",
        "procession-dlq-why: exhausted",
    ];

    #[test]
    fn the_whole_record_is_kept_in_order_with_duplicates() {
        let (out, lines) = write(0);
        let mut expected = vec![
            "ce-specversion: 1.0",
            "x: 1",
            "ce-id: 1",
            "X: 2",
            "ce-source: /s",
            "ce-type: T",
            "ce-partitionkey: k%201",
        ];
        expected.extend(TAIL);
        expected.push("procession-dlq-error: no%0Amoney");
        assert_eq!(lines, expected);
        assert_eq!(
            (&*out.topic, out.partition),
            ("orders-dlq-billing", Some(2))
        );
        assert_eq!(
            (&out.payload[..], out.key.as_deref()),
            (&b"body"[..], Some(&b"k 1"[..]))
        );
        assert_ne!(out.identity, identity("orders", "/s", "1", 0));
    }

    #[test]
    fn shortened_first_by_the_error_then_to_a_reference() {
        let (out, lines) = write(1);
        assert_eq!(lines.last().unwrap(), TAIL[5]);
        assert_eq!(&out.payload[..], b"body");
        let (out, lines) = write(2);
        let mut expected = vec!["ce-partitionkey: k%201"];
        expected.extend(TAIL);
        let digest = format!("procession-dlq-payload-xxh3: {:032x}", xxh3_128(b"body"));
        expected.extend([&*digest, "procession-dlq-payload-bytes: 4"]);
        assert_eq!(lines, expected);
        assert!(out.payload.is_empty());
    }
}

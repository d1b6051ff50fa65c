//! A message on its way out: subject, header block, and what the answer means.

use core::fmt::Write as _;
use core::time::Duration;

use bytes::{Bytes, BytesMut};
use procession_core::{Position, Receipt};
use procession_runtime::partition_of;
use procession_runtime::port::{
    BoxFuture, Expect, Outgoing, PortError, PortErrorKind, SinkReceipt,
};

use crate::jetstream::{ApiError, PublishAnswer, code};
use crate::names::subject_of;
use crate::requests::{Requests, Unanswered};
use crate::wire::fields;

/// How long a stream may take to answer a publish.
pub(crate) const ACK_WITHIN: Duration = Duration::from_secs(5);
/// The field by which the server recognises a second copy.
pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The field by which the server compares: the sequence of the last message of the subject, 0 for none.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// The partition of a message.
pub(crate) fn partition(message: &Outgoing, partitions: u32) -> u32 {
    match (message.partition, &message.key) {
        (Some(fixed), _) => fixed,
        (None, Some(key)) => partition_of(key, partitions),
        (None, None) => partition_of(message.id.as_bytes(), partitions),
    }
}

/// Writes the header block: the message id, then the message's own fields.
///
/// # Errors
/// A field that cannot be sent: its name, and why.
pub(crate) fn header_block(message: &Outgoing, block: &mut BytesMut) -> Result<(), PortError> {
    header_fields(message, block)?;
    fields::end(block);
    Ok(())
}

/// The same without its end.
pub(crate) fn header_fields(message: &Outgoing, block: &mut BytesMut) -> Result<(), PortError> {
    fields::begin(block);
    let mut id = Text::default();
    write_id(&mut id, message);
    fields::append(block, MESSAGE_ID, id.as_bytes());
    if let Some(expect) = message.expect {
        let last = match expect {
            Expect::First => 0,
            Expect::After(position) => position.0,
        };
        let mut number = Text::default();
        let _ = write!(number, "{last}");
        fields::append(block, EXPECTED, number.as_bytes());
    }
    for (name, value) in message.headers.iter() {
        if !fields::append(block, name, value) {
            return Err(PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "the header field `{}` cannot be sent over NATS: names and values must be \
                     without line breaks and zero bytes, names without `:`",
                    name.escape_debug()
                ),
            ));
        }
    }
    Ok(())
}

fn write_id(into: &mut impl core::fmt::Write, message: &Outgoing) {
    let _ = write!(into, "{:032x}", message.identity);
    if message.copy != 0 {
        let _ = write!(into, ".c{}", message.copy);
    }
}

/// The id by which the server recognises a second copy.
pub(crate) fn message_id(message: &Outgoing) -> String {
    let mut id = String::new();
    write_id(&mut id, message);
    id
}

/// Refuses a message that is larger than the server takes.
pub(crate) fn check_size(bytes: usize, max_payload: usize) -> Result<(), PortError> {
    if bytes <= max_payload {
        return Ok(());
    }
    Err(PortError::new(
        PortErrorKind::TooLarge,
        format!(
            "the message has {bytes} bytes with its header fields; the NATS server takes \
             {max_payload} (its `max_payload`)"
        ),
    ))
}

/// What the stream's answer means.
pub(crate) fn receipt(payload: &[u8], partition: u32) -> SinkReceipt {
    let answer = match quick(payload) {
        Some(answer) => answer,
        None => match serde_json::from_slice::<PublishAnswer>(payload) {
            Ok(answer) => answer,
            Err(error) => {
                return SinkReceipt::Unknown(PortError::new(
                    PortErrorKind::Refused,
                    format!("the stream's answer cannot be read: {error}"),
                ));
            }
        },
    };
    match answer.error {
        None if answer.seq != 0 => SinkReceipt::Stored {
            partition,
            position: Position(answer.seq),
            duplicate: answer.duplicate,
        },
        None => SinkReceipt::Unknown(PortError::new(
            PortErrorKind::Refused,
            "the stream's answer has no sequence",
        )),
        Some(error) => refused(&error),
    }
}

fn refused(error: &ApiError) -> SinkReceipt {
    let kind = match error.err_code {
        code::MESSAGE_TOO_LARGE | code::HEADER_TOO_LARGE => PortErrorKind::TooLarge,
        code::STREAM_NOT_FOUND | code::STREAM_MISMATCH => PortErrorKind::Missing,
        _ if error.code == 403 => PortErrorKind::Denied,
        _ => PortErrorKind::Refused,
    };
    let port_error = PortError::new(
        kind,
        format!(
            "the stream refused the message: {} (error {})",
            error.description, error.err_code
        ),
    );
    if error.err_code == code::WRONG_LAST_SEQUENCE {
        return SinkReceipt::Conflict(port_error);
    }
    // 5xx: full, short of resources, without a leader. All of them may pass; a sealed stream stays.
    if 500 <= error.code && error.err_code != code::STREAM_SEALED {
        SinkReceipt::Retry(port_error)
    } else {
        SinkReceipt::NotStored(port_error)
    }
}

/// No answer: what that means for a publish.
pub(crate) fn unanswered(why: Unanswered) -> SinkReceipt {
    match why {
        Unanswered::NotSent => SinkReceipt::Retry(PortError::new(
            PortErrorKind::Disconnected,
            "there is no connection to the NATS server",
        )),
        Unanswered::NobodyThere => SinkReceipt::Retry(PortError::new(
            PortErrorKind::Missing,
            "no stream listens to the subject (or JetStream is not running yet)",
        )),
        Unanswered::Denied(subject) => {
            SinkReceipt::NotStored(crate::wire::denied("publishing", "", &subject))
        }
        Unanswered::Unheard(subject) => {
            SinkReceipt::Unknown(crate::wire::denied("publishing", "", &subject))
        }
        Unanswered::Disconnected => SinkReceipt::Unknown(PortError::new(
            PortErrorKind::Disconnected,
            "the connection to the NATS server was lost before the stream answered",
        )),
        Unanswered::TimedOut => SinkReceipt::Unknown(PortError::new(
            PortErrorKind::TimedOut,
            format!(
                "the stream did not answer within {} s",
                ACK_WITHIN.as_secs()
            ),
        )),
    }
}

/// Reads `{"stream":"S","seq":N}`, with `"duplicate":true` or other fields behind, without a JSON
/// parser; `None` for anything else. Stream names hold no quotes.
fn quick(payload: &[u8]) -> Option<PublishAnswer> {
    let rest = payload.strip_prefix(b"{\"stream\":\"")?;
    let rest = rest.get(memchr::memchr(b'"', rest)?..)?;
    let rest = rest.strip_prefix(b"\",\"seq\":")?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let seq = crate::wire::frame::number(&rest[..digits])?;
    match &rest[digits..] {
        b"}" => Some(PublishAnswer {
            seq,
            ..PublishAnswer::default()
        }),
        b",\"duplicate\":true}" | b",\"duplicate\": true}" => Some(PublishAnswer {
            seq,
            duplicate: true,
            ..PublishAnswer::default()
        }),
        _ => None,
    }
}

/// At most `Nats-Msg-Id`'s 32 digits, `.c` and three digits, without an allocation.
pub(crate) struct Text {
    bytes: [u8; 40],
    len: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; 40],
            len: 0,
        }
    }
}

impl Text {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl core::fmt::Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Stores dead letters over the connection of the records: few, each confirmed.
pub(crate) struct Burial {
    requests: Requests,
}

impl Burial {
    pub(crate) fn new(requests: Requests) -> Self {
        Self { requests }
    }

    /// Stores a message whose topic and partition are set.
    pub(crate) fn bury(&self, message: Outgoing) -> BoxFuture<'static, Receipt> {
        let mut block = BytesMut::with_capacity(message.headers.byte_len() + 256);
        if let Err(error) = header_block(&message, &mut block) {
            tracing::error!(%error, "a dead letter cannot be stored");
            return Box::pin(async { Receipt::NotStored });
        }
        if self
            .requests
            .max_payload()
            .is_some_and(|max| max < block.len() + message.payload.len())
        {
            return Box::pin(async { Receipt::TooLarge });
        }
        let number = partition(&message, 1);
        let answer = self.requests.request(
            subject_of(&message.topic, number),
            block.freeze(),
            Bytes::clone(&message.payload),
            ACK_WITHIN,
        );
        Box::pin(async move {
            let result = match answer.await {
                Ok(reply) => receipt(&reply.payload, number),
                Err(why) => unanswered(why),
            };
            match result {
                SinkReceipt::Stored { .. } => Receipt::Stored,
                SinkReceipt::NotStored(error) if error.kind == PortErrorKind::TooLarge => {
                    Receipt::TooLarge
                }
                SinkReceipt::NotStored(error)
                | SinkReceipt::Conflict(error)
                | SinkReceipt::Apart(error)
                | SinkReceipt::Retry(error) => {
                    tracing::warn!(%error, topic = %message.topic, "a dead letter was not stored");
                    Receipt::NotStored
                }
                SinkReceipt::Unknown(error) => {
                    tracing::warn!(%error, topic = %message.topic, "a dead letter is unconfirmed");
                    Receipt::Unknown
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use procession_runtime::port::Headers;

    fn message(copy: u8, headers: Headers) -> Outgoing {
        Outgoing {
            topic: "t".into(),
            key: Some(Bytes::from_static(b"foobar")),
            id: "id".into(),
            identity: 0xabc,
            copy,
            headers,
            payload: Bytes::from_static(b"body"),
            partition: None,
            expect: None,
        }
    }

    #[test]
    fn the_message_id_is_the_identity() {
        let mut block = BytesMut::new();
        let fields = [("ce-id", &b"1"[..]), ("ce-id", b"2")];
        header_block(&message(0, fields.into_iter().collect()), &mut block).unwrap();
        assert_eq!(
            &block[..],
            b"NATS/1.0\r\nNats-Msg-Id: 00000000000000000000000000000abc\r\nce-id: 1\r\nce-id: 2\r\n\r\n"
        );
        block.clear();
        header_block(&message(2, Headers::default()), &mut block).unwrap();
        let id = fields::get(&block, MESSAGE_ID).unwrap();
        assert_eq!(id, b"00000000000000000000000000000abc.c2");
    }

    #[test]
    fn fields_that_would_forge_others_are_refused() {
        let fields = [("a", &b"x\r\nNats-Rollup: all"[..])];
        let error = header_block(
            &message(0, fields.into_iter().collect()),
            &mut BytesMut::new(),
        );
        let error = error.unwrap_err();
        assert_eq!(error.kind, PortErrorKind::Invalid);
        assert!(error.message.contains("`a`"), "{error}");
    }

    #[test]
    fn partitions() {
        let mut m = message(0, Headers::default());
        // FNV-1a of "foobar" is bf9cf968.
        assert_eq!(partition(&m, 1_000), 0xbf9c_f968 % 1_000);
        m.partition = Some(7);
        assert_eq!(partition(&m, 1_000), 7);
        m.partition = None;
        m.key = None;
        assert_eq!(partition(&m, 1_000), partition_of(b"id", 1_000));
    }

    #[test]
    fn answers() {
        let stored = |position, duplicate| SinkReceipt::Stored {
            partition: 3,
            position: Position(position),
            duplicate,
        };
        assert_eq!(receipt(br#"{"stream":"S","seq":7}"#, 3), stored(7, false));
        assert_eq!(
            receipt(br#"{"stream":"S","seq":7,"duplicate":true}"#, 3),
            stored(7, true)
        );
        assert_eq!(
            receipt(
                br#"{"stream":"S","domain":"hub","seq":8,"duplicate": true}"#,
                3
            ),
            stored(8, true)
        );
        let error = |code: u16, err: u32| {
            format!(
                r#"{{"stream":"S","seq":0,"error":{{"code":{code},"err_code":{err},"description":"d"}}}}"#
            )
        };
        let kind = |receipt: SinkReceipt| match receipt {
            SinkReceipt::NotStored(e) => ("not stored", e.kind),
            SinkReceipt::Conflict(e) => ("conflict", e.kind),
            SinkReceipt::Retry(e) => ("retry", e.kind),
            SinkReceipt::Apart(e) => ("apart", e.kind),
            SinkReceipt::Unknown(e) => ("unknown", e.kind),
            SinkReceipt::Stored { .. } => ("stored", PortErrorKind::Invalid),
        };
        for (code, err, expected) in [
            (400, 10_054, ("not stored", PortErrorKind::TooLarge)),
            (503, 10_077, ("retry", PortErrorKind::Refused)),
            (400, 10_071, ("conflict", PortErrorKind::Refused)),
            (400, 10_001, ("not stored", PortErrorKind::Refused)),
            (403, 10_000, ("not stored", PortErrorKind::Denied)),
        ] {
            assert_eq!(kind(receipt(error(code, err).as_bytes(), 3)), expected);
        }
        // S10: what cannot be read is unknown, never stored and never refused.
        for garbled in [&b""[..], b"{}", b"{\"stream\":\"S\",\"seq\":", b"ok"] {
            assert_eq!(kind(receipt(garbled, 3)).0, "unknown");
        }
    }
}

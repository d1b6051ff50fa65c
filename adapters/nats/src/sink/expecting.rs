//! Whether a publish that is in conflict is in conflict with itself.
//!
//! The server compares the last message of a key before it looks for a second copy, so a publish that is
//! sent again, because the answer to an earlier send was lost, is told that another message is the last:
//! it may be its own copy, or one behind that. But if a send of it is in the log, it stands right behind
//! the message that it expected. So that place is looked at before anybody speaks of a conflict (S10).

use procession_core::Position;
use procession_runtime::port::{Expect, Outgoing, PortError, SinkReceipt};
use serde_json::json;

use crate::jetstream::{CallError, StoredAnswer, code, read};
use crate::names::stream_of;
use crate::publish::message_id;

/// What is needed to look at the place of a publish that expects something.
#[derive(Debug)]
pub(super) struct Expecting {
    subject: String,
    stream: String,
    id: String,
    /// The message that it expects as the last of its key; 0 for none.
    after: u64,
    /// What the server said of the conflict. The place is being looked at.
    pub(super) conflict: Option<PortError>,
}

impl Expecting {
    /// `None` for a message that goes behind anything.
    pub(super) fn new(message: &Outgoing, subject: &str) -> Option<Box<Self>> {
        let after = match message.expect? {
            Expect::First => 0,
            Expect::After(position) => position.0,
        };
        Some(Box::new(Self {
            subject: subject.to_owned(),
            stream: stream_of(&message.topic),
            id: message_id(message),
            after,
            conflict: None,
        }))
    }

    /// Asks for the first message of the key behind the expected one: subject and body.
    pub(super) fn question(&self) -> (String, Vec<u8>) {
        let body = json!({ "seq": self.after.saturating_add(1), "next_by_subj": self.subject });
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.stream);
        (subject, body.to_string().into_bytes())
    }

    /// What the answer makes of the conflict. An answer that says nothing leaves it open: the message is
    /// sent again, is in conflict again, and its place is looked at again.
    pub(super) fn judge(self, payload: &[u8], partition: u32) -> SinkReceipt {
        let conflict = self.conflict.unwrap_or_else(|| {
            PortError::new(
                procession_runtime::port::PortErrorKind::Refused,
                "the expected message is not the last of its key",
            )
        });
        match read::<StoredAnswer>(payload) {
            Ok(answer) => match answer.message.message_id() {
                Ok((sequence, id)) if id.as_deref() == Some(self.id.as_bytes()) => {
                    SinkReceipt::Stored {
                        partition,
                        position: Position(sequence),
                        duplicate: true,
                    }
                }
                Ok(_) => SinkReceipt::Conflict(conflict),
                Err(_) => SinkReceipt::Unknown(conflict),
            },
            // Nothing of the key is behind what was expected, and that is not the last: it is gone.
            Err(CallError::Api(error)) if error.err_code == code::MESSAGE_NOT_FOUND => {
                SinkReceipt::Conflict(conflict)
            }
            Err(_) => SinkReceipt::Unknown(conflict),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use bytes::Bytes;
    use procession_runtime::port::{Headers, PortErrorKind};

    fn expecting(expect: Expect) -> Expecting {
        let message = Outgoing {
            topic: "a.b".into(),
            key: Some(Bytes::from_static(b"k")),
            id: "id".into(),
            identity: 0xabc,
            copy: 0,
            headers: Headers::default(),
            payload: Bytes::new(),
            partition: None,
            expect: Some(expect),
        };
        let mut expecting = *Expecting::new(&message, "a.b.0.k").unwrap();
        let said = PortError::new(PortErrorKind::Refused, "wrong last sequence: 9");
        expecting.conflict = Some(said);
        expecting
    }

    fn stored(id: &str) -> String {
        let block = format!("NATS/1.0\r\nce-id: 1\r\nNats-Msg-Id: {id}\r\n\r\n");
        let block = base64::engine::general_purpose::STANDARD.encode(block);
        format!(
            r#"{{"message":{{"subject":"a.b.0.k","seq":8,"hdrs":"{block}","time":"2026-01-02T03:04:05.5Z"}}}}"#
        )
    }

    #[test]
    fn asks_for_what_is_right_behind() {
        let (subject, body) = expecting(Expect::After(Position(7))).question();
        assert_eq!(subject, "$JS.API.STREAM.MSG.GET.a=2Eb");
        assert_eq!(body, br#"{"next_by_subj":"a.b.0.k","seq":8}"#);
        let (_, body) = expecting(Expect::First).question();
        assert_eq!(body, br#"{"next_by_subj":"a.b.0.k","seq":1}"#);
    }

    #[test]
    fn s10_its_own_copy_is_no_conflict() {
        let judge = |payload: &str| expecting(Expect::First).judge(payload.as_bytes(), 3);
        assert_eq!(
            judge(&stored("00000000000000000000000000000abc")),
            SinkReceipt::Stored {
                partition: 3,
                position: Position(8),
                duplicate: true
            }
        );
        for other in [
            stored("00000000000000000000000000000abd"),
            r#"{"message":{"subject":"a.b.0.k","seq":8,"time":"2026-01-02T03:04:05.5Z"}}"#.into(),
            r#"{"error":{"code":404,"err_code":10037,"description":"no message found"}}"#.into(),
        ] {
            assert!(matches!(judge(&other), SinkReceipt::Conflict(_)), "{other}");
        }
        for nothing in [
            "",
            "{}",
            r#"{"error":{"code":503,"err_code":10008,"description":"d"}}"#,
        ] {
            assert!(
                matches!(judge(nothing), SinkReceipt::Unknown(_)),
                "{nothing}"
            );
        }
    }
}

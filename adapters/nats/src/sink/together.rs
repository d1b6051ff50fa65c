//! Several messages of one key as one batch, which the server stores as a whole or not at all.
//!
//! A batch with a message id that the server remembers is refused as a whole (error 10201, seen with
//! 2.15.1), and so is one that lacks a message or holds one that is too large (10176). Nothing of it is
//! stored then, and none of its ids is remembered. So what is refused comes apart: each message is sent by
//! itself and has its own answer, a duplicate or an error of its own.

use core::fmt::Write as _;

use bytes::BytesMut;
use procession_core::Position;
use procession_runtime::port::{Parcel, PortError, PortErrorKind, SinkReceipt, SinkTicket};

use crate::jetstream::{PublishAnswer, read};
use crate::publish::{self, Text};
use crate::wire::fields;

/// Names the batch of a message.
const BATCH: &str = "Nats-Batch-Id";
/// Its number in the batch, from 1.
const NUMBER: &str = "Nats-Batch-Sequence";
/// Ends the batch with this message.
const COMMIT: &str = "Nats-Batch-Commit";

/// What is handed to the server at once.
#[derive(Debug)]
pub(super) enum Load {
    One(Parcel),
    /// At least one, of one topic, key and partition, in order.
    Together(Vec<Parcel>),
}

impl Load {
    pub(super) fn parcels(&self) -> &[Parcel] {
        match self {
            Self::One(parcel) => core::slice::from_ref(parcel),
            Self::Together(parcels) => parcels,
        }
    }
}

/// Writes the header blocks of a batch, one behind the other; where each ends.
///
/// # Errors
/// What keeps one of them from being sent: then nothing of the batch is, and each tells it by itself.
pub(super) fn blocks(
    parcels: &[Parcel],
    batch: &str,
    max_payload: usize,
    buffer: &mut BytesMut,
) -> Result<Vec<usize>, PortError> {
    let mut ends = Vec::with_capacity(parcels.len());
    for (index, Parcel { message, .. }) in parcels.iter().enumerate() {
        let begin = buffer.len();
        publish::header_fields(message, buffer)?;
        fields::append(buffer, BATCH, batch.as_bytes());
        let mut number = Text::default();
        let _ = write!(number, "{}", index + 1);
        fields::append(buffer, NUMBER, number.as_bytes());
        if index + 1 == parcels.len() {
            fields::append(buffer, COMMIT, b"1");
        }
        fields::end(buffer);
        let bytes = buffer.len() - begin + message.payload.len();
        publish::check_size(bytes, max_payload)?;
        ends.push(buffer.len());
    }
    Ok(ends)
}

/// What the server's answer to a batch means for each of its messages.
pub(super) fn receipts(
    payload: &[u8],
    partition: u32,
    tickets: &[SinkTicket],
) -> Vec<(SinkTicket, SinkReceipt)> {
    let receipt = publish::receipt(payload, partition);
    if let SinkReceipt::Stored { position, .. } = receipt {
        return stored(payload, partition, position, tickets);
    }
    let receipt = match receipt {
        SinkReceipt::NotStored(error) | SinkReceipt::Conflict(error) => SinkReceipt::Apart(error),
        known @ (SinkReceipt::Stored { .. }
        | SinkReceipt::Retry(_)
        | SinkReceipt::Apart(_)
        | SinkReceipt::Unknown(_)) => known,
    };
    same(tickets, &receipt)
}

/// They stand one behind the other; the answer names the last, and how many they are.
fn stored(
    payload: &[u8],
    partition: u32,
    last: Position,
    tickets: &[SinkTicket],
) -> Vec<(SinkTicket, SinkReceipt)> {
    let count = read::<PublishAnswer>(payload).map_or(0, |answer| answer.count);
    if count != tickets.len() as u64 || last.0 < count {
        let error = PortError::new(
            PortErrorKind::Refused,
            format!(
                "{} messages were sent as a batch, and the server stored {count}",
                tickets.len()
            ),
        );
        return same(tickets, &SinkReceipt::Unknown(error));
    }
    let positions = last.0 - count + 1..=last.0;
    let receipt = |position| SinkReceipt::Stored {
        partition,
        position: Position(position),
        duplicate: false,
    };
    tickets
        .iter()
        .copied()
        .zip(positions.map(receipt))
        .collect()
}

/// The same for each.
pub(super) fn same(
    tickets: &[SinkTicket],
    receipt: &SinkReceipt,
) -> Vec<(SinkTicket, SinkReceipt)> {
    tickets
        .iter()
        .map(|&ticket| (ticket, receipt.clone()))
        .collect()
}

/// The stream of a topic takes no batches.
pub(super) fn not_taken(topic: &str) -> SinkReceipt {
    SinkReceipt::Apart(PortError::new(
        PortErrorKind::Unsuitable,
        format!("the stream of topic `{topic}` takes no batches (`allow_atomic`)"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use procession_runtime::port::{Headers, Outgoing};

    fn ticket(token: u64) -> SinkTicket {
        SinkTicket { token, attempt: 1 }
    }

    fn parcel(number: u64, payload: usize) -> Parcel {
        Parcel {
            ticket: ticket(number),
            message: Outgoing {
                topic: "t".into(),
                key: Some(Bytes::from_static(b"k")),
                id: "id".into(),
                identity: number.into(),
                copy: 0,
                headers: Headers::default(),
                payload: Bytes::from(vec![0; payload]),
                partition: None,
                expect: None,
            }
            .into(),
        }
    }

    #[test]
    fn each_names_its_place_and_the_last_ends_the_batch() {
        let mut buffer = BytesMut::new();
        let parcels = [parcel(1, 0), parcel(2, 0), parcel(3, 0)];
        let ends = blocks(&parcels, "b.7", 1_000, &mut buffer).unwrap();
        let mut begin = 0;
        for (index, end) in ends.into_iter().enumerate() {
            let block = &buffer[begin..end];
            let get = |name| fields::get(block, name).map(|v| String::from_utf8(v.into()).unwrap());
            assert_eq!(get(BATCH).unwrap(), "b.7");
            assert_eq!(get(NUMBER).unwrap(), (index + 1).to_string());
            assert_eq!(get(COMMIT), (index == 2).then(|| "1".into()));
            assert_eq!(
                get(publish::MESSAGE_ID).unwrap(),
                format!("{:032x}", index + 1)
            );
            assert!(block.ends_with(b"\r\n\r\n"));
            begin = end;
        }
        assert_eq!(begin, buffer.len());
    }

    #[test]
    fn one_that_cannot_be_sent_keeps_all_back() {
        let parcels = [parcel(1, 0), parcel(2, 1_000), parcel(3, 0)];
        let error = blocks(&parcels, "b", 1_000, &mut BytesMut::new()).unwrap_err();
        assert_eq!(error.kind, PortErrorKind::TooLarge);
    }

    #[test]
    fn an_answer_for_all() {
        let tickets = [ticket(1), ticket(2), ticket(3)];
        let told = |payload: &str| receipts(payload.as_bytes(), 4, &tickets);
        let all = told(r#"{"stream":"S","seq":9,"batch":"b","count":3}"#);
        let at = |token, position| {
            let position = Position(position);
            let duplicate = false;
            let receipt = SinkReceipt::Stored {
                partition: 4,
                position,
                duplicate,
            };
            (ticket(token), receipt)
        };
        assert_eq!(all, [at(1, 7), at(2, 8), at(3, 9)]);
        let error = |code: u16, err: u32| {
            format!(
                r#"{{"stream":"S","seq":0,"error":{{"code":{code},"err_code":{err},"description":"d"}}}}"#
            )
        };
        let kind = |all: Vec<(SinkTicket, SinkReceipt)>| {
            let names = all.into_iter().map(|(_, receipt)| match receipt {
                SinkReceipt::Apart(_) => "apart",
                SinkReceipt::Retry(_) => "retry",
                SinkReceipt::Unknown(_) => "unknown",
                SinkReceipt::Stored { .. } => "stored",
                SinkReceipt::NotStored(_) | SinkReceipt::Conflict(_) => "not stored",
            });
            let mut names: Vec<_> = names.collect();
            assert_eq!(names.len(), 3);
            names.dedup();
            names.join(", ")
        };
        // A copy is in it, it is incomplete, too large, or batches are not allowed: nothing is stored.
        for code in [10_201, 10_176, 10_199, 10_174, 10_071] {
            assert_eq!(kind(told(&error(400, code))), "apart");
        }
        assert_eq!(kind(told(&error(503, 10_077))), "retry");
        // S10: a server that does not know of batches stores what it gets, one by one.
        for strange in [
            r#"{"stream":"S","seq":9}"#,
            r#"{"stream":"S","seq":9,"count":2}"#,
            "{}",
            "",
        ] {
            assert_eq!(kind(told(strange)), "unknown", "{strange}");
        }
    }
}

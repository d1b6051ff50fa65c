//! Progress records in a bucket: read from its leader, written by compare-and-set.

use core::time::Duration;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use procession_core::{PartitionId, Position};
use procession_runtime::keeper::{LogState, RecordStore, StoredRecord, WriteAnswer, record_key};
use procession_runtime::port::{BoxFuture, PortError, PortErrorKind};
use serde_json::json;

use crate::jetstream::{CallError, JetStream, PublishAnswer, code};
use crate::requests::Unanswered;
use crate::wire::fields;

/// How long the answer to a write may take. Well below a fifth of any sensible lease.
const WRITE_WITHIN: Duration = Duration::from_secs(2);
/// The header field that makes a publish a compare-and-set.
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";

/// The records of one (group, topic).
#[derive(Clone)]
pub(crate) struct Records {
    jetstream: JetStream,
    bucket: Arc<str>,
    group: Arc<str>,
    topic: Arc<str>,
    /// The stream of the topic.
    stream: Arc<str>,
}

impl Records {
    pub(crate) fn new(
        jetstream: JetStream,
        bucket: &str,
        group: Arc<str>,
        topic: Arc<str>,
        stream: &str,
    ) -> Self {
        Self {
            jetstream,
            bucket: bucket.into(),
            group,
            topic,
            stream: stream.into(),
        }
    }

    fn subject(&self, partition: PartitionId) -> String {
        let key = record_key(&self.group, &self.stream, &self.topic, partition);
        format!("$KV.{}.{key}", self.bucket)
    }
}

/// Creates the bucket unless it is there: file storage, history of 1, no age limit.
pub(crate) async fn ensure_bucket(
    jetstream: &JetStream,
    bucket: &str,
    replicas: u32,
) -> Result<(), PortError> {
    let stream = format!("KV_{bucket}");
    let doing = format!("bucket `{bucket}` of the progress records");
    let info = match jetstream.stream_info(&stream).await {
        Ok(info) => info,
        Err(CallError::Api(error)) if error.err_code == code::STREAM_NOT_FOUND => {
            let config = json!({
                "name": stream,
                "subjects": [format!("$KV.{bucket}.>")],
                "retention": "limits",
                "discard": "new",
                "storage": "file",
                "num_replicas": replicas,
                "max_msgs_per_subject": 1,
                "max_age": 0,
                "allow_rollup_hdrs": true,
                "deny_delete": true,
                "allow_direct": false,
                "duplicate_window": 0,
            });
            match jetstream.create_stream(&config).await {
                Ok(info) => info,
                Err(CallError::Api(error)) if error.err_code == code::STREAM_NAME_IN_USE => {
                    jetstream
                        .stream_info(&stream)
                        .await
                        .map_err(|error| jetstream.explain(&doing, &error))?
                }
                Err(error) => return Err(jetstream.explain(&doing, &error)),
            }
        }
        Err(error) => return Err(jetstream.explain(&doing, &error)),
    };
    // A record that expires takes the group's progress with it.
    let max_age = info
        .config
        .get("max_age")
        .and_then(serde_json::Value::as_u64);
    if max_age.unwrap_or(0) != 0 {
        return Err(PortError::new(
            PortErrorKind::Unsuitable,
            format!(
                "{doing}: it forgets records after a while (`max_age` of stream `{stream}`), and \
                 with them what was processed; set its max age to 0"
            ),
        ));
    }
    Ok(())
}

impl RecordStore for Records {
    fn read(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'static, Result<Option<StoredRecord>, PortError>> {
        let this = self.clone();
        Box::pin(async move {
            let stream = format!("KV_{}", this.bucket);
            let subject = this.subject(partition);
            match this.jetstream.last_of_subject(&stream, &subject).await {
                Ok(None) => Ok(None),
                // A deletion mark has a revision and no content.
                Ok(Some(message)) => Ok(Some(StoredRecord {
                    revision: message.sequence,
                    bytes: message.payload,
                })),
                Err(error) => Err(this.jetstream.explain("reading a progress record", &error)),
            }
        })
    }

    fn write(
        &self,
        partition: PartitionId,
        expected: u64,
        bytes: Bytes,
    ) -> BoxFuture<'static, WriteAnswer> {
        let mut block = BytesMut::with_capacity(96);
        fields::begin(&mut block);
        fields::append(&mut block, EXPECTED, expected.to_string().as_bytes());
        fields::end(&mut block);
        let answer = self.jetstream.requests.request(
            self.subject(partition),
            block.freeze(),
            bytes,
            WRITE_WITHIN,
        );
        let jetstream = self.jetstream.clone();
        Box::pin(async move {
            let explain = |error: &CallError| jetstream.explain("writing a progress record", error);
            let reply = match answer.await {
                Ok(reply) => reply,
                Err(
                    why @ (Unanswered::NotSent | Unanswered::NobodyThere | Unanswered::Denied(_)),
                ) => {
                    return WriteAnswer::NotStored(explain(&CallError::Unanswered(why)));
                }
                Err(
                    why
                    @ (Unanswered::Disconnected | Unanswered::TimedOut | Unanswered::Unheard(_)),
                ) => {
                    return WriteAnswer::Unknown(explain(&CallError::Unanswered(why)));
                }
            };
            match serde_json::from_slice::<PublishAnswer>(&reply.payload) {
                Ok(PublishAnswer {
                    error: None, seq, ..
                }) if seq != 0 => WriteAnswer::Stored(seq),
                Ok(PublishAnswer {
                    error: Some(error), ..
                }) if error.err_code == code::WRONG_LAST_SEQUENCE => WriteAnswer::Refused,
                Ok(PublishAnswer {
                    error: Some(error), ..
                }) => WriteAnswer::NotStored(explain(&CallError::Api(error))),
                Ok(_) => WriteAnswer::Unknown(explain(&CallError::Garbled("no sequence".into()))),
                Err(error) => WriteAnswer::Unknown(explain(&CallError::Garbled(error.to_string()))),
            }
        })
    }

    fn log(&self, _partition: PartitionId) -> BoxFuture<'static, Result<LogState, PortError>> {
        let this = self.clone();
        Box::pin(async move {
            match this.jetstream.stream_info(&this.stream).await {
                Ok(info) => {
                    // An empty stream says 0, or one past its last.
                    let first = info.state.first_seq.max(1);
                    // What was removed of a stream that others share need not have been ours: there,
                    // only a session can tell, by its anchor.
                    let subjects = info.config.get("subjects").and_then(|s| s.as_array());
                    let ours = subjects.is_some_and(|subjects| subjects.len() == 1);
                    Ok(LogState {
                        created: info.created,
                        start: Position(if ours { first } else { 1 }),
                        end: Position(info.state.last_seq + 1),
                    })
                }
                Err(error) => Err(this
                    .jetstream
                    .explain("reading the state of the stream", &error)),
            }
        })
    }
}

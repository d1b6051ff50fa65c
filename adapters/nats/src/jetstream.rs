//! The JetStream API: requests as JSON, answers, errors, and what each means to us.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use procession_core::Stamp;
use procession_runtime::port::{PortError, PortErrorKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::publish::MESSAGE_ID;
use crate::requests::{Requests, Unanswered};
use crate::wire::fields;

/// How long an answer to an administrative request may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Error numbers of the server that are told apart.
pub(crate) mod code {
    pub(crate) const STREAM_NOT_FOUND: u32 = 10_059;
    pub(crate) const STREAM_NAME_IN_USE: u32 = 10_058;
    pub(crate) const MESSAGE_NOT_FOUND: u32 = 10_037;
    pub(crate) const WRONG_LAST_SEQUENCE: u32 = 10_071;
    pub(crate) const NOT_ENABLED: u32 = 10_076;
    pub(crate) const NOT_ENABLED_FOR_ACCOUNT: u32 = 10_039;
    pub(crate) const MESSAGE_TOO_LARGE: u32 = 10_054;
    pub(crate) const HEADER_TOO_LARGE: u32 = 10_097;
    pub(crate) const STREAM_MISMATCH: u32 = 10_060;
    pub(crate) const STREAM_SEALED: u32 = 10_109;
}

/// JetStream as seen through [`Requests`].
#[derive(Clone, Debug)]
pub(crate) struct JetStream {
    pub(crate) requests: Requests,
    /// The address, for messages.
    pub(crate) shown: Arc<str>,
}

/// An error of the API.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApiError {
    pub(crate) code: u16,
    pub(crate) err_code: u32,
    pub(crate) description: String,
}

/// Why a call failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum CallError {
    Api(ApiError),
    Unanswered(Unanswered),
    /// The answer is not what the API promises.
    Garbled(String),
}

/// What a stream is and holds.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StreamInfo {
    /// The whole configuration: updates give fields back that we do not know.
    pub(crate) config: Value,
    pub(crate) created: String,
    pub(crate) state: StreamState,
}

#[derive(Clone, Copy, Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct StreamState {
    pub(crate) first_seq: u64,
    pub(crate) last_seq: u64,
}

/// The fields of a stream's configuration that we look at.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct StreamConfig {
    pub(crate) name: String,
    pub(crate) subjects: Vec<String>,
    pub(crate) retention: String,
    pub(crate) storage: String,
    pub(crate) num_replicas: u32,
    pub(crate) duplicate_window: u64,
    pub(crate) persist_mode: String,
    pub(crate) allow_atomic: bool,
    pub(crate) metadata: BTreeMap<String, String>,
}

impl StreamInfo {
    pub(crate) fn known(&self) -> StreamConfig {
        serde_json::from_value(self.config.clone()).unwrap_or_default()
    }
}

/// A message read by its sequence or subject.
#[derive(Clone, Debug)]
pub(crate) struct StoredMessage {
    pub(crate) subject: String,
    pub(crate) sequence: u64,
    pub(crate) stamp: Stamp,
    pub(crate) payload: Bytes,
}

/// The stream's answer to a publish.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct PublishAnswer {
    pub(crate) seq: u64,
    pub(crate) duplicate: bool,
    /// How many messages a batch had.
    pub(crate) count: u64,
    pub(crate) error: Option<ApiError>,
}

/// The answer to the creation of a consumer.
#[derive(Clone, Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ConsumerInfo {
    /// Messages that match and are not delivered.
    pub(crate) num_pending: u64,
    pub(crate) delivered: SequencePair,
    pub(crate) error: Option<ApiError>,
}

#[derive(Clone, Copy, Default, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct SequencePair {
    pub(crate) stream_seq: u64,
}

/// Either the answer or an error, as the API sends it.
#[derive(Deserialize)]
struct Errored {
    #[serde(default)]
    error: Option<ApiError>,
}

impl JetStream {
    /// Calls `$JS.API.<what>`.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        what: &str,
        body: impl Serialize,
    ) -> Result<T, CallError> {
        let payload = serde_json::to_vec(&body).map_err(garbled)?;
        let answer = self
            .requests
            .request(
                format!("$JS.API.{what}"),
                Bytes::new(),
                payload.into(),
                WITHIN,
            )
            .await
            .map_err(CallError::Unanswered)?;
        read(&answer.payload)
    }

    pub(crate) async fn stream_info(&self, stream: &str) -> Result<StreamInfo, CallError> {
        self.call(&format!("STREAM.INFO.{stream}"), json!({})).await
    }

    pub(crate) async fn create_stream(&self, config: &Value) -> Result<StreamInfo, CallError> {
        let name = config
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.call(&format!("STREAM.CREATE.{name}"), config).await
    }

    pub(crate) async fn update_stream(&self, config: &Value) -> Result<StreamInfo, CallError> {
        let name = config
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.call(&format!("STREAM.UPDATE.{name}"), config).await
    }

    /// Whether JetStream is there for us.
    pub(crate) async fn account(&self) -> Result<(), CallError> {
        let _: Value = self.call("INFO", json!({})).await?;
        Ok(())
    }

    /// The last message of a subject; `None` when there is none. Served by the stream's leader.
    pub(crate) async fn last_of_subject(
        &self,
        stream: &str,
        subject: &str,
    ) -> Result<Option<StoredMessage>, CallError> {
        let answer: Result<StoredAnswer, _> = self
            .call(
                &format!("STREAM.MSG.GET.{stream}"),
                json!({ "last_by_subj": subject }),
            )
            .await;
        match answer {
            Ok(answer) => answer
                .message
                .decode()
                .map(Some)
                .map_err(CallError::Garbled),
            Err(CallError::Api(error)) if error.err_code == code::MESSAGE_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// An error of a call, in words for the user.
    pub(crate) fn explain(&self, doing: &str, error: &CallError) -> PortError {
        let shown = &self.shown;
        match error {
            CallError::Api(api) => {
                let kind = match api.err_code {
                    code::STREAM_NOT_FOUND => PortErrorKind::Missing,
                    code::NOT_ENABLED | code::NOT_ENABLED_FOR_ACCOUNT => PortErrorKind::Unsuitable,
                    code::MESSAGE_TOO_LARGE | code::HEADER_TOO_LARGE => PortErrorKind::TooLarge,
                    _ if api.code == 403 => PortErrorKind::Denied,
                    _ => PortErrorKind::Refused,
                };
                PortError::new(
                    kind,
                    format!(
                        "{doing}: the NATS server at {shown} answered: {} (error {})",
                        api.description, api.err_code
                    ),
                )
            }
            CallError::Unanswered(Unanswered::NobodyThere) => PortError::new(
                PortErrorKind::Unsuitable,
                format!(
                    "{doing}: the NATS server at {shown} has no JetStream; start it with \
                     `nats-server -js`, or enable JetStream for this account"
                ),
            ),
            CallError::Unanswered(Unanswered::Denied(subject) | Unanswered::Unheard(subject)) => {
                crate::wire::denied(doing, &format!(" at {shown}"), subject)
            }
            CallError::Unanswered(Unanswered::TimedOut) => PortError::new(
                PortErrorKind::TimedOut,
                format!("{doing}: the NATS server at {shown} gave no answer"),
            ),
            CallError::Unanswered(Unanswered::NotSent | Unanswered::Disconnected) => {
                PortError::new(
                    PortErrorKind::Disconnected,
                    format!("{doing}: the connection to the NATS server at {shown} is lost"),
                )
            }
            CallError::Garbled(why) => PortError::new(
                PortErrorKind::Refused,
                format!("{doing}: the answer of the NATS server at {shown} cannot be read: {why}"),
            ),
        }
    }
}

/// Reads an answer of the API.
pub(crate) fn read<T: DeserializeOwned>(payload: &[u8]) -> Result<T, CallError> {
    let Errored { error } = serde_json::from_slice(payload).map_err(garbled)?;
    if let Some(error) = error {
        return Err(CallError::Api(error));
    }
    serde_json::from_slice(payload).map_err(garbled)
}

fn garbled(error: serde_json::Error) -> CallError {
    CallError::Garbled(error.to_string())
}

/// The answer of `STREAM.MSG.GET`.
#[derive(Deserialize)]
pub(crate) struct StoredAnswer {
    pub(crate) message: StoredWire,
}

#[derive(Deserialize)]
pub(crate) struct StoredWire {
    subject: String,
    seq: u64,
    time: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
}

impl StoredWire {
    /// The sequence, and the id by which the server recognises a second copy.
    pub(crate) fn message_id(&self) -> Result<(u64, Option<Vec<u8>>), String> {
        use base64::Engine as _;
        let block = base64::engine::general_purpose::STANDARD
            .decode(&self.hdrs)
            .map_err(|error| format!("`hdrs`: {error}"))?;
        let id = fields::get(&block, MESSAGE_ID).map(<[u8]>::to_vec);
        Ok((self.seq, id))
    }

    pub(crate) fn decode(self) -> Result<StoredMessage, String> {
        use base64::Engine as _;
        let base64 = |field: &str, text: &str| {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|error| format!("`{field}`: {error}"))
        };
        Ok(StoredMessage {
            sequence: self.seq,
            stamp: stamp_of(&self.time).ok_or_else(|| format!("the time `{}`", self.time))?,
            payload: base64("data", &self.data)?,
            subject: self.subject,
        })
    }
}

/// The request that makes a session's consumer: clients.md section 5.
pub(crate) fn create_consumer(stream: &str, name: &str, filter: &str, from: StartFrom) -> Value {
    let mut config = json!({
        "name": name,
        "ack_policy": "none",
        "mem_storage": true,
        "num_replicas": 1,
        "filter_subject": filter,
        "inactive_threshold": 60_000_000_000u64,
    });
    match from {
        StartFrom::Sequence(sequence) => {
            config["deliver_policy"] = "by_start_sequence".into();
            config["opt_start_seq"] = sequence.max(1).into();
        }
        StartFrom::After(stamp) => {
            config["deliver_policy"] = "by_start_time".into();
            config["opt_start_time"] = time_of(Stamp(stamp.0.saturating_add(1))).into();
        }
    }
    json!({ "stream_name": stream, "action": "create", "config": config })
}

/// Where a consumer begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StartFrom {
    /// At this sequence.
    Sequence(u64),
    /// At the first message newer than this.
    After(Stamp),
}

/// RFC 3339 to nanoseconds since 1970.
pub(crate) fn stamp_of(text: &str) -> Option<Stamp> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos()).ok().map(Stamp)
}

/// Nanoseconds since 1970 to RFC 3339.
pub(crate) fn time_of(stamp: Stamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(stamp.0))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // Stamps of 64 bits reach to the year 2554, which RFC 3339 can write.
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_keep_their_nanoseconds() {
        let text = "2026-01-02T03:04:05.000000006Z";
        let stamp = stamp_of(text).unwrap();
        assert_eq!(stamp, Stamp(1_767_323_045_000_000_006));
        assert_eq!(time_of(stamp), text);
        assert_eq!(stamp_of(&time_of(Stamp(u64::MAX))), Some(Stamp(u64::MAX)));
        assert_eq!(
            stamp_of("2026-01-02T03:04:05+01:00"),
            Some(Stamp(1_767_319_445_000_000_000))
        );
        assert_eq!(stamp_of("yesterday"), None);
    }

    #[test]
    fn answers_and_errors() {
        let error = br#"{"type":"x","error":{"code":404,"err_code":10059,"description":"stream not found"}}"#;
        let result = read::<StreamInfo>(error).unwrap_err();
        assert!(matches!(result, CallError::Api(e) if e.err_code == code::STREAM_NOT_FOUND));
        assert!(matches!(
            read::<StreamInfo>(b"no"),
            Err(CallError::Garbled(_))
        ));
        let info: StreamInfo = read(
            br#"{"config":{"name":"s","subjects":["s.0"],"retention":"limits","storage":"file","duplicate_window":5,"new":1},
                "created":"2026-01-02T03:04:05Z","state":{"messages":3,"first_seq":4,"last_seq":6}}"#,
        )
        .unwrap();
        assert_eq!(info.known().subjects, ["s.0"]);
        assert_eq!((info.state.first_seq, info.state.last_seq), (4, 6));
        assert_eq!(info.config["new"], 1);
    }

    #[test]
    fn stored_messages() {
        let answer: StoredAnswer = read(
            br#"{"message":{"subject":"a.0","seq":7,"hdrs":"TkFUUy8xLjANCg0K","data":"aGk=","time":"2026-01-02T03:04:05.5Z"}}"#,
        )
        .unwrap();
        let message = answer.message.decode().unwrap();
        assert_eq!(message.payload, "hi");
        assert_eq!(message.stamp, Stamp(1_767_323_045_500_000_000));
    }

    #[test]
    fn consumers_are_ephemeral_and_without_acks() {
        let request = create_consumer("S", "c", "t.0", StartFrom::Sequence(0));
        assert_eq!(request["config"]["opt_start_seq"], 1);
        assert_eq!(request["config"]["ack_policy"], "none");
        assert_eq!(request["config"]["deliver_policy"], "by_start_sequence");
        let request = create_consumer("S", "c", "t.0", StartFrom::After(Stamp(9)));
        assert_eq!(
            request["config"]["opt_start_time"],
            "1970-01-01T00:00:00.00000001Z"
        );
    }
}

//! What a delivery report means.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "of librdkafka's two hundred codes those are named that a producer gets"
)]

use procession_core::Position;
use procession_runtime::port::{PortError, PortErrorKind, SinkReceipt};
use rdkafka::error::RDKafkaErrorCode;

use crate::ffi::producer::{Delivery, Failure, Fate};

/// What a report says.
pub(super) fn of_delivery(delivery: &Delivery<'_>) -> SinkReceipt {
    let fate = delivery.fate();
    match (delivery.failure(), delivery.partition(), delivery.offset()) {
        (None, Some(partition), Some(position)) => SinkReceipt::Stored {
            partition,
            position: Position(position),
            duplicate: false,
        },
        // The broker calls it a repetition of something that it does not say where it is. That is what
        // it says, too, of a first batch that a later one has overtaken: no proof that it is there.
        (None, ..) => SinkReceipt::Unknown(PortError::new(
            PortErrorKind::Refused,
            "the broker calls the message a repetition, and does not say of what",
        )),
        (Some(failure), ..) => of_failure(delivery.topic(), fate, &failure),
    }
}

/// What a message's error means, by what librdkafka knows of its fate.
///
/// `NotStored` and `Retry` say that the message is surely not in the log. librdkafka's "not
/// persisted" is proof of that when the broker refused the message. It is none for what was purged:
/// the word tells of the last send only, and an earlier one may have lost its answer. Such a message
/// is unknown (S10), as everything is that a producer leaves behind.
pub(super) fn of_failure(topic: &str, fate: Fate, failure: &Failure) -> SinkReceipt {
    use RDKafkaErrorCode as E;
    let (kind, text) = words(topic, failure);
    let error = PortError::new(kind, text);
    let Some(code) = failure.code else {
        return SinkReceipt::Unknown(error);
    };
    if fate != Fate::NotStored {
        return SinkReceipt::Unknown(error);
    }
    match code {
        // The message is at fault, or somebody must change something first.
        E::MessageSizeTooLarge
        | E::MessageBatchTooLarge
        | E::InvalidMessageSize
        | E::InvalidTopic
        | E::InvalidTimestamp
        | E::InvalidRecord
        | E::InvalidRequiredAcks
        | E::InvalidArgument
        | E::PolicyViolation
        | E::UnsupportedCompressionType
        | E::UnsupportedForMessageFormat
        | E::TopicAuthorizationFailed
        | E::ClusterAuthorizationFailed => SinkReceipt::NotStored(error),
        // It passes, or the next send finds out: of an unknown topic the partitions are asked first.
        E::QueueFull
        | E::Fatal
        | E::State
        | E::UnknownTopic
        | E::UnknownTopicOrPartition
        | E::UnknownPartition
        | E::LeaderNotAvailable
        | E::NotLeaderForPartition
        | E::BrokerNotAvailable
        | E::ReplicaNotAvailable
        | E::NotEnoughReplicas
        | E::KafkaStorageError
        | E::ThrottlingQuotaExceeded
        | E::InvalidProducerEpoch
        | E::UnknownProducerId
        | E::InvalidMessage => SinkReceipt::Retry(error),
        // Purged, or an answer that tells nothing, such as `UNKNOWN_SERVER_ERROR`, which a broker
        // also gives for what failed after the append.
        _ => SinkReceipt::Unknown(error),
    }
}

/// Whether the topic is to be looked up again before more is sent to it.
pub(super) const fn topic_is_gone(failure: &Failure) -> bool {
    matches!(
        failure.code,
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownPartition
        )
    )
}

/// What it means that the partitions of a topic cannot be told: nothing was sent.
pub(super) fn of_lookup(topic: &str, failure: &Failure) -> SinkReceipt {
    let (kind, text) = words(topic, failure);
    let error = PortError::new(kind, text);
    match kind {
        PortErrorKind::Missing | PortErrorKind::Denied | PortErrorKind::Invalid => {
            SinkReceipt::NotStored(error)
        }
        _ => SinkReceipt::Retry(error),
    }
}

/// The producer did not take it: nothing was sent.
pub(super) fn of_send(topic: &str, failure: &Failure) -> SinkReceipt {
    match of_failure(topic, Fate::NotStored, failure) {
        SinkReceipt::Unknown(error) => SinkReceipt::Retry(error),
        receipt => receipt,
    }
}

/// Kafka appends, and compares nothing.
pub(super) fn cannot_compare(topic: &str) -> SinkReceipt {
    SinkReceipt::NotStored(PortError::new(
        PortErrorKind::Unsuitable,
        format!(
            "Kafka cannot compare what a publish to `{topic}` expects as the last message of its key; \
             publish without an expectation, or keep this topic on NATS with layout = \"keyed\""
        ),
    ))
}

/// Without a producer nothing is sent.
pub(super) fn not_sent(why: &str) -> SinkReceipt {
    SinkReceipt::Retry(PortError::new(PortErrorKind::Disconnected, why))
}

fn words(topic: &str, failure: &Failure) -> (PortErrorKind, String) {
    use PortErrorKind as K;
    use RDKafkaErrorCode as E;
    let text = &failure.text;
    match failure.code {
        Some(E::MessageSizeTooLarge | E::MessageBatchTooLarge | E::InvalidMessageSize) => (
            K::TooLarge,
            format!(
                "the message is too large for topic `{topic}`: {text} (see the topic's \
                 `max.message.bytes`, the brokers' and the client's `message.max.bytes`)"
            ),
        ),
        Some(E::UnknownTopic | E::UnknownTopicOrPartition) => {
            (K::Missing, format!("topic `{topic}` does not exist"))
        }
        Some(E::UnknownPartition) => (
            K::Missing,
            format!("topic `{topic}` has no such partition (any more)"),
        ),
        Some(E::TopicAuthorizationFailed) => (
            K::Denied,
            format!("writing to topic `{topic}` is not permitted: {text}"),
        ),
        Some(E::ClusterAuthorizationFailed | E::SaslAuthenticationFailed | E::Authentication) => {
            (K::Denied, format!("the brokers refuse this client: {text}"))
        }
        Some(E::InvalidTopic) => (K::Invalid, format!("`{topic}` cannot be a topic: {text}")),
        Some(E::InvalidArgument) => (K::Invalid, format!("the message cannot be sent: {text}")),
        Some(E::BrokerTransportFailure | E::AllBrokersDown | E::NetworkException) => (
            K::Unreachable,
            format!("the brokers cannot be reached: {text}"),
        ),
        Some(E::OperationTimedOut | E::RequestTimedOut | E::MessageTimedOut) => {
            (K::TimedOut, format!("the brokers did not answer: {text}"))
        }
        Some(E::Fatal) => (K::Disconnected, format!("the Kafka producer broke: {text}")),
        Some(E::PurgeQueue | E::PurgeInflight | E::BrokerDestroy) => (
            K::Disconnected,
            "the producer was given up before the message was acknowledged".to_owned(),
        ),
        _ => (
            K::Refused,
            format!("the message was not acknowledged by topic `{topic}`: {text}"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode as E;

    fn failure(code: Option<RDKafkaErrorCode>) -> Failure {
        Failure {
            code,
            text: "why".to_owned(),
        }
    }

    fn name(receipt: &SinkReceipt) -> (&'static str, PortErrorKind) {
        match receipt {
            SinkReceipt::Stored { .. } => ("stored", PortErrorKind::Invalid),
            SinkReceipt::NotStored(error) => ("not stored", error.kind),
            SinkReceipt::Conflict(error) => ("conflict", error.kind),
            SinkReceipt::Retry(error) => ("retry", error.kind),
            SinkReceipt::Apart(error) => ("apart", error.kind),
            SinkReceipt::Unknown(error) => ("unknown", error.kind),
        }
    }

    #[test]
    fn classes() {
        use PortErrorKind as K;
        for (code, receipt, kind) in [
            (E::MessageSizeTooLarge, "not stored", K::TooLarge),
            (E::TopicAuthorizationFailed, "not stored", K::Denied),
            (E::InvalidRecord, "not stored", K::Refused),
            (E::UnknownTopic, "retry", K::Missing),
            (E::QueueFull, "retry", K::Refused),
            (E::NotEnoughReplicas, "retry", K::Refused),
            (E::PurgeQueue, "unknown", K::Disconnected),
            (E::PurgeInflight, "unknown", K::Disconnected),
            (E::Unknown, "unknown", K::Refused),
            (E::RequestTimedOut, "unknown", K::TimedOut),
        ] {
            let got = of_failure("t", Fate::NotStored, &failure(Some(code)));
            assert_eq!(name(&got), (receipt, kind), "{code:?}");
        }
    }

    #[test]
    fn s10_what_may_be_in_the_log_is_never_refused() {
        for code in [
            E::MessageSizeTooLarge,
            E::TopicAuthorizationFailed,
            E::QueueFull,
        ] {
            for fate in [Fate::Unknown, Fate::Stored] {
                let got = of_failure("t", fate, &failure(Some(code)));
                assert_eq!(name(&got).0, "unknown", "{code:?}");
            }
        }
        let unheard_of = of_failure("t", Fate::NotStored, &failure(None));
        assert_eq!(name(&unheard_of).0, "unknown");
    }

    #[test]
    fn a_topic_that_is_missing_is_refused_and_one_that_cannot_be_asked_for_is_not() {
        let of = |code| of_lookup("t", &failure(Some(code)));
        assert_eq!(
            name(&of(E::UnknownTopicOrPartition)),
            ("not stored", PortErrorKind::Missing)
        );
        assert_eq!(
            name(&of(E::TopicAuthorizationFailed)),
            ("not stored", PortErrorKind::Denied)
        );
        assert_eq!(
            name(&of(E::OperationTimedOut)),
            ("retry", PortErrorKind::TimedOut)
        );
    }
}

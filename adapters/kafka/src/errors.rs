//! What librdkafka's error codes mean to Procession.

use procession_core::CommitResult;
use procession_runtime::port::{PortError, PortErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What the answer to a commit means.
///
/// During a rebalance a member is refused as a matter of course and tries again after it; only an
/// unknown or fenced member has lost its partitions. Local time-outs and lost connections leave open
/// whether the commit landed.
pub(crate) const fn commit_result(code: Option<RDKafkaErrorCode>) -> CommitResult {
    use RDKafkaErrorCode as E;
    match code {
        None => CommitResult::Stored,
        Some(E::IllegalGeneration | E::StaleMemberEpoch | E::RebalanceInProgress) => {
            CommitResult::Refused
        }
        Some(E::UnknownMemberId | E::FencedInstanceId | E::FencedMemberEpoch | E::Fenced) => {
            CommitResult::Lost
        }
        Some(E::OffsetMetadataTooLarge) => CommitResult::TooLarge,
        Some(
            E::TopicAuthorizationFailed
            | E::GroupAuthorizationFailed
            | E::ClusterAuthorizationFailed
            | E::SaslAuthenticationFailed,
        ) => CommitResult::Denied,
        Some(
            E::RequestTimedOut
            | E::OperationTimedOut
            | E::MessageTimedOut
            | E::TimedOutQueue
            | E::BrokerTransportFailure
            | E::NetworkException
            | E::BrokerDestroy
            | E::DestroyBroker,
        ) => CommitResult::Unknown,
        Some(_) => CommitResult::Retry,
    }
}

/// The kind of an error that a call ended with.
pub(crate) const fn kind(code: RDKafkaErrorCode) -> PortErrorKind {
    use RDKafkaErrorCode as E;
    match code {
        E::BrokerTransportFailure | E::AllBrokersDown | E::Resolve | E::NetworkException => {
            PortErrorKind::Unreachable
        }
        E::UnknownTopic
        | E::UnknownTopicOrPartition
        | E::UnknownPartition
        | E::UnknownTopicId
        | E::UnknownGroup => PortErrorKind::Missing,
        E::TopicAuthorizationFailed
        | E::GroupAuthorizationFailed
        | E::ClusterAuthorizationFailed
        | E::SaslAuthenticationFailed
        | E::Authentication => PortErrorKind::Denied,
        E::MessageSizeTooLarge | E::InvalidMessageSize => PortErrorKind::TooLarge,
        E::OperationTimedOut | E::RequestTimedOut | E::MessageTimedOut => PortErrorKind::TimedOut,
        E::InvalidArgument | E::InvalidTopic | E::InvalidConfig | E::InvalidPartitions => {
            PortErrorKind::Invalid
        }
        E::UnsupportedVersion | E::UnsupportedFeature => PortErrorKind::Unsuitable,
        _ => PortErrorKind::Refused,
    }
}

/// A port error with the words of the client library behind `doing`.
pub(crate) fn port_error(doing: &str, error: &KafkaError) -> PortError {
    let kind = match error {
        KafkaError::ClientConfig(..) => PortErrorKind::Invalid,
        other => other
            .rdkafka_error_code()
            .map_or(PortErrorKind::Refused, kind),
    };
    PortError::new(kind, format!("{doing}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_unknown_or_fenced_member_has_lost() {
        use RDKafkaErrorCode as E;
        for (code, result) in [
            (None, CommitResult::Stored),
            (Some(E::IllegalGeneration), CommitResult::Refused),
            (Some(E::RebalanceInProgress), CommitResult::Refused),
            (Some(E::StaleMemberEpoch), CommitResult::Refused),
            (Some(E::UnknownMemberId), CommitResult::Lost),
            (Some(E::FencedInstanceId), CommitResult::Lost),
            (Some(E::OffsetMetadataTooLarge), CommitResult::TooLarge),
            (Some(E::GroupAuthorizationFailed), CommitResult::Denied),
            (Some(E::OperationTimedOut), CommitResult::Unknown),
            (Some(E::BrokerTransportFailure), CommitResult::Unknown),
            (Some(E::NotCoordinator), CommitResult::Retry),
            (Some(E::CoordinatorLoadInProgress), CommitResult::Retry),
            (Some(E::WaitingForCoordinator), CommitResult::Retry),
        ] {
            assert_eq!(commit_result(code), result, "{code:?}");
        }
    }
}

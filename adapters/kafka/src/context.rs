//! What librdkafka calls back with, on the thread that polls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

/// The context of a subscription's clients. Rebalances are only noted here: whoever polls answers them
/// later, because waiting inside of the callback would stall everything else.
#[derive(Debug, Default)]
pub(crate) struct Context {
    noted: Mutex<Noted>,
    /// From now on a revoke is answered at once: the client is being closed.
    closing: AtomicBool,
}

/// What happened since the last look.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    pub(crate) rebalances: Vec<Rebalance>,
    /// No broker can be reached.
    pub(crate) all_down: bool,
    /// Errors that the client reported as a whole.
    pub(crate) errors: Vec<(RDKafkaErrorCode, String)>,
}

/// What the group decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Rebalance {
    Assign(Vec<i32>),
    Revoke {
        partitions: Vec<i32>,
        /// The partitions are somebody else's already.
        lost: bool,
    },
}

/// Errors that are kept until the next look. More than these say nothing new.
const ERRORS_MAX: usize = 16;

impl Context {
    pub(crate) fn take(&self) -> Noted {
        std::mem::take(&mut *self.noted())
    }

    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    fn noted(&self) -> std::sync::MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::warn!(facility, "librdkafka: {message}"),
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(facility, "librdkafka: {message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(facility, "librdkafka: {message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else {
            return;
        };
        tracing::debug!(%error, reason, "the Kafka client reports an error");
        let mut noted = self.noted();
        if code == RDKafkaErrorCode::AllBrokersDown {
            noted.all_down = true;
        } else if noted.errors.len() < ERRORS_MAX {
            noted.errors.push((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        if self.closing.load(Ordering::Acquire) {
            let _ = match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
                RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
            };
            return;
        }
        let partitions = list.elements().iter().map(|e| e.partition()).collect();
        let rebalance = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(partitions)
        } else {
            Rebalance::Revoke {
                partitions,
                lost: consumer.assignment_lost(),
            }
        };
        self.noted().rebalances.push(rebalance);
    }
}

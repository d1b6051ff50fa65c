//! Topics as a sink sees them.

use std::sync::Arc;

use procession_runtime::port::{PortError, PortErrorKind, SinkReceipt};
use tokio::time::Instant;

use super::together::Load;
use crate::jetstream::{CallError, StreamInfo, code, read};
use crate::names::{stream_of, subject_of};
use crate::shape::Shape;
use crate::topics;

/// Most topics that are remembered; more are looked up again.
pub(super) const TOPICS_MAX: usize = 4_096;

/// What a sink knows of a topic.
pub(super) enum Topic {
    /// The subjects of its partitions, and how it is.
    Ready(Vec<String>, Shape),
    /// Asked for: the number of the question, until when, and what waits for it.
    Asked {
        question: u64,
        until: Instant,
        waiting: Vec<Load>,
    },
}

impl Topic {
    pub(super) fn ready(name: &str, shape: Shape) -> Self {
        let subjects = (0..shape.partitions).map(|p| subject_of(name, p));
        Self::Ready(subjects.collect(), shape)
    }
}

/// How the topic lies in its stream.
pub(super) fn shape(topic: &Arc<str>, payload: &[u8]) -> Result<Shape, SinkReceipt> {
    let info: StreamInfo = read(payload).map_err(|error| match error {
        CallError::Api(error) if error.err_code == code::STREAM_NOT_FOUND => {
            SinkReceipt::NotStored(PortError::new(
                PortErrorKind::Missing,
                format!(
                    "topic `{topic}` does not exist (no stream `{}`)",
                    stream_of(topic)
                ),
            ))
        }
        other @ (CallError::Api(_) | CallError::Unanswered(_) | CallError::Garbled(_)) => {
            SinkReceipt::Retry(PortError::new(
                PortErrorKind::Refused,
                format!("the stream of topic `{topic}` cannot be read: {other:?}"),
            ))
        }
    })?;
    topics::check(
        &topics::existing(Arc::clone(topic)),
        &stream_of(topic),
        &info,
    )
    .map(|info| Shape::from(&info))
    .map_err(SinkReceipt::NotStored)
}

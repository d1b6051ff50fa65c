//! Publishing: from an envelope to the broker's acknowledgement.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::Poll;
use std::sync::Arc;

use bytes::Bytes;
use procession_core::Span;
use procession_runtime::port::Outgoing;
use procession_runtime::{Clock as _, publisher};
use tracing::Instrument as _;

pub use procession_runtime::publisher::Stored;

use crate::bus::Inner;
use crate::settings::WhenFull;
use crate::topics::Topic;
use crate::{Envelope, EnvelopeError, Error, identity, wire};

/// Why a publish has no acknowledgement.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The envelope breaks a rule. Nothing was sent.
    Invalid(EnvelopeError),
    /// The topic, the bus or its broker is not fit for it. Nothing was sent.
    Topic(Error),
    /// There was no room, at once or until the deadline. Nothing was sent.
    Full,
    /// It is not in the log, and never will be. The reason.
    Refused(Arc<str>),
    /// The deadline passed without an answer: it may be in the log or not. Publish it again under
    /// the same id: copies are handled once. The reason.
    Unknown(Arc<str>),
    /// The bus is closed. Nothing was sent.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => error.fmt(f),
            Self::Topic(error) => error.fmt(f),
            Self::Full => f.write_str(
                "no room: `publish.window_messages` or `publish.window_bytes` is used up by \
                 publishes without a result; await results, or raise it",
            ),
            Self::Refused(why) => write!(f, "not stored: {why}"),
            Self::Unknown(why) => write!(
                f,
                "nobody knows whether it was stored: {why}; publish it again under the same id"
            ),
            Self::Closed => f.write_str("the bus is closed: connect a new one"),
        }
    }
}

impl std::error::Error for PublishError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            Self::Topic(error) => Some(error),
            Self::Full | Self::Refused(_) | Self::Unknown(_) | Self::Closed => None,
        }
    }
}

impl From<publisher::PublishError> for PublishError {
    fn from(error: publisher::PublishError) -> Self {
        match error {
            publisher::PublishError::Full => Self::Full,
            publisher::PublishError::Refused(why) => Self::Refused(why),
            publisher::PublishError::Unknown(why) => Self::Unknown(why),
            publisher::PublishError::Closed => Self::Closed,
            // The enum may grow; what is new is at least known not to be an acknowledgement.
            other => Self::Unknown(other.to_string().into()),
        }
    }
}

impl From<Error> for PublishError {
    fn from(error: Error) -> Self {
        if error == Error::Closed {
            return Self::Closed;
        }
        Self::Topic(error)
    }
}

/// Publishes; see [`Bus::publish`](crate::Bus::publish).
pub(crate) fn publish(
    bus: Arc<Inner>,
    topic: &str,
    envelope: Envelope,
    copy: u8,
) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
    let topic = bus.topics.entry(topic);
    let span = tracing::debug_span!(
        "publish",
        topic = topic.as_ref().ok().map(|t| &*t.name),
        key = envelope.key(),
        id = envelope.id(),
        traceparent = envelope.traceparent(),
    );
    let publish = async move {
        let topic = topic?;
        let mut turn = None;
        if !topic.is_open() {
            // Boxed: thousands of publishes may wait at once, and only the first looks at a topic.
            turn = Some(Box::pin(Arc::clone(&topic).turn()).await);
            Box::pin(bus.ready(&topic)).await?;
        } else if bus.closed.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        let message = outgoing(&bus, &topic, &envelope, copy)?;
        let lane = message
            .key
            .as_ref()
            .map(|key| identity::lane_hash(&topic.name, key, bus.lane_seed));
        let settings = &bus.settings.publish;
        let deadline = bus.shell.now() + Span::from(settings.deadline);
        let wait = settings.when_full == WhenFull::Wait;
        let mut publish = bus.publisher.publish(message, lane, deadline, wait);
        // Nothing else of the message is kept while its answer is awaited.
        drop((topic, envelope));
        if turn.is_some() {
            // Its first poll hands it over: only then may the next in line go on.
            let handed_over = poll_fn(|cx| Poll::Ready(Pin::new(&mut publish).poll(cx))).await;
            drop(turn);
            if let Poll::Ready(result) = handed_over {
                return Ok(result?);
            }
        }
        let stored = publish.await?;
        // Kept until here: the publisher ends with the last of its buses.
        drop(bus);
        Ok(stored)
    };
    publish.instrument(span)
}

/// The message as it goes to the broker.
fn outgoing(
    bus: &Inner,
    topic: &Topic,
    envelope: &Envelope,
    copy: u8,
) -> Result<Outgoing, PublishError> {
    if let Some(malformed) = &envelope.parts.malformed {
        return Err(PublishError::Invalid((**malformed).clone()));
    }
    let source = match envelope.source() {
        "" => &*bus.source,
        source => source,
    };
    let form = topic.form();
    let source = form.source(source);
    let (headers, payload) =
        wire::write(envelope, form, bus.binding, &bus.source).map_err(PublishError::Invalid)?;
    let message = Outgoing {
        topic: Arc::clone(&topic.name),
        key: envelope.key_bytes().map(Bytes::copy_from_slice),
        id: envelope.id().into(),
        identity: identity::identity(&topic.name, source, envelope.id(), 0),
        copy,
        headers,
        payload,
        partition: None,
    };
    let bytes = message.bytes() as u64;
    let ours = bus.settings.publish.message_bytes_max;
    let brokers = bus.info.message_bytes_max as u64;
    if ours.min(brokers) < bytes {
        let (max, fix) = if ours < brokers {
            (ours, "raise `publish.message_bytes_max`")
        } else {
            (brokers, "raise the broker's limit")
        };
        return Err(PublishError::Invalid(EnvelopeError::new(
            "payload",
            &format!("{} bytes", envelope.payload().len()),
            format!("with its header fields it weighs {bytes} bytes, allowed are {max}"),
            format!("send less, or a reference to it; or {fix}"),
        )));
    }
    Ok(message)
}

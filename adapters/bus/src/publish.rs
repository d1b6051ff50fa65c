//! Publishing: from an envelope to the broker's acknowledgement.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use core::task::{self, Poll};
use std::sync::Arc;

use bytes::Bytes;
use procession_core::{Span, Time};
use procession_runtime::port::{BoxFuture, Outgoing};
use procession_runtime::{Clock as _, publisher};
use tracing::Instrument as _;

pub use procession_runtime::port::Expect;
pub use procession_runtime::publisher::Stored;

use crate::bus::Inner;
use crate::settings::WhenFull;
use crate::topics::{Topic, Turn};
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
    /// It is not in the log, and never will be: the last message of its key is not the one that
    /// [`Bus::publish_expecting`](crate::Bus::publish_expecting) named. Read the key again, and decide
    /// anew. What the broker said.
    Conflict(Arc<str>),
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
            Self::Conflict(why) => write!(
                f,
                "not stored, another message of its key was faster: {why}; read the key again, and \
                 decide anew"
            ),
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
            Self::Full | Self::Refused(_) | Self::Conflict(_) | Self::Unknown(_) | Self::Closed => {
                None
            }
        }
    }
}

impl From<publisher::PublishError> for PublishError {
    fn from(error: publisher::PublishError) -> Self {
        match error {
            publisher::PublishError::Full => Self::Full,
            publisher::PublishError::Refused(why) => Self::Refused(why),
            publisher::PublishError::Conflict(why) => Self::Conflict(why),
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

/// How one publish differs from another.
#[derive(Clone, Copy, Default)]
pub(crate) struct Terms {
    /// The number of a copy past the broker's dedupe.
    pub(crate) copy: u8,
    /// Behind what it may go into the log.
    pub(crate) expect: Option<Expect>,
    /// What to do when there is no room; the setting unless given.
    pub(crate) when_full: Option<WhenFull>,
}

/// What the publisher is handed.
struct Ready {
    message: Outgoing,
    lane: Option<u64>,
    wait: bool,
}

/// Publishes; see [`Bus::publish`](crate::Bus::publish).
pub(crate) fn publish(
    bus: Arc<Inner>,
    topic: &str,
    envelope: Envelope,
    terms: Terms,
) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
    let topic = bus.topics.entry(topic);
    let span = span(&topic, &envelope);
    let publish = match topic {
        Err(error) => Publishing::Failed(Box::new(error.into())),
        // The message is made at once: what waits for an answer, maybe with thousands of others, is
        // small then.
        Ok(topic) if topic.is_open() => match ready(&bus, &topic, &envelope, terms) {
            Err(error) => Publishing::Failed(Box::new(error)),
            Ok(r) => Publishing::Made {
                publish: bus.publisher.publish(r.message, r.lane, Time::MAX, r.wait),
                begun: false,
                bus,
            },
        },
        Ok(topic) => Publishing::InLine(Box::pin(in_line(bus, topic, envelope, terms))),
    };
    publish.instrument(span)
}

/// A publish to a topic that is not known yet: accepted in its turn, then awaited.
async fn in_line(
    bus: Arc<Inner>,
    topic: Arc<Topic>,
    envelope: Envelope,
    terms: Terms,
) -> Result<Stored, PublishError> {
    accepted(bus, topic, envelope, terms).await?.await
}

/// A publish on its way.
enum Publishing {
    Failed(Box<PublishError>),
    Made {
        publish: publisher::Publish,
        /// The first poll hands it over; its deadline counts from then.
        begun: bool,
        /// The publisher ends with the last of its buses.
        bus: Arc<Inner>,
    },
    InLine(BoxFuture<'static, Result<Stored, PublishError>>),
}

impl Future for Publishing {
    type Output = Result<Stored, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Failed(error) => Poll::Ready(Err((**error).clone())),
            Self::Made {
                publish,
                begun,
                bus,
            } => {
                if !core::mem::replace(begun, true) {
                    if bus.closed.load(Ordering::Acquire) {
                        return Poll::Ready(Err(PublishError::Closed));
                    }
                    publish.set_deadline(deadline(bus));
                }
                Pin::new(publish).poll(cx).map_err(PublishError::from)
            }
            Self::InLine(publish) => publish.as_mut().poll(cx),
        }
    }
}

fn deadline(bus: &Inner) -> Time {
    bus.shell.now() + Span::from(bus.settings.publish.deadline)
}

/// Publishes without waiting for the result; see [`Bus::enqueue`](crate::Bus::enqueue).
pub(crate) fn enqueue(
    bus: Arc<Inner>,
    topic: &str,
    envelope: Envelope,
    terms: Terms,
) -> impl Future<Output = Result<Receipt, PublishError>> + Send + 'static {
    let topic = bus.topics.entry(topic);
    let span = span(&topic, &envelope);
    let enqueue = async move { accepted(bus, topic?, envelope, terms).await };
    enqueue.instrument(span)
}

/// Has a publish accepted, in the turn of its topic.
async fn accepted(
    bus: Arc<Inner>,
    topic: Arc<Topic>,
    envelope: Envelope,
    terms: Terms,
) -> Result<Receipt, PublishError> {
    let turn = turn(&bus, &topic).await?;
    let Ready {
        message,
        lane,
        wait,
    } = ready(&bus, &topic, &envelope, terms)?;
    let deadline = deadline(&bus);
    let mut enqueue = bus.publisher.enqueue(message, lane, deadline, wait);
    // Nothing else of the message is kept while it waits for room.
    drop((topic, envelope));
    let publish = match hand_over(turn, &mut enqueue).await {
        Some(accepted) => accepted?,
        None => enqueue.await?,
    };
    Ok(Receipt { publish, _bus: bus })
}

/// Publishes several; see [`Bus::publish_all`](crate::Bus::publish_all).
pub(crate) fn publish_all(
    bus: Arc<Inner>,
    topic: &str,
    envelopes: Vec<Envelope>,
) -> impl Future<Output = Vec<Result<Stored, PublishError>>> + Send + 'static {
    let topic = bus.topics.entry(topic);
    let span = tracing::debug_span!(
        "publish_all",
        topic = topic.as_ref().ok().map(|t| &*t.name),
        count = envelopes.len(),
    );
    let publish = async move {
        let topic = async {
            let topic = topic?;
            let turn = turn(&bus, &topic).await?;
            Ok::<_, PublishError>((topic, turn))
        };
        let (topic, turn) = match topic.await {
            Ok(ready) => ready,
            Err(error) => return envelopes.iter().map(|_| Err(error.clone())).collect(),
        };
        let deadline = deadline(&bus);
        let mut all: Vec<Slot> = Vec::with_capacity(envelopes.len());
        for envelope in envelopes {
            all.push(match ready(&bus, &topic, &envelope, Terms::default()) {
                Ok(r) => Slot::Open(bus.publisher.publish(r.message, r.lane, deadline, r.wait)),
                Err(error) => Slot::Done(Err(error)),
            });
        }
        // The first poll of each hands it over: in their order, and before anybody who comes later.
        poll_fn(|cx| {
            for slot in &mut all {
                slot.poll(cx);
            }
            Poll::Ready(())
        })
        .await;
        drop((topic, turn));
        let mut results = Vec::with_capacity(all.len());
        for slot in all {
            results.push(match slot {
                Slot::Open(publish) => publish.await.map_err(PublishError::from),
                Slot::Done(result) => result,
            });
        }
        drop(bus);
        results
    };
    publish.instrument(span)
}

/// One publish of several.
enum Slot {
    Open(publisher::Publish),
    Done(Result<Stored, PublishError>),
}

impl Slot {
    fn poll(&mut self, cx: &mut task::Context<'_>) {
        if let Self::Open(publish) = self
            && let Poll::Ready(result) = Pin::new(publish).poll(cx)
        {
            *self = Self::Done(result.map_err(PublishError::from));
        }
    }
}

/// The result of a publish that was accepted: await it, now or later, anywhere.
///
/// Dropping it changes nothing: the message is published all the same, and nobody hears how it went.
#[must_use = "nobody hears how the publish went"]
#[derive(Debug)]
pub struct Receipt {
    publish: publisher::Publish,
    /// The publisher ends with the last of its buses.
    _bus: Arc<Inner>,
}

impl Future for Receipt {
    type Output = Result<Stored, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.publish).poll(cx);
        polled.map_err(PublishError::from)
    }
}

fn span(topic: &Result<Arc<Topic>, Error>, envelope: &Envelope) -> tracing::Span {
    tracing::debug_span!(
        "publish",
        topic = topic.as_ref().ok().map(|t| &*t.name),
        key = envelope.key(),
        id = envelope.id(),
        traceparent = envelope.traceparent(),
    )
}

/// Looks at a topic, the first time. Whoever does so stands at the head of its line then.
async fn turn(bus: &Inner, topic: &Arc<Topic>) -> Result<Option<Turn>, PublishError> {
    if topic.is_open() {
        if bus.closed.load(Ordering::Acquire) {
            return Err(PublishError::Closed);
        }
        return Ok(None);
    }
    // Boxed: thousands of publishes may wait at once, and only the first looks at a topic.
    let turn = Box::pin(Arc::clone(topic).turn()).await;
    Box::pin(bus.ready(topic)).await?;
    Ok(Some(turn))
}

/// At the head of a line: the first poll hands a publish over, and only then may the next in line go
/// on. Its result, when that is there already.
async fn hand_over<F: Future + Unpin>(turn: Option<Turn>, publish: &mut F) -> Option<F::Output> {
    let turn = turn?;
    let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut *publish).poll(cx))).await;
    drop(turn);
    match polled {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// Everything that the publisher needs, checked.
fn ready(
    bus: &Inner,
    topic: &Topic,
    envelope: &Envelope,
    terms: Terms,
) -> Result<Ready, PublishError> {
    let message = outgoing(bus, topic, envelope, terms)?;
    let lane = message
        .key
        .as_ref()
        .map(|key| identity::lane_hash(&topic.name, key, bus.lane_seed));
    let settings = &bus.settings.publish;
    if settings.batch > 1
        && let Some(why) = topic.no_batches()
    {
        return Err(Error::from(why.clone()).into());
    }
    Ok(Ready {
        message,
        lane,
        wait: terms.when_full.unwrap_or(settings.when_full) == WhenFull::Wait,
    })
}

/// The message as it goes to the broker.
fn outgoing(
    bus: &Inner,
    topic: &Topic,
    envelope: &Envelope,
    terms: Terms,
) -> Result<Outgoing, PublishError> {
    if let Some(malformed) = &envelope.parts.malformed {
        return Err(PublishError::Invalid((**malformed).clone()));
    }
    if terms.expect.is_some() && envelope.key_bytes().is_none() {
        return Err(PublishError::Invalid(EnvelopeError::new(
            "key",
            "",
            "a publish that expects the last message of its key needs one".to_owned(),
            "give the envelope a key, or publish it without an expectation".to_owned(),
        )));
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
        copy: terms.copy,
        headers,
        payload,
        partition: None,
        expect: terms.expect,
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

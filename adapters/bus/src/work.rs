//! The bus's side of a subscription: records in, verdicts and dead letters out.

use std::sync::Arc;
use std::time::SystemTime;

use procession_core::{PartitionId, Span, Time, Why};
use procession_runtime::Clock as _;
use procession_runtime::port::{BoxFuture, Outgoing, Record};
use procession_runtime::subscription::{Attempt, Decoded, Letter, Verdict, Work};
use procession_runtime::tokio::TokioShell;
use tracing::Instrument as _;

use crate::dead_letter::DeadLetters;
use crate::handler::{Context, Handler, Scope};
use crate::{Envelope, identity, wire};

/// Decodes records for a handler and writes its dead letters.
pub(crate) struct BusWork<H> {
    pub(crate) scope: Arc<Scope>,
    pub(crate) handler: H,
    pub(crate) lane_seed: u64,
    pub(crate) dead_letters: DeadLetters,
    /// The clock of the driver, where messages may expire.
    pub(crate) clock: Option<TokioShell>,
    /// Keys are in order by sequence.
    pub(crate) sequenced: bool,
}

impl<H> BusWork<H> {
    /// When a message expires, on the driver's clock.
    fn expires(&self, envelope: &Envelope) -> Option<Time> {
        let clock = self.clock.as_ref()?;
        let at = envelope.expires_at()?;
        // What has expired already has expired now.
        let left = at.duration_since(SystemTime::now()).unwrap_or_default();
        Some(clock.now() + Span::from(left))
    }
}

impl<H: Handler> Work for BusWork<H> {
    type Message = Envelope;

    fn decode(&self, partition: PartitionId, record: Record) -> Decoded<Envelope> {
        let topic = &self.scope.topic;
        let bytes = record.bytes;
        let envelope = wire::decode(topic, partition.0, record);
        let (key, lane) = match envelope.key_bytes() {
            Some(key) => {
                let (key, lane) = identity::key_and_lane(topic, key, self.lane_seed);
                (Some(key), lane)
            }
            None => (None, 0),
        };
        Decoded {
            lane,
            key,
            identity: identity::identity(topic, envelope.source(), envelope.id(), 0),
            bytes,
            expires: self.expires(&envelope),
            sequence: envelope.sequence().filter(|_| self.sequenced),
            quarantine: envelope.parts.malformed.as_ref().map(|_| Why::Malformed),
            message: envelope,
        }
    }

    fn handle(&self, envelope: Envelope, attempt: Attempt) -> BoxFuture<'static, Verdict> {
        let span = tracing::debug_span!(
            "handle",
            topic = &*self.scope.topic,
            group = &*self.scope.group,
            partition = attempt.partition.0,
            position = attempt.position.0,
            attempt = attempt.number,
            key = envelope.key(),
            id = envelope.id(),
            traceparent = envelope.traceparent(),
        );
        let context = Context::new(Arc::clone(&self.scope), attempt, envelope.clone());
        // The handler's own code runs inside of the span from its first line on.
        let work = span.in_scope(|| self.handler.handle(envelope, context));
        let verdict = async move {
            match work.await {
                Ok(()) => Verdict::Done,
                Err(error) => {
                    tracing::debug!(?error, "the attempt failed");
                    error.into_verdict()
                }
            }
        };
        Box::pin(verdict.instrument(span))
    }

    fn bury(&self, envelope: &Envelope, letter: &Letter) -> Outgoing {
        self.dead_letters.write(envelope, letter)
    }

    fn describe(&self, envelope: &Envelope) -> String {
        let key = envelope.key_bytes().map(String::from_utf8_lossy);
        format!("key {:?} id {:?}", key.unwrap_or_default(), envelope.id())
    }
}

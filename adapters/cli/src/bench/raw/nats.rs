//! async-nats: `pull::Stream` with an ack each, and a pipelined publish loop.

use std::collections::VecDeque;
use std::future::IntoFuture as _;
use std::pin::Pin;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::{self, consumer};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::{Depth, failed};
use crate::bench::load::{CONTENT_TYPE, Owned, PARTITIONS, SOURCE, TYPE, handle};
use crate::bench::{Clock, Load, Run};
use crate::failure::Failure;

/// The version in this build.
pub(super) const VERSION: &str = "0.51";
/// Publishes without an answer: with the default limits of the client more would only wait.
const IN_FLIGHT: usize = 4_000;
/// Messages of a pull request: batches of 200 to 1,000 stay in the cache, and the largest of them
/// asks least often.
const BATCH: usize = 1_000;
/// Longest silence.
const PATIENCE: Duration = Duration::from_secs(30);

type Ack = Pin<Box<<PublishAckFuture as IntoFuture>::IntoFuture>>;

pub(in crate::bench) struct RawNats {
    context: jetstream::Context,
}

impl RawNats {
    pub(super) async fn connect(url: &str) -> Result<Self, Failure> {
        let servers: Vec<_> = url.trim_start_matches("nats://").split(',').collect();
        let client = async_nats::connect(servers)
            .await
            .map_err(failed("connecting"))?;
        let context = jetstream::new(client);
        Ok(Self { context })
    }

    pub(super) async fn publish(
        &self,
        topic: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        let id = Load::ids();
        let mut acks: VecDeque<Ack> = VecDeque::with_capacity(IN_FLIGHT);
        let clock = Clock::start();
        for number in 0..load.count {
            if IN_FLIGHT <= acks.len()
                && let Some(ack) = acks.pop_front()
            {
                ack.await.map_err(failed("publishing"))?;
            }
            // A key stays in one partition.
            let partition = number % load.keys % u64::from(PARTITIONS);
            let subject = format!("{topic}.{partition}");
            let payload = load.payload.clone();
            let sent = match depth {
                Depth::Bare => self.context.publish(subject, payload).await,
                Depth::Equal | Depth::Tuned => {
                    let headers = fields(load, number, &id(number));
                    let context = &self.context;
                    context
                        .publish_with_headers(subject, headers, payload)
                        .await
                }
            };
            let ack = sent.map_err(failed("publishing"))?;
            acks.push_back(Box::pin(ack.into_future()));
        }
        for ack in acks {
            ack.await.map_err(failed("publishing"))?;
        }
        Ok(clock.stop(load.count))
    }

    pub(super) async fn consume(
        &self,
        topic: &str,
        group: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        let stream = self.context.get_stream(topic).await;
        let stream = stream.map_err(failed("the stream"))?;
        let config = consumer::pull::Config {
            durable_name: Some(group.to_owned()),
            ack_policy: consumer::AckPolicy::Explicit,
            max_ack_pending: 30_000,
            ..consumer::pull::Config::default()
        };
        let durable = stream.create_consumer(config).await;
        let durable = durable.map_err(failed("the consumer"))?;
        let messages = durable.stream().max_messages_per_batch(BATCH).messages();
        let mut messages = messages.await.map_err(failed("the consumer"))?;
        let mut clock = None;
        for _ in 0..load.count {
            let next = timeout(PATIENCE, messages.next()).await;
            let next = next.map_err(failed("consuming"))?;
            let message = next.ok_or_else(|| failed("consuming")("the stream ended"))?;
            let message = message.map_err(failed("consuming"))?;
            clock.get_or_insert_with(Clock::start);
            match depth {
                Depth::Bare => handle(&message.payload),
                Depth::Equal | Depth::Tuned => {
                    let owned = owned(&message);
                    if !owned.is_whole(load) {
                        return Err(failed("consuming")("a message that nobody published"));
                    }
                    handle(owned);
                }
            }
            message.ack().await.map_err(failed("acknowledging"))?;
        }
        let run = clock.unwrap_or_else(Clock::start).stop(load.count - 1);
        // The last acknowledgements are on their way; the next run must not pay for them.
        self.context
            .client()
            .flush()
            .await
            .map_err(failed("flushing"))?;
        let deleted = stream.delete_consumer(group).await;
        deleted.map_err(failed("deleting the consumer"))?;
        Ok(run)
    }

    pub(super) async fn delete(&self, topic: &str) -> Result<(), Failure> {
        let deleted = self.context.delete_stream(topic).await;
        deleted.map(drop).map_err(failed("deleting the stream"))
    }
}

/// The fields that an envelope has at least.
fn fields(load: &Load, number: u64, id: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", id);
    headers.insert("ce-specversion", "1.0");
    headers.insert("ce-id", id);
    headers.insert("ce-source", SOURCE);
    headers.insert("ce-type", TYPE);
    headers.insert("ce-time", "2026-01-31T12:00:00.123456Z");
    headers.insert("ce-datacontenttype", CONTENT_TYPE);
    headers.insert("ce-partitionkey", load.key(number));
    headers
}

fn owned(message: &jetstream::Message) -> Owned {
    let mut owned = Owned {
        payload: message.payload.clone(),
        ..Owned::default()
    };
    for (name, values) in message.headers.iter().flat_map(HeaderMap::iter) {
        for value in values {
            owned.field(name.as_ref(), value.as_str());
        }
    }
    owned
}

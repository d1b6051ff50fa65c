//! Measures this port against plain async-nats loops on the same server, interleaved.
//!
//! `cargo run --release -p procession-nats --example rate`
//!
//! * consume: async-nats `pull::Stream` of one durable consumer with an acknowledgement each,
//!   against a feed of all partitions with a window of 10,000 messages;
//! * publish: async-nats JetStream publishes with 4,000 in flight, against a sink with as many.
//!
//! The same messages for both: 256 bytes, five header fields and a message id, 3 partitions, file
//! storage. Rates are medians; ratios are taken within a pair, so noise hits both sides.
#![allow(
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "it prints a table, and looks for one thing at a time"
)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer};
use bytes::Bytes;
use futures_util::StreamExt as _;
use procession_core::{Epoch, PartitionId, Position, Session, Span, Start};
use procession_nats::NatsBroker;
use procession_runtime::port::{
    Broker as _, FeedCommand, FeedEvent, Outgoing, SinkCommand, SinkEvent, SinkReceipt, SinkTicket,
};
use support::{Server, raw, topic};

const PARTITIONS: u32 = 3;
const PAIRS: usize = 10;
const WINDOW: u64 = 10_000;
const IN_FLIGHT: u64 = 4_000;

fn main() {
    let count: u64 = std::env::args()
        .nth(1)
        .map_or(100_000, |n| n.parse().expect("a number"));
    let server = Server::start("rate").expect("name a nats-server in NATS_SERVER");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let broker = server.broker().await;
        let context = raw::connect(&server.url()).await;
        println!("{count} messages a run, {PAIRS} pairs, 256 B payload, {PARTITIONS} partitions");
        let mut publish = Vec::new();
        for pair in 0..PAIRS {
            let ours = format!("ours-{pair}");
            let theirs = format!("theirs-{pair}");
            topic(&broker, &ours, PARTITIONS).await;
            topic(&broker, &theirs, PARTITIONS).await;
            // Turn about, so that neither side always runs on a warmer machine.
            let (a, b) = if pair % 2 == 0 {
                let a = publish_ours(&broker, &ours, count).await;
                (a, publish_theirs(&context, &theirs, count).await)
            } else {
                let b = publish_theirs(&context, &theirs, count).await;
                (publish_ours(&broker, &ours, count).await, b)
            };
            publish.push((a, b));
            context.delete_stream(&theirs).await.expect("deleted");
            if pair != 0 {
                context.delete_stream(&ours).await.expect("deleted");
            }
        }
        report("publish", &publish);
        let mut consume = Vec::new();
        for pair in 0..PAIRS {
            let group = format!("g{pair}");
            let (a, b) = if pair % 2 == 0 {
                let a = consume_ours(&broker, "ours-0", &group, count).await;
                (a, consume_theirs(&context, "ours-0", &group, count).await)
            } else {
                let b = consume_theirs(&context, "ours-0", &group, count).await;
                (consume_ours(&broker, "ours-0", &group, count).await, b)
            };
            consume.push((a, b));
        }
        report("consume", &consume);
        broker.close(Span::from_secs(5)).await.expect("closed");
    });
}

/// Seconds of ours and theirs to rates and ratios.
fn report(what: &str, pairs: &[(Duration, Duration)]) {
    let count: u64 = std::env::args()
        .nth(1)
        .map_or(100_000, |n| n.parse().expect("a number"));
    let rate = |time: Duration| count as f64 / time.as_secs_f64();
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let ours = median(pairs.iter().map(|p| rate(p.0)).collect());
    let theirs = median(pairs.iter().map(|p| rate(p.1)).collect());
    let ratios: Vec<f64> = pairs.iter().map(|p| rate(p.0) / rate(p.1)).collect();
    let low = ratios.iter().copied().fold(f64::MAX, f64::min);
    let high = ratios.iter().copied().fold(0.0, f64::max);
    println!(
        "{what}: ours {ours:.0}/s, async-nats {theirs:.0}/s, ratio {:.2} ({low:.2} to {high:.2})",
        median(ratios)
    );
}

const FIELDS: [(&str, &str); 5] = [
    ("ce-specversion", "1.0"),
    ("ce-type", "OrderPlaced"),
    ("ce-source", "/rate"),
    ("ce-id", "0190163d-8694-739b-aea5-966c26f8ad91"),
    ("ce-partitionkey", "order-42"),
];

async fn publish_ours(broker: &NatsBroker, topic: &str, count: u64) -> Duration {
    let mut sink = broker.sink().await.expect("a sink");
    let mut events = Vec::new();
    poll_fn(|cx| sink.poll_events(cx, &mut events)).await;
    let payload = Bytes::from(vec![7; 256]);
    let topic: Arc<str> = topic.into();
    let begin = Instant::now();
    let (mut sent, mut stored) = (0, 0);
    while stored < count {
        while sent < count && sent - stored < IN_FLIGHT {
            let fields = FIELDS.iter().map(|(name, value)| (*name, value.as_bytes()));
            let key = format!("key-{}", sent % 1_000);
            sink.submit(SinkCommand::Send {
                ticket: SinkTicket {
                    token: sent,
                    attempt: 1,
                },
                message: Arc::new(Outgoing {
                    topic: topic.clone(),
                    key: Some(key.clone().into()),
                    id: key.into(),
                    identity: (u128::from(sent) << 64) | 0x5eed,
                    copy: 0,
                    headers: fields.collect(),
                    payload: payload.clone(),
                    partition: None,
                    expect: None,
                }),
            });
            sent += 1;
        }
        events.clear();
        poll_fn(|cx| sink.poll_events(cx, &mut events)).await;
        for event in &events {
            match event {
                SinkEvent::Result {
                    receipt: SinkReceipt::Stored { .. },
                    ..
                } => stored += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    let time = begin.elapsed();
    sink.submit(SinkCommand::Close);
    while !matches!(events.last(), Some(SinkEvent::Closed)) {
        poll_fn(|cx| sink.poll_events(cx, &mut events)).await;
    }
    time
}

async fn publish_theirs(context: &jetstream::Context, topic: &str, count: u64) -> Duration {
    let payload = Bytes::from(vec![7; 256]);
    let mut acks = VecDeque::new();
    let begin = Instant::now();
    for number in 0..count {
        if IN_FLIGHT <= acks.len() as u64 {
            settle(&mut acks).await;
        }
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{number:032x}"));
        for (name, value) in FIELDS {
            headers.insert(name, value);
        }
        let subject = format!("{topic}.{}", number % u64::from(PARTITIONS));
        let ack = context
            .publish_with_headers(subject, headers, payload.clone())
            .await;
        acks.push_back(ack.expect("sent"));
    }
    while !acks.is_empty() {
        settle(&mut acks).await;
    }
    begin.elapsed()
}

async fn settle(acks: &mut VecDeque<jetstream::context::PublishAckFuture>) {
    if let Some(ack) = acks.pop_front() {
        ack.await.expect("stored");
    }
}

async fn consume_ours(broker: &NatsBroker, topic: &str, group: &str, count: u64) -> Duration {
    let spec = support::driver::feed_spec(topic, group, "rate");
    let mut feed = broker.feed(spec).await.expect("a feed");
    let mut events = Vec::new();
    // Clock and deliveries start when the partitions are owned, as for a durable consumer that exists.
    let mut owned = 0;
    while owned < PARTITIONS {
        events.clear();
        poll_fn(|cx| feed.poll_events(cx, &mut events)).await;
        owned += events
            .iter()
            .filter(|e| matches!(e, FeedEvent::Assigned { .. }))
            .count() as u32;
    }
    let begin = Instant::now();
    let session = Session(1);
    let mut granted = [WINDOW; PARTITIONS as usize];
    let mut received = [0u64; PARTITIONS as usize];
    for partition in (0..PARTITIONS).map(PartitionId) {
        feed.submit(FeedCommand::Start(Start {
            partition,
            epoch: Epoch(1),
            session,
            at: Position(1),
            expect: None,
        }));
        feed.submit(FeedCommand::Grant {
            partition,
            session,
            messages: WINDOW,
            bytes: WINDOW << 10,
        });
    }
    let mut bytes = 0;
    while received.iter().sum::<u64>() < count {
        events.clear();
        poll_fn(|cx| feed.poll_events(cx, &mut events)).await;
        for event in events.drain(..) {
            match event {
                FeedEvent::Records {
                    partition, records, ..
                } => {
                    let at = partition.0 as usize;
                    received[at] += records.len() as u64;
                    bytes += records.iter().map(|r| r.payload.len()).sum::<usize>();
                    let messages = received[at] + WINDOW;
                    if granted[at] + WINDOW / 10 < messages {
                        granted[at] = messages;
                        let bytes = messages << 10;
                        feed.submit(FeedCommand::Grant {
                            partition,
                            session,
                            messages,
                            bytes,
                        });
                    }
                }
                FeedEvent::Broken { why, .. } => panic!("broken: {why:?}"),
                _ => {}
            }
        }
    }
    let time = begin.elapsed();
    assert_eq!(bytes as u64, 256 * count);
    feed.submit(FeedCommand::Close);
    while !matches!(events.last(), Some(FeedEvent::Closed)) {
        poll_fn(|cx| feed.poll_events(cx, &mut events)).await;
    }
    time
}

async fn consume_theirs(
    context: &jetstream::Context,
    topic: &str,
    group: &str,
    count: u64,
) -> Duration {
    let stream = context.get_stream(topic).await.expect("the stream");
    let config = consumer::pull::Config {
        durable_name: Some(group.to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        max_ack_pending: 30_000,
        ..consumer::pull::Config::default()
    };
    let durable = stream.create_consumer(config).await.expect("a consumer");
    let begin = Instant::now();
    let mut messages = durable
        .stream()
        .max_messages_per_batch(5_000)
        .messages()
        .await
        .expect("messages");
    let (mut received, mut bytes) = (0, 0);
    while received < count {
        let message = messages.next().await.expect("more").expect("a message");
        bytes += message.payload.len();
        message.ack().await.expect("acknowledged");
        received += 1;
    }
    let time = begin.elapsed();
    assert_eq!(bytes as u64, 256 * count);
    time
}

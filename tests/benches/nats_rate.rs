//! The finished bus against plain async-nats loops, on one real server, in turns.
//!
//! `cargo bench -p procession-tests --bench nats_rate`
//!
//! * consume: one durable consumer read through `pull::Stream`, five fields read into an owned
//!   struct, an explicit acknowledgement each; against `Bus::subscribe` with a handler that does
//!   nothing. Both read the same stream.
//! * publish: `publish_with_headers` with 4,000 acknowledgements awaited apart; against
//!   `Bus::publish` with 4,000 in flight. A message id and the seven fields that an envelope has at
//!   least, both the same.
//!
//! Goals: consume at least 1.3 times, publish at least 0.8 times as fast. It prints figures and
//! fails on none of them: on a busy machine rates mean little, ratios of neighbours something.
//!
//! `RATE_MESSAGES` (200,000), `RATE_PAIRS` (7) and `RATE_ONLY` (`consume` or `publish`) change what is run.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "it prints a table; a bench that fails stops"
)]

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::{self, consumer};
use bytes::Bytes;
use futures_util::StreamExt as _;
use procession::settings::TopicSettings;
use procession::{Bus, Envelope, Settings, TopicMode, raw};
use procession_cli::brokers::{Nats, NatsOptions};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::Notify;

const PARTITIONS: u32 = 3;
const KEYS: u64 = 10_000;
const PAYLOAD: usize = 256;
const IN_FLIGHT: usize = 4_000;
/// Messages of a pull request of the async-nats side: batches of 200 to 1,000 stay in the cache, and
/// the largest of them asks least often.
const BATCH: usize = 1_000;

/// One measured run.
#[derive(Clone, Copy)]
struct Run {
    rate: f64,
    /// Of the whole process, the server not counted.
    cpu_nanos: f64,
}

fn main() {
    let number = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
    };
    let only = std::env::var("RATE_ONLY").unwrap_or_default();
    let count = number("RATE_MESSAGES", 200_000);
    let pairs = number("RATE_PAIRS", 7);
    let server = match Nats::start(NatsOptions::default()) {
        Ok(server) => server,
        Err(error) => {
            eprintln!("not run: {error}");
            std::process::exit(3);
        }
    };
    println!(
        "nats-server {}, file storage, {count} messages a run, {pairs} pairs, {PAYLOAD} B payload, \
         {KEYS} keys, {PARTITIONS} partitions, {} cores shared with the server",
        server.version,
        std::thread::available_parallelism().map_or(0, usize::from),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let bus = connect(&server.url, count, pairs).await;
        let client = async_nats::connect(&server.url).await.unwrap();
        let context = jetstream::new(client);
        bus.topic("consumed").await.unwrap();
        publish_theirs(&context, "consumed", count, 5).await;
        if only != "publish" {
            let mut runs = Vec::new();
            for pair in 0..pairs {
                let group = format!("g{pair}");
                // Turn about, so that neither side always runs on a warmer machine.
                let run = if pair % 2 == 0 {
                    let ours = consume_ours(&bus, &group, count).await;
                    (ours, consume_theirs(&context, &group, count).await)
                } else {
                    let theirs = consume_theirs(&context, &group, count).await;
                    (consume_ours(&bus, &group, count).await, theirs)
                };
                runs.push(run);
            }
            report("consume", 1.3, &runs);
        }
        if only != "consume" {
            let mut runs = Vec::new();
            for pair in 0..pairs {
                let (ours, theirs) = (format!("ours{pair}"), format!("theirs{pair}"));
                bus.topic(&ours).await.unwrap();
                bus.topic(&theirs).await.unwrap();
                let run = if pair % 2 == 0 {
                    let a = publish_ours(&bus, &ours, count).await;
                    (a, publish_theirs(&context, &theirs, count, 7).await)
                } else {
                    let b = publish_theirs(&context, &theirs, count, 7).await;
                    (publish_ours(&bus, &ours, count).await, b)
                };
                runs.push(run);
                context.delete_stream(&ours).await.unwrap();
                context.delete_stream(&theirs).await.unwrap();
            }
            report("publish", 0.8, &runs);
        }
        bus.close(Duration::from_secs(10)).await.unwrap();
    });
}

fn report(what: &str, goal: f64, pairs: &[(Run, Run)]) {
    let median = |value: &dyn Fn(&(Run, Run)) -> f64| {
        let mut values: Vec<f64> = pairs.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    for (ours, theirs) in pairs {
        println!(
            "  {what}: bus {:.0}/s ({:.0} ns CPU), async-nats {:.0}/s ({:.0} ns CPU), {:.2}",
            ours.rate,
            ours.cpu_nanos,
            theirs.rate,
            theirs.cpu_nanos,
            ours.rate / theirs.rate
        );
    }
    let ratios = pairs.iter().map(|(ours, theirs)| ours.rate / theirs.rate);
    println!(
        "{what}: bus {:.0}/s, {:.0} ns CPU a message; async-nats {:.0}/s, {:.0} ns; median ratio \
         {:.2} ({:.2} to {:.2}), goal {goal}",
        median(&|p| p.0.rate),
        median(&|p| p.0.cpu_nanos),
        median(&|p| p.1.rate),
        median(&|p| p.1.cpu_nanos),
        median(&|p| p.0.rate / p.1.rate),
        ratios.clone().fold(f64::MAX, f64::min),
        ratios.fold(0.0, f64::max),
    );
}

/// Time and processor time of one run.
struct Clock {
    begin: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self {
            begin: Instant::now(),
            cpu: cpu_time(),
        }
    }

    fn stop(self, count: u64) -> Run {
        Run {
            rate: count as f64 / self.begin.elapsed().as_secs_f64(),
            cpu_nanos: (cpu_time() - self.cpu).as_nanos() as f64 / count as f64,
        }
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let nanos = u32::try_from(time.tv_nsec).unwrap();
    Duration::new(time.tv_sec.unsigned_abs(), nanos)
}

async fn connect(url: &str, count: u64, pairs: u64) -> Bus {
    let mut settings = Settings::default();
    settings.bus.topics = Some(TopicMode::Create);
    settings.bus.source = Some("/rate".into());
    let mut topics = vec!["consumed".to_owned()];
    topics.extend((0..pairs).flat_map(|n| [format!("ours{n}"), format!("theirs{n}")]));
    assert!(count <= 10_000_000, "RATE_MESSAGES: at most ten million");
    for topic in topics {
        let mut own = TopicSettings::default();
        own.partitions = Some(PARTITIONS);
        settings.topics.insert(topic, own);
    }
    Bus::builder(url)
        .settings(settings)
        .connect()
        .await
        .unwrap()
}

/// The same on both sides: a different id for each message, so that nothing is a copy.
fn id(number: u64) -> String {
    format!("0190163d-8694-739b-aea5-{number:012x}")
}

fn key(number: u64) -> String {
    format!("order-{}", number % KEYS)
}

async fn publish_ours(bus: &Bus, topic: &str, count: u64) -> Run {
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let clock = Clock::start();
    let stored = futures_util::stream::iter(0..count)
        .map(|number| {
            let envelope = Envelope::builder("OrderPlaced")
                .key(key(number))
                .id(id(number))
                .payload(payload.clone(), "application/json")
                .unwrap();
            bus.publish(topic, envelope)
        })
        .buffer_unordered(IN_FLIGHT)
        .fold(0, async |stored, result| {
            result.unwrap();
            stored + 1
        })
        .await;
    assert_eq!(stored, count);
    clock.stop(count)
}

async fn publish_theirs(
    context: &jetstream::Context,
    topic: &str,
    count: u64,
    fields: usize,
) -> Run {
    let payload = Bytes::from(vec![7; PAYLOAD]);
    let mut acks: VecDeque<Pin<Box<<PublishAckFuture as IntoFuture>::IntoFuture>>> =
        VecDeque::new();
    let clock = Clock::start();
    for number in 0..count {
        if IN_FLIGHT <= acks.len()
            && let Some(ack) = acks.pop_front()
        {
            ack.await.unwrap();
        }
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{number:032x}"));
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-id", id(number));
        headers.insert("ce-source", "/rate");
        headers.insert("ce-type", "OrderPlaced");
        headers.insert("ce-partitionkey", key(number));
        if fields == 7 {
            headers.insert("ce-time", "2026-01-31T12:00:00.123456Z");
            headers.insert("ce-datacontenttype", "application/json");
        }
        // A key stays in one partition.
        let partition = number % KEYS % u64::from(PARTITIONS);
        let subject = format!("{topic}.{partition}");
        let ack = context
            .publish_with_headers(subject, headers, payload.clone())
            .await
            .unwrap();
        acks.push_back(Box::pin(ack.into_future()));
    }
    for ack in acks {
        ack.await.unwrap();
    }
    clock.stop(count)
}

/// From the first message to the last: claiming partitions and creating a consumer are not rates.
async fn consume_ours(bus: &Bus, group: &str, count: u64) -> Run {
    let handled = Arc::new(AtomicU64::new(0));
    let (first, last) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (handled, first, last) = (Arc::clone(&handled), Arc::clone(&first), Arc::clone(&last));
        raw(move |envelope: Envelope, _context| {
            assert_eq!(envelope.payload().len(), PAYLOAD);
            match handled.fetch_add(1, Ordering::Relaxed) + 1 {
                1 => first.notify_one(),
                n if n == count => last.notify_one(),
                _ => {}
            }
            async { Ok(()) }
        })
    };
    let subscription = bus.subscribe("consumed", group, handler).await.unwrap();
    first.notified().await;
    let clock = Clock::start();
    let before = handled.load(Ordering::Relaxed);
    last.notified().await;
    let run = clock.stop(count - before);
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    assert_eq!(handled.load(Ordering::Relaxed), count, "once each");
    run
}

/// What a program would make of a message that it keeps.
#[derive(Default)]
struct Owned {
    id: String,
    source: String,
    kind: String,
    key: String,
    version: String,
    payload: Bytes,
}

impl Owned {
    fn read(message: &jetstream::Message) -> Self {
        let headers = message.headers.as_ref().unwrap();
        let text = |name: &str| headers.get(name).unwrap().as_str().to_owned();
        Self {
            id: text("ce-id"),
            source: text("ce-source"),
            kind: text("ce-type"),
            key: text("ce-partitionkey"),
            version: text("ce-specversion"),
            payload: message.payload.clone(),
        }
    }
}

async fn consume_theirs(context: &jetstream::Context, group: &str, count: u64) -> Run {
    let stream = context.get_stream("consumed").await.unwrap();
    let config = consumer::pull::Config {
        durable_name: Some(group.to_owned()),
        ack_policy: consumer::AckPolicy::Explicit,
        max_ack_pending: 30_000,
        ..consumer::pull::Config::default()
    };
    let durable = stream.create_consumer(config).await.unwrap();
    let mut messages = durable
        .stream()
        .max_messages_per_batch(BATCH)
        .messages()
        .await
        .unwrap();
    let mut clock = None;
    for _ in 0..count {
        let message = messages.next().await.unwrap().unwrap();
        clock.get_or_insert_with(Clock::start);
        let owned = Owned::read(&message);
        assert_eq!(owned.payload.len(), PAYLOAD);
        assert!(owned.version == "1.0" && !owned.id.is_empty() && !owned.key.is_empty());
        assert!(owned.source == "/rate" && owned.kind == "OrderPlaced");
        message.ack().await.unwrap();
    }
    let run = clock.unwrap().stop(count - 1);
    // The last acknowledgements are on their way; the next run must not pay for them.
    context.client().flush().await.unwrap();
    stream.delete_consumer(group).await.unwrap();
    run
}

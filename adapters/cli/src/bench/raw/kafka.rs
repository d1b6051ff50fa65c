//! rdkafka: a poll loop with asynchronous commits, an idempotent producer whose results are awaited,
//! and one whose results are counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientContext;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers as _, Message as _};
use rdkafka::producer::{
    BaseRecord, FutureProducer, FutureRecord, NoCustomPartitioner, Producer as _, ProducerContext,
    ThreadedProducer,
};
use rdkafka::util::get_rdkafka_version;

use super::{Depth, failed};
use crate::bench::load::{CONTENT_TYPE, Owned, SOURCE, TYPE, handle, publish_each};
use crate::bench::{Clock, Load, Run};
use crate::failure::Failure;

/// Longest silence.
const PATIENCE: Duration = Duration::from_secs(30);
/// The bus's own cadence of commits.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
const COMMIT_MESSAGES: u32 = 1_000;
/// Results awaited at once, as in the bus's own run.
const PUBLISHES: usize = 10_000;

pub(super) fn version() -> String {
    format!("librdkafka {}", get_rdkafka_version().1)
}

pub(in crate::bench) struct RawKafka {
    config: ClientConfig,
    admin: AdminClient<DefaultClientContext>,
    /// One for all runs, as the bus has one: connecting is no rate.
    publishing: Arc<Publishing>,
    awaiting: FutureProducer,
}

impl RawKafka {
    pub(super) fn connect(url: &str) -> Result<Self, Failure> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
        let admin = config.create().map_err(failed("connecting"))?;
        let publishing = Arc::new(Publishing::new(config.clone())?);
        let awaiting = of_producer(config.clone()).create();
        let awaiting = awaiting.map_err(failed("the producer"))?;
        Ok(Self {
            config,
            awaiting,
            admin,
            publishing,
        })
    }

    pub(super) async fn publish(
        &self,
        topic: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        if depth != Depth::Tuned {
            return self.publish_and_await(topic, load, depth).await;
        }
        let publishing = Arc::clone(&self.publishing);
        let (load, topic) = (load.clone(), topic.to_owned());
        blocking(move || publishing.publish(&topic, &load)).await
    }

    /// Awaits the result of each message, as many on their way as the bus has room for.
    async fn publish_and_await(
        &self,
        topic: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        let id = Load::ids();
        let clock = Clock::start();
        let published = publish_each(load.count, PUBLISHES, |number| {
            let (key, id) = (load.key(number), id(number));
            async move {
                let mut record = FutureRecord::to(topic).key(&key).payload(&load.payload[..]);
                if depth == Depth::Equal {
                    record = record.headers(fields(&key, &id));
                }
                let sent = self.awaiting.send(record, PATIENCE).await;
                sent.map(drop).map_err(|(error, _)| error)
            }
        });
        published.await.map_err(failed("publishing"))?;
        Ok(clock.stop(load.count))
    }

    pub(super) async fn consume(
        &self,
        topic: &str,
        group: &str,
        load: &Load,
        depth: Depth,
    ) -> Result<Run, Failure> {
        let mut config = self.config.clone();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest");
        if depth == Depth::Tuned {
            // With the default of 1 s a loop that falls behind its prefetch stands still for most of
            // a second each time.
            config.set("fetch.queue.backoff.ms", "10");
        }
        let (load, topic) = (load.clone(), topic.to_owned());
        blocking(move || consume(&config, &topic, &load, depth)).await
    }

    pub(super) async fn delete(&self, topic: &str) -> Result<(), Failure> {
        let deleted = self
            .admin
            .delete_topics(&[topic], &AdminOptions::new())
            .await;
        deleted.map(drop).map_err(failed("deleting the topic"))
    }
}

/// The loops of rdkafka block, each on a thread of its own.
async fn blocking(
    work: impl FnOnce() -> Result<Run, Failure> + Send + 'static,
) -> Result<Run, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.map_err(failed("its thread"))?
}

fn consume(config: &ClientConfig, topic: &str, load: &Load, depth: Depth) -> Result<Run, Failure> {
    let consumer: BaseConsumer = config.create().map_err(failed("the consumer"))?;
    consumer
        .subscribe(&[topic])
        .map_err(failed("subscribing"))?;
    let mut clock = None;
    let (mut heard, mut committed) = (Instant::now(), Instant::now());
    let (mut handled, mut uncommitted) = (0, 0);
    while handled < load.count {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            if heard.elapsed() > PATIENCE {
                return Err(failed("consuming")("nothing came for 30 s"));
            }
            continue;
        };
        let message = message.map_err(failed("consuming"))?;
        clock.get_or_insert_with(Clock::start);
        match depth {
            Depth::Bare => handle(message.payload()),
            Depth::Equal | Depth::Tuned => {
                let owned = owned(&message).map_err(failed("a header field"))?;
                if !owned.is_whole(load) {
                    return Err(failed("consuming")("a message that nobody published"));
                }
                handle(owned);
            }
        }
        handled += 1;
        uncommitted += 1;
        heard = Instant::now();
        if uncommitted == COMMIT_MESSAGES || heard - committed >= COMMIT_EVERY {
            commit(&consumer)?;
            (committed, uncommitted) = (heard, 0);
        }
    }
    let run = clock.unwrap_or_else(Clock::start).stop(load.count - 1);
    consumer.unsubscribe();
    Ok(run)
}

fn commit(consumer: &BaseConsumer) -> Result<(), Failure> {
    match consumer.commit_consumer_state(CommitMode::Async) {
        // Everything is committed already.
        Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => Ok(()),
        done => done.map_err(failed("committing")),
    }
}

fn owned(message: &BorrowedMessage<'_>) -> Result<Owned, std::str::Utf8Error> {
    let mut owned = Owned {
        payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        ..Owned::default()
    };
    for Header { key, value } in message.headers().iter().flat_map(|h| h.iter()) {
        owned.field(key, std::str::from_utf8(value.unwrap_or_default())?);
    }
    Ok(owned)
}

/// Counts what was stored; the last one, and the first that was not, are told.
struct Results {
    left: AtomicU64,
    told: SyncSender<Result<(), KafkaError>>,
}

impl ClientContext for Results {}

impl ProducerContext for Results {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let last = self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        let tell = match result {
            Ok(_) if last => Ok(()),
            Ok(_) => return,
            Err((error, _)) => Err(error.clone()),
        };
        // Room for one: whoever waits needs no second reason.
        let _told_already = self.told.try_send(tell);
    }
}

type Producer = ThreadedProducer<Results, NoCustomPartitioner>;

/// A producer, and what it tells. One run at a time.
struct Publishing {
    producer: Producer,
    results: Mutex<Receiver<Result<(), KafkaError>>>,
}

impl Publishing {
    fn new(config: ClientConfig) -> Result<Self, Failure> {
        let (told, results) = sync_channel(1);
        let left = AtomicU64::new(0);
        let producer = of_producer(config)
            .create_with_context(Results { left, told })
            .map_err(failed("the producer"))?;
        let results = Mutex::new(results);
        Ok(Self { producer, results })
    }

    fn publish(&self, topic: &str, load: &Load) -> Result<Run, Failure> {
        let id = Load::ids();
        let results = self.results.lock().unwrap_or_else(PoisonError::into_inner);
        let left = &self.producer.context().left;
        left.store(load.count, Ordering::Relaxed);
        let clock = Clock::start();
        for number in 0..load.count {
            let key = load.key(number);
            let record = BaseRecord::to(topic)
                .key(&key)
                .payload(&load.payload[..])
                .headers(fields(&key, &id(number)));
            send(&self.producer, record)?;
        }
        stored(&results)?;
        Ok(clock.stop(load.count))
    }
}

/// The promises of the bus need both.
fn of_producer(mut config: ClientConfig) -> ClientConfig {
    config
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random");
    config
}

fn send(producer: &Producer, record: BaseRecord<'_, String, [u8]>) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    let mut record = record;
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused))
                if Instant::now() < deadline =>
            {
                record = refused;
                std::thread::sleep(Duration::from_millis(1));
            }
            Err((error, _)) => return Err(failed("publishing")(error)),
        }
    }
}

/// `flush` would wait in steps of 100 ms.
fn stored(results: &Receiver<Result<(), KafkaError>>) -> Result<(), Failure> {
    let told = results
        .recv_timeout(PATIENCE)
        .map_err(failed("publishing"))?;
    told.map_err(failed("publishing"))
}

/// The fields that an envelope has at least.
fn fields(key: &str, id: &str) -> OwnedHeaders {
    [
        ("ce_specversion", "1.0"),
        ("ce_id", id),
        ("ce_source", SOURCE),
        ("ce_type", TYPE),
        ("ce_time", "2026-01-31T12:00:00.123456Z"),
        ("content-type", CONTENT_TYPE),
        ("ce_partitionkey", key),
    ]
    .into_iter()
    .fold(
        OwnedHeaders::new_with_capacity(7),
        |headers, (key, value)| {
            let value = Some(value);
            headers.insert(Header { key, value })
        },
    )
}

#[cfg(test)]
mod tests {
    use rdkafka::admin::{NewTopic, TopicReplication};

    use super::*;
    use crate::bench::kafka_of_tests;

    /// Everything that was published comes back whole, and its offsets are committed.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_raw_loops_publish_they_consume() {
        let Some(server) = kafka_of_tests("what_the_raw_loops_publish_they_consume") else {
            return;
        };
        let raw = RawKafka::connect(&server.url).unwrap();
        for topic in ["whole", "tuned", "bare"] {
            let topic = NewTopic::new(topic, 3, TopicReplication::Fixed(1));
            let made = raw
                .admin
                .create_topics(&[topic], &AdminOptions::new())
                .await;
            made.unwrap()[0].as_ref().unwrap();
        }
        let load = Load {
            count: 5_000,
            keys: 100,
            payload: Bytes::from_static(&[7; 64]),
        };
        let sides = [
            ("whole", Depth::Equal),
            ("tuned", Depth::Tuned),
            ("bare", Depth::Bare),
        ];
        for (topic, depth) in sides {
            let published = raw.publish(topic, &load, depth).await.unwrap();
            let consumed = raw.consume(topic, "g", &load, depth).await.unwrap();
            assert!(published.rate > 0.0 && consumed.rate > 0.0 && consumed.cpu_nanos > 0.0);
        }
        // Without the fields there is no envelope to own.
        assert!(
            raw.consume("bare", "other", &load, Depth::Equal)
                .await
                .is_err()
        );
        assert!(committed(&raw.config, "whole", "g") > 3_000);
        raw.delete("whole").await.unwrap();
    }

    /// How far the group has come. A commit is sent each 1,000 messages; the last of them may be lost
    /// with the consumer.
    fn committed(config: &ClientConfig, topic: &str, group: &str) -> i64 {
        let mut config = config.clone();
        let consumer: BaseConsumer = config.set("group.id", group).create().unwrap();
        let mut partitions = rdkafka::TopicPartitionList::new();
        partitions.add_partition_range(topic, 0, 2);
        let wait = Duration::from_secs(10);
        let stored = consumer.committed_offsets(partitions, wait).unwrap();
        let offsets = stored.elements().into_iter().map(|e| e.offset().to_raw());
        offsets.map(|offset| offset.unwrap_or(0)).sum()
    }
}

//! A real Kafka for tests, had through the set-up of the command line; stopped by its last user.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test binary uses another part of this module, and fails where something is missing"
)]

use std::io::Write as _;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use procession_cli::brokers::{CannotBeHad, Kafka, KafkaOptions as ServerOptions, RunningKafka};
use procession_core::Span;
use procession_kafka::{KafkaBroker, KafkaOptions};
use procession_runtime::port::{Broker as _, Storage, TopicInfo, TopicMode, TopicSpec};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

pub mod feeding;
pub mod sinking;

/// The Kafka that all tests of one binary share.
pub fn shared(test: &str) -> Option<Arc<RunningKafka>> {
    static SHARED: Mutex<Weak<RunningKafka>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = shared.upgrade() {
        return Some(running);
    }
    let running = Arc::new(own(test)?);
    *shared = Arc::downgrade(&running);
    Some(running)
}

/// A Kafka of the test's own; says in plain sight why the test does not run without one. With
/// `PROCESSION_BROKERS=required` not running is a failure.
pub fn own(test: &str) -> Option<RunningKafka> {
    let options = ServerOptions {
        for_tests: true,
        ..ServerOptions::default()
    };
    match Kafka::start(options) {
        Ok(running) => Some(running),
        Err(CannotBeHad { what, fix }) => {
            assert!(
                std::env::var("PROCESSION_BROKERS").as_deref() != Ok("required"),
                "{test}: {what}, and PROCESSION_BROKERS=required; {fix}"
            );
            // Past the test harness, which would keep it from the eyes of those who count.
            let line = format!("SKIPPED {test}: {what}; {fix}\n");
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        }
    }
}

pub fn options(server: &RunningKafka) -> KafkaOptions {
    let mut options = KafkaOptions::parse(&server.url).expect("a good address");
    options.session_timeout = Duration::from_secs(6);
    options
}

pub async fn broker(server: &RunningKafka) -> KafkaBroker {
    KafkaBroker::connect(options(server))
        .await
        .expect("a connection")
}

/// A topic's name that no other test and no other run uses.
pub fn fresh(name: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("{name}-{}-{}", std::process::id(), since.as_nanos())
}

pub fn spec(name: &str, partitions: Option<u32>, mode: TopicMode) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        storage: Storage::File,
        mode,
        duplicate_window: Span::from_secs(60),
        layout: None,
        batches: false,
    }
}

pub async fn topic(broker: &KafkaBroker, name: &str, partitions: u32) -> TopicInfo {
    broker
        .topic(spec(name, Some(partitions), TopicMode::Create))
        .await
        .expect("the topic is created")
}

/// The plain client's configuration.
pub fn plain(server: &RunningKafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set(
        "bootstrap.servers",
        server.url.trim_start_matches("kafka://"),
    );
    config
}

/// Publishes with the plain client: key `kN`, a header field, and `payload of N`.
pub fn produce(server: &RunningKafka, topic: &str, partition: i32, numbers: std::ops::Range<u32>) {
    let producer: BaseProducer = plain(server).set("linger.ms", "0").create().unwrap();
    for n in numbers {
        let (key, payload) = (format!("k{n}"), format!("payload of {n}"));
        let header = Header {
            key: "ce_id",
            value: Some(&key),
        };
        let record = BaseRecord::to(topic)
            .partition(partition)
            .key(&key)
            .payload(&payload)
            .headers(OwnedHeaders::new().insert(header));
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(10)).unwrap();
}

/// A runtime for one test.
pub fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

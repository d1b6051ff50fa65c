//! The core's producer over the sink and librdkafka's mock cluster: a mock, not a broker. It fails in
//! every way that a broker can tell of, also for good.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use procession_core::{Backoff, ProducerConfig, Span};
use procession_runtime::Clock as _;
use procession_runtime::port::{Headers, Outgoing};
use procession_runtime::publisher::{NoPublishObserver, PublishError, PublisherOptions, publisher};
use procession_runtime::tokio::TokioShell;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Respond};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::{KafkaSink, Known};
use crate::partitioner::Partitioner;

const PARTITIONS: i32 = 3;
const KEYS: u64 = 60;
const MESSAGES: u64 = 6_000;

fn outgoing(number: u64) -> Outgoing {
    Outgoing {
        topic: "t".into(),
        key: Some(Bytes::from(format!("key-{}", number % KEYS))),
        id: number.to_string().into(),
        identity: number.into(),
        copy: 0,
        headers: Headers::default(),
        payload: Bytes::from(number.to_string()),
        partition: None,
        expect: None,
    }
}

/// Everything in the log: (key, number), in order per partition.
fn log(config: &ClientConfig) -> Vec<(String, u64)> {
    let mut config = config.clone();
    config
        .set("group.id", "g")
        .set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset("t", partition, Offset::Beginning)
            .unwrap();
    }
    consumer.assign(&list).unwrap();
    let (mut all, mut ends) = (Vec::new(), BTreeSet::new());
    while ends.len() < PARTITIONS.unsigned_abs() as usize {
        match consumer.poll(Duration::from_secs(10)).expect("an answer") {
            Ok(message) => {
                let text =
                    |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                let number = text(message.payload()).parse().unwrap();
                all.push((text(message.key()), number));
            }
            Err(KafkaError::PartitionEOF(partition)) => {
                ends.insert(partition);
            }
            Err(error) => panic!("{error}"),
        }
    }
    all
}

#[test]
fn s8_s10_whatever_the_broker_answers() {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("t", PARTITIONS, 1).unwrap();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", mock.bootstrap_servers());
    let known = Known::default();
    known.insert("t".into(), PARTITIONS.unsigned_abs());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let results = runtime.block_on(async {
        let sink = KafkaSink::start(&config, Partitioner::default(), known).unwrap();
        let shell = TokioShell::current();
        let options = PublisherOptions {
            core: ProducerConfig {
                messages: 1_000,
                in_flight: 300,
                // The mock does not look at sequence numbers: a batch behind a refused one is stored,
                // which a broker refuses. So one of a key is under way at a time here; many are in
                // the tests with a broker.
                pipelining: false,
                backoff: Backoff {
                    first: Span::from_millis(5),
                    max: Span::from_millis(50),
                    jitter_percent: 20,
                },
                ..ProducerConfig::default()
            },
            ..PublisherOptions::default()
        };
        let (handle, driver) = publisher(sink, shell.clone(), NoPublishObserver, options).unwrap();
        let driving = tokio::spawn(driver);
        let deadline = shell.now() + Span::from_secs(60);
        let mut publishing = Vec::new();
        let errors = [
            Respond::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Respond::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
            Respond::RD_KAFKA_RESP_ERR_UNKNOWN,
            Respond::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            Respond::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
            Respond::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
        ];
        for number in 0..MESSAGES {
            if number % 500 == 250 {
                let error = errors[(number / 500) as usize % errors.len()];
                mock.request_errors(RDKafkaApiKey::Produce, &[error]);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let message = outgoing(number);
            // Key by key in order: accepted one after the other.
            let accepted = handle
                .enqueue(message, Some(number % KEYS), deadline, true)
                .await;
            publishing.push((number, accepted.unwrap()));
        }
        let mut results = BTreeMap::new();
        for (number, publish) in publishing {
            results.insert(number, publish.await);
        }
        handle.close(shell.now() + Span::from_secs(5));
        driving.await.unwrap();
        results
    });
    let log = log(&config);
    let numbers: BTreeSet<u64> = log.iter().map(|(_, number)| *number).collect();
    let mut refused = 0;
    for (number, result) in &results {
        match result {
            Ok(_) => assert!(numbers.contains(number), "S10: {number} is not in the log"),
            Err(PublishError::Unknown(_)) => {}
            Err(error) => {
                refused += 1;
                assert!(!numbers.contains(number), "S10: {number}: {error:?}");
            }
        }
    }
    // S8: the first copies of a key, in the order of acceptance.
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (key, number) in &log {
        if seen.insert(*number)
            && let Some(before) = last.insert(key, *number)
        {
            assert!(before < *number, "S8: {number} came first behind {before}");
        }
    }
    let stored = results.values().filter(|result| result.is_ok()).count() as u64;
    assert!(
        MESSAGES * 8 / 10 < stored,
        "{stored} stored, {refused} refused"
    );
    assert!(0 < refused, "the broker refused some");
}

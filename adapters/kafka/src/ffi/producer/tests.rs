//! Against librdkafka's mock cluster: a mock, not a broker.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one thing and fails at everything else"
)]

use std::time::Instant;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Headers as _;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{Offset, TopicPartitionList};

use procession_runtime::port::Headers;

use super::*;

const WITHIN: Duration = Duration::from_secs(10);

fn rig() -> (MockCluster<'static, DefaultProducerContext>, ClientConfig) {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic("t", 2, 1).unwrap();
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", mock.bootstrap_servers())
        .set("enable.idempotence", "true")
        .set("message.timeout.ms", "0")
        .set("linger.ms", "0");
    (mock, config)
}

fn send(producer: &Producer, topic: &Topic, tag: usize) {
    let sending = Sending {
        partition: 1,
        key: Some(b"k"),
        payload: b"p",
        headers: &Headers::default(),
        tag,
    };
    producer.send(topic, &sending).unwrap();
}

/// (tag, offset, fate, error) of the next `count` reports.
type Seen = (usize, Option<u64>, Fate, Option<RDKafkaErrorCode>);

fn reports(producer: &Producer, count: usize) -> Vec<Seen> {
    let (mut seen, until) = (Vec::new(), Instant::now() + WITHIN);
    while seen.len() < count {
        assert!(Instant::now() < until, "{seen:?}");
        producer.poll(Duration::from_millis(100), |event| {
            if let Event::Delivered(delivery) = event {
                assert_eq!((delivery.topic(), delivery.partition()), ("t", Some(1)));
                let code = delivery.failure().map(|failure| failure.code.unwrap());
                seen.push((delivery.tag(), delivery.offset(), delivery.fate(), code));
            }
        });
    }
    seen
}

#[test]
fn messages_arrive_as_they_were_given() {
    let (_mock, config) = rig();
    let producer = Producer::new(&config).unwrap();
    let topic = producer.topic("t").unwrap();
    let fields = [
        ("ce_id", &b"1"[..]),
        ("x", b""),
        ("X", b"\xff\0"),
        ("x", b"2"),
    ];
    let headers: Headers = fields.into_iter().collect();
    let keys = [None, Some(&b""[..]), Some(b"k\0")];
    for (tag, key) in keys.into_iter().enumerate() {
        let sending = Sending {
            partition: 1,
            key,
            payload: if tag == 0 { b"" } else { b"pay\0load" },
            headers: if tag == 2 {
                &headers
            } else {
                &Headers::default()
            },
            tag,
        };
        producer.send(&topic, &sending).unwrap();
    }
    let seen = reports(&producer, 3);
    for (place, report) in (0..).zip(&seen) {
        let tag = usize::try_from(place).unwrap();
        assert_eq!(*report, (tag, Some(place), Fate::Stored, None));
    }
    let mut config = config;
    config.remove("enable.idempotence");
    config.remove("message.timeout.ms");
    config.remove("linger.ms");
    let consumer: BaseConsumer = config.set("group.id", "g").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset("t", 1, Offset::Beginning)
        .unwrap();
    consumer.assign(&list).unwrap();
    for (tag, key) in keys.into_iter().enumerate() {
        let message = consumer.poll(WITHIN).unwrap().unwrap();
        assert_eq!(message.key(), key, "no key is not an empty one");
        let payload = if tag == 0 { &b""[..] } else { b"pay\0load" };
        assert_eq!(message.payload(), Some(payload), "empty is not a tombstone");
        let got: Vec<_> = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter())
            .map(|field| (field.key.to_owned(), field.value.unwrap().to_vec()))
            .collect();
        let sent: Vec<_> = fields
            .iter()
            .filter(|_| tag == 2)
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect();
        assert_eq!(got, sent);
    }
}

#[test]
fn a_purge_tells_queued_from_sent() {
    let (mock, config) = rig();
    let producer = Producer::new(&config).unwrap();
    let topic = producer.topic("t").unwrap();
    send(&producer, &topic, 0);
    assert_eq!(reports(&producer, 1), [(0, Some(0), Fate::Stored, None)]);
    mock.broker_round_trip_time(1, Duration::from_secs(60))
        .unwrap();
    send(&producer, &topic, 1);
    std::thread::sleep(Duration::from_millis(200));
    producer.purge(true);
    let inflight = (
        1,
        None,
        Fate::Unknown,
        Some(RDKafkaErrorCode::PurgeInflight),
    );
    assert_eq!(reports(&producer, 1), [inflight]);

    mock.broker_down(1).unwrap();
    let other = Producer::new(&config).unwrap();
    let topic = other.topic("t").unwrap();
    for tag in 0..3 {
        send(&other, &topic, tag);
    }
    other.purge(false);
    let (mut seen, until) = (Vec::new(), Instant::now() + WITHIN);
    while seen.len() < 3 {
        assert!(Instant::now() < until, "{seen:?}");
        other.poll(Duration::from_millis(100), |event| {
            if let Event::Delivered(delivery) = event {
                let failure = delivery.failure().unwrap();
                assert!(
                    failure.text.contains("Purged"),
                    "not the payload: {failure:?}"
                );
                seen.push((delivery.tag(), delivery.fate(), failure.code));
            }
        });
    }
    let queued = |tag| (tag, Fate::NotStored, Some(RDKafkaErrorCode::PurgeQueue));
    assert_eq!(seen, [0, 1, 2].map(queued));
}

#[test]
fn a_fatal_error_is_told_and_nothing_is_taken_after_it() {
    let (_mock, config) = rig();
    let producer = Producer::new(&config).unwrap();
    let topic = producer.topic("t").unwrap();
    producer.break_for_test();
    let (mut told, until) = (None, Instant::now() + WITHIN);
    while told.is_none() {
        assert!(Instant::now() < until);
        producer.poll(Duration::from_millis(100), |event| {
            if let Event::Error { fatal: true, text } = event {
                told = Some(text.to_owned());
            }
        });
    }
    assert!(told.is_some_and(|text| text.contains("a test")));
    let sending = Sending {
        partition: 0,
        key: None,
        payload: b"p",
        headers: &Headers::default(),
        tag: 0,
    };
    let failure = producer.send(&topic, &sending).unwrap_err();
    assert_eq!(failure.code, Some(RDKafkaErrorCode::Fatal));
}

#[test]
fn a_bell_ends_a_poll_and_outlives_its_producer() {
    let (_mock, config) = rig();
    let producer = Producer::new(&config).unwrap();
    let bell = producer.bell();
    let begin = Instant::now();
    let ringing = bell.clone();
    let ringer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        ringing.ring();
    });
    while begin.elapsed() < Duration::from_millis(50) {
        producer.poll(Duration::from_secs(30), |_| {});
    }
    ringer.join().unwrap();
    // Rung before the poll: it does not sleep.
    bell.ring();
    producer.poll(Duration::from_secs(30), |_| {});
    assert!(begin.elapsed() < WITHIN, "{:?}", begin.elapsed());
    drop(producer);
    bell.ring();
}

#[test]
fn names_and_settings_that_cannot_be_are_refused() {
    let (_mock, config) = rig();
    let producer = Producer::new(&config).unwrap();
    assert!(producer.topic("a\0b").is_err());
    assert!(producer.topic(&"x".repeat(600)).is_err());
    let mut config = config;
    config.set("no.such.setting", "1");
    let failure = Producer::new(&config).unwrap_err();
    assert!(failure.text.contains("no.such.setting"), "{failure:?}");
    config.remove("no.such.setting");
    config.set("acks", "1");
    let failure = Producer::new(&config).unwrap_err();
    assert!(failure.text.contains("acks"), "{failure:?}");
}

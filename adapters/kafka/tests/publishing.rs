//! The sink against a real Kafka.
#![allow(
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use procession_cli::brokers::RunningKafka;
use procession_core::Span;
use procession_kafka::Partitioner;
use procession_runtime::port::{Broker as _, PortErrorKind, SinkEvent, SinkReceipt};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use support::sinking::{Sinking, in_order, outgoing, stored};
use support::{block_on, broker, fresh, own, plain, shared, topic};

const KEYS: u64 = 500;

fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

#[test]
fn s8_twenty_thousand_of_five_hundred_keys() {
    let Some(server) = shared("s8_twenty_thousand_of_five_hundred_keys") else {
        return;
    };
    block_on(async {
        const MESSAGES: u64 = 20_000;
        let name = fresh("many");
        let broker = broker(&server).await;
        topic(&broker, &name, 5).await;
        let mut sink = Sinking::begin(&broker).await;
        for number in 1..=MESSAGES {
            sink.send(outgoing(&name, &key(number), number));
        }
        let results = sink.results(MESSAGES as usize).await;
        let places = in_order(&broker.audit(name.as_str().into()).await.unwrap());
        assert_eq!(places.len(), results.len());
        for (number, receipt) in &results {
            let (partition, position) = stored(receipt).unwrap();
            assert_eq!(places[number], (partition, position));
            let expected = Partitioner::Murmur2Random.of_key(key(*number).as_bytes(), 5);
            assert_eq!(partition, expected);
        }
        sink.close().await;
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

#[test]
fn what_is_written_is_what_was_given() {
    let Some(server) = shared("what_is_written_is_what_was_given") else {
        return;
    };
    block_on(async {
        let name = fresh("given");
        let broker = broker(&server).await;
        topic(&broker, &name, 3).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut given = outgoing(&name, "k", 1);
        given.headers = [("a", &b"1"[..]), ("A", b""), ("a", b"\xff\0\n")]
            .into_iter()
            .collect();
        given.payload = Bytes::new();
        let (partition, position) = sink.store(given.clone()).await;
        // Without a key the id chooses, and there is none in the log; a fixed partition is kept.
        let mut keyless = outgoing(&name, "k", 77);
        keyless.key = None;
        let of_id = Partitioner::default().of_key(b"77", 3);
        assert_eq!(sink.store(keyless).await.0, of_id);
        let mut fixed = outgoing(&name, "k", 78);
        fixed.partition = Some((partition + 1) % 3);
        assert_eq!(sink.store(fixed).await.0, (partition + 1) % 3);
        let log = broker.audit(name.as_str().into()).await.unwrap();
        let (_, record) = log
            .iter()
            .find(|(p, r)| (*p, r.position.0) == (partition, position))
            .unwrap();
        assert_eq!(record.key, given.key);
        assert_eq!(record.payload, given.payload);
        let fields = |headers: &procession_runtime::port::Headers| -> Vec<(String, Vec<u8>)> {
            headers.iter().map(|(n, v)| (n.into(), v.into())).collect()
        };
        assert_eq!(fields(&record.headers), fields(&given.headers));
        assert_eq!(log.iter().filter(|(_, r)| r.key.is_none()).count(), 1);
        sink.close().await;
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

/// Sends in bursts while `disturb` does something to the broker, and looks at what is in the log.
fn disturbed(test: &str, disturb: impl FnOnce(&mut RunningKafka) + Send + 'static) {
    const BURSTS: u64 = 200;
    const BURST: u64 = 100;
    let Some(mut server) = own(test) else {
        return;
    };
    block_on(async {
        let broker = broker(&server).await;
        topic(&broker, "t", 3).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut disturb = Some(move || {
            disturb(&mut server);
            server
        });
        let mut disturbing = None;
        for burst in 0..BURSTS {
            for number in burst * BURST + 1..=(burst + 1) * BURST {
                sink.send(outgoing("t", &key(number), number));
            }
            if burst == BURSTS / 4 {
                // Some of these are on their way.
                disturbing = disturb.take().map(std::thread::spawn);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let results = sink.results((BURSTS * BURST) as usize).await;
        let _server = disturbing.unwrap().join().unwrap();
        let places = in_order(&broker.audit("t".into()).await.unwrap());
        for (number, receipt) in &results {
            let place = stored(receipt).unwrap_or_else(|| panic!("{number}: {receipt:?}"));
            assert_eq!(places.get(number), Some(&place));
        }
        assert_eq!(places.len(), results.len());
        sink.close().await;
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

#[test]
fn s8_a_broker_that_restarts() {
    disturbed("s8_a_broker_that_restarts", |server| {
        server.stop();
        server.restart().unwrap();
    });
}

#[test]
fn s8_a_broker_that_is_killed() {
    disturbed("s8_a_broker_that_is_killed", |server| {
        server.kill();
        server.restart().unwrap();
    });
}

#[test]
fn s8_a_broker_that_stands_still() {
    disturbed("s8_a_broker_that_stands_still", |server| {
        server.pause();
        std::thread::sleep(Duration::from_secs(4));
        server.resume();
    });
}

#[test]
fn s8_after_a_new_connection_nothing_of_the_old_one_lands() {
    let Some(server) = own("s8_after_a_new_connection_nothing_of_the_old_one_lands") else {
        return;
    };
    block_on(async {
        let broker = broker(&server).await;
        topic(&broker, "t", 2).await;
        let mut sink = Sinking::begin(&broker).await;
        sink.store(outgoing("t", &key(0), 0)).await;
        server.pause();
        for number in 1..=1_000 {
            sink.send(outgoing("t", &key(number), number));
        }
        // On their way: the broker's machine has them, the broker has not.
        tokio::time::sleep(Duration::from_millis(100)).await;
        sink.sink.reconnect();
        assert!(matches!(sink.next().await, SinkEvent::Disconnected));
        let results = sink.results(1_000).await;
        for (number, receipt) in results {
            assert!(
                matches!(receipt, SinkReceipt::Unknown(_)),
                "S10: {number}: {receipt:?}"
            );
        }
        let early = sink.next_within(Duration::from_secs(2)).await;
        assert!(early.is_none(), "the broker is silent: {early:?}");
        server.resume();
        assert!(matches!(sink.next().await, SinkEvent::Connected));
        let there = in_order(&broker.audit("t".into()).await.unwrap());
        tokio::time::sleep(Duration::from_secs(2)).await;
        let later = in_order(&broker.audit("t".into()).await.unwrap());
        assert_eq!(there, later, "it landed after all");
        assert!(1 < there.len(), "the broker did get some of it late");
        sink.store(outgoing("t", &key(1), 10_001)).await;
        sink.close().await;
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

#[test]
fn what_cannot_be_stored_is_refused_once_and_says_why() {
    let Some(server) = shared("what_cannot_be_stored_is_refused") else {
        return;
    };
    block_on(async {
        let (name, small) = (fresh("refused"), fresh("small"));
        let broker = broker(&server).await;
        topic(&broker, &name, 1).await;
        create(&server, &small, 2_000).await;
        topic(&broker, &small, 1).await;
        let mut sink = Sinking::begin(&broker).await;
        let sized = |topic: &str, number, bytes| {
            let mut message = outgoing(topic, "k", number);
            message.payload = Bytes::from(vec![0; bytes]);
            message
        };
        let mut outside = outgoing(&name, "k", 2);
        outside.partition = Some(1);
        let missing = fresh("nobody");
        let cases = [
            // By the client, and by the broker, which knows the topic's own limit.
            (
                sized(&name, 1, broker.info().message_bytes_max),
                PortErrorKind::TooLarge,
                "too large",
            ),
            (sized(&small, 1, 3_000), PortErrorKind::TooLarge, &*small),
            (
                outgoing(&missing, "k", 4),
                PortErrorKind::Missing,
                &*missing,
            ),
            (outside, PortErrorKind::Invalid, "partition 1"),
        ];
        for (message, kind, says) in cases {
            let sent = sink.send(message);
            let (ticket, receipt) = sink.result().await;
            assert_eq!(ticket, sent);
            let SinkReceipt::NotStored(error) = receipt else {
                panic!("{receipt:?}");
            };
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains(says), "{error}");
        }
        // Others are not affected, in the same partition neither.
        assert_eq!(sink.store(outgoing(&small, "k", 5)).await, (0, 0));
        assert_eq!(sink.store(outgoing(&name, "k", 6)).await, (0, 0));
        sink.close().await;
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

#[test]
fn topics_made_by_others_are_looked_up() {
    let Some(server) = shared("topics_made_by_others_are_looked_up") else {
        return;
    };
    block_on(async {
        let name = fresh("others");
        let broker = broker(&server).await;
        let mut sink = Sinking::begin(&broker).await;
        sink.send(outgoing(&name, "k", 1));
        let (_, receipt) = sink.result().await;
        assert!(matches!(receipt, SinkReceipt::NotStored(_)), "{receipt:?}");
        let maker = support::broker(&server).await;
        topic(&maker, &name, 5).await;
        // This broker was never told of the topic: its sink asks, and keeps the order meanwhile.
        for number in 1..=100 {
            sink.send(outgoing(&name, "k", number));
        }
        let of_key = Partitioner::default().of_key(b"k", 5);
        let results = sink.results(100).await;
        for (receipt, position) in results.values().zip(0..) {
            assert_eq!(stored(receipt), Some((of_key, position)), "{receipt:?}");
        }
        sink.close().await;
        maker.close(Span::from_secs(5)).await.unwrap();
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

/// Makes a topic with one partition and a limit of its own for messages.
async fn create(server: &RunningKafka, name: &str, max_message_bytes: u32) {
    let admin: AdminClient<DefaultClientContext> = plain(server).create().unwrap();
    let limit = max_message_bytes.to_string();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", &limit);
    let made = admin.create_topics([&topic], &AdminOptions::new()).await;
    assert!(made.unwrap().iter().all(Result::is_ok));
}

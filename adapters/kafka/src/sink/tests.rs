//! The sender against librdkafka's mock cluster: a mock, not a broker. It answers as it is told to;
//! what a real broker does is seen in the tests with one.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one thing and fails at everything else"
)]

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use procession_runtime::port::{Headers, Outgoing, PortErrorKind, SinkReceipt};
use rdkafka::ClientConfig;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Respond};

use super::{Known, Report, Sender};
use crate::partitioner::Partitioner;

const WITHIN: Duration = Duration::from_secs(20);

struct Rig {
    mock: MockCluster<'static, DefaultProducerContext>,
    sender: Sender<u64>,
    receipts: BTreeMap<u64, SinkReceipt>,
    /// Everything but receipts, and how many of those came before it.
    turns: Vec<(Report<u64>, usize)>,
}

impl Rig {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(settings: &[(&str, &str)]) -> Self {
        let mock = MockCluster::new(1).expect("a mock cluster");
        mock.create_topic("t", 3, 1).expect("a topic");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", mock.bootstrap_servers());
        for (name, value) in settings {
            config.set(*name, *value);
        }
        // The mock has no controller, which is what librdkafka asks about topics.
        let known = Known::default();
        known.insert("t".into(), 3);
        let sender = Sender::new(&config, Partitioner::default(), known);
        Self {
            mock,
            sender: sender.expect("a sender"),
            receipts: BTreeMap::new(),
            turns: Vec::new(),
        }
    }

    fn refuse(&self, errors: &[Respond]) {
        self.mock.request_errors(RDKafkaApiKey::Produce, errors);
    }

    fn send(&mut self, tags: core::ops::Range<u64>) {
        for tag in tags {
            self.sender.send(tag, outgoing("t", "k", tag).into());
        }
    }

    fn poll(&mut self, within: Duration) {
        let mut reports = Vec::new();
        self.sender.poll(within, &mut reports);
        self.book(reports);
    }

    fn book(&mut self, reports: Vec<Report<u64>>) {
        for report in reports {
            match report {
                Report::Receipt(tag, receipt) => {
                    let before = self.receipts.insert(tag, receipt);
                    assert_eq!(before, None, "two receipts for {tag} (S10)");
                }
                turn => self.turns.push((turn, self.receipts.len())),
            }
        }
    }

    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let until = Instant::now() + WITHIN;
        while !done(self) {
            assert!(
                Instant::now() < until,
                "{} receipts, {:?}",
                self.receipts.len(),
                self.turns
            );
            self.poll(Duration::from_millis(100));
        }
    }

    /// Sends one and waits for its receipt.
    fn one(&mut self, tag: u64, message: Outgoing) -> SinkReceipt {
        self.sender.send(tag, message.into());
        self.until(|rig| rig.receipts.contains_key(&tag));
        self.receipts[&tag].clone()
    }

    fn end(mut self) -> BTreeMap<u64, SinkReceipt> {
        let mut reports = Vec::new();
        self.sender.end(&mut reports);
        for report in reports {
            if let Report::Receipt(tag, receipt) = report {
                let before = self.receipts.insert(tag, receipt);
                assert_eq!(before, None, "two receipts for {tag} (S10)");
            }
        }
        self.receipts
    }
}

fn outgoing(topic: &str, key: &str, tag: u64) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        id: tag.to_string().into(),
        identity: tag.into(),
        copy: 0,
        headers: [("ce_id", &b"1"[..]), ("empty", b"")]
            .into_iter()
            .collect::<Headers>(),
        payload: Bytes::from(format!("payload of {tag}")),
        partition: None,
        expect: None,
    }
}

fn position(receipt: &SinkReceipt) -> Option<u64> {
    match receipt {
        SinkReceipt::Stored {
            position,
            duplicate: false,
            ..
        } => Some(position.0),
        _ => None,
    }
}

#[test]
fn a_key_is_pipelined_in_order() {
    let mut rig = Rig::new();
    rig.send(0..2_000);
    rig.until(|rig| rig.receipts.len() == 2_000);
    for (tag, receipt) in &rig.receipts {
        assert_eq!(position(receipt), Some(*tag), "{receipt:?}");
    }
    assert_eq!((rig.sender.outstanding(), rig.turns.len()), (0, 0));
}

/// `stored`, `retry`, ... and the kind of error.
fn class(receipt: &SinkReceipt) -> (&'static str, Option<PortErrorKind>) {
    match receipt {
        SinkReceipt::Stored { .. } => ("stored", None),
        SinkReceipt::NotStored(error) => ("not stored", Some(error.kind)),
        SinkReceipt::Conflict(error) => ("conflict", Some(error.kind)),
        SinkReceipt::Retry(error) => ("retry", Some(error.kind)),
        SinkReceipt::Apart(error) => ("apart", Some(error.kind)),
        SinkReceipt::Unknown(error) => ("unknown", Some(error.kind)),
    }
}

#[test]
fn what_the_broker_refuses_for_good_is_refused_and_the_next_one_is_stored() {
    for (error, expected) in [
        (
            Respond::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            ("not stored", Some(PortErrorKind::TooLarge)),
        ),
        (
            Respond::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            ("not stored", Some(PortErrorKind::Denied)),
        ),
        (
            Respond::RD_KAFKA_RESP_ERR_INVALID_RECORD,
            ("not stored", Some(PortErrorKind::Refused)),
        ),
        // S10: a broker also says this of what failed after the append.
        (
            Respond::RD_KAFKA_RESP_ERR_UNKNOWN,
            ("unknown", Some(PortErrorKind::Refused)),
        ),
    ] {
        let mut rig = Rig::new();
        rig.refuse(&[error]);
        let receipt = rig.one(1, outgoing("t", "k", 1));
        assert_eq!(class(&receipt), expected, "{receipt:?}");
        // A topic that was denied stays so until the client has looked again.
        let mut tag = 1;
        rig.until(|rig| rig.turns.is_empty());
        let stored = loop {
            tag += 1;
            let receipt = rig.one(tag, outgoing("t", "k", tag));
            match class(&receipt) {
                ("not stored", Some(PortErrorKind::Denied)) if tag < 100 => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                _ => break receipt,
            }
        };
        assert_eq!(position(&stored), Some(0), "{error:?}: {stored:?}");
        assert!(rig.turns.is_empty(), "{error:?}: the producer lives on");
    }
}

#[test]
fn what_passes_is_not_told() {
    for error in [
        Respond::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        // P5: it may be in the log; only the repetition tells.
        Respond::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        Respond::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Respond::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Respond::RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID,
    ] {
        let mut rig = Rig::new();
        rig.refuse(&[error; 3]);
        rig.send(0..200);
        rig.until(|rig| rig.receipts.len() == 200);
        for (tag, receipt) in &rig.receipts {
            assert_eq!(position(receipt), Some(*tag), "{error:?}: {receipt:?}");
        }
        assert!(rig.turns.is_empty(), "{error:?}: {:?}", rig.turns);
    }
}

#[test]
fn s8_a_producer_that_cannot_go_on_is_replaced_when_nothing_of_it_can_land() {
    let mut rig = Rig::new();
    assert_eq!(position(&rig.one(0, outgoing("t", "k", 0))), Some(0));
    rig.refuse(&[Respond::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
    // One alone: the mock does not look at sequence numbers and would store a batch behind the
    // refused one, which a broker refuses.
    rig.send(1..2);
    rig.until(|rig| !rig.turns.is_empty());
    assert_eq!(rig.turns[0].0, Report::Lost);
    // Nothing is taken meanwhile.
    let receipt = rig.one(2, outgoing("t", "k", 2));
    assert_eq!(
        class(&receipt),
        ("retry", Some(PortErrorKind::Disconnected))
    );
    rig.until(|rig| rig.turns.len() == 2);
    let everything_is_answered_before = (Report::Restored, 3);
    assert_eq!(rig.turns[1], everything_is_answered_before);
    let receipt = &rig.receipts[&1];
    assert_eq!(class(receipt).0, "unknown", "{receipt:?}");
    // The new one works.
    assert_eq!(position(&rig.one(3, outgoing("t", "k", 3))), Some(1));
    assert_eq!(rig.turns.len(), 2);
}

#[test]
fn answers_that_are_on_their_way_are_waited_for() {
    let mut rig = Rig::new();
    assert_eq!(position(&rig.one(0, outgoing("t", "k", 0))), Some(0));
    let slow = Duration::from_millis(200);
    rig.mock.broker_round_trip_time(1, slow).unwrap();
    rig.send(1..101);
    // One request is on its way, the rest is queued.
    std::thread::sleep(Duration::from_millis(100));
    rig.sender.renew("a test");
    rig.until(|rig| rig.turns.len() == 2);
    let stored = (1..101).filter(|tag| position(&rig.receipts[tag]) == Some(*tag));
    let stored = stored.count() as u64;
    assert!(
        0 < stored,
        "the request that was on its way was not waited for"
    );
    // The queued ones are given up, in order behind it; nobody vouches for them (S10).
    for tag in stored + 1..101 {
        assert_eq!(class(&rig.receipts[&tag]).0, "unknown", "{tag}");
    }
    assert_eq!(rig.turns, [(Report::Lost, 1), (Report::Restored, 101)]);
}

#[test]
fn s8_without_answers_the_new_producer_waits_until_the_leader_speaks() {
    let mut rig = Rig::new();
    assert_eq!(position(&rig.one(0, outgoing("t", "k", 0))), Some(0));
    rig.mock
        .broker_round_trip_time(1, Duration::from_secs(60))
        .unwrap();
    rig.send(1..101);
    std::thread::sleep(Duration::from_millis(100));
    rig.sender.renew("a test");
    rig.until(|rig| rig.receipts.len() == 101);
    for tag in 1..101 {
        assert_eq!(class(&rig.receipts[&tag]).0, "unknown");
    }
    let quiet = Instant::now() + Duration::from_secs(3);
    while Instant::now() < quiet {
        rig.poll(Duration::from_millis(100));
    }
    assert_eq!(rig.turns, [(Report::Lost, 1)], "the broker is silent");
    rig.mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    rig.until(|rig| rig.turns.len() == 2);
    assert_eq!(rig.turns[1], (Report::Restored, 101));
    assert!(position(&rig.one(101, outgoing("t", "k", 101))).is_some());
}

#[test]
fn the_end_answers_everything_and_does_not_hang() {
    let mut rig = Rig::new();
    assert_eq!(position(&rig.one(0, outgoing("t", "k", 0))), Some(0));
    rig.mock
        .broker_round_trip_time(1, Duration::from_secs(60))
        .unwrap();
    rig.send(1..101);
    std::thread::sleep(Duration::from_millis(100));
    rig.send(101..201);
    let begin = Instant::now();
    let receipts = rig.end();
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(receipts.len(), 201);
    for tag in 1..201 {
        assert_eq!(class(&receipts[&tag]).0, "unknown", "S10: {tag}");
    }
}

#[test]
fn a_message_that_cannot_be_sent_is_refused_at_once() {
    let mut rig = Rig::with(&[("message.max.bytes", "2000")]);
    let mut large = outgoing("t", "k", 1);
    large.payload = Bytes::from(vec![0; 2_100]);
    let receipt = rig.one(1, large);
    assert_eq!(
        class(&receipt),
        ("not stored", Some(PortErrorKind::TooLarge))
    );
    let mut outside = outgoing("t", "k", 2);
    outside.partition = Some(3);
    let receipt = rig.one(2, outside);
    assert_eq!(
        class(&receipt),
        ("not stored", Some(PortErrorKind::Invalid))
    );
    assert_eq!(position(&rig.one(3, outgoing("t", "k", 3))), Some(0));
}

#[test]
fn an_alarm_ends_the_sleep_wherever_it_is() {
    let mut rig = Rig::new();
    let begin = Instant::now();
    for renewing in [false, true] {
        if renewing {
            rig.mock
                .broker_round_trip_time(1, Duration::from_secs(60))
                .unwrap();
            rig.send(0..1);
            std::thread::sleep(Duration::from_millis(100));
            rig.sender.renew("a test");
            rig.until(|rig| rig.receipts.len() == 1);
        }
        let alarm = rig.sender.alarm();
        let (rung, ring) = std::sync::mpsc::channel();
        let ringer = std::thread::spawn(move || {
            while ring.recv().is_ok() {
                std::thread::sleep(Duration::from_millis(30));
                alarm.ring();
            }
        });
        for _ in 0..10 {
            rung.send(()).unwrap();
            let before = Instant::now();
            // What rang before the sleep, or something to report, may end it once more. The alarm's 30 ms may
            // have begun a little before: who waits for all of them sleeps once too often.
            while before.elapsed() < Duration::from_millis(15) {
                rig.poll(Duration::from_secs(10));
            }
        }
        drop(rung);
        ringer.join().unwrap();
    }
    assert!(
        begin.elapsed() < Duration::from_secs(9),
        "{:?}",
        begin.elapsed()
    );
}

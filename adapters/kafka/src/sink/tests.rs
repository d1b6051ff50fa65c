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
use procession_runtime::port::{Headers, Outgoing, SinkReceipt};
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
            self.sender.send(tag, outgoing("t", "k", tag));
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
                "{:?} {:?}",
                self.receipts,
                self.turns
            );
            self.poll(Duration::from_millis(100));
        }
    }

    /// Sends one and waits for its receipt.
    fn one(&mut self, tag: u64, message: Outgoing) -> SinkReceipt {
        self.sender.send(tag, message);
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

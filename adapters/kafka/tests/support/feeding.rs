//! Drives a feed by hand, as the bus would.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use procession_core::{
    Anchor, CommitResult, Continuity, Epoch, PartitionId, Position, Session, Span, Start,
};
use procession_kafka::KafkaBroker;
use procession_runtime::port::{
    Broker as _, Feed, FeedCommand, FeedEvent, FeedSpec, LeaseSpec, ProgressWrite, Record,
    ResumeState, StartAt,
};

/// Longest wait for an event.
const WITHIN: Duration = Duration::from_secs(20);

pub fn feed_spec(topic: &str, group: &str) -> FeedSpec {
    FeedSpec {
        topic: topic.into(),
        group: group.into(),
        member: "tester".into(),
        start: StartAt::Earliest,
        lease: LeaseSpec {
            lease: Span::from_secs(15),
            margin: Span::from_secs(2),
        },
        message_bytes_max: 1 << 20,
    }
}

/// A feed, its events one by one.
pub struct Feeding {
    pub feed: Box<dyn Feed>,
    events: VecDeque<FeedEvent>,
    /// What was assigned last.
    pub epochs: BTreeMap<u32, Epoch>,
}

impl Feeding {
    pub async fn begin(broker: &KafkaBroker, topic: &str, group: &str) -> Self {
        Self::begin_as(broker, feed_spec(topic, group)).await
    }

    pub async fn begin_as(broker: &KafkaBroker, spec: FeedSpec) -> Self {
        Self {
            feed: broker.feed(spec).await.expect("a feed"),
            events: VecDeque::new(),
            epochs: BTreeMap::new(),
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> FeedEvent {
        if self.events.is_empty() {
            let mut batch = Vec::new();
            tokio::time::timeout(WITHIN, poll_fn(|cx| self.feed.poll_events(cx, &mut batch)))
                .await
                .expect("an event within 20 s");
            self.events.extend(batch);
        }
        let event = self
            .events
            .pop_front()
            .expect("ready means that there is something");
        if let FeedEvent::Assigned {
            partition, epoch, ..
        } = &event
        {
            self.epochs.insert(partition.0, *epoch);
        }
        event
    }

    /// The next event that `pick` wants; others are dropped.
    pub async fn find<T>(&mut self, mut pick: impl FnMut(FeedEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(found) = pick(self.next().await) {
                    return found;
                }
            }
        };
        tokio::time::timeout(WITHIN, search)
            .await
            .expect("the event within 20 s")
    }

    /// Waits until `count` partitions are assigned, and says where they stand.
    pub async fn assigned(&mut self, count: usize) -> BTreeMap<u32, ResumeState> {
        let mut all = BTreeMap::new();
        while all.len() < count {
            let (partition, resume) = self
                .find(|event| match event {
                    FeedEvent::Assigned {
                        partition, resume, ..
                    } => Some((partition.0, resume)),
                    FeedEvent::Failed(error) => panic!("failed: {error}"),
                    _ => None,
                })
                .await;
            all.insert(partition, resume);
        }
        all
    }

    /// Starts a session and grants it much.
    pub fn start(&mut self, partition: u32, session: u64, at: u64, expect: Option<Anchor>) {
        self.feed.submit(FeedCommand::Start(Start {
            partition: PartitionId(partition),
            epoch: self.epochs[&partition],
            session: Session(session),
            at: Position(at),
            expect,
        }));
        self.grant(partition, session, 1_000_000, 1 << 30);
    }

    pub fn grant(&mut self, partition: u32, session: u64, messages: u64, bytes: u64) {
        self.feed.submit(FeedCommand::Grant {
            partition: PartitionId(partition),
            session: Session(session),
            messages,
            bytes,
        });
    }

    /// How session `number` began.
    pub async fn session(&mut self, number: u64) -> Continuity {
        self.find(|event| match event {
            FeedEvent::Session {
                session: Session(n),
                continuity,
                ..
            } if n == number => Some(continuity),
            FeedEvent::Broken {
                session: Session(n),
                why,
                ..
            } if n == number => panic!("session {n} is broken: {why:?}"),
            _ => None,
        })
        .await
    }

    /// The next `count` records of a session.
    pub async fn records(&mut self, number: u64, count: usize) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        while all.len() < count {
            let more = self
                .find(|event| match event {
                    FeedEvent::Records {
                        session: Session(n),
                        records,
                        ..
                    } => {
                        assert_eq!(n, number, "records of another session");
                        Some(records)
                    }
                    FeedEvent::Broken { why, .. } => panic!("broken: {why:?}"),
                    _ => None,
                })
                .await;
            all.extend(more);
        }
        assert_eq!(all.len(), count, "more than was expected");
        all
    }

    /// Up to which position nothing is to come any more.
    pub async fn advanced(&mut self) -> Position {
        self.find(|event| match event {
            FeedEvent::Advance { position, .. } => Some(position),
            _ => None,
        })
        .await
    }

    /// For so long no record comes.
    pub async fn quiet(&mut self, long: Duration) {
        let until = tokio::time::Instant::now() + long;
        while let Ok(event) = tokio::time::timeout_at(until, self.next()).await {
            assert!(!matches!(event, FeedEvent::Records { .. }), "{event:?}");
        }
    }

    /// Writes progress, and says how it ended.
    pub async fn commit(
        &mut self,
        partition: u32,
        write: u64,
        frontier: u64,
        anchor: Option<Anchor>,
        map: &[u8],
    ) -> CommitResult {
        let number = write;
        self.feed.submit(FeedCommand::Commit(ProgressWrite {
            partition: PartitionId(partition),
            epoch: self.epochs[&partition],
            write,
            frontier: Position(frontier),
            anchor,
            map: Bytes::copy_from_slice(map),
            last: false,
        }));
        self.find(|event| match event {
            FeedEvent::Committed {
                partition: PartitionId(p),
                write,
                result,
                ..
            } if p == partition && write == number => Some(result),
            _ => None,
        })
        .await
    }

    pub fn release(&mut self, partition: u32) {
        self.feed.submit(FeedCommand::Release {
            partition: PartitionId(partition),
            epoch: self.epochs[&partition],
        });
    }

    /// Ends the feed and waits for its end.
    pub async fn close(mut self) {
        self.feed.submit(FeedCommand::Close);
        self.find(|event| matches!(event, FeedEvent::Closed).then_some(()))
            .await;
    }
}

pub fn anchor(record: &Record) -> Anchor {
    Anchor {
        position: record.position,
        stamp: record.stamp,
    }
}

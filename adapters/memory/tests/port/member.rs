//! Brokers, publishers and members of groups, as tests use them.

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use bytes::Bytes;
use procession_core::{Anchor, Epoch, PartitionId, Position, Session, Span, Start};
use procession_memory::{MemoryBroker, Settings};
use procession_runtime::port::{
    Broker, Feed, FeedCommand, FeedEvent, FeedSpec, Headers, LeaseSpec, Outgoing, PortError,
    ProgressWrite, Record, ResumeState, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket,
    StartAt, Storage, TopicMode, TopicSpec,
};

use crate::shell::Hand;

pub(crate) const LEASE: Span = Span::from_secs(15);

pub(crate) fn broker(settings: Settings) -> (MemoryBroker<Hand>, Hand) {
    let hand = Hand::new();
    let broker = MemoryBroker::connect_with("memory://", hand.clone(), settings).unwrap();
    (broker, hand)
}

/// The result of a future that is ready at once.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the in-process broker made its caller wait"),
    }
}

pub(crate) fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions: Some(partitions),
        storage: Storage::Memory,
        mode: TopicMode::Create,
        duplicate_window: Span::from_secs(120),
        layout: None,
        batches: false,
    }
}

pub(crate) fn create(broker: &MemoryBroker<Hand>, name: &str, partitions: u32) {
    now(broker.topic(spec(name, partitions))).unwrap();
}

pub(crate) fn message(topic: &str, id: u64, bytes: usize) -> Outgoing {
    Outgoing {
        topic: topic.into(),
        key: Some(Bytes::from(format!("key-{id}"))),
        id: format!("id-{id}").into(),
        identity: u128::from(id) << 17,
        copy: 0,
        headers: Headers::from_iter([("name", b"value".as_slice())]),
        payload: Bytes::from(vec![7; bytes]),
        partition: Some(0),
        expect: None,
    }
}

pub(crate) struct Publisher {
    pub(crate) sink: Box<dyn Sink>,
    sent: u64,
}

impl Publisher {
    pub(crate) fn new(broker: &MemoryBroker<Hand>) -> Self {
        let sink = now(broker.sink()).unwrap();
        let mut publisher = Self { sink, sent: 0 };
        assert!(matches!(publisher.poll()[..], [SinkEvent::Connected]));
        publisher
    }

    pub(crate) fn send(&mut self, message: Outgoing) {
        self.sent += 1;
        let ticket = SinkTicket {
            token: self.sent,
            attempt: 1,
        };
        let message = message.into();
        self.sink.submit(SinkCommand::Send { ticket, message });
    }

    pub(crate) fn poll(&mut self) -> Vec<SinkEvent> {
        let mut events = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while self.sink.poll_events(&mut cx, &mut events).is_ready() {}
        events
    }

    /// Positions and duplicate marks of what was stored.
    pub(crate) fn stored(&mut self) -> Vec<(u64, bool)> {
        let events = self.poll().into_iter();
        let places = events.map(|event| match event {
            SinkEvent::Result {
                receipt:
                    SinkReceipt::Stored {
                        position,
                        duplicate,
                        ..
                    },
                ..
            } => (position.0, duplicate),
            other => panic!("not stored: {other:?}"),
        });
        places.collect()
    }
}

/// One member, and what it was told.
pub(crate) struct Member {
    pub(crate) feed: Box<dyn Feed>,
    session: u64,
    write: u64,
}

impl Member {
    pub(crate) fn try_new(
        broker: &MemoryBroker<Hand>,
        topic: &str,
        group: &str,
        member: &str,
    ) -> Result<Self, PortError> {
        let spec = FeedSpec {
            topic: topic.into(),
            group: group.into(),
            member: member.into(),
            start: StartAt::Earliest,
            lease: LeaseSpec {
                lease: LEASE,
                margin: Span::from_secs(1),
            },
            message_bytes_max: 1 << 20,
        };
        Ok(Self {
            feed: now(broker.feed(spec))?,
            session: 0,
            write: 0,
        })
    }

    pub(crate) fn new(broker: &MemoryBroker<Hand>, topic: &str, group: &str, name: &str) -> Self {
        Self::try_new(broker, topic, group, name).unwrap()
    }

    pub(crate) fn poll(&mut self) -> Vec<FeedEvent> {
        let mut events = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while self.feed.poll_events(&mut cx, &mut events).is_ready() {
            if matches!(events.last(), Some(FeedEvent::Closed)) {
                break;
            }
        }
        events
    }

    /// Lets time pass in small steps until this member owns partition 0.
    pub(crate) fn own(&mut self, hand: &Hand) -> (Epoch, ResumeState) {
        for _ in 0..1_000 {
            for event in self.poll() {
                if let FeedEvent::Assigned {
                    partition: PartitionId(0),
                    epoch,
                    resume,
                    until,
                } = event
                {
                    assert!(until.is_some(), "a lease has an end");
                    self.write = 0;
                    return (epoch, resume);
                }
            }
            hand.pass(Span::from_millis(100));
        }
        panic!("nothing was assigned in 100 seconds");
    }

    /// Starts a session of partition 0 and lets it deliver everything.
    pub(crate) fn start(&mut self, epoch: Epoch, at: u64, expect: Option<(u64, u64)>) -> Session {
        self.session += 1;
        let session = Session(self.session);
        self.feed.submit(FeedCommand::Start(Start {
            partition: PartitionId(0),
            epoch,
            session,
            at: Position(at),
            expect: expect.map(anchor),
        }));
        session
    }

    pub(crate) fn grant(&mut self, session: Session, messages: u64, bytes: u64) {
        self.feed.submit(FeedCommand::Grant {
            partition: PartitionId(0),
            session,
            messages,
            bytes,
        });
    }

    pub(crate) fn commit(&mut self, epoch: Epoch, frontier: u64, last: bool) {
        self.write += 1;
        self.feed.submit(FeedCommand::Commit(ProgressWrite {
            partition: PartitionId(0),
            epoch,
            write: self.write,
            frontier: Position(frontier),
            anchor: None,
            map: Bytes::new(),
            last,
        }));
    }
}

pub(crate) const fn anchor((position, stamp): (u64, u64)) -> Anchor {
    Anchor {
        position: Position(position),
        stamp: procession_core::Stamp(stamp),
    }
}

/// All records in `events`.
pub(crate) fn records(events: Vec<FeedEvent>) -> Vec<Record> {
    let batches = events.into_iter().filter_map(|event| match event {
        FeedEvent::Records { records, .. } => Some(records),
        _ => None,
    });
    batches.flatten().collect()
}

/// Their positions.
pub(crate) fn positions(events: Vec<FeedEvent>) -> Vec<u64> {
    records(events)
        .iter()
        .map(|record| record.position.0)
        .collect()
}

pub(crate) fn name(text: &str) -> Arc<str> {
    text.into()
}

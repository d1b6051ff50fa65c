//! Drives a feed and a sink by hand, as the bus would.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use procession_core::{
    Anchor, Continuity, Epoch, PartitionId, Position, Session, Span, Start, Token,
};
use procession_nats::NatsBroker;
use procession_runtime::port::{
    BreakReason, Broker as _, Feed, FeedCommand, FeedEvent, FeedSpec, LeaseSpec, Outgoing, Record,
    Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket, StartAt,
};

/// Longest wait for an event.
const WITHIN: Duration = Duration::from_secs(10);

pub fn feed_spec(topic: &str, group: &str, member: &str) -> FeedSpec {
    FeedSpec {
        topic: topic.into(),
        group: group.into(),
        member: member.into(),
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
}

impl Feeding {
    pub async fn begin(broker: &NatsBroker, topic: &str, group: &str) -> Self {
        Self::begin_as(broker, feed_spec(topic, group, "tester")).await
    }

    pub async fn begin_as(broker: &NatsBroker, spec: FeedSpec) -> Self {
        Self {
            feed: broker.feed(spec).await.expect("a feed"),
            events: VecDeque::new(),
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> FeedEvent {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let mut batch = Vec::new();
        tokio::time::timeout(WITHIN, poll_fn(|cx| self.feed.poll_events(cx, &mut batch)))
            .await
            .expect("an event within 10 s");
        self.events.extend(batch);
        self.events
            .pop_front()
            .expect("ready means that there is something")
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
            .expect("the event within 10 s")
    }

    /// Starts a session and grants it much.
    pub fn start(&mut self, partition: u32, session: u64, at: u64, expect: Option<Anchor>) {
        self.feed.submit(FeedCommand::Start(Start {
            partition: PartitionId(partition),
            epoch: Epoch(1),
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

    /// Why session `number` ended.
    pub async fn broken(&mut self, number: u64) -> BreakReason {
        self.find(|event| match event {
            FeedEvent::Broken {
                session: Session(n),
                why,
                ..
            } if n == number => Some(why),
            _ => None,
        })
        .await
    }

    /// For so long no record comes and no session ends.
    pub async fn quiet(&mut self, long: Duration) {
        let until = tokio::time::Instant::now() + long;
        while let Ok(event) = tokio::time::timeout_at(until, self.next()).await {
            assert!(
                !matches!(event, FeedEvent::Records { .. } | FeedEvent::Broken { .. }),
                "{event:?}"
            );
        }
    }

    /// The next `count` records of session `number`; their deliveries are numbered without holes.
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
                    FeedEvent::Broken {
                        session: Session(n),
                        why,
                        ..
                    } if n == number => panic!("session {n} is broken: {why:?}"),
                    _ => None,
                })
                .await;
            all.extend(more);
        }
        assert_eq!(all.len(), count, "more than was expected");
        all
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

/// A sink, its results one by one.
pub struct Sinking {
    pub sink: Box<dyn Sink>,
    events: VecDeque<SinkEvent>,
    tickets: u64,
}

impl Sinking {
    pub async fn begin(broker: &NatsBroker) -> Self {
        let mut this = Self {
            sink: broker.sink().await.expect("a sink"),
            events: VecDeque::new(),
            tickets: 0,
        };
        assert!(matches!(this.next().await, SinkEvent::Connected));
        this
    }

    pub async fn next(&mut self) -> SinkEvent {
        if let Some(event) = self.events.pop_front() {
            return event;
        }
        let mut batch = Vec::new();
        tokio::time::timeout(WITHIN, poll_fn(|cx| self.sink.poll_events(cx, &mut batch)))
            .await
            .expect("an event within 10 s");
        self.events.extend(batch);
        self.events
            .pop_front()
            .expect("ready means that there is something")
    }

    /// Sends; the ticket.
    pub fn send(&mut self, message: Outgoing) -> u64 {
        self.tickets += 1;
        let ticket = SinkTicket {
            token: self.tickets,
            attempt: 1,
        };
        let message = message.into();
        self.sink.submit(SinkCommand::Send { ticket, message });
        self.tickets
    }

    /// The next result.
    pub async fn result(&mut self) -> (u64, SinkReceipt) {
        loop {
            if let SinkEvent::Result { ticket, receipt } = self.next().await {
                return (ticket.token, receipt);
            }
        }
    }

    /// Sends, and waits until it is stored: partition and position.
    pub async fn store(&mut self, message: Outgoing) -> (u32, u64) {
        let sent = self.send(message);
        match self.result().await {
            (
                ticket,
                SinkReceipt::Stored {
                    partition,
                    position,
                    ..
                },
            ) if ticket == sent => (partition, position.0),
            other => panic!("not stored: {other:?}"),
        }
    }

    pub async fn close(mut self) {
        self.sink.submit(SinkCommand::Close);
        while !matches!(self.next().await, SinkEvent::Closed) {}
    }
}

/// A message of a numbered identity.
pub fn outgoing(topic: &str, key: &str, number: u128) -> Outgoing {
    let id: Arc<str> = number.to_string().into();
    Outgoing {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        identity: number,
        copy: 0,
        headers: [
            ("ce-id", id.as_bytes()),
            ("ce-partitionkey", key.as_bytes()),
            ("ce-type", b"Test"),
        ]
        .into_iter()
        .collect(),
        payload: Bytes::from(format!("payload of {number}")),
        partition: None,
        id,
        expect: None,
    }
}

/// Any token: the port only repeats it. The core makes them; a small consumer hands one out.
pub fn token() -> Token {
    use procession_core::{Arrival, Config, Consumer, Resume, Stamp, Time};
    let mut core = Consumer::new(&Config::default()).expect("the defaults are valid");
    let (partition, epoch, now) = (PartitionId(0), Epoch(1), Time::ZERO);
    let resume = Resume {
        log_start: Position(1),
        log_end: Position(1),
        ..Resume::default()
    };
    core.open(now, partition, epoch, &resume, None);
    let start = core.poll_session(now).expect("a session is wanted");
    core.session(now, partition, epoch, start.session, Continuity::Continues);
    let arrival = Arrival {
        partition,
        epoch,
        session: Session(start.session.0),
        delivery: Some(1),
        position: Position(1),
        stamp: Stamp(1),
        lane: 1,
        key: None,
        identity: 1,
        bytes: 1,
        expires: None,
        sequence: None,
        quarantine: None,
        message: (),
    };
    let _ = core.offer(now, arrival).expect("there is room");
    core.poll_dispatch(now).expect("it is ready").token
}

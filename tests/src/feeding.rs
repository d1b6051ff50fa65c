//! Drives a feed of any broker by hand, as the bus would.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use procession_core::{
    Anchor, CommitResult, Continuity, Epoch, PartitionId, Position, Session, Start,
};
use procession_runtime::port::{
    Broker, Feed, FeedCommand, FeedEvent, FeedSpec, PortErrorKind, ProgressWrite, Record,
    ResumeState,
};

/// Longest wait for an event.
const WITHIN: Duration = Duration::from_secs(20);
/// As much as no test delivers.
const MUCH: u64 = 1 << 20;

/// A feed of a topic of one partition, its events one by one.
pub struct Feeding {
    feed: Box<dyn Feed>,
    events: VecDeque<FeedEvent>,
    epoch: Epoch,
    session: u64,
    write: u64,
}

/// How a session began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begun {
    /// The feed has looked at the log.
    Found(Continuity),
    /// The place is not in the log any more: the partition is opened again.
    Lost,
}

impl Feeding {
    /// Begins to consume.
    ///
    /// # Panics
    /// When the broker refuses; so for all of these, and when something takes too long.
    pub async fn begin(broker: &dyn Broker, spec: FeedSpec) -> Self {
        let began = std::time::Instant::now();
        let feed = loop {
            match broker.feed(spec.clone()).await {
                Ok(feed) => break feed,
                // The server was away a moment ago.
                Err(error)
                    if error.kind == PortErrorKind::Disconnected && began.elapsed() < WITHIN =>
                {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("a feed: {error}"),
            }
        };
        Self {
            feed,
            events: VecDeque::new(),
            epoch: Epoch(0),
            session: 0,
            write: 0,
        }
    }

    /// Waits until the partition is assigned, and says where it stands.
    pub async fn assigned(&mut self) -> (Epoch, ResumeState) {
        let (epoch, resume) = self
            .find("an assignment", |event| match event {
                FeedEvent::Assigned { epoch, resume, .. } => Some((epoch, resume)),
                FeedEvent::Failed(error) => panic!("failed: {error}"),
                _ => None,
            })
            .await;
        (self.epoch, self.write) = (epoch, 0);
        (epoch, resume)
    }

    /// Starts a session with room for everything.
    pub async fn start(&mut self, at: Position, expect: Option<Anchor>) -> Begun {
        self.session += 1;
        let session = Session(self.session);
        self.feed.submit(FeedCommand::Start(Start {
            partition: PartitionId(0),
            epoch: self.epoch,
            session,
            at,
            expect,
        }));
        self.feed.submit(FeedCommand::Grant {
            partition: PartitionId(0),
            session,
            messages: MUCH,
            bytes: MUCH * 1_024,
        });
        self.find("the begin of a session", |event| match event {
            FeedEvent::Session {
                session: s,
                continuity,
                ..
            } if s == session => Some(Begun::Found(continuity)),
            FeedEvent::Lost { .. } => Some(Begun::Lost),
            _ => None,
        })
        .await
    }

    /// The records of the session, until nothing below `end` is still to come.
    pub async fn records(&mut self, end: Position) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        let mut next = Position(0);
        while next < end {
            let more = self
                .find("records", |event| match event {
                    FeedEvent::Records { records, .. } => Some(Ok(records)),
                    FeedEvent::Advance { position, .. } => Some(Err(position)),
                    _ => None,
                })
                .await;
            match more {
                Ok(records) => all.extend(records),
                Err(position) => next = next.max(position),
            }
            next = next.max(all.last().map_or(Position(0), |r| r.position.next()));
        }
        all
    }

    /// Writes progress, and says how it ended.
    pub async fn commit(
        &mut self,
        frontier: Position,
        anchor: Option<Anchor>,
        map: &[u8],
    ) -> CommitResult {
        self.write += 1;
        let number = self.write;
        self.feed.submit(FeedCommand::Commit(ProgressWrite {
            partition: PartitionId(0),
            epoch: self.epoch,
            write: number,
            frontier,
            anchor,
            map: Bytes::copy_from_slice(map),
            last: false,
        }));
        self.find("the answer to a commit", |event| match event {
            FeedEvent::Committed { write, result, .. } if write == number => Some(result),
            _ => None,
        })
        .await
    }

    /// Gives the partition up, with a last commit, and ends the feed.
    pub async fn close(mut self, frontier: Position, anchor: Option<Anchor>) {
        self.write += 1;
        let number = self.write;
        self.feed.submit(FeedCommand::Commit(ProgressWrite {
            partition: PartitionId(0),
            epoch: self.epoch,
            write: number,
            frontier,
            anchor,
            map: Bytes::new(),
            last: true,
        }));
        self.find("the answer to the last commit", |event| match event {
            FeedEvent::Committed { write, .. } if write == number => Some(()),
            _ => None,
        })
        .await;
        self.feed.submit(FeedCommand::Release {
            partition: PartitionId(0),
            epoch: self.epoch,
        });
        self.feed.submit(FeedCommand::Close);
        self.find("the end", |event| {
            matches!(event, FeedEvent::Closed).then_some(())
        })
        .await;
    }

    /// The next event that `pick` wants; others are dropped.
    async fn find<T>(&mut self, what: &str, mut pick: impl FnMut(FeedEvent) -> Option<T>) -> T {
        let search = async {
            loop {
                if let Some(event) = self.events.pop_front() {
                    if let Some(found) = pick(event) {
                        return found;
                    }
                    continue;
                }
                let mut batch = Vec::new();
                poll_fn(|cx| self.feed.poll_events(cx, &mut batch)).await;
                self.events.extend(batch);
            }
        };
        let found = tokio::time::timeout(WITHIN, search).await;
        found.unwrap_or_else(|_| panic!("{what} did not come within {WITHIN:?}"))
    }
}

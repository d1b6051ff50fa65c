//! Does something to a broker and writes down what it answered.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use procession_core::{
    Anchor, CommitResult, Continuity, Epoch, Incarnation, Position, Span, Stamp,
};
use procession_runtime::port::{
    Headers, Outgoing, Record, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket,
};
use procession_tests::feeding::{Begun, Feeding};

use crate::ground::{Ground, Which};

/// Longest wait for a message to be stored.
const WITHIN: Duration = Duration::from_secs(20);

/// By which message a session is to recognise the log; messages are counted from 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Expect {
    /// This one, as it was stored.
    Same(usize),
    /// One that stood there and came before it: as if the log had been rewritten.
    Other(usize),
}

/// Writes a trace. The form is that of `procession_sim::trace`.
pub(crate) struct Scribe {
    ground: Ground,
    sink: Box<dyn Sink>,
    feed: Option<Feeding>,
    text: String,
    /// Where each message of the log lies.
    placed: Vec<Position>,
    /// What was seen there.
    stamps: BTreeMap<Position, Stamp>,
    /// What stood at the end of the log and is lost.
    lost: Vec<Anchor>,
    /// One past the last position that is taken.
    end: Position,
    /// What the partition was opened with, or has committed since.
    frontier: Position,
    anchor: Option<Anchor>,
    /// The next position that the session delivers.
    next: Position,
    incarnations: Vec<Incarnation>,
    epoch: Epoch,
    epochs: u64,
    sent: u64,
}

impl Scribe {
    pub(crate) async fn new(ground: Ground) -> Self {
        let sink = Self::connect(&ground).await;
        let which = ground.which.name();
        Self {
            ground,
            sink,
            feed: None,
            text: format!("procession-trace 1\nbroker {which}\n"),
            placed: Vec::new(),
            stamps: BTreeMap::new(),
            lost: Vec::new(),
            end: Position(0),
            frontier: Position(0),
            anchor: None,
            next: Position(0),
            incarnations: Vec::new(),
            epoch: Epoch(0),
            epochs: 0,
            sent: 0,
        }
    }

    /// A publisher's connection.
    async fn connect(ground: &Ground) -> Box<dyn Sink> {
        let mut sink = ground.broker.sink().await.unwrap();
        let mut events = Vec::new();
        poll_fn(|cx| sink.poll_events(cx, &mut events)).await;
        assert!(matches!(events[0], SinkEvent::Connected), "{events:?}");
        sink
    }

    pub(crate) const fn which(&self) -> Which {
        self.ground.which
    }

    /// Stores messages, one by one.
    pub(crate) async fn publish(&mut self, count: u64) {
        for _ in 0..count {
            // Brokers stamp in milliseconds: each message gets one of its own.
            tokio::time::sleep(Duration::from_millis(3)).await;
            self.sent += 1;
            let position = self.store(self.sent).await;
            self.placed.push(position);
            self.end = position.next();
            self.line(&format!("publish -> {}", position.0));
        }
    }

    async fn store(&mut self, number: u64) -> Position {
        let message = Outgoing {
            topic: self.ground.topic.as_str().into(),
            key: Some(Bytes::from_static(b"k")),
            id: number.to_string().into(),
            identity: number.into(),
            copy: 0,
            headers: Headers::default(),
            payload: Bytes::from(number.to_string()),
            partition: Some(0),
            expect: None,
        };
        let ticket = SinkTicket {
            token: number,
            attempt: 1,
        };
        let message = Arc::new(message);
        let send = SinkCommand::Send { ticket, message };
        self.sink.submit(send.clone());
        let stored = async {
            loop {
                let mut events = Vec::new();
                poll_fn(|cx| self.sink.poll_events(cx, &mut events)).await;
                for event in events {
                    match event {
                        SinkEvent::Result { ticket, .. } if ticket.token != number => {}
                        // The server was away.
                        SinkEvent::Result {
                            receipt: SinkReceipt::Retry(_),
                            ..
                        } => {
                            tokio::time::sleep(Duration::from_millis(20)).await;
                            self.sink.submit(send.clone());
                        }
                        SinkEvent::Result { receipt, .. } => return receipt,
                        _ => {}
                    }
                }
            }
        };
        match tokio::time::timeout(WITHIN, stored).await.unwrap() {
            SinkReceipt::Stored { position, .. } => position,
            other => panic!("message {number} is not stored: {other:?}"),
        }
    }

    /// A member takes the partition.
    pub(crate) async fn join(&mut self) {
        let mut feed = Feeding::begin(&*self.ground.broker, self.ground.feed_spec()).await;
        let (epoch, resume) = feed.assigned().await;
        assert!(self.epoch < epoch, "{epoch:?} after {:?}", self.epoch);
        self.epoch = epoch;
        self.epochs += 1;
        let log = self.incarnation(resume.incarnation);
        let recorded = resume.recorded.map(|recorded| self.incarnation(recorded));
        // A record of another log says nothing, as the core has it.
        let own = recorded.is_none_or(|recorded| recorded == log);
        let frontier = resume.frontier.filter(|_| own).unwrap_or_default();
        self.frontier = frontier.max(resume.log_start);
        self.anchor = resume.anchor.filter(|_| own);
        self.feed = Some(feed);
        self.line(&format!(
            "join -> epoch {} frontier {} anchor {} map {} start {} end {} log {log} recorded {}",
            self.epochs,
            or_none(resume.frontier.map(|p| p.0)),
            or_none(resume.anchor.map(|a| a.position.0)),
            or_none((!resume.map.is_empty()).then(|| hex(&resume.map))),
            resume.log_start.0,
            resume.log_end.0,
            or_none(recorded),
        ));
    }

    /// A session from the frontier on, which has nothing to recognise the log by.
    pub(crate) async fn session_at_frontier(&mut self) {
        self.begin(self.frontier, None, "none").await;
    }

    /// A session as the record has it: at its anchor, if it has one.
    pub(crate) async fn session_at_anchor(&mut self) {
        match self.anchor {
            Some(anchor) => {
                let known = self.stamps.get(&anchor.position);
                // The message by which the log was to be recognised may be lost.
                let is_there = known.is_none_or(|stamp| *stamp == anchor.stamp);
                let word = if is_there && !self.lost.contains(&anchor) {
                    "same"
                } else {
                    "lost"
                };
                self.begin(anchor.position, Some(anchor), word).await;
            }
            None => self.session_at_frontier().await,
        }
    }

    /// A session that begins at message `number`, and has nothing to recognise the log by.
    pub(crate) async fn session_from(&mut self, number: usize) {
        self.begin(self.placed[number - 1], None, "none").await;
    }

    /// A session that begins at message `number`.
    pub(crate) async fn session(&mut self, number: usize, expect: Expect) {
        let at = self.placed[number - 1];
        let (of, word) = match expect {
            Expect::Same(of) => (of, "same"),
            Expect::Other(of) => (of - 1, "other"),
        };
        let stamp = self.stamps[&self.placed[of - 1]];
        let anchor = Anchor {
            position: at,
            stamp,
        };
        self.begin(at, Some(anchor), word).await;
    }

    async fn begin(&mut self, at: Position, expect: Option<Anchor>, word: &str) {
        let begun = self.feed().start(at, expect).await;
        self.next = match (begun, expect) {
            (Begun::Found(Continuity::Rewritten { from }), _) => from,
            (Begun::Found(Continuity::Continues), Some(anchor)) => anchor.position.next(),
            _ => at,
        };
        let answer = match begun {
            Begun::Found(Continuity::Continues) => "continues".to_owned(),
            Begun::Found(Continuity::Rewritten { from }) => format!("rewritten {}", from.0),
            Begun::Found(Continuity::CannotTell) => "cannot-tell".to_owned(),
            Begun::Lost => "lost".to_owned(),
        };
        self.line(&format!("session {} {word} -> {answer}", at.0));
    }

    /// Everything that the session delivers up to the end of the log.
    pub(crate) async fn deliver(&mut self) {
        let end = self.end;
        let records: Vec<Record> = if self.next < end {
            self.feed().records(end).await
        } else {
            Vec::new()
        };
        let mut positions = String::new();
        for record in &records {
            let _ = write!(positions, " {}", record.position.0);
            let known = self.stamps.insert(record.position, record.stamp);
            assert!(
                known.is_none_or(|stamp| stamp == record.stamp),
                "{record:?}"
            );
        }
        self.line(&format!("deliver {} ->{positions}", self.next.0));
        self.next = end;
    }

    /// Commits that everything below message `number` is finished.
    pub(crate) async fn commit(&mut self, number: usize) {
        let (frontier, anchor) = self.place(number);
        // Bytes that mean nothing: the broker keeps what it is given.
        let map = [7, number as u8, 0xff];
        let result = self.feed().commit(frontier, anchor, &map).await;
        let answer = match result {
            CommitResult::Stored => "stored".to_owned(),
            CommitResult::Lost => "lost".to_owned(),
            other => format!("{other:?}").to_lowercase(),
        };
        self.line(&format!(
            "commit {} anchor {} map {} -> {answer}",
            frontier.0,
            or_none(anchor.map(|a| a.position.0)),
            hex(&map)
        ));
        (self.frontier, self.anchor) = (frontier, anchor);
    }

    /// The member leaves with a last commit.
    pub(crate) async fn leave(&mut self, number: usize) {
        let (frontier, anchor) = self.place(number);
        let feed = self.feed.take().unwrap();
        feed.close(frontier, anchor).await;
        self.line(&format!(
            "leave {} anchor {} -> stored",
            frontier.0,
            or_none(anchor.map(|a| a.position.0)),
        ));
    }

    pub(crate) async fn delete(&mut self, number: usize) {
        let position = self.placed[number - 1];
        self.ground.delete(position.0);
        self.line(&format!("delete {} -> done", position.0));
    }

    pub(crate) async fn retain(&mut self, number: usize) {
        let position = self.placed[number - 1];
        self.ground.retain(position.0).await;
        self.line(&format!("retain {} -> done", position.0));
    }

    pub(crate) async fn recreate(&mut self) {
        self.ground.recreate().await;
        self.placed.clear();
        self.stamps.clear();
        self.line("recreate -> done");
    }

    /// Somebody else owns the partition from here on; this member finds out with its next commit.
    pub(crate) fn take_over(&mut self) {
        self.ground.take_over();
        self.epochs += 1;
        self.line(&format!("take-over -> epoch {}", self.epochs));
    }

    /// The member that was fenced ends, without a word.
    pub(crate) fn abandon(&mut self) {
        self.feed = None;
    }

    /// Messages that the log has been given, those that are lost aside.
    pub(crate) const fn count(&self) -> usize {
        self.placed.len()
    }

    pub(crate) fn keep_copy(&self) {
        self.ground.keep_copy();
    }

    /// The last messages are lost, and their positions will be used again: by another publisher, because
    /// Kafka refuses what the first one sends behind a message that it does not know any more.
    pub(crate) async fn lose_tail(&mut self, count: usize) {
        self.sink.submit(SinkCommand::Close);
        self.ground.restore_copy();
        self.sink = Self::connect(&self.ground).await;
        let lost = self.placed.split_off(self.placed.len() - count);
        for &position in &lost {
            if let Some(stamp) = self.stamps.remove(&position) {
                self.lost.push(Anchor { position, stamp });
            }
        }
        self.end = lost[0];
        self.line(&format!("cut {count} -> done"));
    }

    pub(crate) async fn transaction(&mut self) {
        let position = self.end;
        self.placed.push(position);
        self.end = Position(position.0 + 2);
        self.ground.transaction(self.end.0);
        self.line(&format!("publish -> {}", position.0));
        self.line("marker -> done");
    }

    /// Ends everything; the trace.
    pub(crate) async fn finish(mut self) -> String {
        drop(self.feed.take());
        self.sink.submit(SinkCommand::Close);
        let _ = self.ground.broker.close(Span::from_secs(10)).await;
        self.text
    }

    /// The frontier before message `number`, and the message by which it is recognised.
    fn place(&self, number: usize) -> (Position, Option<Anchor>) {
        let frontier = self.placed.get(number - 1).copied().unwrap_or(self.end);
        let before = number.checked_sub(2).and_then(|n| self.placed.get(n));
        let anchor = before.and_then(|&position| {
            Some(Anchor {
                position,
                stamp: *self.stamps.get(&position)?,
            })
        });
        (frontier, anchor)
    }

    fn feed(&mut self) -> &mut Feeding {
        self.feed.as_mut().unwrap()
    }

    /// Incarnations are told apart, not compared: the first is 1.
    fn incarnation(&mut self, incarnation: Incarnation) -> usize {
        let known = self.incarnations.iter().position(|i| *i == incarnation);
        1 + known.unwrap_or_else(|| {
            self.incarnations.push(incarnation);
            self.incarnations.len() - 1
        })
    }

    fn line(&mut self, line: &str) {
        if std::env::var("PROCESSION_TRACES").is_ok_and(|value| value == "show") {
            eprintln!("{}: {line}", self.ground.which.name());
        }
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

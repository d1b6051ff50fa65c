//! A feed that does what a test says.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use procession_core::{
    CommitResult, Continuity, Epoch, Incarnation, PartitionId, Position, Receipt, Session, Stamp,
    Start, Time,
};

use crate::port::{
    BreakReason, Feed, FeedCommand, FeedEvent, Headers, Outgoing, ProgressWrite, Record,
    ResumeState,
};

/// Both ends of a scripted feed: the driver owns one clone, the test another.
#[derive(Clone, Default)]
pub(crate) struct ScriptFeed(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    events: Vec<FeedEvent>,
    waker: Option<Waker>,
    commands: Vec<FeedCommand>,
    /// Sessions that were started, the latest last.
    sessions: Vec<(PartitionId, Epoch, Session)>,
    start: Option<Start>,
    /// Total messages granted to the latest session, and delivered in it.
    granted: u64,
    delivered: u64,
    /// What the next session finds.
    next: Option<Continuity>,
    /// Answers are held back until the test gives them.
    silent: bool,
    dropped: bool,
}

impl ScriptFeed {
    /// Commits and dead letters get no answer by themselves.
    pub(crate) fn silent() -> Self {
        let feed = Self::default();
        feed.0.lock().unwrap().silent = true;
        feed
    }

    pub(crate) fn send(&self, event: FeedEvent) {
        let waker = {
            let mut inner = self.0.lock().unwrap();
            inner.events.push(event);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Hands partition 0 over, with a lease until `until`.
    pub(crate) fn assign(&self, epoch: u64, until: Option<Time>) {
        self.resume(epoch, None, until);
    }

    /// Hands partition 0 over as its record has it.
    pub(crate) fn resume(&self, epoch: u64, record: Option<&ProgressWrite>, until: Option<Time>) {
        self.send(FeedEvent::Assigned {
            partition: PartitionId(0),
            epoch: Epoch(epoch),
            resume: ResumeState {
                frontier: record.map(|write| write.frontier),
                anchor: record.and_then(|write| write.anchor),
                map: record.map(|write| write.map.clone()).unwrap_or_default(),
                recorded: Some(Incarnation(1)),
                incarnation: Incarnation(1),
                log_start: Position(1),
                log_end: Position(1_000_000),
            },
            until,
        });
    }

    /// Delivers messages in the latest session: one a character of `plan`, from `position` on.
    pub(crate) fn deliver(&self, position: u64, plan: &str) {
        let (partition, epoch, session, first) = {
            let mut inner = self.0.lock().unwrap();
            let &(partition, epoch, session) = inner.sessions.last().expect("no session");
            let first = inner.delivered + 1;
            inner.delivered += plan.len() as u64;
            (partition, epoch, session, first)
        };
        let records = (0..)
            .zip(plan.bytes())
            .map(|(n, plan)| Record {
                position: Position(position + n),
                stamp: Stamp(1_000 + position + n),
                delivery: Some(first + n),
                key: None,
                headers: Headers::default(),
                payload: Bytes::copy_from_slice(&[plan]),
                bytes: 100,
            })
            .collect();
        self.send(FeedEvent::Records {
            partition,
            epoch,
            session,
            records,
        });
    }

    /// The session that was asked for since the last call.
    pub(crate) fn take_start(&self) -> Option<Start> {
        self.0.lock().unwrap().start.take()
    }

    /// The latest session ends.
    pub(crate) fn break_session(&self, why: BreakReason) {
        let &(partition, epoch, session) =
            self.0.lock().unwrap().sessions.last().expect("no session");
        self.send(FeedEvent::Broken {
            partition,
            epoch,
            session,
            why,
        });
    }

    /// What the next session finds where it begins.
    pub(crate) fn answer_next(&self, continuity: Continuity) {
        self.0.lock().unwrap().next = Some(continuity);
    }

    /// What the driver commanded since the last call.
    pub(crate) fn commands(&self) -> Vec<FeedCommand> {
        core::mem::take(&mut self.0.lock().unwrap().commands)
    }

    pub(crate) fn commits(&self) -> Vec<ProgressWrite> {
        self.filter(|command| match command {
            FeedCommand::Commit(write) => Some(write.clone()),
            _ => None,
        })
    }

    pub(crate) fn buried(&self) -> Vec<Outgoing> {
        self.filter(|command| match command {
            FeedCommand::Bury { message, .. } => Some(message.clone()),
            _ => None,
        })
    }

    pub(crate) fn released(&self) -> Vec<Epoch> {
        self.filter(|command| match command {
            FeedCommand::Release { epoch, .. } => Some(*epoch),
            _ => None,
        })
    }

    fn filter<T>(&self, pick: impl Fn(&FeedCommand) -> Option<T>) -> Vec<T> {
        let inner = self.0.lock().unwrap();
        inner.commands.iter().filter_map(pick).collect()
    }

    /// Messages that the latest session may deliver beyond those delivered.
    pub(crate) fn room(&self) -> u64 {
        let inner = self.0.lock().unwrap();
        inner.granted.saturating_sub(inner.delivered)
    }

    pub(crate) fn granted(&self) -> u64 {
        self.0.lock().unwrap().granted
    }

    pub(crate) fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().dropped
    }

    /// The driver's end.
    pub(crate) fn port(&self) -> FeedPort {
        FeedPort(self.clone())
    }
}

pub(crate) struct FeedPort(ScriptFeed);

impl Feed for FeedPort {
    fn submit(&mut self, command: FeedCommand) {
        let mut inner = self.0.0.lock().unwrap();
        inner.commands.push(command.clone());
        let silent = inner.silent;
        let answer = match command {
            FeedCommand::Start(start) => {
                inner
                    .sessions
                    .push((start.partition, start.epoch, start.session));
                inner.start = Some(start);
                inner.granted = 0;
                inner.delivered = 0;
                Some(FeedEvent::Session {
                    partition: start.partition,
                    epoch: start.epoch,
                    session: start.session,
                    continuity: inner.next.take().unwrap_or(Continuity::Continues),
                })
            }
            FeedCommand::Grant { messages, .. } => {
                assert!(inner.granted <= messages, "a grant was taken back");
                inner.granted = messages;
                None
            }
            FeedCommand::Commit(write) if !silent => Some(FeedEvent::Committed {
                partition: write.partition,
                epoch: write.epoch,
                write: write.write,
                result: CommitResult::Stored,
            }),
            FeedCommand::Bury { token, .. } if !silent => Some(FeedEvent::Buried {
                token,
                receipt: Receipt::Stored,
            }),
            FeedCommand::Close => Some(FeedEvent::Closed),
            FeedCommand::Commit(_)
            | FeedCommand::Bury { .. }
            | FeedCommand::Pause(_)
            | FeedCommand::Resume(_)
            | FeedCommand::Release { .. } => None,
        };
        drop(inner);
        if let Some(event) = answer {
            self.0.send(event);
        }
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        let mut inner = self.0.0.lock().unwrap();
        if inner.events.is_empty() {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        into.append(&mut inner.events);
        Poll::Ready(())
    }
}

impl Drop for FeedPort {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().dropped = true;
    }
}

//! Reads a whole log, for audits.

use core::task::Context;
use core::time::Duration;
use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Position, Session as SessionNumber, Start};
use procession_runtime::port::{FeedEvent, PortError, PortErrorKind, Record};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::feed::session::{Place, Session};
use crate::jetstream::JetStream;
use crate::names::stream_of;
use crate::options::HEARTBEAT;
use crate::shape::Shape;
use crate::thread::{Ended, IoThread};
use crate::topics;
use crate::wire::{
    ConnectError, Handler, Message, Moment, Next, Outbox, ServerInfo, Servers, Turn, link,
};

/// Bytes that a pull of one partition asks for.
const PULL_BYTES: u64 = 2 << 20;
/// Without anything new for this long, the audit fails.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lower bits of a subscription's number: its partition.
const PARTITION_BITS: u32 = 16;

type Log = Vec<(u32, Record)>;

/// Reads what the log of a topic holds at this moment: log order within each partition.
pub(crate) async fn read_log(
    jetstream: &JetStream,
    servers: &Servers,
    name: &str,
    topic: &str,
    started: impl FnOnce(Ended),
) -> Result<Log, PortError> {
    let shape = Shape::from(&topics::look(jetstream, topic).await?);
    let stream = stream_of(topic);
    let info = jetstream
        .stream_info(&stream)
        .await
        .map_err(|error| jetstream.explain(&format!("audit of topic `{topic}`"), &error))?;
    let end = Position(info.state.last_seq + 1);
    if info.state.last_seq == 0 {
        return Ok(Vec::new());
    }
    let (answer, receiver) = oneshot::channel();
    let mut audit = Audit {
        stream: stream.into(),
        end,
        partitions: shape
            .filters(topic)
            .into_iter()
            .map(|subject| Part {
                filter: subject.into(),
                next: Position(1),
                sessions: 0,
                live: None,
                retry_at: None,
            })
            .collect(),
        max_payload: 1 << 20,
        events: Vec::new(),
        log: Vec::new(),
        news: Instant::now(),
        answer: Some(answer),
    };
    let servers = servers.clone();
    let name = format!("{name} audit");
    let thread = IoThread::spawn(
        "procession-nats-audit",
        async move { link::run(&mut audit, &servers, &name).await },
        || {},
    )?;
    started(thread.ended());
    receiver.await.unwrap_or_else(|_| {
        Err(PortError::new(
            PortErrorKind::Disconnected,
            format!("the audit of topic `{topic}` was broken off"),
        ))
    })
}

struct Audit {
    stream: Arc<str>,
    /// One past the last position that is read.
    end: Position,
    partitions: Vec<Part>,
    max_payload: u64,
    events: Vec<FeedEvent>,
    log: Log,
    /// When something last came.
    news: Instant,
    answer: Option<oneshot::Sender<Result<Log, PortError>>>,
}

struct Part {
    filter: Arc<str>,
    /// Everything below was read.
    next: Position,
    sessions: u64,
    live: Option<Session>,
    retry_at: Option<Instant>,
}

impl Audit {
    fn begin(&mut self, partition: usize, now: Instant, out: &mut Outbox) {
        let Some(part) = self.partitions.get_mut(partition) else {
            return;
        };
        if self.end <= part.next {
            return;
        }
        let number = u32::try_from(partition).unwrap_or(u32::MAX);
        let start = Start {
            partition: PartitionId(number),
            epoch: Epoch(1),
            session: SessionNumber(part.sessions),
            at: part.next,
            expect: None,
        };
        let place = Place {
            stream: Arc::clone(&self.stream),
            filter: Arc::clone(&part.filter),
            max_payload: self.max_payload,
            pull_bytes_max: PULL_BYTES,
            heartbeat: HEARTBEAT,
        };
        part.sessions += 1;
        part.retry_at = None;
        let sid = (part.sessions << PARTITION_BITS) | partition as u64;
        let mut session = Session::begin(start, &place, sid, now, out);
        session.pulls.grant(u64::MAX, u64::MAX);
        part.live = Some(session);
    }

    fn take_events(&mut self, now: Instant) {
        for event in self.events.drain(..) {
            match event {
                FeedEvent::Records {
                    partition, records, ..
                } => {
                    self.news = now;
                    for record in records {
                        let Some(part) = self.partitions.get_mut(partition.0 as usize) else {
                            continue;
                        };
                        if part.next <= record.position {
                            part.next = record.position.next();
                            if record.position < self.end {
                                self.log.push((partition.0, record));
                            }
                        }
                    }
                }
                FeedEvent::Advance {
                    partition,
                    position,
                    ..
                } => {
                    self.news = now;
                    if let Some(part) = self.partitions.get_mut(partition.0 as usize) {
                        part.next = part.next.max(position);
                    }
                }
                // A session that broke is started again by the turn that ended it.
                FeedEvent::Session { .. }
                | FeedEvent::Broken { .. }
                | FeedEvent::Assigned { .. }
                | FeedEvent::Extended { .. }
                | FeedEvent::Revoked { .. }
                | FeedEvent::Lost { .. }
                | FeedEvent::Committed { .. }
                | FeedEvent::Buried { .. }
                | FeedEvent::Standby { .. }
                | FeedEvent::Connected
                | FeedEvent::Disconnected
                | FeedEvent::Failed(_)
                | FeedEvent::Closed => {}
            }
        }
    }
}

impl Handler for Audit {
    fn connected(&mut self, now: Instant, server: &ServerInfo, out: &mut Outbox) {
        self.max_payload = server.max_payload as u64;
        for partition in 0..self.partitions.len() {
            self.begin(partition, now, out);
        }
    }

    fn disconnected(&mut self, now: Instant) {
        for part in &mut self.partitions {
            if let Some(mut live) = part.live.take() {
                live.flush(&mut self.events);
            }
        }
        self.take_events(now);
    }

    fn unreachable(&mut self, error: &ConnectError) {
        tracing::debug!(?error, "NATS cannot be reached");
    }

    fn message(&mut self, now: Instant, message: &Message<'_>, out: &mut Outbox) {
        let partition = (message.sid & ((1 << PARTITION_BITS) - 1)) as usize;
        let Some(part) = self.partitions.get_mut(partition) else {
            return;
        };
        let Some(live) = part.live.as_mut().filter(|live| live.sid() == message.sid) else {
            return;
        };
        if live.message(now, message, out, &mut self.events).is_err() {
            live.flush(&mut self.events);
            live.end(out);
            part.live = None;
            part.retry_at = Some(now + Duration::from_millis(100));
        }
    }

    fn turn(&mut self, _cx: &mut Context<'_>, moment: Moment, out: Option<&mut Outbox>) -> Turn {
        let now = moment.now;
        for part in &mut self.partitions {
            if let Some(live) = &mut part.live {
                live.flush(&mut self.events);
            }
        }
        self.take_events(now);
        let mut wake_at = self.news + PATIENCE;
        let done = self.partitions.iter().all(|part| self.end <= part.next);
        let late = wake_at <= now;
        if done || late || self.answer.as_ref().is_none_or(oneshot::Sender::is_closed) {
            if let Some(out) = out {
                for live in self.partitions.iter_mut().filter_map(|p| p.live.take()) {
                    live.end(out);
                }
            }
            if let Some(answer) = self.answer.take() {
                let _ = answer.send(if done {
                    Ok(core::mem::take(&mut self.log))
                } else {
                    Err(PortError::new(
                        PortErrorKind::TimedOut,
                        format!(
                            "the audit of stream `{}` stopped: nothing came for {} s",
                            self.stream,
                            PATIENCE.as_secs()
                        ),
                    ))
                });
            }
            return Turn {
                wake_at: None,
                waiting: false,
                next: Next::Close,
            };
        }
        if let Some(out) = out {
            for partition in 0..self.partitions.len() {
                let part = &mut self.partitions[partition];
                if part.retry_at.is_some_and(|at| at <= now) {
                    self.begin(partition, now, out);
                    continue;
                }
                if let Some(live) = &mut part.live {
                    if live.turn(now, moment.drained, out).is_err() {
                        live.end(out);
                        part.live = None;
                        part.retry_at = Some(now + Duration::from_millis(100));
                    } else if let Some(at) = live.wake_at(now) {
                        wake_at = wake_at.min(at);
                    }
                }
                if let Some(at) = part.retry_at {
                    wake_at = wake_at.min(at);
                }
            }
        }
        Turn {
            wake_at: Some(wake_at),
            waiting: true,
            next: Next::Go,
        }
    }
}

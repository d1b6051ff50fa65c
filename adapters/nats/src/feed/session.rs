//! One session of a partition: an ephemeral consumer, its pulls, and what they bring.
//!
//! A machine without I/O: frames and time go in, frames and events come out.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use procession_core::{Anchor, Continuity, Position, Stamp, Start};
use procession_runtime::port::{BreakReason, FeedEvent, Record};
use tokio::time::Instant;

use super::pulls::{Amount, Pulls};
use crate::jetstream::{
    CallError, ConsumerInfo, StartFrom, StoredAnswer, StreamInfo, code, create_consumer, read,
};
use crate::names::{self, covers};
use crate::wire::{Message, Outbox, fields, reply};

/// How long each step of a beginning may take.
const STEP: Duration = Duration::from_secs(1);
/// What the server adds to a message of the largest size: subjects and fields of its own.
const MESSAGE_EXTRA: u64 = 8 << 10;

/// A session from its start command to its end.
#[derive(Debug)]
pub(crate) struct Session {
    start: Start,
    stream: Arc<str>,
    filter: Arc<str>,
    sid: u64,
    /// Our inbox, with a dot at its end.
    inbox: String,
    consumer: String,
    phase: Phase,
    /// When the step must be answered.
    deadline: Instant,
    pub(crate) pulls: Pulls,
    /// The consumer sequence of the last delivery.
    last: u64,
    /// 1 when the first delivery was the overlapping one, which is not counted.
    overlap: u64,
    /// What the core was told: nothing below is still to come.
    advanced: Position,
    /// The first delivery while the log is looked at, because it is not the one that was expected.
    held: Option<Record>,
    batch: Vec<Record>,
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// The consumer is being created.
    Creating,
    /// The first delivery must be the anchor.
    Verifying,
    /// It was not: what does the log hold there?
    Comparing,
    /// Nothing: how far does the log reach?
    Measuring,
    /// It was rewritten: where does the new content begin?
    Locating,
    /// Deliveries flow.
    Running,
    /// Reported as rewritten; a new session follows.
    Over,
}

/// Where a session works.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) stream: Arc<str>,
    pub(crate) filter: Arc<str>,
    /// The server's largest message.
    pub(crate) max_payload: u64,
    /// Bytes that one pull may ask for.
    pub(crate) pull_bytes_max: u64,
    /// How often the server is to say that a pull still waits.
    pub(crate) heartbeat: Duration,
}

impl Session {
    /// Subscribes and asks for a consumer.
    pub(crate) fn begin(
        start: Start,
        place: &Place,
        sid: u64,
        now: Instant,
        out: &mut Outbox,
    ) -> Self {
        // A new inbox and a new name for every session: pulls of an older one survive a quick
        // reconnect, and a name whose creation went unanswered may be taken.
        let inbox = format!("{}.", names::inbox());
        let this = Self {
            start,
            stream: Arc::clone(&place.stream),
            filter: Arc::clone(&place.filter),
            sid,
            consumer: format!("p{}", names::unique()),
            inbox,
            phase: Phase::Creating,
            deadline: now + STEP,
            pulls: Pulls::new(
                now,
                place.heartbeat,
                place.pull_bytes_max,
                place.max_payload + MESSAGE_EXTRA,
            ),
            last: 0,
            overlap: 0,
            advanced: Position(0),
            held: None,
            batch: Vec::new(),
        };
        out.subscribe(&format!("{}*", this.inbox), sid);
        // At the anchor itself, not behind it: the overlap shows a log that was rewritten.
        this.ask_for_consumer(
            &this.consumer,
            StartFrom::Sequence(start.at.0),
            "create",
            out,
        );
        this
    }

    pub(crate) const fn start(&self) -> &Start {
        &self.start
    }

    pub(crate) const fn sid(&self) -> u64 {
        self.sid
    }

    /// A message on this session's subscription; why the session is over, if it is.
    pub(crate) fn message(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        out: &mut Outbox,
        events: &mut Vec<FeedEvent>,
    ) -> Result<(), BreakReason> {
        if let Some(delivery) = reply::parse(message.reply) {
            // Never another consumer's, whatever the inbox says.
            if delivery.consumer == self.consumer.as_bytes() {
                self.delivery(now, &delivery, message, out, events);
            }
            return Ok(());
        }
        let Some(token) = message.subject.strip_prefix(self.inbox.as_bytes()) else {
            return Ok(());
        };
        match crate::wire::frame::number(token) {
            Some(pull) => self.status(now, pull, message, events),
            None => self.answer(now, token, message, out, events),
        }
    }

    /// Sends pulls that are due; why the session is over, if it is. `drained`: everything that the
    /// server has sent was read, so silence is its silence and not ours.
    pub(crate) fn turn(
        &mut self,
        now: Instant,
        drained: bool,
        out: &mut Outbox,
    ) -> Result<(), BreakReason> {
        match self.phase {
            Phase::Over => {}
            Phase::Running => {
                if drained && self.pulls.is_silent(now) {
                    return Err(BreakReason::Silence);
                }
                while let Some(pull) = self.pulls.poll(now) {
                    self.send_pull(&pull, out);
                }
            }
            Phase::Creating
            | Phase::Verifying
            | Phase::Comparing
            | Phase::Measuring
            | Phase::Locating => {
                if drained && self.deadline <= now {
                    return Err(BreakReason::NotStarted);
                }
            }
        }
        Ok(())
    }

    /// When [`turn`](Self::turn) is due.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Over => None,
            Phase::Running => Some(self.pulls.wake_at(now)),
            Phase::Creating
            | Phase::Verifying
            | Phase::Comparing
            | Phase::Measuring
            | Phase::Locating => Some(self.deadline),
        }
    }

    /// Whether the server owes us something.
    pub(crate) fn is_waiting(&self) -> bool {
        match self.phase {
            Phase::Over => false,
            Phase::Running => self.pulls.is_waiting(),
            Phase::Creating
            | Phase::Verifying
            | Phase::Comparing
            | Phase::Measuring
            | Phase::Locating => true,
        }
    }

    /// Hands over what was received since the last call: one event for many records.
    pub(crate) fn flush(&mut self, events: &mut Vec<FeedEvent>) {
        if self.batch.is_empty() {
            return;
        }
        let next = Vec::with_capacity(self.batch.len());
        events.push(FeedEvent::Records {
            partition: self.start.partition,
            epoch: self.start.epoch,
            session: self.start.session,
            records: core::mem::replace(&mut self.batch, next),
        });
    }

    /// Ends it at the server: best effort, the consumer ends by itself after a while.
    pub(crate) fn end(&self, out: &mut Outbox) {
        out.unsubscribe(self.sid);
        self.delete(&self.consumer, out);
    }

    /// What is reported when it is over.
    pub(crate) fn broken(&self, why: BreakReason) -> FeedEvent {
        FeedEvent::Broken {
            partition: self.start.partition,
            epoch: self.start.epoch,
            session: self.start.session,
            why,
        }
    }

    fn delivery(
        &mut self,
        now: Instant,
        delivery: &reply::Delivery<'_>,
        message: &Message<'_>,
        out: &mut Outbox,
        events: &mut Vec<FeedEvent>,
    ) {
        let anchor = Anchor {
            position: Position(delivery.stream_sequence),
            stamp: Stamp(delivery.stamp),
        };
        match self.phase {
            Phase::Running => {}
            Phase::Verifying => {
                self.pulls.overlap(now, message.wire_bytes());
                self.last = delivery.consumer_sequence;
                let Some(expected) = self.start.expect else {
                    return;
                };
                if anchor == expected {
                    self.overlap = 1;
                    self.run(Continuity::Continues, events);
                } else if anchor.position == expected.position {
                    self.locate(now, expected, out);
                } else {
                    // The log has something later: the anchor was removed, or never was.
                    self.held = Some(self.record(delivery, message));
                    self.compare(now, expected, out);
                }
                return;
            }
            Phase::Creating
            | Phase::Comparing
            | Phase::Measuring
            | Phase::Locating
            | Phase::Over => return,
        }
        let record = self.record(delivery, message);
        self.pulls
            .message(now, u64::from(record.bytes), message.wire_bytes());
        self.last = delivery.consumer_sequence;
        self.advanced = anchor.position.next();
        self.batch.push(record);
    }

    /// Owned bytes, copied: a slice would keep the whole read buffer alive for one slow key (S7).
    fn record(&self, delivery: &reply::Delivery<'_>, message: &Message<'_>) -> Record {
        let headers = fields::decode(message.header);
        let bytes = headers.byte_len() + message.payload.len();
        Record {
            position: Position(delivery.stream_sequence),
            stamp: Stamp(delivery.stamp),
            delivery: Some(delivery.consumer_sequence.saturating_sub(self.overlap)),
            key: None,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            headers,
            payload: Bytes::copy_from_slice(message.payload),
        }
    }

    /// A status of pull `number`: the table of clients.md section 5.
    fn status(
        &mut self,
        now: Instant,
        number: u64,
        message: &Message<'_>,
        events: &mut Vec<FeedEvent>,
    ) -> Result<(), BreakReason> {
        let Some((status, text)) = fields::status(message.header) else {
            return Ok(());
        };
        let block = message.header;
        let left = match (
            fields::get_number(block, "Nats-Pending-Messages"),
            fields::get_number(block, "Nats-Pending-Bytes"),
        ) {
            (Some(messages), Some(bytes)) => Some(Amount { messages, bytes }),
            _ => None,
        };
        match status {
            100 => return self.heartbeat(now, block, events),
            // The time is up.
            408 => {
                self.pulls.end(now, number, left);
            }
            409 if text.starts_with("Batch Completed") => {
                let nothing = Amount {
                    messages: 0,
                    bytes: left.map_or(u64::MAX, |l| l.bytes),
                };
                self.pulls.end(now, number, Some(nothing));
            }
            409 if text.starts_with("Message Size Exceeds") => {
                self.pulls.too_large(now, number, left);
            }
            409 if text.starts_with("Exceeded") => {
                tracing::warn!(text, "the NATS server refused a pull");
                self.pulls.refused(now, number);
            }
            // Consumer Deleted, Server Shutdown, Leadership Change, Consumer is push based.
            409 | 503 => return Err(BreakReason::Gone),
            // 404 is for pulls that do not wait, 400 for broken ones; others are not known.
            _ => {
                tracing::warn!(status, text, "unexpected status of a pull");
                self.pulls.refused(now, number);
            }
        }
        Ok(())
    }

    fn heartbeat(
        &mut self,
        now: Instant,
        block: &[u8],
        events: &mut Vec<FeedEvent>,
    ) -> Result<(), BreakReason> {
        self.pulls.heartbeat(now);
        let (Some(consumer), Some(stream)) = (
            fields::get_number(block, "Nats-Last-Consumer"),
            fields::get_number(block, "Nats-Last-Stream"),
        ) else {
            return Ok(());
        };
        if self.phase != Phase::Running {
            return Ok(());
        }
        if self.last < consumer {
            return Err(BreakReason::TailLost);
        }
        let position = Position(stream).next();
        if self.last == consumer && self.advanced < position {
            self.advanced = position;
            self.flush(events);
            events.push(FeedEvent::Advance {
                partition: self.start.partition,
                epoch: self.start.epoch,
                session: self.start.session,
                position,
            });
        }
        Ok(())
    }

    /// The answer to one of the questions of the beginning.
    fn answer(
        &mut self,
        now: Instant,
        token: &[u8],
        message: &Message<'_>,
        out: &mut Outbox,
        events: &mut Vec<FeedEvent>,
    ) -> Result<(), BreakReason> {
        let not_started = |what: &str, error: &dyn core::fmt::Debug| {
            tracing::warn!(?error, "a session could not begin: {what}");
            BreakReason::NotStarted
        };
        if fields::status(message.header).is_some() {
            return Err(BreakReason::NotStarted);
        }
        match (self.phase, token) {
            (Phase::Creating, b"create") => {
                let info: ConsumerInfo =
                    read(message.payload).map_err(|error| not_started("create", &error))?;
                match (self.start.expect, info.num_pending) {
                    (None, 0) => self.measure(now, out),
                    (None, _) => self.run(Continuity::Continues, events),
                    (Some(anchor), 0) => self.compare(now, anchor, out),
                    (Some(_), _) => self.verify(now, out),
                }
            }
            (Phase::Comparing, b"get") => {
                let Some(anchor) = self.start.expect else {
                    return Ok(());
                };
                match read::<StoredAnswer>(message.payload) {
                    Ok(answer) => match answer.message.decode() {
                        // It came while we looked.
                        Ok(found)
                            if found.stamp == anchor.stamp
                                && covers(&self.filter, &found.subject)
                                && self.held.is_none() =>
                        {
                            self.verify(now, out);
                        }
                        Ok(_) => self.locate(now, anchor, out),
                        Err(error) => return Err(not_started("get", &error)),
                    },
                    Err(CallError::Api(error)) if error.err_code == code::MESSAGE_NOT_FOUND => {
                        self.measure(now, out);
                    }
                    Err(error) => return Err(not_started("get", &error)),
                }
            }
            (Phase::Measuring, b"info") => {
                let info: StreamInfo =
                    read(message.payload).map_err(|error| not_started("info", &error))?;
                let last = info.state.last_seq;
                match self.start.expect {
                    // The log ends before the anchor: its tail was lost.
                    Some(anchor) if last < anchor.position.0 => self.locate(now, anchor, out),
                    // Removed by retention or by hand.
                    Some(_) => self.run(Continuity::CannotTell, events),
                    // A consumer that starts beyond the end waits for exactly that sequence, and
                    // would skip in silence what lies before.
                    None if last + 1 < self.start.at.0 => {
                        self.rewritten(Position(last + 1), out, events);
                    }
                    None => self.run(Continuity::Continues, events),
                }
            }
            (Phase::Locating, b"locate") => {
                let info: ConsumerInfo =
                    read(message.payload).map_err(|error| not_started("locate", &error))?;
                // A consumer that has delivered nothing stands right before its first message.
                self.rewritten(Position(info.delivered.stream_seq + 1), out, events);
            }
            _ => {}
        }
        Ok(())
    }

    fn verify(&mut self, now: Instant, out: &mut Outbox) {
        self.phase = Phase::Verifying;
        self.deadline = now + STEP;
        let pull = self.pulls.first(now);
        self.send_pull(&pull, out);
    }

    fn compare(&mut self, now: Instant, anchor: Anchor, out: &mut Outbox) {
        self.phase = Phase::Comparing;
        self.deadline = now + STEP;
        out.publish(
            &format!("$JS.API.STREAM.MSG.GET.{}", self.stream),
            &format!("{}get", self.inbox),
            format!("{{\"seq\":{}}}", anchor.position.0).as_bytes(),
        );
    }

    fn measure(&mut self, now: Instant, out: &mut Outbox) {
        self.phase = Phase::Measuring;
        self.deadline = now + STEP;
        out.publish(
            &format!("$JS.API.STREAM.INFO.{}", self.stream),
            &format!("{}info", self.inbox),
            b"",
        );
    }

    fn locate(&mut self, now: Instant, anchor: Anchor, out: &mut Outbox) {
        self.phase = Phase::Locating;
        self.deadline = now + STEP;
        let name = format!("{}t", self.consumer);
        self.ask_for_consumer(&name, StartFrom::After(anchor.stamp), "locate", out);
    }

    fn rewritten(&mut self, from: Position, out: &mut Outbox, events: &mut Vec<FeedEvent>) {
        self.held = None;
        self.phase = Phase::Over;
        self.delete(&format!("{}t", self.consumer), out);
        self.delete(&self.consumer, out);
        self.report(Continuity::Rewritten { from }, events);
    }

    /// The beginning is over: deliveries flow.
    fn run(&mut self, continuity: Continuity, events: &mut Vec<FeedEvent>) {
        self.phase = Phase::Running;
        self.report(continuity, events);
        if let Some(record) = self.held.take() {
            self.advanced = record.position.next();
            self.batch.push(record);
        }
    }

    fn report(&self, continuity: Continuity, events: &mut Vec<FeedEvent>) {
        events.push(FeedEvent::Session {
            partition: self.start.partition,
            epoch: self.start.epoch,
            session: self.start.session,
            continuity,
        });
    }

    fn send_pull(&self, pull: &super::pulls::PullRequest, out: &mut Outbox) {
        out.publish(
            &format!(
                "$JS.API.CONSUMER.MSG.NEXT.{}.{}",
                self.stream, self.consumer
            ),
            &format!("{}{}", self.inbox, pull.number),
            pull.body().as_bytes(),
        );
    }

    fn ask_for_consumer(&self, name: &str, from: StartFrom, token: &str, out: &mut Outbox) {
        let body = create_consumer(&self.stream, name, &self.filter, from);
        out.publish(
            &format!(
                "$JS.API.CONSUMER.CREATE.{}.{name}.{}",
                self.stream, self.filter
            ),
            &format!("{}{token}", self.inbox),
            body.to_string().as_bytes(),
        );
    }

    fn delete(&self, name: &str, out: &mut Outbox) {
        out.publish(
            &format!("$JS.API.CONSUMER.DELETE.{}.{name}", self.stream),
            "",
            b"",
        );
    }
}

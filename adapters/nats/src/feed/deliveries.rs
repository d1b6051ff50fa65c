//! Serves one feed on its own connection: commands in, sessions and claims in between, events out.

use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Receipt, Session as SessionNumber, Start, Time, Token};
use procession_runtime::keeper::Keeper;
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{BoxFuture, BreakReason, FeedCommand, FeedEvent};
use procession_runtime::{BootClock, Clock as _};
use tokio::time::Instant;

use super::session::{Place, Session};
use crate::options::HEARTBEAT;
use crate::publish::Burial;
use crate::records::Records;
use crate::requests::Requests;
use crate::wire::{ConnectError, Handler, Message, Moment, Next, Outbox, ServerInfo, Turn};

/// Bytes that all pulls of a connection together may wait for. The server drops a client that
/// leaves 64 MB unread.
const PULL_BYTES: u64 = 16 << 20;
const PULL_BYTES_LEAST: u64 = 64 << 10;
/// How long a close waits for the last writes of the keeper.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// Lower bits of a subscription's number: its partition.
const PARTITION_BITS: u32 = 16;

/// The handler of a feed's connection.
pub(super) struct Deliveries {
    pub(super) commands: Arc<Mailbox<FeedCommand>>,
    pub(super) events: Arc<Mailbox<FeedEvent>>,
    pub(super) keeper: Keeper<Records>,
    /// The connection of the records; the keeper hears of its losses.
    pub(super) requests: Requests,
    pub(super) burial: Burial,
    stream: Arc<str>,
    partitions: Vec<Partition>,
    /// Numbers subscriptions; never reused on this feed.
    next_sid: u64,
    max_payload: u64,
    pub(super) heartbeat: Duration,
    connected: bool,
    /// The keeper's view of the records' connection.
    keeper_connection: Option<u64>,
    burying: Vec<(Token, BoxFuture<'static, Receipt>)>,
    batch: Vec<FeedCommand>,
    outgoing: Vec<FeedEvent>,
    failed: bool,
    closing: Option<Instant>,
}

/// What is known of a partition.
struct Partition {
    filter: Arc<str>,
    /// The newest session that was asked for; older commands are void.
    newest: (Epoch, SessionNumber),
    /// Asked for while there was no connection.
    wanted: Option<Start>,
    /// Totals that were granted before the session began.
    granted: (SessionNumber, u64, u64),
    live: Option<Session>,
}

impl Deliveries {
    pub(super) fn new(
        commands: Arc<Mailbox<FeedCommand>>,
        events: Arc<Mailbox<FeedEvent>>,
        keeper: Keeper<Records>,
        requests: Requests,
        burial: Burial,
        stream: Arc<str>,
        subjects: Vec<String>,
    ) -> Self {
        Self {
            commands,
            events,
            keeper,
            heartbeat: HEARTBEAT,
            requests,
            burial,
            stream,
            partitions: subjects
                .into_iter()
                .map(|subject| Partition {
                    filter: subject.into(),
                    newest: (Epoch(0), SessionNumber(0)),
                    wanted: None,
                    granted: (SessionNumber(0), 0, 0),
                    live: None,
                })
                .collect(),
            next_sid: 1,
            max_payload: 1 << 20,
            connected: false,
            keeper_connection: None,
            burying: Vec::new(),
            batch: Vec::new(),
            outgoing: Vec::new(),
            failed: false,
            closing: None,
        }
    }

    fn command(&mut self, command: FeedCommand, now: Instant, out: &mut Option<&mut Outbox>) {
        match command {
            FeedCommand::Start(start) => self.start(start, now, out),
            FeedCommand::Grant {
                partition,
                session,
                messages,
                bytes,
            } => {
                let Some(known) = self.partitions.get_mut(partition.0 as usize) else {
                    return;
                };
                match &mut known.live {
                    Some(live) if live.start().session == session => {
                        live.pulls.grant(messages, bytes);
                    }
                    _ => known.granted = (session, messages, bytes),
                }
            }
            FeedCommand::Commit(write) => self.keeper.commit(BootClock.now(), write),
            FeedCommand::Release { partition, epoch } => {
                if let Some(known) = self.partitions.get_mut(partition.0 as usize)
                    && known.newest.0 <= epoch
                {
                    known.wanted = None;
                    if let (Some(live), Some(out)) = (known.live.take(), out.as_deref_mut()) {
                        live.end(out);
                    }
                }
                self.keeper.release(BootClock.now(), partition, epoch);
            }
            FeedCommand::Bury { token, message } => {
                self.burying.push((token, self.burial.bury(message)));
            }
            FeedCommand::Close => {
                let _ = self.closing.get_or_insert(now + CLOSE_WITHIN);
            }
            // Pulls follow the credit; there is nothing to pause.
            FeedCommand::Pause(_) | FeedCommand::Resume(_) => {}
        }
    }

    fn start(&mut self, start: Start, now: Instant, out: &mut Option<&mut Outbox>) {
        let Some(known) = self.partitions.get_mut(start.partition.0 as usize) else {
            return;
        };
        if (start.epoch, start.session) <= known.newest {
            return;
        }
        known.newest = (start.epoch, start.session);
        known.wanted = Some(start);
        if let Some(out) = out.as_deref_mut() {
            if let Some(live) = known.live.take() {
                live.end(out);
            }
            self.begin(start.partition, now, out);
        }
    }

    /// Begins the session that is wanted.
    fn begin(&mut self, partition: PartitionId, now: Instant, out: &mut Outbox) {
        let sessions = self.partitions.len() as u64;
        let Some(known) = self.partitions.get_mut(partition.0 as usize) else {
            return;
        };
        let Some(start) = known.wanted.take() else {
            return;
        };
        let place = Place {
            stream: Arc::clone(&self.stream),
            filter: Arc::clone(&known.filter),
            max_payload: self.max_payload,
            pull_bytes_max: (PULL_BYTES / sessions.max(1)).max(PULL_BYTES_LEAST),
            heartbeat: self.heartbeat,
        };
        let sid = (self.next_sid << PARTITION_BITS) | u64::from(partition.0);
        self.next_sid += 1;
        let mut session = Session::begin(start, &place, sid, now, out);
        if known.granted.0 == start.session {
            session.pulls.grant(known.granted.1, known.granted.2);
        }
        known.live = Some(session);
    }

    /// Ends the session of a partition and says why.
    fn end(&mut self, partition: usize, why: BreakReason, out: &mut Outbox) {
        if let Some(known) = self.partitions.get_mut(partition)
            && let Some(mut live) = known.live.take()
        {
            live.flush(&mut self.outgoing);
            live.end(out);
            self.outgoing.push(live.broken(why));
        }
    }

    /// Lets the keeper work; when it wants to be called again.
    fn keep(&mut self, cx: &mut Context<'_>, out: &mut Option<&mut Outbox>) -> Option<Time> {
        let now = BootClock.now();
        let connection = self
            .requests
            .is_connected()
            .then(|| self.requests.connection());
        if connection != self.keeper_connection {
            // Lost and found between two calls counts as both: the records are read and compared
            // before the next write.
            if self.keeper_connection.is_some() {
                self.keeper.disconnected(now);
            }
            if connection.is_some() {
                self.keeper.reconnected(now);
            }
            self.keeper_connection = connection;
        }
        let before = self.outgoing.len();
        let polled = self.keeper.poll(now, cx, &mut self.outgoing);
        for event in self.outgoing.get(before..).unwrap_or_default() {
            // S5: what is not ours is not read any more.
            if let FeedEvent::Lost { partition, epoch } = event
                && let Some(known) = self.partitions.get_mut(partition.0 as usize)
                && known.newest.0 <= *epoch
            {
                known.wanted = None;
                if let (Some(live), Some(out)) = (known.live.take(), out.as_deref_mut()) {
                    live.end(out);
                }
            }
        }
        match polled {
            Ok(at) => at,
            Err(error) => {
                if !self.failed {
                    self.failed = true;
                    self.outgoing.push(FeedEvent::Failed(error));
                    let _ = self.closing.get_or_insert_with(Instant::now);
                }
                None
            }
        }
    }

    fn bury(&mut self, cx: &mut Context<'_>) {
        let outgoing = &mut self.outgoing;
        self.burying
            .retain_mut(|(token, future)| match future.as_mut().poll(cx) {
                Poll::Ready(receipt) => {
                    outgoing.push(FeedEvent::Buried {
                        token: *token,
                        receipt,
                    });
                    false
                }
                Poll::Pending => true,
            });
    }

    fn hand_over(&mut self) {
        for known in &mut self.partitions {
            if let Some(live) = &mut known.live {
                live.flush(&mut self.outgoing);
            }
        }
        for event in self.outgoing.drain(..) {
            // Partitions share the positions of their stream. If its end is lost and written again,
            // a position that held another partition's message may hold one of ours: a frontier that
            // had passed such holes would skip it (S9). The next message of ours passes them.
            if matches!(event, FeedEvent::Advance { .. }) {
                continue;
            }
            // A reader that is gone has closed the mailbox; the close command follows.
            let _ = self.events.push(event);
        }
    }
}

impl Handler for Deliveries {
    fn connected(&mut self, now: Instant, server: &ServerInfo, out: &mut Outbox) {
        self.connected = true;
        self.max_payload = server.max_payload as u64;
        self.outgoing.push(FeedEvent::Connected);
        for partition in 0..self.partitions.len() {
            self.begin(
                PartitionId(u32::try_from(partition).unwrap_or(u32::MAX)),
                now,
                out,
            );
        }
    }

    fn disconnected(&mut self, _now: Instant) {
        self.connected = false;
        for known in &mut self.partitions {
            if let Some(mut live) = known.live.take() {
                live.flush(&mut self.outgoing);
                self.outgoing.push(live.broken(BreakReason::Disconnected));
            }
        }
        self.outgoing.push(FeedEvent::Disconnected);
        self.hand_over();
    }

    fn unreachable(&mut self, error: &ConnectError) {
        tracing::debug!(?error, "NATS cannot be reached");
    }

    fn message(&mut self, now: Instant, message: &Message<'_>, out: &mut Outbox) {
        let partition = (message.sid & ((1 << PARTITION_BITS) - 1)) as usize;
        let Some(known) = self.partitions.get_mut(partition) else {
            return;
        };
        // S6: what belongs to an older session ends here (F-LM9).
        let Some(live) = known.live.as_mut().filter(|live| live.sid() == message.sid) else {
            return;
        };
        if let Err(why) = live.message(now, message, out, &mut self.outgoing) {
            self.end(partition, why, out);
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, moment: Moment, out: Option<&mut Outbox>) -> Turn {
        let mut out = out;
        let mut batch = core::mem::take(&mut self.batch);
        while let Poll::Ready(()) = self.commands.poll_drain(cx, &mut batch) {
            if batch.is_empty() {
                // The feed was dropped.
                let _ = self.closing.get_or_insert(moment.now);
                break;
            }
            for command in batch.drain(..) {
                self.command(command, moment.now, &mut out);
            }
        }
        self.batch = batch;
        let keeper_at = self.keep(cx, &mut out);
        self.bury(cx);
        let mut wake_at: Option<Instant> = None;
        let mut waiting = false;
        let mut sooner = |at: Instant| wake_at = Some(wake_at.map_or(at, |w: Instant| w.min(at)));
        if let Some(out) = out.as_deref_mut() {
            for partition in 0..self.partitions.len() {
                let Some(live) = self.partitions[partition].live.as_mut() else {
                    continue;
                };
                if let Err(why) = live.turn(moment.now, moment.drained, out) {
                    self.end(partition, why, out);
                    continue;
                }
                waiting |= live.is_waiting();
                if let Some(at) = live.wake_at(moment.now) {
                    sooner(at);
                }
            }
        }
        if let Some(at) = keeper_at {
            // The keeper counts on the boot clock: only the distance carries over.
            sooner(moment.now + Duration::from(at.since(BootClock.now())));
        }
        self.hand_over();
        let mut next = Next::Go;
        if let Some(until) = self.closing {
            sooner(until);
            if until <= moment.now || self.keeper.is_idle() {
                if let Some(out) = out {
                    for known in &mut self.partitions {
                        if let Some(live) = known.live.take() {
                            live.end(out);
                        }
                    }
                }
                next = Next::Close;
            }
        }
        Turn {
            wake_at,
            waiting,
            next,
        }
    }
}

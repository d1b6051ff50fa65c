//! The consuming half.

use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::{PartitionId, Receipt, Start, Token};
use procession_runtime::keeper::Keeper;
use procession_runtime::port::{BreakReason, Feed, FeedCommand, FeedEvent, Outgoing, PortError};
use procession_runtime::{Shell, Timer};

use crate::delivery::Delivery;
use crate::hub::Hub;
use crate::records::MemoryRecords;
use crate::signal::Signal;
use crate::topic::{Stored, Topic};

/// Partitions that one poll reads at most, so that a poll's work is bounded.
const READS: usize = 8;
/// How often the keeper is asked again within one poll, when it says that something is due already.
const TURNS: usize = 4;

/// One member of a group. It has no thread and no task: the keeper and the deliveries are served
/// inside of `poll_events`, and the shell's timer wakes the poller when a lease falls due.
pub(crate) struct MemoryFeed<S: Shell> {
    pub(crate) hub: Arc<Hub>,
    pub(crate) topic: Arc<Topic>,
    pub(crate) shell: S,
    pub(crate) timer: S::Timer,
    pub(crate) signal: Arc<Signal>,
    pub(crate) keeper: Keeper<MemoryRecords>,
    /// One entry per partition of the topic, `None` while it is not ours.
    pub(crate) owned: Vec<Option<Delivery>>,
    /// Answers to commands, until the next poll.
    pub(crate) events: Vec<FeedEvent>,
    /// Which partition is read first in the next poll: none starves.
    pub(crate) turn: usize,
    /// Whether a command came since the last poll, or the last poll left records unread.
    pub(crate) fresh: bool,
    /// Whether the keeper has something to do before its alarm rings. The store answers at once, so
    /// that is only so after a command.
    pub(crate) keep: bool,
    pub(crate) state: State,
}

/// How far a feed has come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    Closing,
    Closed,
    /// A test killed the member: it does and says nothing more, and its leases run out.
    #[cfg(feature = "test-hooks")]
    Dead,
}

impl<S: Shell> MemoryFeed<S> {
    pub(crate) fn delivery(&mut self, partition: PartitionId) -> Option<&mut Delivery> {
        self.owned.get_mut(partition.0 as usize)?.as_mut()
    }

    fn start(&mut self, start: &Start) {
        let topic = Arc::clone(&self.topic);
        let event = match self.delivery(start.partition) {
            Some(delivery) if start.epoch >= delivery.epoch => {
                let state = topic.lock();
                delivery.start(start, &state.logs[start.partition.0 as usize])
            }
            _ => FeedEvent::Broken {
                partition: start.partition,
                epoch: start.epoch,
                session: start.session,
                why: BreakReason::NotStarted,
            },
        };
        self.events.push(event);
    }

    /// Stores a dead letter, in the eighth of the log that publishers leave free.
    fn bury(&mut self, token: Token, message: Outgoing) {
        let receipt = if message.bytes() > self.hub.settings.message_bytes_max {
            Receipt::TooLarge
        } else {
            match self.store(message) {
                Ok(true) => Receipt::Stored,
                Ok(false) | Err(_) => Receipt::NotStored,
            }
        };
        self.events.push(FeedEvent::Buried { token, receipt });
    }

    /// Whether the message found room.
    fn store(&self, mut message: Outgoing) -> Result<bool, PortError> {
        let topic = self.hub.topic(&message.topic)?;
        let partition = topic.partition_of(&message)?;
        let ceiling = self.hub.settings.log_bytes;
        loop {
            let now = self.hub.stamp(self.shell.now());
            let mut state = topic.lock();
            match state.store(message, partition, now, &self.hub.budget, ceiling) {
                Stored::At { .. } => {
                    state.wake_readers();
                    return Ok(true);
                }
                // A dead letter expects nothing.
                Stored::Conflict(_) => return Ok(false),
                Stored::Full(back) => message = back,
            }
            drop(state);
            if !self.hub.make_room() {
                return Ok(false);
            }
        }
    }

    /// Lets the keeper claim, renew, commit and release, and takes note of what is ours.
    fn keep(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Result<(), PortError> {
        let before = into.len();
        for _ in 0..TURNS {
            if !self.keep && self.timer.poll_elapsed(cx).is_pending() {
                break;
            }
            self.keep = false;
            let due = self.keeper.poll(self.shell.now(), cx, into)?;
            self.timer.set(due);
        }
        if self.timer.poll_elapsed(cx).is_ready() {
            // Due again already: after the others had their turn.
            self.keep = true;
            cx.waker().wake_by_ref();
        }
        for event in &into[before..] {
            let (partition, ours) = match event {
                FeedEvent::Assigned {
                    partition, epoch, ..
                } => (partition, Some(Delivery::new(*partition, *epoch))),
                FeedEvent::Lost { partition, .. } => (partition, None),
                FeedEvent::Extended { .. }
                | FeedEvent::Revoked { .. }
                | FeedEvent::Committed { .. }
                | FeedEvent::Standby { .. }
                | FeedEvent::Session { .. }
                | FeedEvent::Broken { .. }
                | FeedEvent::Records { .. }
                | FeedEvent::Advance { .. }
                | FeedEvent::Buried { .. }
                | FeedEvent::Connected
                | FeedEvent::Disconnected
                | FeedEvent::Failed(_)
                | FeedEvent::Closed => continue,
            };
            if let Some(place) = self.owned.get_mut(partition.0 as usize) {
                *place = ours;
            }
        }
        Ok(())
    }

    /// Delivers, a batch of each partition in turn. One lock for all of it.
    fn read(&mut self, into: &mut Vec<FeedEvent>) {
        let count = self.owned.len();
        let state = self.topic.lock();
        let mut reads = 0;
        let mut more = false;
        for step in 0..count {
            let index = (self.turn + step) % count;
            let Some(delivery) = &mut self.owned[index] else {
                continue;
            };
            let before = into.len();
            more |= delivery.read(&state.logs[index], into);
            reads += usize::from(into.len() > before);
            if reads == READS {
                more |= step + 1 < count;
                self.turn = (index + 1) % count;
                break;
            }
        }
        self.fresh = more;
    }

    /// Lets the keeper finish its writes; the store answers at once, so a few turns are enough.
    fn close(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) {
        for _ in 0..TURNS {
            if self.keeper.is_idle() || self.keeper.poll(self.shell.now(), cx, into).is_err() {
                break;
            }
        }
        self.end(into);
    }

    fn end(&mut self, into: &mut Vec<FeedEvent>) {
        self.timer.set(None);
        self.owned.clear();
        self.state = State::Closed;
        into.push(FeedEvent::Closed);
    }
}

impl<S: Shell> Feed for MemoryFeed<S> {
    fn submit(&mut self, command: FeedCommand) {
        if self.state != State::Open {
            return;
        }
        match command {
            FeedCommand::Start(start) => self.start(&start),
            FeedCommand::Grant {
                partition,
                session,
                messages,
                bytes,
            } => {
                if let Some(delivery) = self.delivery(partition) {
                    delivery.grant(session, messages, bytes);
                }
            }
            FeedCommand::Pause(partition) => {
                if let Some(delivery) = self.delivery(partition) {
                    delivery.paused = true;
                }
            }
            FeedCommand::Resume(partition) => {
                if let Some(delivery) = self.delivery(partition) {
                    delivery.paused = false;
                }
            }
            FeedCommand::Commit(write) => {
                self.keeper.commit(self.shell.now(), write);
                self.keep = true;
            }
            FeedCommand::Release { partition, epoch } => {
                if let Some(place) = self.owned.get_mut(partition.0 as usize) {
                    place.take_if(|delivery| delivery.epoch <= epoch);
                }
                self.keeper.release(self.shell.now(), partition, epoch);
                self.keep = true;
            }
            FeedCommand::Bury { token, message } => self.bury(token, message),
            FeedCommand::Close => self.state = State::Closing,
        }
        if !self.fresh {
            self.fresh = true;
            self.signal.raise();
        }
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        let before = into.len();
        let news = self.signal.take(cx.waker()) || self.fresh;
        #[cfg(feature = "test-hooks")]
        self.suffer();
        match self.state {
            State::Closed => return Poll::Pending,
            #[cfg(feature = "test-hooks")]
            State::Dead => return Poll::Pending,
            State::Open | State::Closing => into.append(&mut self.events),
        }
        if self.state == State::Closing || self.signal.is_closed() {
            self.close(cx, into);
            return Poll::Ready(());
        }
        if let Err(error) = self.keep(cx, into) {
            into.push(FeedEvent::Failed(error));
            self.end(into);
            return Poll::Ready(());
        }
        if news {
            self.read(into);
        }
        if into.len() == before {
            return Poll::Pending;
        }
        Poll::Ready(())
    }
}

//! The publishing half.

use core::task::{Context, Poll};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use procession_core::Position;
use procession_runtime::Clock;
use procession_runtime::port::{
    Outgoing, Parcel, PortError, PortErrorKind, Sink, SinkCommand, SinkEvent, SinkReceipt,
    SinkTicket,
};

use crate::hub::Hub;
use crate::signal::Signal;
use crate::topic::{Stored, Topic};

/// Publishes of one bus. Messages are collected by `submit` and stored by the next `poll_events`,
/// a whole batch under one lock.
pub(crate) struct MemorySink<C> {
    hub: Arc<Hub>,
    clock: C,
    pub(crate) signal: Arc<Signal>,
    /// Messages that are not stored yet, by topic and in the order in which they were sent. Never
    /// more than the producer's window: that is the caller's decision.
    queues: Vec<Queue>,
    /// Index into `queues`.
    by_topic: BTreeMap<Arc<str>, usize>,
    pub(crate) events: Vec<SinkEvent>,
    /// Whether a message came since the last poll: the first one wakes the poller, the others of
    /// the batch need not.
    fresh: bool,
    state: State,
}

struct Queue {
    topic: Arc<Topic>,
    messages: VecDeque<(SinkTicket, Arc<Outgoing>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closing,
    Closed,
}

impl<C: Clock> MemorySink<C> {
    pub(crate) fn new(hub: Arc<Hub>, clock: C, signal: Arc<Signal>) -> Self {
        Self {
            hub,
            clock,
            signal,
            queues: Vec::new(),
            by_topic: BTreeMap::new(),
            events: vec![SinkEvent::Connected],
            fresh: false,
            state: State::Open,
        }
    }

    fn send(&mut self, ticket: SinkTicket, message: Arc<Outgoing>) {
        let most = self.hub.settings.message_bytes_max;
        let refused = if message.bytes() > most {
            Some(PortError::new(
                PortErrorKind::TooLarge,
                format!(
                    "the message `{}` is {} bytes with its headers, more than the {most} that \
                     this in-process broker takes: make it smaller or raise `message_bytes_max`",
                    message.id,
                    message.bytes()
                ),
            ))
        } else {
            match self.queue(&message.topic) {
                Ok(index) => {
                    self.queues[index].messages.push_back((ticket, message));
                    None
                }
                Err(error) => Some(error),
            }
        };
        if let Some(error) = refused {
            let receipt = SinkReceipt::NotStored(error);
            self.events.push(SinkEvent::Result { ticket, receipt });
        }
    }

    /// Index of the queue of a topic.
    fn queue(&mut self, name: &Arc<str>) -> Result<usize, PortError> {
        if let Some(&index) = self.by_topic.get(name) {
            return Ok(index);
        }
        // Bounded by `topics_max`: there is one queue per topic that exists.
        let topic = self.hub.topic(name)?;
        let index = self.queues.len();
        self.by_topic.insert(Arc::clone(&topic.name), index);
        self.queues.push(Queue {
            topic,
            messages: VecDeque::new(),
        });
        Ok(index)
    }

    /// Stores what is queued. What finds no room stays, and the sink hears of the next room.
    pub(crate) fn flush(&mut self) {
        if self.store_or_free() {
            return;
        }
        // Between the failed try and this line a commit may have made room without knowing of us:
        // ask to be told first, then try once more.
        self.hub.wait_for_room(&self.signal);
        self.store_or_free();
    }

    /// Stores, and frees when there is no room, until all is stored or nothing can be freed. Whether
    /// everything found room.
    fn store_or_free(&mut self) -> bool {
        loop {
            if self.store_all() {
                return true;
            }
            if !self.hub.make_room() {
                return false;
            }
        }
    }

    /// Forgets what is queued, and every answer that was not polled yet: the connection is cut.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn forget(&mut self) {
        self.events.clear();
        for queue in &mut self.queues {
            queue.messages.clear();
        }
    }

    /// Whether everything found room.
    fn store_all(&mut self) -> bool {
        let now = self.hub.stamp(self.clock.now());
        let ceiling = self.hub.settings.publish_ceiling();
        let mut all = true;
        for queue in &mut self.queues {
            if queue.messages.is_empty() {
                continue;
            }
            let mut stored_any = false;
            let mut state = queue.topic.lock();
            while let Some((ticket, message)) = queue.messages.pop_front() {
                let partition = match queue.topic.partition_of(&message) {
                    Ok(partition) => partition,
                    Err(error) => {
                        let receipt = SinkReceipt::NotStored(error);
                        self.events.push(SinkEvent::Result { ticket, receipt });
                        continue;
                    }
                };
                match state.store(
                    Arc::unwrap_or_clone(message),
                    partition,
                    now,
                    &self.hub.budget,
                    ceiling,
                ) {
                    Stored::At { place, duplicate } => {
                        stored_any = true;
                        let receipt = SinkReceipt::Stored {
                            partition: place.partition,
                            position: place.position,
                            duplicate,
                        };
                        self.events.push(SinkEvent::Result { ticket, receipt });
                    }
                    Stored::Conflict(last) => {
                        let receipt = SinkReceipt::Conflict(conflict(last));
                        self.events.push(SinkEvent::Result { ticket, receipt });
                    }
                    Stored::Full(message) => {
                        queue.messages.push_front((ticket, Arc::new(message)));
                        all = false;
                        break;
                    }
                }
            }
            if stored_any {
                state.wake_readers();
            }
        }
        all
    }
}

fn conflict(last: Option<Position>) -> PortError {
    PortError::new(
        PortErrorKind::Refused,
        match last {
            Some(last) => format!("the last message of its key stands at {}", last.0),
            None => "the log holds no message of its key".to_owned(),
        },
    )
}

impl<C: Clock + Send + 'static> Sink for MemorySink<C> {
    fn submit(&mut self, command: SinkCommand) {
        if self.state != State::Open {
            return;
        }
        match command {
            SinkCommand::Send { ticket, message } => self.send(ticket, message),
            // What is queued is stored in its order.
            SinkCommand::SendTogether(all) => {
                for Parcel { ticket, message } in all {
                    self.send(ticket, message);
                }
            }
            SinkCommand::Close => self.state = State::Closing,
        }
        if !self.fresh {
            self.fresh = true;
            self.signal.raise();
        }
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()> {
        let news = self.signal.take(cx.waker());
        if self.state == State::Closed {
            return Poll::Pending;
        }
        #[cfg(feature = "test-hooks")]
        self.suffer();
        if news || self.fresh {
            self.fresh = false;
            self.flush();
        }
        if self.state == State::Closing || self.signal.is_closed() {
            // What is still queued was never stored and never will be: the log did not see it.
            self.state = State::Closed;
            for queue in self.queues.drain(..) {
                for (ticket, message) in queue.messages {
                    let receipt = SinkReceipt::NotStored(PortError::new(
                        PortErrorKind::Disconnected,
                        format!(
                            "the message `{}` waited for room in the log when the in-process \
                             broker was closed",
                            message.id
                        ),
                    ));
                    self.events.push(SinkEvent::Result { ticket, receipt });
                }
            }
            self.by_topic.clear();
            self.events.push(SinkEvent::Closed);
        }
        if self.events.is_empty() {
            return Poll::Pending;
        }
        into.append(&mut self.events);
        Poll::Ready(())
    }
}

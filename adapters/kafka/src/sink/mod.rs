//! The publishing half: one thread, one idempotent producer at a time.

mod alarm;
mod burial;
#[cfg(test)]
mod driven;
mod known;
mod ledger;
mod outstanding;
mod publisher;
mod receipt;
mod renewal;
mod sender;
mod settings;
#[cfg(test)]
mod tests;

use core::task::{Context, Poll};
use std::sync::Arc;

use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{PortError, Sink, SinkCommand, SinkEvent};
use rdkafka::ClientConfig;

use crate::partitioner::Partitioner;
use crate::thread::{Ended, IoThread};
use publisher::Publisher;

pub(crate) use burial::Burial;
pub(crate) use known::Known;
pub(crate) use publisher::Order;
pub(crate) use sender::{Report, Sender};

/// A sink for all topics of a broker.
#[derive(Debug)]
pub(crate) struct KafkaSink {
    commands: Arc<Mailbox<Order>>,
    events: Arc<Mailbox<Vec<SinkEvent>>>,
    batches: Vec<Vec<SinkEvent>>,
    thread: IoThread,
}

impl KafkaSink {
    /// A sink with a producer from this configuration, to which what a producer must have is added.
    ///
    /// # Errors
    /// A setting that librdkafka does not take, or no thread.
    pub(crate) fn start(
        config: &ClientConfig,
        partitioner: Partitioner,
        known: Known,
    ) -> Result<Self, PortError> {
        let sender = Sender::new(config, partitioner, known)?;
        let commands = Arc::new(Mailbox::new());
        let events = Arc::new(Mailbox::new());
        let publisher = Publisher::new(sender, Arc::clone(&commands), Arc::clone(&events));
        let closed = Arc::clone(&events);
        let thread = IoThread::spawn(
            "procession-kafka-sink",
            move || publisher.run(),
            move || {
                let _ = closed.push(vec![SinkEvent::Closed]);
                closed.close();
            },
        )?;
        Ok(Self {
            commands,
            events,
            batches: Vec::new(),
            thread,
        })
    }

    /// What ends this sink from outside.
    pub(crate) fn commands(&self) -> Arc<Mailbox<Order>> {
        Arc::clone(&self.commands)
    }

    /// Tells when the thread is gone, and with it the producer.
    pub(crate) fn ended(&self) -> Ended {
        self.thread.ended()
    }
}

impl Sink for KafkaSink {
    fn submit(&mut self, command: SinkCommand) {
        // Bounded by the core's window of outstanding messages.
        let _ = self.commands.push(Order::Command(command));
    }

    fn reconnect(&mut self) {
        // The driver asks at most once a second.
        let _ = self.commands.push(Order::Reconnect);
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()> {
        core::task::ready!(self.events.poll_drain(cx, &mut self.batches));
        if self.batches.is_empty() {
            // Closed and told: nothing more comes.
            return Poll::Pending;
        }
        for mut batch in self.batches.drain(..) {
            if into.is_empty() {
                core::mem::swap(into, &mut batch);
            } else {
                into.append(&mut batch);
            }
        }
        if matches!(into.last(), Some(SinkEvent::Closed)) {
            // `Closed` says that no thread is left: it is at its very end.
            self.thread.join();
        }
        Poll::Ready(())
    }
}

impl Drop for KafkaSink {
    fn drop(&mut self) {
        self.commands.close();
        self.events.close();
    }
}

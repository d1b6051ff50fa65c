//! The publishing half: one thread, one connection, one inbox for all answers.

mod expecting;
mod known;
mod outstanding;
mod publisher;
mod together;
mod topic;

use core::task::{Context, Poll};
use std::sync::Arc;

use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{PortError, Sink, SinkCommand, SinkEvent};

use crate::thread::{Ended, IoThread};
use crate::wire::{Servers, link};
use publisher::Publisher;

pub(crate) use known::Known;
pub(crate) use publisher::Order;

/// A sink for all topics of a broker.
#[derive(Debug)]
pub(crate) struct NatsSink {
    commands: Arc<Mailbox<Order>>,
    events: Arc<Mailbox<Vec<SinkEvent>>>,
    batches: Vec<Vec<SinkEvent>>,
    thread: IoThread,
}

impl NatsSink {
    pub(crate) fn start(servers: Servers, name: &str, known: Known) -> Result<Self, PortError> {
        let commands = Arc::new(Mailbox::new());
        let events = Arc::new(Mailbox::new());
        let mut publisher = Publisher::new(Arc::clone(&commands), Arc::clone(&events), known);
        let closed = Arc::clone(&events);
        let name = format!("{name} publishing");
        let thread = IoThread::spawn(
            "procession-nats-sink",
            async move { link::run(&mut publisher, &servers, &name).await },
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

    /// Tells when the thread is gone.
    pub(crate) fn ended(&self) -> Ended {
        self.thread.ended()
    }
}

impl Sink for NatsSink {
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

impl Drop for NatsSink {
    fn drop(&mut self) {
        self.commands.close();
        self.events.close();
    }
}

//! A sink that does what a test says.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex};

use procession_core::Position;

use crate::port::{Outgoing, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket};

/// Both ends of a scripted sink.
#[derive(Clone, Default)]
pub(crate) struct ScriptSink(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    events: Vec<SinkEvent>,
    waker: Option<Waker>,
    sent: Vec<(SinkTicket, Arc<Outgoing>)>,
    /// Sizes of what was sent together.
    together: Vec<usize>,
    position: u64,
    /// Every send is stored at once.
    eager: bool,
    reconnects: usize,
    closed: bool,
}

impl ScriptSink {
    pub(crate) fn eager() -> Self {
        let sink = Self::default();
        sink.0.lock().unwrap().eager = true;
        sink
    }

    pub(crate) fn send(&self, event: SinkEvent) {
        let waker = {
            let mut inner = self.0.lock().unwrap();
            inner.events.push(event);
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Sends without an answer, taken out.
    pub(crate) fn sent(&self) -> Vec<(SinkTicket, Arc<Outgoing>)> {
        core::mem::take(&mut self.0.lock().unwrap().sent)
    }

    /// Sizes of what was sent together, taken out.
    pub(crate) fn together(&self) -> Vec<usize> {
        core::mem::take(&mut self.0.lock().unwrap().together)
    }

    pub(crate) fn store(&self, ticket: SinkTicket) {
        let position = {
            let mut inner = self.0.lock().unwrap();
            inner.position += 1;
            inner.position
        };
        self.answer(
            ticket,
            SinkReceipt::Stored {
                partition: 0,
                position: Position(position),
                duplicate: false,
            },
        );
    }

    pub(crate) fn answer(&self, ticket: SinkTicket, receipt: SinkReceipt) {
        self.send(SinkEvent::Result { ticket, receipt });
    }

    /// How often a new connection was asked for.
    pub(crate) fn reconnects(&self) -> usize {
        self.0.lock().unwrap().reconnects
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.lock().unwrap().closed
    }

    /// The driver's end.
    pub(crate) fn port(&self) -> SinkPort {
        SinkPort(self.clone())
    }
}

pub(crate) struct SinkPort(ScriptSink);

impl Sink for SinkPort {
    fn submit(&mut self, command: SinkCommand) {
        match command {
            SinkCommand::Send { ticket, message } => {
                let eager = self.0.0.lock().unwrap().eager;
                if eager {
                    self.0.store(ticket);
                } else {
                    self.0.0.lock().unwrap().sent.push((ticket, message));
                }
            }
            SinkCommand::SendTogether(all) => {
                let mut inner = self.0.0.lock().unwrap();
                inner.together.push(all.len());
                let all = all.into_iter().map(|p| (p.ticket, p.message));
                inner.sent.extend(all);
            }
            SinkCommand::Close => {
                self.0.0.lock().unwrap().closed = true;
                self.0.send(SinkEvent::Closed);
            }
        }
    }

    fn reconnect(&mut self) {
        self.0.0.lock().unwrap().reconnects += 1;
        self.0.send(SinkEvent::Disconnected);
        self.0.send(SinkEvent::Connected);
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()> {
        let mut inner = self.0.0.lock().unwrap();
        if inner.events.is_empty() {
            inner.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        into.append(&mut inner.events);
        Poll::Ready(())
    }
}

//! Between the publisher's driver and its sink: outages, and what a sabotage breaks.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, PoisonError};

use procession_core::Position;
use procession_runtime::port::{
    PortError, PortErrorKind, Sink, SinkCommand, SinkEvent, SinkReceipt,
};

use crate::sabotage::Sabotage;

/// Whether the broker can be reached.
#[derive(Clone, Default)]
pub(crate) struct Line(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    down: bool,
    /// What was not told yet.
    news: Vec<SinkEvent>,
    waker: Option<Waker>,
}

impl Line {
    /// The connection goes, or comes back.
    pub(crate) fn set(&self, down: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.down != down {
            state.down = down;
            state.news.push(if down {
                SinkEvent::Disconnected
            } else {
                SinkEvent::Connected
            });
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A sink that is cut off and lies when it is told to.
pub(crate) struct Lying {
    pub(crate) inner: Box<dyn Sink>,
    pub(crate) line: Line,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) count: u64,
    /// Answers that the port does not give.
    pub(crate) made_up: Vec<SinkEvent>,
}

impl Lying {
    fn is_down(&self) -> bool {
        self.line
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .down
    }

    /// What happened to the connection; without one, no answer arrives.
    fn hear_line(&self, cx: &Context<'_>, from: usize, into: &mut Vec<SinkEvent>) {
        let mut state = self.line.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.waker = Some(cx.waker().clone());
        if state.down || !state.news.is_empty() {
            // Answers that were on their way are lost with it.
            let kept = into.split_off(from).into_iter();
            into.extend(kept.filter(|event| matches!(event, SinkEvent::Closed)));
        }
        into.append(&mut state.news);
    }
}

impl Sink for Lying {
    fn submit(&mut self, command: SinkCommand) {
        self.count += 1;
        match command {
            SinkCommand::Send { ticket, .. }
                if self.sabotage == Some(Sabotage::NeverSent) && self.count == 30 =>
            {
                self.made_up.push(SinkEvent::Result {
                    ticket,
                    receipt: SinkReceipt::Stored {
                        partition: 0,
                        position: Position(1),
                        duplicate: false,
                    },
                });
            }
            // Without a connection it goes nowhere.
            SinkCommand::Send { .. } if self.is_down() => {}
            command => self.inner.submit(command),
        }
    }

    fn reconnect(&mut self) {
        self.inner.reconnect();
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()> {
        let before = into.len();
        into.append(&mut self.made_up);
        let polled = self.inner.poll_events(cx, into);
        self.hear_line(cx, before, into);
        if self.sabotage == Some(Sabotage::StoredIsRefused) {
            for event in &mut into[before..] {
                if let SinkEvent::Result { ticket, receipt } = event
                    && ticket.token % 16 == 5
                {
                    *receipt =
                        SinkReceipt::NotStored(PortError::new(PortErrorKind::Refused, "a lie"));
                }
            }
        }
        if before < into.len() {
            return Poll::Ready(());
        }
        // Nothing of what the sink has said is left: that it said something is no reason to ask again.
        match polled {
            Poll::Ready(()) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

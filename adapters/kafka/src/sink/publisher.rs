//! Serves one sink on its thread.

use core::task::{Context, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{Parcel, SinkCommand, SinkEvent, SinkTicket};

use super::sender::{Report, Sender};

/// How long messages without an answer are waited for when the sink is closed.
pub(super) const CLOSE_GRACE: Duration = Duration::from_millis(250);
/// Longest sleep: whatever has news rings.
pub(super) const SLEEP: Duration = Duration::from_secs(1);

/// What the thread of a sink is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// What the driver wants.
    Command(SinkCommand),
    /// Give the producer up and make a new one: what has no answer then surely cannot land (S8).
    Reconnect,
}

/// The loop of a sink.
pub(super) struct Publisher {
    sender: Sender<SinkTicket>,
    commands: Arc<Mailbox<Order>>,
    events: Arc<Mailbox<Vec<SinkEvent>>>,
    /// Closing, until then at the latest.
    closing: Option<Instant>,
}

impl Publisher {
    pub(super) const fn new(
        sender: Sender<SinkTicket>,
        commands: Arc<Mailbox<Order>>,
        events: Arc<Mailbox<Vec<SinkEvent>>>,
    ) -> Self {
        Self {
            sender,
            commands,
            events,
            closing: None,
        }
    }

    pub(super) fn run(mut self) {
        // A producer takes messages before it is connected, and keeps them.
        let _ = self.events.push(vec![SinkEvent::Connected]);
        let waker = Waker::from(self.sender.alarm());
        let mut cx = Context::from_waker(&waker);
        let (mut orders, mut reports) = (Vec::new(), Vec::new());
        while self.goes_on() {
            let busy = self.hear(&mut cx, &mut orders);
            let within = match self.closing {
                _ if busy => Duration::ZERO,
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => SLEEP,
            };
            self.sender.poll(within, &mut reports);
            tell(&self.events, &mut reports);
        }
        self.sender.end(&mut reports);
        tell(&self.events, &mut reports);
    }

    fn goes_on(&self) -> bool {
        self.closing
            .is_none_or(|until| self.sender.outstanding() != 0 && Instant::now() < until)
    }

    /// Carries out what was ordered. Whether there was anything.
    fn hear(&mut self, cx: &mut Context<'_>, orders: &mut Vec<Order>) -> bool {
        if self.commands.poll_drain(cx, orders).is_pending() {
            return false;
        }
        if orders.is_empty() {
            // The sink was dropped.
            self.close();
        }
        for order in orders.drain(..) {
            match order {
                Order::Command(SinkCommand::Send { ticket, message }) => {
                    self.sender.send(ticket, message);
                }
                // The producer keeps their order, and puts them into batches by itself.
                Order::Command(SinkCommand::SendTogether(all)) => {
                    for Parcel { ticket, message } in all {
                        self.sender.send(ticket, message);
                    }
                }
                Order::Command(SinkCommand::Close) => self.close(),
                Order::Reconnect => self
                    .sender
                    .renew("messages without a known fate block keys"),
            }
        }
        true
    }

    fn close(&mut self) {
        self.closing
            .get_or_insert_with(|| Instant::now() + CLOSE_GRACE);
    }
}

/// One push for many results: the lock and the wake-up are paid once.
fn tell(events: &Mailbox<Vec<SinkEvent>>, reports: &mut Vec<Report<SinkTicket>>) {
    if reports.is_empty() {
        return;
    }
    let batch = reports
        .drain(..)
        .map(|report| match report {
            Report::Receipt(ticket, receipt) => SinkEvent::Result { ticket, receipt },
            Report::Lost => SinkEvent::Disconnected,
            Report::Restored => SinkEvent::Connected,
        })
        .collect();
    let _ = events.push(batch);
}

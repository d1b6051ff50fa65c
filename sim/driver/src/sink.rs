//! Between the publisher's driver and its sink: breaks what a sabotage breaks.

use core::task::{Context, Poll};

use procession_core::Position;
use procession_runtime::port::{
    PortError, PortErrorKind, Sink, SinkCommand, SinkEvent, SinkReceipt,
};

use crate::sabotage::Sabotage;

/// A sink that lies when it is told to.
pub(crate) struct Lying {
    pub(crate) inner: Box<dyn Sink>,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) count: u64,
    /// Answers that the port does not give.
    pub(crate) made_up: Vec<SinkEvent>,
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
        polled
    }
}

//! Between the publisher's driver and its sink: the way there and back, outages, and what a sabotage
//! breaks.

use core::task::{Context, Poll};

use procession_core::Position;
use procession_runtime::port::{
    PortError, PortErrorKind, Sink, SinkCommand, SinkEvent, SinkReceipt, SinkTicket,
};

use crate::dice::Dice;
use crate::lag::Lag;
use crate::line::{Line, Refusing};
use crate::sabotage::Sabotage;
use crate::shell::SimShell;

/// A sink that is some way off, is cut off and lies when it is told to.
pub(crate) struct Lying {
    inner: Box<dyn Sink>,
    line: Line,
    refusing: Refusing,
    /// Whether the driver was told that it is cut off.
    down: bool,
    /// Commands and events on their way.
    there: Lag<SinkCommand>,
    back: Lag<SinkEvent>,
    sabotage: Option<Sabotage>,
    count: u64,
}

impl Lying {
    /// A way of up to `most` nanoseconds in each direction.
    pub(crate) fn new(
        inner: Box<dyn Sink>,
        (line, refusing): (Line, Refusing),
        sabotage: Option<Sabotage>,
        shell: SimShell,
        dice: Dice,
        most: u64,
    ) -> Self {
        Self {
            inner,
            line,
            refusing,
            down: false,
            there: Lag::new(shell.clone(), dice, most, 1),
            back: Lag::new(shell, dice, most, 2),
            sabotage,
            count: 0,
        }
    }

    /// The connection goes: what is on its way arrives or never does, and its answers are lost.
    fn cut(&mut self, cx: &mut Context<'_>) {
        self.count += 1;
        let lands = self.count.is_multiple_of(2);
        for command in self.there.clear() {
            if lands || matches!(command, SinkCommand::Close) {
                self.inner.submit(command);
            }
        }
        let mut events = Vec::new();
        while self.inner.poll_events(cx, &mut events).is_ready() {}
        let lost = self.back.clear().chain(events);
        let kept: Vec<_> = lost
            .filter(|event| !matches!(event, SinkEvent::Result { .. }))
            .collect();
        kept.into_iter().for_each(|event| self.back.push(event));
    }

    /// Whether this send is to be swallowed.
    fn never_sent(&self) -> bool {
        self.sabotage == Some(Sabotage::NeverSent) && self.count == 30
    }

    /// Says that something is stored which is not.
    fn pretend(&mut self, ticket: SinkTicket) {
        self.back.push(SinkEvent::Result {
            ticket,
            receipt: SinkReceipt::Stored {
                partition: 0,
                position: Position(1),
                duplicate: false,
            },
        });
    }

    /// What a broker says whose log is full: not now.
    fn refusal(&self) -> SinkReceipt {
        if self.sabotage == Some(Sabotage::FullIsStored) {
            return SinkReceipt::Stored {
                partition: 0,
                position: Position(1),
                duplicate: false,
            };
        }
        SinkReceipt::Retry(PortError::new(PortErrorKind::Refused, "the log is full"))
    }

    /// Hands over what has arrived at the broker, unless that refuses everything.
    fn arrive(&mut self, command: SinkCommand) {
        if !self.refusing.is_on() {
            return self.inner.submit(command);
        }
        let receipt = self.refusal();
        let mut refuse = |ticket| {
            let receipt = receipt.clone();
            self.back.push(SinkEvent::Result { ticket, receipt });
        };
        match command {
            SinkCommand::Send { ticket, .. } => refuse(ticket),
            SinkCommand::SendTogether(all) => all.iter().for_each(|parcel| refuse(parcel.ticket)),
            SinkCommand::Close => self.inner.submit(command),
        }
    }

    /// Turns an answer around, where that is what is broken.
    fn lie(&self, event: &mut SinkEvent) {
        if self.sabotage == Some(Sabotage::StoredIsRefused)
            && let SinkEvent::Result { ticket, receipt } = event
            && ticket.token % 16 == 5
        {
            *receipt = SinkReceipt::NotStored(PortError::new(PortErrorKind::Refused, "a lie"));
        }
    }
}

impl Sink for Lying {
    fn submit(&mut self, command: SinkCommand) {
        self.count += 1;
        match command {
            SinkCommand::Send { ticket, .. } if self.never_sent() => self.pretend(ticket),
            SinkCommand::SendTogether(all) if self.never_sent() => {
                for parcel in all {
                    self.pretend(parcel.ticket);
                }
            }
            // Without a connection it goes nowhere.
            SinkCommand::Send { .. } | SinkCommand::SendTogether(_) if self.line.is_down() => {}
            command => self.there.push(command),
        }
        self.line.wake();
    }

    fn reconnect(&mut self) {
        self.inner.reconnect();
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<SinkEvent>) -> Poll<()> {
        let before = into.len();
        let down = self.line.poll_down(cx);
        if down != self.down {
            self.down = down;
            if down {
                self.cut(cx);
                into.push(SinkEvent::Disconnected);
            } else {
                into.push(SinkEvent::Connected);
            }
        }
        let mut arrived = Vec::new();
        self.there.take(cx, |command| arrived.push(command));
        arrived.into_iter().for_each(|command| self.arrive(command));
        let mut events = Vec::new();
        if self.inner.poll_events(cx, &mut events).is_ready() {
            cx.waker().wake_by_ref();
        }
        for mut event in events {
            self.lie(&mut event);
            self.back.push(event);
        }
        self.back.take(cx, |event| into.push(event));
        if before < into.len() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

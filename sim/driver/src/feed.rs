//! Between a member's driver and its feed: writes down leases, and breaks what a sabotage breaks.

use core::task::{Context, Poll};

use procession_core::{Epoch, Receipt, Span};
use procession_runtime::port::{Feed, FeedCommand, FeedEvent, Record};

use crate::event::What;
use crate::recorder::Recorder;
use crate::sabotage::Sabotage;

/// A feed that is watched.
pub(crate) struct Watched {
    pub(crate) inner: Box<dyn Feed>,
    pub(crate) recorder: Recorder,
    pub(crate) sabotage: Option<Sabotage>,
    /// Answers and batches so far.
    pub(crate) count: u64,
    /// Answers that the port does not give.
    pub(crate) made_up: Vec<FeedEvent>,
}

impl Watched {
    /// Exchanges the bodies of two neighbours of different keys or of the same: what the log holds
    /// at a position is not what is delivered for it.
    fn swap(records: &mut [Record]) {
        if let [.., a, b] = records {
            core::mem::swap(&mut a.payload, &mut b.payload);
        }
    }

    /// Leaves one out, as if there were none.
    fn leave_out(records: &mut Vec<Record>) {
        if 2 < records.len() {
            let gone = records.remove(1);
            let mut number = gone.delivery;
            for record in &mut records[1..] {
                core::mem::swap(&mut record.delivery, &mut number);
            }
        }
    }

    /// Returns whether the event goes on to the driver.
    fn pass(&mut self, event: &mut FeedEvent) -> bool {
        if let FeedEvent::Assigned {
            partition,
            epoch,
            until: Some(until),
            ..
        }
        | FeedEvent::Extended {
            partition,
            epoch,
            until,
        } = event
        {
            self.recorder.write(What::Lease {
                partition: partition.0,
                epoch: epoch.0,
                until: until.as_nanos(),
            });
            if self.sabotage == Some(Sabotage::LongLease) {
                *until = *until + Span::from_secs(60);
            }
        }
        match (self.sabotage, event) {
            (Some(Sabotage::SwallowCommit), FeedEvent::Committed { .. }) => {
                self.count += 1;
                self.count != 7
            }
            (Some(Sabotage::SwapRecords), FeedEvent::Records { records, .. }) => {
                Self::swap(records);
                true
            }
            (Some(Sabotage::DropRecord), FeedEvent::Records { records, .. }) => {
                Self::leave_out(records);
                true
            }
            _ => true,
        }
    }
}

impl Feed for Watched {
    fn submit(&mut self, command: FeedCommand) {
        let command = match (self.sabotage, command) {
            (Some(Sabotage::EpochOff), FeedCommand::Commit(mut write)) => {
                write.epoch = Epoch(write.epoch.0 + 1);
                FeedCommand::Commit(write)
            }
            (Some(Sabotage::FrontierAhead), FeedCommand::Commit(mut write)) => {
                write.frontier = write.frontier.next();
                write.anchor = None;
                FeedCommand::Commit(write)
            }
            (Some(Sabotage::BuryNothing), FeedCommand::Bury { token, .. }) => {
                let receipt = Receipt::Stored;
                self.made_up.push(FeedEvent::Buried { token, receipt });
                return;
            }
            (_, command) => command,
        };
        self.inner.submit(command);
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        let before = into.len();
        into.append(&mut self.made_up);
        let mut events = Vec::new();
        let polled = self.inner.poll_events(cx, &mut events);
        events.retain_mut(|event| self.pass(event));
        into.append(&mut events);
        if before < into.len() {
            return Poll::Ready(());
        }
        polled
    }
}

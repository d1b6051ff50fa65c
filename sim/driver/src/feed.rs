//! Between a member's driver and its feed: writes down what the port says, lets it hang, and breaks
//! what a sabotage breaks.

use core::task::{Context, Poll};
use std::collections::BTreeMap;

use procession_core::{CommitResult, Continuity, Epoch, Position, Receipt, Span};
use procession_runtime::port::{Feed, FeedCommand, FeedEvent, Record};

use crate::event::{Seen, What};
use crate::lag::Lag;
use crate::line::{Line, Refusing};
use crate::recorder::Recorder;
use crate::sabotage::Sabotage;

/// A feed that is watched.
pub(crate) struct Watched {
    pub(crate) inner: Box<dyn Feed>,
    pub(crate) recorder: Recorder,
    pub(crate) sabotage: Option<Sabotage>,
    /// Answers and batches so far.
    pub(crate) count: u64,
    /// Whether the port hangs: nothing is renewed, stored or said.
    pub(crate) line: Line,
    pub(crate) refusing: Refusing,
    /// Events on their way to the driver.
    pub(crate) back: Lag<FeedEvent>,
    /// Frontiers of commits without an answer, by partition, epoch and number.
    pub(crate) asked: BTreeMap<(u32, u64, u64), u64>,
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
        if let FeedEvent::Assigned {
            partition,
            epoch,
            resume,
            ..
        } = event
        {
            if self.sabotage == Some(Sabotage::LoseMap) {
                resume.map = Default::default();
            }
            self.recorder.write(What::Resumes {
                partition: partition.0,
                epoch: epoch.0,
                frontier: resume.frontier.map(|frontier| frontier.0),
                anchor: resume.anchor.map(|anchor| anchor.position.0),
                map_bytes: resume.map.len(),
                log: (resume.log_start.0, resume.log_end.0),
            });
            if self.sabotage == Some(Sabotage::HideStart) {
                resume.log_start = Position(1);
            }
        }
        if let FeedEvent::Revoked {
            partition,
            epoch,
            deadline,
        } = event
        {
            self.recorder.write(What::Asked {
                partition: partition.0,
                epoch: epoch.0,
                deadline: deadline.as_nanos(),
            });
        }
        if let FeedEvent::Committed {
            partition,
            epoch,
            write,
            result,
        } = event
            && let Some(frontier) = self.asked.remove(&(partition.0, epoch.0, *write))
            && *result == CommitResult::Stored
        {
            self.recorder.write(What::Recorded {
                partition: partition.0,
                epoch: epoch.0,
                frontier,
            });
        }
        if let FeedEvent::Buried { receipt, .. } = event
            && *receipt == Receipt::NotStored
        {
            self.recorder.write(What::NotBuried);
            if self.sabotage == Some(Sabotage::LetterIsLost) {
                *receipt = Receipt::Stored;
            }
        }
        match (self.sabotage, event) {
            (Some(Sabotage::SwallowCommit), FeedEvent::Committed { .. }) => {
                self.count += 1;
                self.count != 7
            }
            (Some(Sabotage::HideRewrite), FeedEvent::Session { continuity, .. }) => {
                *continuity = Continuity::Continues;
                true
            }
            (Some(Sabotage::AdvanceTooFar), FeedEvent::Advance { position, .. }) => {
                *position = position.next();
                true
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

/// What counts from the moment at which the driver is told of it.
fn arrives(recorder: &Recorder, event: &FeedEvent) {
    match event {
        FeedEvent::Assigned {
            partition, epoch, ..
        } => recorder.write(What::Given {
            partition: partition.0,
            epoch: epoch.0,
        }),
        FeedEvent::Session {
            partition,
            epoch,
            session,
            continuity,
        } => recorder.write(What::Looked {
            partition: partition.0,
            epoch: epoch.0,
            session: session.0,
            seen: match continuity {
                Continuity::Continues => Seen::Continues,
                Continuity::Rewritten { .. } => Seen::Rewritten,
                Continuity::CannotTell => Seen::CannotTell,
            },
        }),
        _ => {}
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
            (_, FeedCommand::Bury { token, .. }) if self.refusing.is_on() => {
                let mut event = FeedEvent::Buried {
                    token,
                    receipt: Receipt::NotStored,
                };
                self.pass(&mut event);
                self.back.push(event);
                self.line.wake();
                return;
            }
            (Some(Sabotage::BuryNothing), FeedCommand::Bury { token, .. }) => {
                let receipt = Receipt::Stored;
                self.back.push(FeedEvent::Buried { token, receipt });
                self.line.wake();
                return;
            }
            (_, command) => command,
        };
        if let FeedCommand::Start(start) = &command {
            self.recorder.write(What::Looks {
                partition: start.partition.0,
                epoch: start.epoch.0,
                session: start.session.0,
                at: start.at.0,
                blind: start.expect.is_none(),
            });
        }
        let command = match (self.sabotage, command) {
            (Some(Sabotage::NoOverlap), FeedCommand::Start(mut start)) => {
                if let Some(anchor) = start.expect.take() {
                    start.at = anchor.position.next();
                }
                FeedCommand::Start(start)
            }
            (_, command) => command,
        };
        if let FeedCommand::Commit(write) = &command {
            let name = (write.partition.0, write.epoch.0, write.write);
            self.asked.insert(name, write.frontier.0);
        }
        self.inner.submit(command);
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        if self.line.poll_down(cx) {
            return Poll::Pending;
        }
        let before = into.len();
        let mut events = Vec::new();
        if self.inner.poll_events(cx, &mut events).is_ready() {
            cx.waker().wake_by_ref();
        }
        for mut event in events {
            if self.pass(&mut event) {
                self.back.push(event);
            }
        }
        let recorder = &self.recorder;
        self.back.take(cx, |event| {
            arrives(recorder, &event);
            into.push(event);
        });
        if before < into.len() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

//! What the harness sees of the bus under test: it counts, and it writes the history.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use procession::observe::{
    Ending, Fence, Incident, NoPublishObserver, Observe, Observer, PublishObserver,
};
use procession::{Envelope, Epoch, PartitionId, Position, Why};

use super::{Plan, Stamp, Tally};
use crate::args::Form;
use crate::history::{History, Named, PublisherLines, SubscriberLines, monotonic_nanos};

/// Makes the observers of one run.
pub(crate) struct Watch {
    pub(crate) plan: Arc<Plan>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) history: Option<Arc<History>>,
    pub(crate) form: Form,
}

impl Observe for Watch {
    fn subscription(&self, topic: &str, _group: &str) -> Box<dyn Observer<Envelope>> {
        let lines = self.history.as_ref().map(|history| SubscriberLines {
            history: Arc::clone(history),
            topic: topic.into(),
            name: match self.form {
                Form::Envelope => |envelope| Named::of(envelope),
                Form::Raw => name_of_raw,
            },
        });
        Box::new(Counter {
            plan: Arc::clone(&self.plan),
            tally: Arc::clone(&self.tally),
            lines,
        })
    }

    fn publisher(&self) -> Box<dyn PublishObserver> {
        match &self.history {
            Some(history) => Box::new(PublisherLines {
                history: Arc::clone(history),
            }),
            None => Box::new(NoPublishObserver),
        }
    }
}

/// A raw message has no id of its own: its payload tells which it is.
fn name_of_raw(envelope: &Envelope) -> Named<'_> {
    match Stamp::read(envelope.payload()) {
        Some(stamp) => Named {
            key: Some(Cow::Owned(stamp.key())),
            id: Cow::Owned(stamp.id()),
            seq: Some(stamp.seq.into()),
        },
        None => Named::of(envelope),
    }
}

/// Counts what one subscription does, in the order in which its driver does it, so that the counts
/// and the history are of one mind.
struct Counter {
    plan: Arc<Plan>,
    tally: Arc<Tally>,
    lines: Option<SubscriberLines>,
}

impl Counter {
    fn lines(&mut self, write: impl FnOnce(&mut SubscriberLines)) {
        if let Some(lines) = &mut self.lines {
            write(lines);
        }
    }
}

impl Observer<Envelope> for Counter {
    fn assigned(&mut self, partition: PartitionId, epoch: Epoch, position: Position) {
        self.lines(|l| l.assigned(partition, epoch, position));
        self.tally.owned.fetch_add(1, Relaxed);
    }

    fn revoked(&mut self, partition: PartitionId, epoch: Epoch) {
        self.lines(|l| l.revoked(partition, epoch));
    }

    fn lost(&mut self, partition: PartitionId, epoch: Epoch) {
        self.lines(|l| l.lost(partition, epoch));
    }

    fn released(&mut self, partition: PartitionId, epoch: Epoch) {
        self.lines(|l| l.released(partition, epoch));
    }

    fn started(&mut self, fence: &Fence, attempt: u32, message: &Envelope) {
        self.lines(|l| l.started(fence, attempt, message));
        self.tally.attempts.fetch_add(1, Relaxed);
    }

    fn ended(&mut self, fence: &Fence, attempt: u32, message: &Envelope, ending: Ending) {
        self.lines(|l| l.ended(fence, attempt, message, ending));
        if ending == Ending::Done {
            match Stamp::read(message.payload()) {
                Some(stamp) => {
                    let now = monotonic_nanos();
                    self.tally
                        .effective(&self.plan, stamp, fence.position.0, now);
                }
                None => drop(self.tally.strangers.fetch_add(1, Relaxed)),
            }
        }
    }

    fn duplicate(&mut self, partition: PartitionId, position: Position, message: &Envelope) {
        self.lines(|l| l.duplicate(partition, position, message));
        self.tally.recognised.fetch_add(1, Relaxed);
    }

    fn buried(&mut self, partition: PartitionId, position: Position, message: &Envelope, why: Why) {
        self.lines(|l| l.buried(partition, position, message, why));
        if let Some(stamp) = Stamp::read(message.payload()) {
            self.tally.dead(&self.plan, stamp);
        }
    }

    fn commit(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.lines(|l| l.commit(partition, epoch, frontier, beyond));
    }

    fn committed(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.lines(|l| l.committed(partition, epoch, frontier, beyond));
    }

    fn incident(
        &mut self,
        partition: PartitionId,
        position: Position,
        incident: Incident,
        why: &str,
    ) {
        self.lines(|l| l.incident(partition, position, incident, why));
    }

    fn drained(&mut self, left: u32) {
        self.lines(|l| l.drained(left));
    }
}

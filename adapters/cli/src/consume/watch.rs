//! What `consume` sees of its subscription.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use procession::observe::{Ending, Fence, Incident, Observe, Observer};
use procession::{Envelope, Epoch, PartitionId, Position, Why};

use super::Figures;
use crate::history::{History, Named, SubscriberLines};

/// Makes the observer.
pub(super) struct Watch {
    pub(super) figures: Arc<Figures>,
    pub(super) history: Option<Arc<History>>,
    /// Effective messages after which it is enough.
    pub(super) count: u64,
}

impl Observe for Watch {
    fn subscription(&self, topic: &str, _group: &str) -> Box<dyn Observer<Envelope>> {
        Box::new(Counter {
            figures: Arc::clone(&self.figures),
            count: self.count,
            owned: Vec::new(),
            lines: self.history.as_ref().map(|history| SubscriberLines {
                history: Arc::clone(history),
                topic: topic.into(),
                name: |envelope| Named::of(envelope),
            }),
        })
    }
}

struct Counter {
    figures: Arc<Figures>,
    count: u64,
    /// Partitions that are ours. At most as many as the topic has.
    owned: Vec<PartitionId>,
    lines: Option<SubscriberLines>,
}

impl Counter {
    fn lines(&mut self, write: impl FnOnce(&mut SubscriberLines)) {
        self.figures.events.fetch_add(1, Relaxed);
        if let Some(lines) = &mut self.lines {
            write(lines);
        }
    }

    fn own(&mut self, partition: PartitionId, ours: bool) {
        self.owned.retain(|p| *p != partition);
        if ours {
            self.owned.push(partition);
        }
        let owned = i64::try_from(self.owned.len()).unwrap_or(i64::MAX);
        self.figures.owned.store(owned, Relaxed);
    }
}

impl Observer<Envelope> for Counter {
    fn assigned(&mut self, partition: PartitionId, epoch: Epoch, position: Position) {
        self.lines(|l| l.assigned(partition, epoch, position));
        self.own(partition, true);
    }

    fn revoked(&mut self, partition: PartitionId, epoch: Epoch) {
        self.lines(|l| l.revoked(partition, epoch));
    }

    fn lost(&mut self, partition: PartitionId, epoch: Epoch) {
        self.lines(|l| l.lost(partition, epoch));
        self.own(partition, false);
    }

    fn released(&mut self, partition: PartitionId, epoch: Epoch) {
        self.lines(|l| l.released(partition, epoch));
        self.own(partition, false);
    }

    fn started(&mut self, fence: &Fence, attempt: u32, message: &Envelope) {
        self.lines(|l| l.started(fence, attempt, message));
        self.figures.attempts.fetch_add(1, Relaxed);
        self.figures.running.fetch_add(1, Relaxed);
    }

    fn ended(&mut self, fence: &Fence, attempt: u32, message: &Envelope, ending: Ending) {
        self.lines(|l| l.ended(fence, attempt, message, ending));
        self.figures.running.fetch_sub(1, Relaxed);
        match ending {
            Ending::Done => {
                let effective = self.figures.effective.fetch_add(1, Relaxed) + 1;
                if effective == self.count {
                    self.figures.enough.notify_one();
                }
            }
            Ending::Cancelled => {}
            Ending::Retry | Ending::Reject | Ending::Panic | Ending::Timeout => {
                self.figures.failed.fetch_add(1, Relaxed);
            }
        }
    }

    fn duplicate(&mut self, partition: PartitionId, position: Position, message: &Envelope) {
        self.lines(|l| l.duplicate(partition, position, message));
        self.figures.recognised.fetch_add(1, Relaxed);
    }

    fn buried(&mut self, partition: PartitionId, position: Position, message: &Envelope, why: Why) {
        self.lines(|l| l.buried(partition, position, message, why));
        self.figures.dead.fetch_add(1, Relaxed);
    }

    // Commits and incidents are no messages: they do not end a silence.

    fn commit(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        if let Some(lines) = &mut self.lines {
            lines.commit(partition, epoch, frontier, beyond);
        }
    }

    fn committed(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        if let Some(lines) = &mut self.lines {
            lines.committed(partition, epoch, frontier, beyond);
        }
    }

    fn incident(
        &mut self,
        partition: PartitionId,
        position: Position,
        incident: Incident,
        why: &str,
    ) {
        if let Some(lines) = &mut self.lines {
            lines.incident(partition, position, incident, why);
        }
    }

    fn drained(&mut self, left: u32) {
        self.lines(|l| l.drained(left));
    }
}

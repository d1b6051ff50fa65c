//! What a subscription does, as lines.

use std::sync::Arc;

use procession::Envelope;
use procession_core::{Epoch, PartitionId, Position, Why};
use procession_runtime::subscription::{Ending, Fence, Incident, Observer};

use super::{History, Line, Named};

/// Writes what a subscription of one topic does.
pub(crate) struct SubscriberLines {
    pub(crate) history: Arc<History>,
    pub(crate) topic: Arc<str>,
    /// How a message is called.
    pub(crate) name: fn(&Envelope) -> Named<'_>,
}

impl SubscriberLines {
    fn line(&self, event: &str, partition: PartitionId) -> Line {
        Line::new(event)
            .text("topic", &self.topic)
            .num("partition", partition.0.into())
    }

    fn epoch(&self, event: &str, partition: PartitionId, epoch: Epoch) {
        let line = self.line(event, partition).num("epoch", epoch.0);
        self.history.write(line);
    }

    fn attempt(&self, event: &str, fence: &Fence, attempt: u32, message: &Envelope) -> Line {
        let name = (self.name)(message);
        self.line(event, fence.partition)
            .num("position", fence.position.0)
            .num("epoch", fence.epoch.0)
            .maybe_text("key", name.key.as_deref())
            .text("id", &name.id)
            .maybe("seq", name.seq)
            .num("attempt", attempt.into())
    }

    fn message(&self, event: &str, at: (PartitionId, Position), message: &Envelope) -> Line {
        let name = (self.name)(message);
        self.line(event, at.0)
            .num("position", at.1.0)
            .maybe_text("key", name.key.as_deref())
            .text("id", &name.id)
            .maybe("seq", name.seq)
    }

    fn progress(
        &self,
        event: &str,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        let beyond: Vec<_> = beyond.iter().map(|(from, to)| (from.0, to.0)).collect();
        self.history.write(
            self.line(event, partition)
                .num("epoch", epoch.0)
                .num("frontier", frontier.0)
                .ranges("beyond", &beyond),
        );
    }
}

impl Observer<Envelope> for SubscriberLines {
    fn assigned(&mut self, partition: PartitionId, epoch: Epoch, position: Position) {
        let line = self.line("assigned", partition).num("epoch", epoch.0);
        self.history.write(line.num("position", position.0));
    }

    fn revoked(&mut self, partition: PartitionId, epoch: Epoch) {
        self.epoch("revoked", partition, epoch);
    }

    fn lost(&mut self, partition: PartitionId, epoch: Epoch) {
        self.epoch("lost", partition, epoch);
    }

    fn released(&mut self, partition: PartitionId, epoch: Epoch) {
        self.epoch("released", partition, epoch);
    }

    fn started(&mut self, fence: &Fence, attempt: u32, message: &Envelope) {
        self.history
            .write(self.attempt("start", fence, attempt, message));
    }

    fn ended(&mut self, fence: &Fence, attempt: u32, message: &Envelope, ending: Ending) {
        let outcome = match ending {
            Ending::Done => "done",
            Ending::Retry => "retry",
            Ending::Reject => "reject",
            Ending::Panic => "panic",
            Ending::Timeout => "timeout",
            Ending::Cancelled => "cancelled",
        };
        let line = self.attempt("end", fence, attempt, message);
        self.history.write(line.text("outcome", outcome));
    }

    fn duplicate(&mut self, partition: PartitionId, position: Position, message: &Envelope) {
        self.history
            .write(self.message("duplicate", (partition, position), message));
    }

    fn buried(&mut self, partition: PartitionId, position: Position, message: &Envelope, why: Why) {
        let event = if why == Why::Malformed {
            "quarantined"
        } else {
            "dead"
        };
        let why = format!("{why:?}").to_lowercase();
        let line = self.message(event, (partition, position), message);
        self.history.write(line.text("why", &why));
    }

    fn commit(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.progress("commit", partition, epoch, frontier, beyond);
    }

    fn committed(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.progress("committed", partition, epoch, frontier, beyond);
    }

    fn incident(
        &mut self,
        partition: PartitionId,
        position: Position,
        incident: Incident,
        why: &str,
    ) {
        let event = match incident {
            Incident::Gap => "gap",
            Incident::Session => "session",
            Incident::Reset => "reset",
            Incident::Rewritten => "rewritten",
            Incident::Notice => "notice",
        };
        let line = self.line(event, partition).num("position", position.0);
        self.history.write(line.text("why", why));
    }

    fn drained(&mut self, left: u32) {
        let line = Line::new("drained").text("topic", &self.topic);
        self.history.write(line.num("left", left.into()));
    }
}

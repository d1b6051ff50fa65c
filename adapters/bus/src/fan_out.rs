//! Several observers of one bus.

use std::sync::Arc;

use procession_core::{Epoch, PartitionId, Position, Why};

use crate::Envelope;
use crate::observe::{
    Ending, Fence, Incident, NoObserver, NoPublishObserver, Observe, Observer, Outgoing,
    PublishError, PublishObserver, Stored,
};

/// Tells each of them everything, in the order in which they were given.
pub(crate) struct FanOut(pub(crate) Vec<Arc<dyn Observe>>);

impl Observe for FanOut {
    fn subscription(&self, topic: &str, group: &str) -> Box<dyn Observer<Envelope>> {
        let all = self.0.iter().map(|o| o.subscription(topic, group));
        let mut all: Vec<_> = all.filter(|observer| observer.wants()).collect();
        match all.len() {
            0 => Box::new(NoObserver),
            1 => all.swap_remove(0),
            _ => Box::new(All(all)),
        }
    }

    fn publisher(&self) -> Box<dyn PublishObserver> {
        let all = self.0.iter().map(|o| o.publisher());
        let mut all: Vec<_> = all.filter(|observer| observer.wants()).collect();
        match all.len() {
            0 => Box::new(NoPublishObserver),
            1 => all.swap_remove(0),
            _ => Box::new(All(all)),
        }
    }
}

struct All<T>(Vec<T>);

type Ranges<'a> = &'a [(Position, Position)];

impl Observer<Envelope> for All<Box<dyn Observer<Envelope>>> {
    fn assigned(&mut self, p: PartitionId, epoch: Epoch, position: Position) {
        self.0
            .iter_mut()
            .for_each(|o| o.assigned(p, epoch, position));
    }
    fn revoked(&mut self, p: PartitionId, epoch: Epoch) {
        self.0.iter_mut().for_each(|o| o.revoked(p, epoch));
    }
    fn lost(&mut self, p: PartitionId, epoch: Epoch) {
        self.0.iter_mut().for_each(|o| o.lost(p, epoch));
    }
    fn released(&mut self, p: PartitionId, epoch: Epoch) {
        self.0.iter_mut().for_each(|o| o.released(p, epoch));
    }
    fn started(&mut self, fence: &Fence, attempt: u32, message: &Envelope) {
        self.0
            .iter_mut()
            .for_each(|o| o.started(fence, attempt, message));
    }
    fn ended(&mut self, fence: &Fence, attempt: u32, message: &Envelope, ending: Ending) {
        self.0
            .iter_mut()
            .for_each(|o| o.ended(fence, attempt, message, ending));
    }
    fn duplicate(&mut self, p: PartitionId, position: Position, message: &Envelope) {
        self.0
            .iter_mut()
            .for_each(|o| o.duplicate(p, position, message));
    }
    fn passed(&mut self, p: PartitionId, position: Position, message: &Envelope, why: Why) {
        self.0
            .iter_mut()
            .for_each(|o| o.passed(p, position, message, why));
    }
    fn buried(&mut self, p: PartitionId, position: Position, message: &Envelope, why: Why) {
        self.0
            .iter_mut()
            .for_each(|o| o.buried(p, position, message, why));
    }
    fn commit(&mut self, p: PartitionId, epoch: Epoch, frontier: Position, beyond: Ranges<'_>) {
        self.0
            .iter_mut()
            .for_each(|o| o.commit(p, epoch, frontier, beyond));
    }
    fn committed(&mut self, p: PartitionId, epoch: Epoch, frontier: Position, beyond: Ranges<'_>) {
        self.0
            .iter_mut()
            .for_each(|o| o.committed(p, epoch, frontier, beyond));
    }
    fn incident(&mut self, p: PartitionId, position: Position, incident: Incident, why: &str) {
        self.0
            .iter_mut()
            .for_each(|o| o.incident(p, position, incident, why));
    }
    fn drained(&mut self, left: u32) {
        self.0.iter_mut().for_each(|o| o.drained(left));
    }
}

impl PublishObserver for All<Box<dyn PublishObserver>> {
    fn accepted(&mut self, message: &Outgoing) {
        self.0.iter_mut().for_each(|o| o.accepted(message));
    }
    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        self.0.iter_mut().for_each(|o| o.resolved(message, result));
    }
}

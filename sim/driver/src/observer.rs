//! Writes what the drivers' hooks tell.

use procession_core::{Epoch, PartitionId, Position, Why};
use procession_runtime::port::Outgoing;
use procession_runtime::publisher::{PublishError, PublishObserver, Stored};
use procession_runtime::subscription::{Ending, Fence, Incident, Observer};

use crate::event::{Reason, Told, What};
use crate::recorder::Recorder;
use crate::work::{self, Body};

/// How the notice begins that a partition has stopped until its owner says where it goes on.
pub(crate) const STOPPED: &str = "the recorded progress is not in the log";

/// Hooks of a member.
pub(crate) struct Hooks(pub(crate) Recorder);

fn ranges(beyond: &[(Position, Position)]) -> Vec<(u64, u64)> {
    beyond.iter().map(|(from, to)| (from.0, to.0)).collect()
}

impl Observer<Body> for Hooks {
    fn assigned(&mut self, partition: PartitionId, epoch: Epoch, position: Position) {
        self.0.write(What::Assigned {
            partition: partition.0,
            epoch: epoch.0,
            position: position.0,
        });
    }
    fn revoked(&mut self, partition: PartitionId, epoch: Epoch) {
        self.0.write(What::Revoked {
            partition: partition.0,
            epoch: epoch.0,
        });
    }
    fn lost(&mut self, partition: PartitionId, epoch: Epoch) {
        self.0.write(What::Lost {
            partition: partition.0,
            epoch: epoch.0,
        });
    }
    fn released(&mut self, partition: PartitionId, epoch: Epoch) {
        self.0.write(What::Released {
            partition: partition.0,
            epoch: epoch.0,
        });
    }
    fn ended(&mut self, fence: &Fence, _: u32, _: &Body, ending: Ending) {
        self.0.write(What::AttemptEnded {
            partition: fence.partition.0,
            epoch: fence.epoch.0,
            position: fence.position.0,
            ending,
        });
    }
    fn duplicate(&mut self, partition: PartitionId, position: Position, body: &Body) {
        self.0.write(What::Duplicate {
            partition: partition.0,
            position: position.0,
            publish: body.publish,
        });
    }
    fn passed(&mut self, partition: PartitionId, position: Position, body: &Body, _: Why) {
        self.0.write(What::Passed {
            partition: partition.0,
            position: position.0,
            publish: body.publish,
        });
    }
    fn buried(&mut self, partition: PartitionId, position: Position, body: &Body, why: Why) {
        self.0.write(What::Buried {
            partition: partition.0,
            position: position.0,
            message: body.message,
            publish: body.publish,
            why: match why {
                Why::Expired => Reason::Expired,
                Why::Suspect => Reason::Suspect,
                _ => Reason::Other,
            },
        });
    }
    fn commit(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.0.write(What::Commit {
            partition: partition.0,
            epoch: epoch.0,
            frontier: frontier.0,
            beyond: ranges(beyond),
        });
    }
    fn committed(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.0.write(What::Committed {
            partition: partition.0,
            epoch: epoch.0,
            frontier: frontier.0,
            beyond: ranges(beyond),
        });
    }
    fn incident(
        &mut self,
        partition: PartitionId,
        position: Position,
        incident: Incident,
        why: &str,
    ) {
        self.0.write(What::Incident {
            partition: partition.0,
            position: position.0,
            incident,
            why: why.to_owned(),
        });
    }
    fn drained(&mut self, left: u32) {
        self.0.write(What::Drained { left });
    }
}

/// Hooks of the publisher.
pub(crate) struct PublishHooks(pub(crate) Recorder);

/// The result of a publish, without its text.
pub(crate) const fn told(result: &Result<Stored, PublishError>) -> Told {
    match result {
        Ok(stored) => Told::Stored {
            partition: stored.partition,
            position: stored.position.0,
        },
        Err(PublishError::Refused(_)) => Told::Refused,
        Err(PublishError::Full) => Told::Full,
        Err(PublishError::Closed) => Told::Closed,
        // And whatever is added: nothing is known of it.
        Err(_) => Told::Unknown,
    }
}

impl PublishObserver for PublishHooks {
    fn accepted(&mut self, message: &Outgoing) {
        let Body {
            message: number,
            publish,
        } = work::read(&message.payload);
        self.0.write(What::Accepted {
            publish,
            message: number,
        });
    }
    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        let Body { publish, .. } = work::read(&message.payload);
        let result = told(result);
        self.0.write(What::Resolved { publish, result });
    }
}

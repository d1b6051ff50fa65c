//! Snapshots of the health.

use procession_core::{Position, Span, Time};

use super::driver::{Phase, SubscriptionDriver};
use super::held::Running;
use super::{Blocker, Health, Observer, PartitionHealth, State, Work};
use crate::Shell;
use crate::port::Feed;

/// A snapshot of the health is taken at most this often.
pub(super) const HEALTH_EVERY: Span = Span::from_millis(50);
/// With handlers running, a snapshot is taken at least this often: ages grow by themselves.
pub(super) const HEALTH_AT_LEAST: Span = Span::from_secs(1);

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> SubscriptionDriver<F, W, S, O> {
    pub(super) fn refresh_health(&mut self) {
        let due = if self.stale_health {
            HEALTH_EVERY
        } else if self.running.is_empty() {
            return;
        } else {
            HEALTH_AT_LEAST
        };
        if self.health_at + due <= self.now || self.health_at == Time::ZERO {
            self.publish_health();
        }
    }

    pub(super) fn publish_health(&mut self) {
        self.watch_invariants();
        self.stale_health = false;
        self.health_at = self.now;
        let state = match self.phase {
            Phase::Open if self.partitions.iter().any(|p| p.epoch.is_some()) => State::Running,
            Phase::Open if self.partitions.iter().any(|p| p.owner.is_some()) => State::Standby,
            Phase::Open => State::Starting,
            Phase::Draining { .. } | Phase::Closing { .. } => State::Draining,
            Phase::Ended => State::Ended,
        };
        self.shared.set_health(Health {
            state,
            connected: self.connected,
            partitions: self.partition_health(),
            stats: self.core.stats(),
            tasks: self.running.len(),
            alarms: self.alarms.texts(),
        });
    }

    /// What health says of the partitions: how far they are, and which attempt blocks them.
    pub(super) fn partition_health(&self) -> Vec<PartitionHealth> {
        let mut all: Vec<PartitionHealth> = Vec::new();
        // Where each partition stands in `all`.
        let mut places: Vec<Option<usize>> = Vec::with_capacity(self.partitions.len());
        for (number, known) in (0..).zip(&self.partitions) {
            if known.epoch.is_none() && known.owner.is_none() {
                places.push(None);
                continue;
            }
            let partition = procession_core::PartitionId(number);
            places.push(Some(all.len()));
            all.push(PartitionHealth {
                partition,
                epoch: known.epoch,
                frontier: known.epoch.and_then(|_| self.core.frontier(partition)),
                owner: known.owner.clone(),
                blocker: None,
            });
        }
        for running in self.running.values() {
            let place = places.get(running.fence.partition.0 as usize).copied();
            if let Some(health) = place.flatten().and_then(|place| all.get_mut(place))
                && health.frontier == Some(running.fence.position)
            {
                health.blocker = Some(self.blocker(running, running.fence.position, self.now));
            }
        }
        all
    }

    pub(super) fn blocker(
        &self,
        running: &Running<W::Message>,
        position: Position,
        now: Time,
    ) -> Blocker {
        Blocker {
            position,
            name: self.work.describe(&running.held.message).into(),
            attempt: running.attempt,
            running_for: now.since(running.since),
        }
    }
}

//! An observer that remembers, and judges what it saw by the promises.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use procession::observe::{Ending, Fence, Incident, Observe, Observer};
use procession::{Envelope, Epoch, PartitionId, Position, Why};

/// What all subscriptions of a bus did.
#[derive(Clone, Default)]
pub struct Watch {
    events: Arc<Mutex<Vec<Event>>>,
}

/// One thing that was done.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Event {
    Assigned {
        partition: u32,
        epoch: u64,
        position: u64,
    },
    Lost {
        partition: u32,
    },
    Released {
        partition: u32,
        epoch: u64,
    },
    Started {
        partition: u32,
        epoch: u64,
        position: u64,
        key: String,
    },
    Ended {
        partition: u32,
        position: u64,
        key: String,
        ending: Ending,
    },
    Duplicate {
        partition: u32,
        position: u64,
    },
    Buried {
        partition: u32,
        position: u64,
        why: Why,
    },
    Commit {
        partition: u32,
        epoch: u64,
        frontier: u64,
        beyond: Vec<(u64, u64)>,
    },
    Committed {
        partition: u32,
        frontier: u64,
    },
    Incident {
        partition: u32,
        position: u64,
        incident: Incident,
        why: String,
    },
}

impl Watch {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// As what a bus takes.
    #[must_use]
    pub fn observer(&self) -> Arc<dyn Observe> {
        Arc::new(self.clone())
    }

    /// Everything in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        let events = self.events.lock();
        events.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The highest confirmed frontier of each partition.
    #[must_use]
    pub fn committed(&self) -> BTreeMap<u32, u64> {
        let mut committed = BTreeMap::new();
        for event in self.events() {
            if let Event::Committed {
                partition,
                frontier,
            } = event
            {
                let known = committed.entry(partition).or_default();
                *known = frontier.max(*known);
            }
        }
        committed
    }

    /// Checks S1, S3 and S5 for a watch over one bus with one subscription at a time.
    ///
    /// # Panics
    /// With the first breach.
    pub fn assert_promises(&self) {
        let mut open: BTreeSet<String> = BTreeSet::new();
        let mut started: BTreeSet<(u32, u64)> = BTreeSet::new();
        let mut finished: BTreeSet<(u32, u64)> = BTreeSet::new();
        let mut frontiers: BTreeMap<(u32, u64), u64> = BTreeMap::new();
        let mut released: BTreeSet<(u32, u64)> = BTreeSet::new();
        for event in self.events() {
            match event {
                Event::Started {
                    partition,
                    epoch,
                    position,
                    key,
                } => {
                    assert!(
                        !released.contains(&(partition, epoch)),
                        "S5: {partition}/{position} started after its release"
                    );
                    started.insert((partition, position));
                    assert!(
                        key.is_empty() || open.insert(key.clone()),
                        "S1: two handlers of key {key}"
                    );
                }
                Event::Ended {
                    partition,
                    position,
                    key,
                    ending,
                } => {
                    open.remove(&key);
                    if ending == Ending::Done {
                        finished.insert((partition, position));
                    }
                }
                Event::Duplicate {
                    partition,
                    position,
                }
                | Event::Buried {
                    partition,
                    position,
                    ..
                } => {
                    finished.insert((partition, position));
                }
                Event::Released { partition, epoch } => {
                    released.insert((partition, epoch));
                }
                Event::Commit {
                    partition,
                    epoch,
                    frontier,
                    beyond,
                } => {
                    let unfinished = |position: u64| {
                        started.contains(&(partition, position))
                            && !finished.contains(&(partition, position))
                    };
                    let below = started.range((partition, 0)..(partition, frontier));
                    for &(_, position) in below {
                        assert!(
                            !unfinished(position),
                            "S3: the frontier {frontier} of {partition} covers {position}"
                        );
                    }
                    for position in beyond.into_iter().flat_map(|(from, to)| from..to) {
                        assert!(
                            !unfinished(position),
                            "S3: the map of {partition} covers {position}"
                        );
                    }
                    let last = frontiers.insert((partition, epoch), frontier);
                    assert!(
                        last <= Some(frontier),
                        "S3: the frontier of {partition} fell"
                    );
                }
                Event::Assigned { .. }
                | Event::Lost { .. }
                | Event::Committed { .. }
                | Event::Incident { .. } => {}
            }
        }
    }

    fn push(&self, event: Event) {
        let events = self.events.lock();
        events.unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

impl Observe for Watch {
    fn subscription(&self, _: &str, _: &str) -> Box<dyn Observer<Envelope>> {
        Box::new(self.clone())
    }
}

impl Observer<Envelope> for Watch {
    fn assigned(&mut self, partition: PartitionId, epoch: Epoch, position: Position) {
        self.push(Event::Assigned {
            partition: partition.0,
            epoch: epoch.0,
            position: position.0,
        });
    }

    fn lost(&mut self, partition: PartitionId, _: Epoch) {
        self.push(Event::Lost {
            partition: partition.0,
        });
    }

    fn released(&mut self, partition: PartitionId, epoch: Epoch) {
        self.push(Event::Released {
            partition: partition.0,
            epoch: epoch.0,
        });
    }

    fn started(&mut self, fence: &Fence, _: u32, message: &Envelope) {
        self.push(Event::Started {
            partition: fence.partition.0,
            epoch: fence.epoch.0,
            position: fence.position.0,
            key: key_of(message),
        });
    }

    fn ended(&mut self, fence: &Fence, _: u32, message: &Envelope, ending: Ending) {
        self.push(Event::Ended {
            partition: fence.partition.0,
            position: fence.position.0,
            key: key_of(message),
            ending,
        });
    }

    fn duplicate(&mut self, partition: PartitionId, position: Position, _: &Envelope) {
        self.push(Event::Duplicate {
            partition: partition.0,
            position: position.0,
        });
    }

    fn buried(&mut self, partition: PartitionId, position: Position, _: &Envelope, why: Why) {
        self.push(Event::Buried {
            partition: partition.0,
            position: position.0,
            why,
        });
    }

    fn commit(
        &mut self,
        partition: PartitionId,
        epoch: Epoch,
        frontier: Position,
        beyond: &[(Position, Position)],
    ) {
        self.push(Event::Commit {
            partition: partition.0,
            epoch: epoch.0,
            frontier: frontier.0,
            beyond: beyond.iter().map(|(from, to)| (from.0, to.0)).collect(),
        });
    }

    fn committed(
        &mut self,
        partition: PartitionId,
        _: Epoch,
        frontier: Position,
        _: &[(Position, Position)],
    ) {
        self.push(Event::Committed {
            partition: partition.0,
            frontier: frontier.0,
        });
    }

    fn incident(
        &mut self,
        partition: PartitionId,
        position: Position,
        incident: Incident,
        why: &str,
    ) {
        self.push(Event::Incident {
            partition: partition.0,
            position: position.0,
            incident,
            why: why.to_owned(),
        });
    }
}

/// (topic, key) as one text; empty without a key.
fn key_of(message: &Envelope) -> String {
    let key = message
        .key()
        .map(|key| format!("{}/{key}", message.topic().unwrap_or_default()));
    key.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(position: u64) -> Event {
        Event::Started {
            partition: 0,
            epoch: 1,
            position,
            key: "t/k".into(),
        }
    }

    fn ended(position: u64, ending: Ending) -> Event {
        Event::Ended {
            partition: 0,
            position,
            key: "t/k".into(),
            ending,
        }
    }

    fn commit(frontier: u64, beyond: Vec<(u64, u64)>) -> Event {
        Event::Commit {
            partition: 0,
            epoch: 1,
            frontier,
            beyond,
        }
    }

    /// The promise that a watch over these events finds broken.
    fn breach(events: Vec<Event>) -> Option<String> {
        let watch = Watch::new();
        events.into_iter().for_each(|event| watch.push(event));
        let judged = std::panic::AssertUnwindSafe(|| watch.assert_promises());
        let found = std::panic::catch_unwind(judged).err()?;
        let text = found.downcast::<String>().ok()?;
        text.split(':').next().map(str::to_owned)
    }

    #[test]
    fn breaches_are_found() {
        let fine = vec![
            started(1),
            ended(1, Ending::Done),
            commit(2, vec![]),
            started(2),
        ];
        assert_eq!(breach(fine), None);
        assert_eq!(breach(vec![started(1), started(2)]).as_deref(), Some("S1"));
        assert_eq!(
            breach(vec![started(1), commit(2, vec![])]).as_deref(),
            Some("S3")
        );
        let failed = vec![started(1), ended(1, Ending::Retry), commit(2, vec![])];
        assert_eq!(breach(failed).as_deref(), Some("S3"));
        assert_eq!(
            breach(vec![started(5), commit(1, vec![(4, 6)])]).as_deref(),
            Some("S3")
        );
        assert_eq!(
            breach(vec![commit(3, vec![]), commit(2, vec![])]).as_deref(),
            Some("S3")
        );
        let released = Event::Released {
            partition: 0,
            epoch: 1,
        };
        assert_eq!(breach(vec![released, started(1)]).as_deref(), Some("S5"));
    }
}

//! What happens to the logs, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use procession_runtime::port::Broker;

use super::{TOPIC, World, now};
use crate::event::{Event, Outcome, What};
use crate::history::Stored;
use crate::work::{Body, read};

impl World {
    /// The broker loses the last records of a partition, as one does whose newest leader had less. Its
    /// sessions break with it.
    pub(super) fn lose_tail(&self, partition: u32, count: usize) {
        let log = self.audit(TOPIC);
        let Ok(end) = self.broker.hooks().lose_tail(TOPIC, partition, count) else {
            return;
        };
        let lost = log.into_iter();
        let lost = lost.filter(|r| r.partition == partition && end.0 <= r.position);
        let lost: Vec<_> = lost.collect();
        if !lost.is_empty() {
            let end = end.0;
            self.write(
                0,
                What::TailLost {
                    partition,
                    end,
                    lost,
                },
            );
        }
    }

    /// Everything published, finished and committed.
    pub(super) fn is_settled(&self) -> bool {
        if self.callers_left.load(Ordering::Relaxed) != 0
            || self
                .publisher
                .as_ref()
                .is_some_and(|p| p.handle.outstanding() != 0)
        {
            return false;
        }
        let log = self.audit(TOPIC);
        let history = self
            .history
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let reached = Reached::of(&history);
        log.iter().all(|record| reached.covers(record))
    }

    pub(super) fn audit(&self, topic: &str) -> Vec<Stored> {
        let records = now(self.broker.audit(topic.into())).unwrap_or_default();
        let records = records.into_iter().map(|(partition, record)| {
            let Body { message, publish } = read(&record.payload);
            Stored {
                partition,
                position: record.position.0,
                message,
                publish,
            }
        });
        records.collect()
    }
}

/// How far a run has come.
#[derive(Default)]
struct Reached {
    /// By partition: what is confirmed of the log as it is.
    frontiers: BTreeMap<u32, u64>,
    finished: BTreeSet<(u32, u64, u32)>,
}

impl Reached {
    fn of(history: &[Event]) -> Self {
        let mut reached = Self::default();
        let mut runs = BTreeMap::new();
        for event in history {
            match &event.what {
                What::Committed {
                    partition,
                    frontier,
                    ..
                } => {
                    reached.frontiers.insert(*partition, *frontier);
                }
                What::TailLost { partition, end, .. } => {
                    let frontier = reached.frontiers.entry(*partition).or_default();
                    *frontier = (*frontier).min(*end);
                }
                What::Begin {
                    run,
                    partition,
                    position,
                    publish,
                    ..
                } => {
                    runs.insert(*run, (*partition, *position, *publish));
                }
                What::End {
                    run,
                    outcome: Outcome::Done,
                } => reached.finished.extend(runs.get(run)),
                What::Duplicate {
                    partition,
                    position,
                    publish,
                }
                | What::Passed {
                    partition,
                    position,
                    publish,
                }
                | What::Buried {
                    partition,
                    position,
                    publish,
                    ..
                } => {
                    reached.finished.insert((*partition, *position, *publish));
                }
                _ => {}
            }
        }
        reached
    }

    fn covers(&self, record: &Stored) -> bool {
        let frontier = self.frontiers.get(&record.partition);
        let place = (record.partition, record.position, record.publish);
        frontier.is_some_and(|frontier| record.position < *frontier)
            && self.finished.contains(&place)
    }
}

//! What happens to the logs, and what is in them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use procession_core::{OnReset, PartitionId, Position};
use procession_runtime::port::Broker;

use super::{TOPIC, World, now};
use crate::dice::Site;
use crate::event::{Event, Outcome, What};
use crate::history::Stored;
use crate::observer::STOPPED;
use crate::plan::{Chaos, MILLI};
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

    /// The logs have no room for anything any more: the port lets publishes wait, or the broker refuses them.
    pub(super) fn fill(&self, refuses: bool) {
        if refuses {
            self.refusing.set(true);
        } else {
            self.broker.hooks().fill(true);
        }
        self.write(0, What::Full { full: true });
    }

    pub(super) fn make_room(&self) {
        self.refusing.set(false);
        self.broker.hooks().fill(false);
        self.write(0, What::Full { full: false });
    }

    /// Retention takes the first records of a partition, whether anybody has handled them or not.
    pub(super) fn purge(&self, partition: u32, count: u64) {
        let log = self.audit(TOPIC).into_iter();
        let gone: Vec<_> = log.filter(|r| r.partition == partition).collect();
        let Some(first) = gone.first() else { return };
        let to = Position(first.position + count);
        let Ok(start) = self.broker.hooks().purge(TOPIC, partition, to) else {
            return;
        };
        let gone = gone.into_iter().filter(|r| r.position < start.0).collect();
        let start = start.0;
        self.write(
            0,
            What::Purged {
                partition,
                start,
                gone,
            },
        );
    }

    /// Somebody reads the notices that partitions have stopped, and decides some time later. Whether there
    /// was one.
    pub(super) fn read_notices(&mut self) -> bool {
        let now = self.executor.now();
        let history = self
            .history
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let before = self.agenda.len();
        for (number, event) in (self.read..).zip(&history[self.read..]) {
            if let What::Incident { partition, why, .. } = &event.what
                && why.starts_with(STOPPED)
            {
                let number = number as u64;
                let roll = |what, high| self.plan.dice.draw(Site::Chaos, number, what, 0, high);
                let decide = Chaos::Decide {
                    life: event.life,
                    partition: *partition,
                    latest: roll(200, 1) == 0,
                };
                self.agenda.push((now + roll(201, 1_500) * MILLI, decide));
            }
        }
        self.read = history.len();
        before < self.agenda.len()
    }

    /// An owner says where a partition goes on.
    pub(super) fn decide(&self, number: u32, partition: u32, latest: bool) {
        let lives = self.seats.iter().filter_map(|seat| seat.life.as_ref());
        for life in lives.filter(|life| life.number == number) {
            self.write(number, What::Decided { partition, latest });
            let to = if latest {
                OnReset::Latest
            } else {
                OnReset::Earliest
            };
            life.handle.reset(PartitionId(partition), to);
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
    /// By partition: nobody delivers what stands below.
    below: BTreeMap<u32, u64>,
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
                What::Looks {
                    partition,
                    at,
                    blind: true,
                    ..
                } => {
                    reached.below.insert(*partition, *at);
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
            && (self.finished.contains(&place)
                || self
                    .below
                    .get(&record.partition)
                    .is_some_and(|at| record.position < *at))
    }
}

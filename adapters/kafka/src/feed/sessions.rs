//! Sessions on the fetcher: begun, read, broken, begun again.

use std::time::{Duration, Instant};

use procession_runtime::port::{BreakReason, FeedEvent, PortErrorKind};
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;

use super::engine::{ASK_AGAIN, Engine};
use super::lookup::Question;
use super::partition::{Phase, id};
use super::reading::{BATCH, Reading, Turn};
use crate::context::Context;
use crate::ffi::queue::Queue;

/// Waiting time between giving a partition of the fetcher up and taking it again.
const SETTLE: Duration = Duration::from_millis(50);

impl Engine {
    /// Lets the fetcher take what the core wants to read.
    pub(super) fn begin_sessions(&mut self, now: Instant) {
        let due = self.owned.iter().filter(|(_, partition)| {
            partition.wanted.is_some() && partition.not_before.is_none_or(|at| at <= now)
        });
        let due: Vec<i32> = due.map(|(number, _)| *number).collect();
        for number in due {
            let Some(start) = self.owned.get_mut(&number).and_then(|p| p.wanted.take()) else {
                continue;
            };
            match self.fetch(number, start.at.0) {
                Some(queue) => {
                    let reading = Reading::begin(start, queue, now);
                    self.out.extend(reading.opening());
                    if let Some(partition) = self.owned.get_mut(&number) {
                        partition.reading = Some(reading);
                    }
                }
                None => self.out.push(FeedEvent::Broken {
                    partition: start.partition,
                    epoch: start.epoch,
                    session: start.session,
                    why: BreakReason::NotStarted,
                }),
            }
        }
    }

    /// Gives the fetcher a partition, from a position on. Its queue is cut off from the common one
    /// before: what would lie there already would come out of order.
    fn fetch(&mut self, number: i32, at: u64) -> Option<Queue<Context>> {
        let queue = Queue::of_partition(&self.fetcher, &self.c_topic, number, &self.bell)?;
        // What was left over from an assignment before is not of this session.
        while 0 < queue.batch(&mut self.batch, BATCH, |_| {}) {}
        let offset = Offset::Offset(i64::try_from(at).unwrap_or(i64::MAX));
        let list = self.list(&[number], offset);
        match self.fetcher.incremental_assign(&list) {
            Ok(()) => Some(queue),
            Err(error) => {
                tracing::warn!(%error, partition = number, "the fetcher cannot take a partition");
                None
            }
        }
    }

    /// Stops reading a partition, and forgets what the session was to do.
    pub(super) fn stop_reading(&mut self, number: i32) -> Option<Reading> {
        let partition = self.owned.get_mut(&number)?;
        partition.wanted = None;
        let reading = partition.reading.take()?;
        partition.not_before = Some(Instant::now() + SETTLE);
        let list = self.list(&[number], Offset::Invalid);
        if let Err(error) = self.fetcher.incremental_unassign(&list) {
            tracing::warn!(%error, partition = number, "the fetcher cannot give a partition up");
        }
        Some(reading)
    }

    pub(super) fn break_session(&mut self, number: i32, why: BreakReason) {
        let wanted = self.owned.get_mut(&number).and_then(|p| p.wanted.take());
        let reading = self.stop_reading(number).map(|reading| reading.start);
        if let Some(start) = reading.or(wanted) {
            self.out.push(FeedEvent::Broken {
                partition: start.partition,
                epoch: start.epoch,
                session: start.session,
                why,
            });
        }
    }

    pub(super) fn reading(&mut self, number: i32) -> Option<&mut Reading> {
        self.owned.get_mut(&number)?.reading.as_mut()
    }

    /// Reads a batch of each partition. Returns whether there may be more at once.
    pub(super) fn read(&mut self, now: Instant) -> bool {
        let mut more = false;
        let mut turns = Vec::new();
        for (number, partition) in &mut self.owned {
            if let Some(reading) = &mut partition.reading {
                let (rest, turn) =
                    reading.read(now, &partition.granted, &mut self.batch, &mut self.out);
                more |= rest;
                turns.extend(turn.map(|turn| (*number, turn)));
            }
        }
        for (number, turn) in turns {
            self.take_turn(now, number, Some(turn));
        }
        more
    }

    pub(super) fn take_turn(&mut self, now: Instant, number: i32, turn: Option<Turn>) {
        match turn {
            None => {}
            Some(Turn::Ask(stamp)) => {
                if let Some(reading) = self.reading(number) {
                    let session = reading.start.session;
                    self.lookups.ask(Question::Extent {
                        partition: number,
                        session,
                        stamp,
                    });
                }
            }
            Some(Turn::Again(at)) => self.read_again(now, number, at.0),
            Some(Turn::Broken(why)) => self.break_session(number, why),
            Some(Turn::LookUp) => self.reopen(number),
            Some(Turn::Denied) => {
                self.fail(PortErrorKind::Denied, "reading the topic is not permitted");
            }
        }
    }

    /// Goes on in the same session, from another place.
    fn read_again(&mut self, _now: Instant, number: i32, at: u64) {
        let Some(old) = self.stop_reading(number) else {
            return;
        };
        std::thread::sleep(SETTLE);
        let reading = self
            .fetch(number, at)
            .map(|queue| old.again(procession_core::Position(at), queue));
        if let Some(partition) = self.owned.get_mut(&number) {
            partition.reading = reading;
        }
    }

    /// The log does not hold what comes next, or the topic is another one: the partition is looked up
    /// and opened again, and the core says what that means.
    pub(super) fn reopen(&mut self, number: i32) {
        self.stop_reading(number);
        self.commits.forget(number, &mut self.out);
        if let Some(partition) = self.owned.get_mut(&number) {
            self.out.push(FeedEvent::Lost {
                partition: id(number),
                epoch: partition.epoch,
            });
            self.ticket += 1;
            partition.ticket = self.ticket;
            partition.phase = Phase::Looking {
                again: Some(Instant::now() + ASK_AGAIN),
            };
        }
    }
}

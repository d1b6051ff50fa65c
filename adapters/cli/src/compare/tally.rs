//! The harness's own count: a bit for each message and fact, a position for each aggregate. Its
//! memory is fixed at the start, 24 bytes for 64 messages and 8 for an aggregate.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Latency;
use super::{Plan, Stamp};

/// What happened to the messages of a run.
pub(crate) struct Tally {
    stored: Bits,
    effective: Bits,
    /// Ended otherwise: dead-lettered or quarantined, confirmed by the broker.
    accounted: Bits,
    /// By aggregate: highest position of a first effective processing, plus one.
    highest: Vec<AtomicU64>,
    /// Records that the broker acknowledged, copies included.
    pub(crate) records: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) unknown: AtomicU64,
    pub(crate) attempts: AtomicU64,
    pub(crate) unique: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) recognised: AtomicU64,
    pub(crate) dead: AtomicU64,
    pub(crate) inversions: AtomicU64,
    /// Partitions that were assigned since the consuming side began.
    pub(crate) owned: AtomicU64,
    /// Messages that are none of this run's: never in a topic of its own.
    pub(crate) strangers: AtomicU64,
    /// When the last first effective processing ended.
    pub(crate) last_effective: AtomicU64,
    publish: Mutex<Latency>,
    end_to_end: Mutex<Latency>,
    /// Ended messages at which `mark_reached` wakes; 0 for never.
    mark: u64,
    reached: Notify,
}

impl Tally {
    pub(crate) fn new(plan: &Plan, mark: u64) -> Self {
        let messages = plan.load.messages as usize;
        let zero = AtomicU64::default;
        Self {
            stored: Bits::new(messages),
            effective: Bits::new(messages),
            accounted: Bits::new(messages),
            highest: (0..plan.load.aggregates).map(|_| zero()).collect(),
            records: zero(),
            refused: zero(),
            unknown: zero(),
            attempts: zero(),
            unique: zero(),
            duplicates: zero(),
            recognised: zero(),
            dead: zero(),
            inversions: zero(),
            owned: zero(),
            strangers: zero(),
            last_effective: zero(),
            publish: Mutex::default(),
            end_to_end: Mutex::default(),
            mark,
            reached: Notify::new(),
        }
    }

    /// The broker acknowledged a publish. `duplicate`: it had that record already.
    pub(crate) fn stored(&self, plan: &Plan, stamp: Stamp, duplicate: bool, now: u64) {
        if let Some(index) = plan.index(stamp) {
            // A send whose answer was lost is answered as a duplicate the second time.
            let first = self.stored.set(index);
            self.records
                .fetch_add(u64::from(first || !duplicate), Relaxed);
            lock(&self.publish).record(now.saturating_sub(stamp.published));
        }
    }

    /// An attempt succeeded.
    pub(crate) fn effective(&self, plan: &Plan, stamp: Stamp, position: u64, now: u64) {
        let Some(index) = plan.index(stamp) else {
            self.strangers.fetch_add(1, Relaxed);
            return;
        };
        if !self.effective.set(index) {
            self.duplicates.fetch_add(1, Relaxed);
            return;
        }
        self.unique.fetch_add(1, Relaxed);
        let highest = self.highest[stamp.aggregate as usize].fetch_max(position + 1, Relaxed);
        self.inversions
            .fetch_add(u64::from(position + 1 < highest), Relaxed);
        lock(&self.end_to_end).record(now.saturating_sub(stamp.published));
        self.last_effective.fetch_max(now, Relaxed);
        self.tell_mark();
    }

    /// A dead letter was confirmed.
    pub(crate) fn dead(&self, plan: &Plan, stamp: Stamp) {
        if let Some(index) = plan.index(stamp)
            && self.accounted.set(index)
        {
            self.dead.fetch_add(1, Relaxed);
            self.tell_mark();
        }
    }

    fn tell_mark(&self) {
        if self.mark > 0 && self.ended() >= self.mark {
            self.reached.notify_one();
        }
    }

    /// Resolves when as many messages as the mark says have ended.
    pub(crate) async fn mark_reached(&self) {
        while self.mark == 0 || self.ended() < self.mark {
            self.reached.notified().await;
        }
    }

    /// Messages that ended: effective or dead.
    pub(crate) fn ended(&self) -> u64 {
        self.unique.load(Relaxed) + self.dead.load(Relaxed)
    }

    /// Processings that used up a record: effective ones, recognised copies, dead letters.
    pub(crate) fn records_ended(&self) -> u64 {
        self.ended() + self.duplicates.load(Relaxed) + self.recognised.load(Relaxed)
    }

    /// Distinct messages in the log.
    pub(crate) fn stored_count(&self) -> u64 {
        self.stored.count()
    }

    /// Stored and never seen; and of these, the ones that a later one of the aggregate passed.
    pub(crate) fn lost_and_gaps(&self, plan: &Plan) -> (u64, u64) {
        let (mut lost, mut gaps) = (0, 0);
        for aggregate in 0..plan.load.aggregates {
            let first = plan.first(aggregate);
            let mut passed = false;
            for index in (first..first + plan.load.versions(aggregate) as usize).rev() {
                if self.effective.get(index) {
                    passed = true;
                } else if self.stored.get(index) && !self.accounted.get(index) {
                    lost += 1;
                    gaps += u64::from(passed);
                }
            }
        }
        (lost, gaps)
    }

    /// Messages of which nobody knows what became: no acknowledgement, and never seen.
    pub(crate) fn unresolved(&self, plan: &Plan) -> u64 {
        (0..plan.load.messages as usize)
            .filter(|i| !self.stored.get(*i) && !self.effective.get(*i) && !self.accounted.get(*i))
            .count() as u64
    }

    pub(crate) fn publish_latency(&self) -> Latency {
        lock(&self.publish).clone()
    }

    pub(crate) fn end_to_end_latency(&self) -> Latency {
        lock(&self.end_to_end).clone()
    }
}

fn lock(latency: &Mutex<Latency>) -> std::sync::MutexGuard<'_, Latency> {
    latency.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One bit a message.
struct Bits(Vec<AtomicU64>);

impl Bits {
    fn new(len: usize) -> Self {
        Self(
            (0..len.div_ceil(64))
                .map(|_| AtomicU64::default())
                .collect(),
        )
    }

    /// Sets a bit; whether it was clear before.
    fn set(&self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        self.0[index / 64].fetch_or(bit, Relaxed) & bit == 0
    }

    fn get(&self, index: usize) -> bool {
        self.0[index / 64].load(Relaxed) & 1 << (index % 64) != 0
    }

    fn count(&self) -> u64 {
        self.0
            .iter()
            .map(|w| u64::from(w.load(Relaxed).count_ones()))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picks::Picks;

    fn plan() -> Plan {
        Plan::new(
            "r",
            "memory",
            &"6x2".parse().unwrap(),
            1,
            16,
            Picks::default(),
        )
    }

    fn stamp(aggregate: u32, seq: u32) -> Stamp {
        Stamp {
            aggregate,
            seq,
            published: 0,
        }
    }

    #[test]
    fn losses_gaps_duplicates_and_inversions_are_told_apart() {
        let plan = plan();
        let tally = Tally::new(&plan, 0);
        for aggregate in 0..2 {
            for seq in 1..=3 {
                tally.stored(&plan, stamp(aggregate, seq), false, 5);
            }
        }
        tally.effective(&plan, stamp(0, 2), 2, 10);
        tally.effective(&plan, stamp(0, 1), 1, 20);
        tally.effective(&plan, stamp(0, 1), 1, 30);
        tally.effective(&plan, stamp(1, 2), 9, 15);
        tally.dead(&plan, stamp(1, 3));
        tally.dead(&plan, stamp(1, 3));
        tally.effective(&plan, stamp(2, 1), 9, 15);
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        assert_eq!(read(&tally.unique), 3);
        assert_eq!(read(&tally.duplicates), 1);
        assert_eq!(read(&tally.inversions), 1);
        assert_eq!(read(&tally.dead), 1);
        assert_eq!(read(&tally.strangers), 1);
        // Lost: (0, 3) at the end, (1, 1) with (1, 2) after it.
        assert_eq!(tally.lost_and_gaps(&plan), (2, 1));
        assert_eq!(tally.unresolved(&plan), 0);
        assert_eq!(read(&tally.last_effective), 20);
        assert_eq!(tally.stored_count(), 6);
    }
}

//! The invariants, checked as a whole: for tests and the simulator.

use super::Consumer;
use super::partition::{Doubt, Phase};
use super::slab::State;
use crate::Time;

impl<M> Consumer<M> {
    /// Checks every invariant of the machine. O(everything): for tests and the simulator.
    ///
    /// # Errors
    /// The promise that is broken, or the structure that is not sound, in words.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.lanes.check(&self.slab)?;
        self.timers.check(&self.slab)?;
        self.identities.check()?;
        self.check_account()?;
        self.parking.check()?;
        self.sequences.check()?;
        self.check_suspects()?;
        let waiting = self.slab.slots.iter().map(|s| &s.hot);
        let waiting = waiting
            .filter(|s| matches!(s.state, State::Waiting | State::Reburying))
            .count();
        let slots = self.slab.slots.iter();
        let patient = slots.filter(|s| s.hot.state == State::Ahead && s.cold.at != Time::MAX);
        let waiting = waiting + patient.count();
        if waiting != self.timers.len() {
            return Err("L1: a waiting message has no timer");
        }
        let mut blockless = 0;
        for (index, part) in self.partitions.iter().enumerate() {
            part.window.check(&self.pool, part.doubt != Doubt::No)?;
            blockless += u32::from(part.window.blocks() == 0);
            if (part.starts_until, part.takes_until) != part.gates() {
                return Err("S5: a partition takes or starts what it may not");
            }
            if self.sequences.is_on() && part.phase == Phase::Open && part.touch_at > 0 {
                return Err("sequence: a finished message is not looked at");
            }
            if part.parked != (self.parking.taken(index) > 0) {
                return Err("S2: messages of a parked key are not looked at");
            }
            let mut held = 0;
            for slot in self.slab.slots.iter().map(|s| &s.hot) {
                if usize::from(slot.partition) != index
                    || matches!(slot.state, State::Free | State::Orphan)
                {
                    continue;
                }
                held += 1;
                if self.pool.is_done(slot.entry) {
                    return Err("S3: a held message is marked finished");
                }
            }
            if part.phase == Phase::Closed {
                if held > 0 || part.window.blocks() > 0 || part.resumed.is_some() {
                    return Err("S5: a released partition still holds something");
                }
                continue;
            }
            if part.used_messages != held {
                return Err("S7: a partition's count is not what is held of it");
            }
            if part.window.blocks() > self.blocks_max() {
                return Err("S7: a window is larger than configured");
            }
            let first = part.window.first(&self.pool).unwrap_or(part.floor);
            if part.frontier != first {
                return Err("S3: the frontier is not the first unfinished position");
            }
            let unfinished = part.window.blocks_from_head(&self.pool).map(|view| {
                let from = !0u64 << view.first.min(63);
                let all = if view.deltas.len() == 64 {
                    !0
                } else {
                    (1 << view.deltas.len()) - 1
                };
                let from = if view.first == 64 { 0 } else { from };
                (!view.done & all & from).count_ones()
            });
            if part.phase == Phase::Open && unfinished.sum::<u32>() != held {
                return Err("S9: an unfinished position is not held");
            }
        }
        if blockless != self.blockless {
            return Err("S7: partitions without a block are miscounted");
        }
        if self.pool.free_blocks() < self.blockless {
            return Err("L1: no block is left for a partition without one");
        }
        Ok(())
    }
}

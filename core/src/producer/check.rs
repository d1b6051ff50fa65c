//! What must always hold.

use super::slots::{Latest, NONE, Phase};
use super::{Producer, Published};

impl<M> Producer<M> {
    /// Checks every invariant; for tests and the simulator.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        self.slots.check()?;
        self.timers.check(&self.slots)?;
        self.lanes.check(&self.slots, self.now)?;
        let (mut bytes, mut ghosts, mut stuck, mut results) = (0, 0, 0, 0);
        for (_, slot) in self.slots.iter() {
            match slot.phase {
                Phase::Free => continue,
                Phase::Live if slot.result.is_some() => {
                    return Err("S10: a live publish has ended");
                }
                Phase::Live if slot.place == NONE => return Err("L2: a publish without a timer"),
                Phase::Live if slot.deadline <= self.now => {
                    return Err("L2: a deadline was missed");
                }
                Phase::Ghost if !slot.can_land() => return Err("a key is blocked for no reason"),
                Phase::Over if slot.result.is_none() => return Err("an ended slot is not freed"),
                Phase::Ghost | Phase::Over if slot.place != NONE => {
                    return Err("an ended publish has a timer");
                }
                Phase::Live | Phase::Ghost | Phase::Over => {}
            }
            let is_refused = matches!(slot.result, Some(Published::Refused(_)));
            if is_refused && slot.earlier_maybe {
                return Err("S10: refused, and may be in the log");
            }
            if slot.phase != Phase::Over && (slot.latest == Latest::Out && !self.is_connected) {
                return Err("a send is on its way without a connection");
            }
            if slot.phase != Phase::Ghost || slot.result.is_some() {
                bytes += u64::from(slot.bytes);
            }
            ghosts += u32::from(slot.phase == Phase::Ghost);
            stuck += u32::from(slot.phase == Phase::Ghost && slot.latest != Latest::Out);
            results += u32::from(slot.result.is_some());
        }
        if bytes != self.stats.held_bytes || bytes > self.config.bytes {
            return Err("S7: bytes are not what is held, or over the window");
        }
        if self.lanes.requests() > self.config.in_flight {
            return Err("S7: more sends on their way than may be");
        }
        if ghosts != self.stats.uncertain || stuck != self.stats.stuck {
            return Err("uncertain publishes are miscounted");
        }
        if self.is_closed && self.slots.used() != results {
            return Err("L2: a publish outlived the end");
        }
        let (mut waiting, mut index) = (0, self.done_first);
        while index != NONE && waiting <= results {
            waiting += 1;
            index = self.slots.get(index).done_next;
        }
        if waiting != results {
            return Err("S10: a result is not queued, or queued twice");
        }
        let ended = self.stats.stored + self.stats.refused + self.stats.unknown;
        let live = self
            .slots
            .iter()
            .filter(|(_, slot)| slot.phase == Phase::Live)
            .count() as u64;
        if self.stats.accepted != ended + live {
            return Err("S10: accepted is not live and ended");
        }
        Ok(())
    }
}

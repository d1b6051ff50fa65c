//! What must always hold.

use super::{Claim, Phase};

impl Claim {
    /// Checks every invariant; for tests and the simulator.
    ///
    /// # Errors
    /// The invariant that does not hold.
    pub fn check_invariants(&self) -> Result<(), &'static str> {
        let is_owner = self.phase == Phase::Owner;
        if self.sent.is_some() && self.is_reading {
            return Err("a read and a write are outstanding at once");
        }
        if is_owner != self.held.is_some() {
            return Err("S6: an owner without a stored record of its own, or the reverse");
        }
        if is_owner && !self.is_lapsed && self.now >= self.until {
            return Err("S1: the lease is over and the owner goes on");
        }
        if is_owner
            && self
                .held
                .is_some_and(|(record, _)| record.epoch > self.epoch)
        {
            return Err("the epoch went back");
        }
        if self.epoch > self.highest {
            return Err("an epoch in use is not the highest");
        }
        if self.commit.is_some() && (!is_owner || self.result.is_some()) {
            return Err("S5: a commit is pending without ownership, or two are");
        }
        if self.take && (self.phase != Phase::Standby || !self.may_take || self.seen.is_none()) {
            return Err("a take-over that may not be");
        }
        if matches!(self.phase, Phase::Released { .. }) {
            let is_busy = self.leaving.is_some() || self.releasing.is_some() || self.take;
            if is_busy || self.doubt.is_some() {
                return Err("S5: released, and still at it");
            }
        }
        if self
            .doubt
            .is_some_and(|doubt| doubt.last > self.write || doubt.first > doubt.last)
        {
            return Err("a write in doubt was never sent");
        }
        if !self.is_connected && (self.sent.is_some() || self.is_reading || self.take) {
            return Err("something is outstanding without a connection");
        }
        Ok(())
    }
}

//! What owners do about parked keys.

use procession_core::{ParkedMode, PartitionId};

use super::{Stage, World};
use crate::checker::Checked;
use crate::event::Event;

impl World {
    /// The owner treats one of the parked keys of a process otherwise.
    pub(super) fn treat_parked(&mut self, member: u32, how: u64) -> Checked {
        let partitions = self.plan.config.partitions;
        let time = self.time();
        let Some(core) = &mut self.members[member as usize].core else {
            return Ok(());
        };
        let parked = (0..partitions).flat_map(|p| core.parked(PartitionId(p)));
        let keys: Vec<u128> = parked.map(|p| p.key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        let key = keys[(how >> 8) as usize % keys.len()];
        let mode = match how % 5 {
            0 => Some(ParkedMode::Follow),
            1 => Some(ParkedMode::Wait),
            2 => Some(ParkedMode::Discard),
            _ => None,
        };
        match mode {
            Some(mode) => core.set_parked(time, key, mode),
            None => core.release(time, key),
        };
        self.checker
            .treated(member as usize, key, mode, &self.entries);
        self.note(|_, out| out.push_str(&format!("             m{member} {key:x}: {mode:?}\n")));
        self.after(member)
    }

    /// After faults have stopped, owners release what is parked, key by key: nothing may wait for ever.
    #[inline(never)]
    pub(super) fn tidy(&mut self) -> Checked {
        if self.stage != Stage::Calm || self.plan.config.parked_keys == 0 {
            return Ok(());
        }
        for member in 0..self.plan.members {
            if self.members[member as usize].paused_until <= self.now {
                self.treat_parked(member, 4)?;
            }
        }
        self.push_in(20_000_000, Event::Tidy);
        Ok(())
    }
}

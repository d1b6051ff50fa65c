//! Suspects: who is accused, and the lot.

use core::num::NonZeroU32;

use super::super::slab::NONE;
use super::super::suspects::{Accused, Lot, Stage, Suspects};
use super::io::{Fault, Io, Reader, Writer, told};

impl Accused {
    fn fields<I: Io>(&mut self, io: &mut I) -> Result<(), Fault> {
        let Self {
            position,
            deaths,
            running,
        } = self;
        io.position(position)?;
        io.u8(deaths)?;
        io.flag(running)
    }
}

fn stage_fields(stage: &mut Stage, io: &mut impl Io) -> Result<(), Fault> {
    let (mut kind, mut write) = match stage {
        Stage::Forming => (0, 0),
        Stage::Asked(write) => (1, *write),
        Stage::Granted => (2, 0),
    };
    io.u8(&mut kind)?;
    io.u64(&mut write)?;
    *stage = match kind {
        0 => Stage::Forming,
        1 => Stage::Asked(write),
        2 => Stage::Granted,
        _ => return Err("a lot is in no state"),
    };
    Ok(())
}

impl Suspects {
    pub(super) fn write(&self, to: &mut Writer<'_>) {
        let Self {
            // Of the configuration.
            deaths: _,
            places: _,
            rows: _,
            taken,
            lot,
        } = self;
        if !self.is_on() {
            return;
        }
        for index in 0..taken.len() {
            let row = self.row(index);
            to.put(row.len() as u32);
            for accused in row {
                told(accused.clone().fields(to));
            }
        }
        let Lot {
            partition,
            stage,
            alone,
            members,
        } = lot;
        to.put(*partition);
        if *partition == NONE {
            return;
        }
        told(stage_fields(&mut { *stage }, to));
        told(to.flag(&mut { *alone }));
        to.put(members.len() as u32);
        for (slot, generation) in members {
            to.put(*slot);
            to.put(generation.get());
        }
    }

    /// Into an empty one.
    pub(super) fn read(&mut self, from: &mut Reader<'_>) -> Result<(), Fault> {
        if !self.is_on() {
            return Ok(());
        }
        for index in 0..self.taken.len() {
            let count = from.get(self.places)? as usize;
            for at in 0..count {
                self.rows[index * self.places + at].fields(from)?;
            }
            self.taken[index] = count as u8;
        }
        from.u32(&mut self.lot.partition)?;
        if self.lot.partition == NONE {
            return Ok(());
        }
        stage_fields(&mut self.lot.stage, from)?;
        from.flag(&mut self.lot.alone)?;
        for _ in 0..from.get(self.places)? {
            let (mut slot, mut generation) = (0, 0);
            from.u32(&mut slot)?;
            from.u32(&mut generation)?;
            let generation =
                NonZeroU32::new(generation).ok_or("a member of a lot was never one")?;
            self.lot.members.push((slot, generation));
        }
        Ok(())
    }
}

//! A message that kills its process must not kill every next owner for ever (L3).
//!
//! The record of a partition says what may be running: nothing, anything, or exactly these messages (a
//! lot). It says so before it happens: a partition that was opened starts nothing until a commit is
//! stored that says "anything". Who gives a partition up writes "nothing" with the last commit. So an
//! owner that finds more knows that the one before it did not end cleanly, and suspects:
//! ```text
//! "anything":    the first arrivals (as many as may have been held) run in lots, each of them recorded
//!                and stored before it starts, one lot at a time over the whole consumer
//! "a lot":       each message of it runs alone; if that ends the process, the next owner counts it
//! counted `suspects` times: dead-lettered when its turn comes, without running
//! ```
//! Partitions that are not under suspicion go on meanwhile: stopping them would make one death a stop of
//! everything. What costs nothing while nobody dies: one commit a take-over, two bytes a record.

use core::num::NonZeroU32;

use super::partition::Phase;
use super::slab::{NONE, QUARANTINED, State};
use super::suspects::{Accused, ENTRIES, Mark, Marked, Stage, Suspects, Watch};
use super::{Consumer, Dispatch, NoticeKind, Why};
use crate::marks::mark;
use crate::{Position, Time, mutants};

impl<M> Consumer<M> {
    /// What a partition's record says of suspects; `None`: it cannot be read.
    pub(super) fn suspect(&mut self, index: usize, marked: Option<&Marked>, log_end: Position) {
        if !self.suspects.is_on() {
            return;
        }
        let mark = marked.map_or(Mark::Anything, |m| m.mark);
        let entries = marked.map_or(&[][..], Marked::entries);
        let alone = entries.iter().filter(|e| e.running).count() == 1 || mutants::is(225);
        // Beyond the end of the log is somebody else by now.
        for entry in entries.iter().filter(|e| e.position < log_end) {
            let died = entry.running && alone && !mutants::is(220);
            mark!(Counted, died);
            self.suspects.add(
                index,
                Accused {
                    deaths: (entry.deaths + u8::from(died)).min(127),
                    running: false,
                    ..*entry
                },
            );
        }
        let part = &mut self.partitions[index];
        if mark == Mark::Anything {
            // What was held when the owner died lies within as many messages as may be held, behind those
            // that it had finished since its last commit: as a rule, what two commits cover and a little.
            let (held, written) = (self.config.limits.messages, self.config.commit.messages);
            let finished = written.saturating_mul(2).saturating_add(ENTRIES as u32);
            part.suspect_left = held.saturating_add(finished);
            part.suspect_until = log_end;
        }
        if mark != Mark::Nothing {
            mark!(UncleanEnd);
            let frontier = part.frontier;
            self.notice(index, NoticeKind::UncleanEnd, frontier);
        }
        if self.is_suspicious(index) && !mutants::is(221) {
            let part = &mut self.partitions[index];
            part.watch = Watch::Lots;
            part.touch_at = 0;
        }
    }

    /// A partition was opened: nothing starts before its record says that anything may.
    pub(super) fn begin_watch(&mut self, now: Time, index: usize) {
        let part = &self.partitions[index];
        if part.watch == Watch::Wanted && part.stopped.is_none() && part.unproven.is_none() {
            self.want_mark(now, index);
        }
    }

    /// Whether something of a partition may have ended the process of an owner before, and has not come
    /// to an end since.
    fn is_suspicious(&mut self, index: usize) -> bool {
        self.forget_accused(index);
        let Self {
            suspects,
            partitions,
            pool,
            ..
        } = self;
        let part = &mut partitions[index];
        let range = part.suspect_left > 0 && part.frontier < part.suspect_until;
        let mut row = suspects.row(index).iter();
        range || row.any(|a| !part.window.has_finished(pool, a.position))
    }

    /// A commit is due at once, for what it says of suspects.
    fn want_mark(&mut self, now: Time, index: usize) {
        self.dirty(now, index, 0);
        self.commits.insert(index as u32);
    }

    /// Whether something waits for a commit that is not under way.
    pub(super) fn wants_mark(&self, index: usize) -> bool {
        let lot = &self.suspects.lot;
        let forms = self.suspects.has_lot(index) && lot.stage == Stage::Forming;
        forms || self.partitions[index].watch == Watch::Wanted
    }

    /// What a commit says of suspects. From here on it is under way, with this number.
    pub(super) fn mark(&mut self, index: usize, write: u64, last: bool) -> Marked {
        let mut marked = Marked::NONE;
        self.forget_accused(index);
        for accused in self.suspects.row(index) {
            marked.push(*accused);
        }
        let range = {
            let part = &self.partitions[index];
            part.suspect_left > 0 && part.frontier < part.suspect_until
        };
        let part = &mut self.partitions[index];
        marked.mark = match part.watch {
            Watch::Off => Mark::Nothing,
            Watch::Lots if range => Mark::Anything,
            Watch::Lots => Mark::Nothing,
            Watch::Wanted | Watch::Asked(_) | Watch::Free if last => Mark::Nothing,
            Watch::Wanted | Watch::Asked(_) | Watch::Free => Mark::Anything,
        };
        if part.watch == Watch::Wanted {
            part.watch = Watch::Asked(write);
        }
        if !self.suspects.has_lot(index) {
            return marked;
        }
        if self.suspects.lot.stage == Stage::Forming {
            self.suspects.lot.stage = Stage::Asked(write);
        }
        for &(slot, generation) in &self.suspects.lot.members {
            if !self.is_in_lot(slot, generation) {
                continue;
            }
            let position = self.pool.position(self.slab.slots[slot as usize].hot.entry);
            marked.mark = Mark::Lot;
            marked.push_running(position, self.suspects.places);
        }
        let len = marked.len;
        marked.entries[..len].sort_unstable();
        marked
    }

    /// Whether a message of the lot has not come to its end.
    fn is_in_lot(&self, index: u32, generation: NonZeroU32) -> bool {
        let slot = &self.slab.slots[index as usize].hot;
        // What is to be given up starts nothing.
        let open = self.partitions[usize::from(slot.partition)].phase == Phase::Open;
        let granted = self.suspects.lot.stage == Stage::Granted;
        let held = slot.state == State::Held && !granted;
        let waits = open && (held || slot.state == State::Ready);
        let runs = matches!(slot.state, State::Running | State::Stopping);
        slot.generation == generation && (runs || waits)
    }

    /// How the commit with this number ended: what waited for it may start, or waits for the next.
    pub(super) fn mark_answered(&mut self, now: Time, index: usize, write: u64, stored: bool) {
        if !self.suspects.is_on() {
            return;
        }
        let stored = stored || mutants::is(222);
        let open = self.partitions[index].phase == Phase::Open;
        if self.partitions[index].watch == Watch::Asked(write) {
            let part = &mut self.partitions[index];
            part.watch = if stored { Watch::Free } else { Watch::Wanted };
            part.gate();
            if stored && open {
                self.wake_held(index);
            }
        }
        if !self.suspects.has_lot(index) || self.suspects.lot.stage != Stage::Asked(write) {
            return;
        }
        if !stored {
            self.suspects.lot.stage = Stage::Forming;
            return;
        }
        self.suspects.lot.stage = Stage::Granted;
        for at in 0..self.suspects.lot.members.len() {
            let (slot, generation) = self.suspects.lot.members[at];
            let hot = &self.slab.slots[slot as usize].hot;
            if open && hot.generation == generation && hot.state == State::Held {
                self.lanes.push_ready(&mut self.slab, slot);
            }
        }
        self.step_lot(now);
    }

    /// A message that is next of its key may not start as it is.
    #[cold]
    pub(super) fn not_yet(&mut self, now: Time, index: u32) -> Option<Dispatch<M>> {
        let slot = &mut self.slab.slots[index as usize].hot;
        slot.state = State::Held;
        let partition = usize::from(slot.partition);
        let part = &self.partitions[partition];
        if part.phase != Phase::Open || now >= part.until || part.watch.is_free() {
            mark!(Lapsed);
            self.lapse(partition);
            // The next record does not name it any more. It may be the last that its lot waits for.
            let lot = &mut self.suspects.lot;
            if lot.stage == Stage::Granted {
                lot.members.retain(|m| m.0 != index);
            }
            self.step_lot(now);
            return None;
        }
        if part.watch == Watch::Lots {
            return self.under_suspicion(now, index, partition);
        }
        mark!(UnmarkedWaits);
        if part.watch == Watch::Wanted {
            self.want_mark(now, partition);
        }
        None
    }

    /// A message of a partition that is under suspicion starts with its lot.
    fn under_suspicion(&mut self, now: Time, index: u32, partition: usize) -> Option<Dispatch<M>> {
        let slot = self.slab.slots[index as usize].hot;
        let position = self.pool.position(slot.entry);
        if self.suspects.is_member(index, slot.generation) {
            let granted = self.suspects.lot.stage == Stage::Granted;
            return if granted {
                self.start(now, index)
            } else {
                None
            };
        }
        let accused = self.suspects.find(partition, position);
        if accused.is_some_and(|a| a.deaths >= self.suspects.deaths) && !mutants::is(223) {
            mark!(Convicted);
            self.bury(index, Why::Suspect);
            return None;
        }
        if !self.suspects.has_lot(partition) && !self.is_suspicious(partition) {
            self.end_suspicion(now, partition);
            return None;
        }
        let lot = &mut self.suspects.lot;
        let joined = (index, slot.generation);
        if lot.partition == NONE {
            lot.partition = partition as u32;
            lot.stage = Stage::Forming;
            lot.alone = accused.is_some() && !mutants::is(224);
            lot.members.clear();
            lot.members.push(joined);
            self.want_mark(now, partition);
        } else if lot.partition as usize == partition
            && lot.stage == Stage::Forming
            && !lot.alone
            && (accused.is_none() || mutants::is(224))
            && lot.members.len() + usize::from(self.suspects.taken[partition]).max(1)
                < self.suspects.places
        {
            mark!(LotGrows);
            lot.members.push(joined);
        } else {
            mark!(LotWaits);
            return None;
        }
        // A retry is nobody new: those that fail must not use up what others are looked at by.
        let first = self.slab.slots[index as usize].cold.attempts() == 0;
        let part = &mut self.partitions[partition];
        part.suspect_left = part.suspect_left.saturating_sub(u32::from(first));
        None
    }

    /// What was suspected has ended well, or was given up: anything may start, when the record says so.
    fn end_suspicion(&mut self, now: Time, index: usize) {
        mark!(SuspicionOver);
        let part = &mut self.partitions[index];
        part.watch = Watch::Wanted;
        if part.phase == Phase::Open {
            self.want_mark(now, index);
        }
    }

    /// Something under suspicion has ended: when that was the last of the lot, the next lot may form.
    pub(super) fn step_lot(&mut self, now: Time) {
        let lot = &self.suspects.lot;
        if lot.partition == NONE || lot.stage != Stage::Granted {
            return;
        }
        let mut members = lot.members.iter();
        if members.any(|&(slot, generation)| self.is_in_lot(slot, generation)) {
            return;
        }
        let index = lot.partition as usize;
        self.suspects.lot.members.clear();
        self.suspects.lot.partition = NONE;
        // The record still says that they run.
        self.dirty(now, index, 0);
        let watched = self.partitions[index].watch == Watch::Lots;
        if watched && !self.is_suspicious(index) {
            self.end_suspicion(now, index);
        }
        self.wake_withheld();
    }

    /// A partition is to be given up: what has not started of its lot will not.
    pub(super) fn end_lot_early(&mut self, now: Time, index: usize) {
        if self.suspects.has_lot(index) && self.suspects.lot.stage != Stage::Granted {
            return self.drop_lot(index);
        }
        self.step_lot(now);
    }

    /// The messages of a partition are gone: so is its lot.
    pub(super) fn drop_lot(&mut self, index: usize) {
        if self.suspects.has_lot(index) {
            mark!(LotDropped);
            self.suspects.lot.members.clear();
            self.suspects.lot.partition = NONE;
            self.wake_withheld();
        }
    }

    /// The log goes on at `from` with something else, or the partition is not ours any more.
    pub(super) fn forget_suspects(&mut self, index: usize, from: Option<Position>) {
        self.suspects
            .retain(index, |a| from.is_some_and(|from| a.position < from));
        let part = &mut self.partitions[index];
        if from.is_none() {
            part.watch = Watch::Off;
            part.suspect_left = 0;
        } else if let Watch::Asked(_) = part.watch {
            part.watch = Watch::Wanted;
        }
    }

    /// Accused messages that are finished are that no more. What was given up stays named until the
    /// frontier has passed it: a map may forget that it is finished.
    fn forget_accused(&mut self, index: usize) {
        let Self {
            suspects,
            partitions,
            pool,
            ..
        } = self;
        let (part, most) = (&mut partitions[index], suspects.deaths);
        suspects.retain(index, |a| {
            let stays = a.deaths >= most || !part.window.has_finished(pool, a.position);
            a.position >= part.frontier && stays
        });
    }

    /// What waited for the lot to end looks again. O(slots).
    fn wake_withheld(&mut self) {
        for index in 0..self.slab.capacity() as u32 {
            let slot = &self.slab.slots[index as usize].hot;
            let part = &self.partitions[usize::from(slot.partition)];
            if slot.state == State::Held
                && slot.flags & QUARANTINED == 0
                && part.watch == Watch::Lots
                && part.phase == Phase::Open
            {
                self.activate(index);
            }
        }
    }

    /// Whether what is held back of a partition waits for its record, or for its turn.
    pub(super) fn is_watched(&self, index: usize) -> bool {
        let part = &self.partitions[index];
        !part.watch.is_free() && self.now < part.until
    }

    /// The invariants.
    pub(super) fn check_suspects(&self) -> Result<(), &'static str> {
        let Suspects { lot, places, .. } = &self.suspects;
        for (index, part) in self.partitions.iter().enumerate() {
            let row = self.suspects.row(index);
            if !row.is_sorted_by(|a, b| a.position < b.position) || row.len() > *places {
                return Err("L3: accused messages are out of order");
            }
            if part.is_ours() && (part.watch == Watch::Off) == self.suspects.is_on() {
                return Err("L3: a partition is watched and is not");
            }
            if part.watch == Watch::Lots && part.phase == Phase::Open && part.touch_at > 0 {
                return Err("L3: the end of a suspect is not looked at");
            }
        }
        if lot.partition == NONE {
            return Ok(());
        }
        let part = self.partitions.get(lot.partition as usize);
        if lot.members.len() > *places || part.is_none_or(|p| p.watch != Watch::Lots) {
            return Err("L3: a lot of nobody");
        }
        let slots = self.slab.capacity();
        if lot.members.iter().any(|m| m.0 as usize >= slots) {
            return Err("L3: a lot of nothing");
        }
        let mut members = lot.members.iter();
        let over = lot.stage == Stage::Granted && !members.any(|m| self.is_in_lot(m.0, m.1));
        if over {
            return Err("L3: a lot is over and goes on");
        }
        Ok(())
    }
}

//! The end of a held message, in every way that it can end.

use super::partition::{Doubt, Phase};
use super::slab::{HEAD, Hot, NONE, State};
use super::suspects::Watch;
use super::window::Window;
use super::{Anchor, Consumer, NoticeKind, WakeReason};
use crate::marks::mark;
use crate::{Stamp, Time, mutants};

impl<M> Consumer<M> {
    /// The way of nearly every message: a handler's success, of an identity that is looked at, with
    /// nothing of its key behind it. Each structure is looked up once. Whether it was one; if not,
    /// nothing has changed.
    #[inline(always)]
    pub(super) fn finish_alone(&mut self, index: u32) -> bool {
        let Self {
            slab,
            lanes,
            partitions,
            pool,
            identities,
            credit,
            limits,
            remember_until,
            now,
            ..
        } = self;
        let slot = &mut slab.slots[index as usize];
        let entry = slot.hot.entry;
        let block = pool.block(entry);
        let Some(identity) = block.identity(entry) else {
            return false;
        };
        if slot.hot.next != NONE {
            return false;
        }
        let part = &mut partitions[usize::from(slot.hot.partition)];
        block.finish(entry);
        if part.window.is_head(entry) && part.doubt == Doubt::No {
            part.anchor = Some(Anchor {
                position: part.frontier,
                stamp: Stamp(slot.cold.stamp),
            });
            part.since = *now;
            if part.window.pass_only() {
                part.frontier = part.floor;
            } else {
                part.frontier = part.window.advance(pool).unwrap_or(part.floor);
                self.blockless += u32::from(part.window.blocks() == 0);
            }
        }
        credit.credit(part, index, slot.cold.bytes, limits);
        part.busy -= 1;
        part.unwritten += 1;
        let touch = part.unwritten >= part.touch_at;
        slot.hot.vacate(slab.free);
        slab.free = index;
        slab.used -= 1;
        let (lane, flags) = (slot.hot.lane, HEAD);
        lanes.close(slab, index, lane, flags);
        identities.succeed(*remember_until, identity);
        if touch {
            self.touch(index);
        }
        true
    }

    /// A message is finished: its position is marked, its identity settled, its credit given back,
    /// and the next of its key goes on.
    #[inline(never)]
    pub(super) fn finish(&mut self, index: u32, ran: bool, succeeded: bool) {
        let Self {
            slab,
            partitions,
            pool,
            identities,
            credit,
            limits,
            ..
        } = self;
        let slot = &mut slab.slots[index as usize];
        let (entry, bytes) = (slot.hot.entry, slot.cold.bytes);
        let partition = usize::from(slot.hot.partition);
        let part = &mut partitions[partition];
        part.busy -= u32::from(ran);
        let block = pool.block(entry);
        let identity = block.identity(entry);
        block.finish(entry);
        if part.window.is_head(entry) && part.doubt == Doubt::No {
            // The message whose settling moves the frontier is what the log is recognised by.
            part.anchor = Some(Anchor {
                position: part.frontier,
                stamp: Stamp(slot.cold.stamp),
            });
            if mutants::is(69) {
                part.anchor = part.last;
            }
            part.frontier = part.window.advance(pool).unwrap_or(part.floor);
            part.since = self.now;
            self.blockless += u32::from(part.window.blocks() == 0);
        }
        credit.credit(part, index, bytes, limits);
        part.unwritten += 1;
        let touch = part.unwritten >= part.touch_at;
        let (lane, next, tail, flags) =
            (slot.hot.lane, slot.hot.next, slot.hot.tail, slot.hot.flags);
        if !ran {
            // The message of one that ran is with its handler, or gone.
            slot.message = None;
        }
        slot.hot.vacate(slab.free);
        slab.free = index;
        slab.used -= 1;
        match identity {
            Some(identity) if succeeded => identities.succeed(self.remember_until, identity),
            Some(identity) => identities.release(identity),
            None => {}
        }
        if self.sequences.is_on() {
            self.pass_sequence(index);
        }
        let Self { slab, lanes, .. } = self;
        if next == NONE {
            lanes.close(slab, index, lane, flags);
        } else {
            lanes.hand_on(slab, lane, index, (next, tail));
            self.go_on(next);
        }
        if touch {
            self.touch(index);
        }
    }

    /// The next of a key has become the head of its lane.
    #[inline(never)]
    fn go_on(&mut self, next: u32) {
        mark!(HandedOn);
        if self.slab.slots[next as usize].hot.state == State::Queued {
            self.activate(next);
        } else if self.config.batch_key > 1 {
            self.lead_on(next);
        }
    }

    /// Progress was made that no commit covers: by how many messages.
    pub(super) fn dirty(&mut self, now: Time, partition: usize, messages: u32) {
        let part = &mut self.partitions[partition];
        part.dirty = true;
        part.unwritten = part.unwritten.saturating_add(messages);
        self.call_commit(now, partition);
    }

    /// A message was finished that may change when its partition commits, or whether it is idle.
    #[cold]
    fn touch(&mut self, index: u32) {
        if self.sequences.is_on() {
            // Every finished message comes this way: see `call_commit`.
            self.pass_sequence(index);
        }
        let (now, partition) = (self.now, self.slab.slots[index as usize].hot.partition);
        let partition = usize::from(partition);
        self.check_stall(partition);
        self.call_commit(now, partition);
        self.step_lot(now);
        self.close_when_idle(now, partition);
    }

    /// A commit falls due: now by count, or by time. Says when a finished message needs to ask again.
    #[inline(never)]
    fn call_commit(&mut self, now: Time, partition: usize) {
        let (every, messages) = (self.config.commit.every, self.config.commit.messages);
        let part = &mut self.partitions[partition];
        let due = part.unwritten >= messages;
        // The count stays at the last value that can grow.
        part.unwritten = part.unwritten.min(u32::MAX - 1);
        part.touch_at = match part.phase {
            Phase::Open if part.stalled.is_some() => 0,
            // In order by sequence, each one says what comes next of its key.
            Phase::Open if self.sequences.is_on() => 0,
            // Each one may be the last of its lot.
            Phase::Open if part.watch == Watch::Lots => 0,
            Phase::Open if due => u32::MAX,
            Phase::Open => messages,
            // Each one may be the last that is waited for.
            Phase::Closed | Phase::Revoking | Phase::Closing => 0,
        };
        if due && part.outstanding.is_none() {
            self.commits.insert(partition as u32);
        } else if part.commit_at == Time::MAX && !mutants::is(60) {
            // Rounded up to an eighth of the cadence: many partitions then fall due together.
            let grain = (every.as_nanos() / 8).max(1);
            let at = (now + every)
                .as_nanos()
                .div_ceil(grain)
                .saturating_mul(grain);
            part.commit_at = Time::from_nanos(at).max(part.commit_after);
            let at = part.commit_at;
            self.look_at(at, WakeReason::Commit);
        }
    }

    /// All handlers of a partition go on without it: first those of heads, then what they have taken along.
    fn orphan_all(&mut self, partition: usize) {
        for heads in [true, false] {
            for index in 0..self.slab.capacity() as u32 {
                let slot = self.slab.slots[index as usize].hot;
                let leads = slot.flags & HEAD != 0;
                let ours = usize::from(slot.partition) == partition && slot.state.runs();
                if ours && (leads == heads || mutants::is(2)) {
                    self.orphan(index);
                }
            }
            if self.config.batch_key <= 1 {
                return;
            }
        }
    }

    /// A handler goes on without its partition: it keeps its key busy (S1) and is asked to stop.
    fn orphan(&mut self, index: u32) {
        mark!(Orphaned);
        let mut behind = false;
        let slot = &mut self.slab.slots[index as usize].hot;
        let partition = usize::from(slot.partition);
        slot.state = State::Orphan;
        slot.entry = self.pool.identity(slot.entry).unwrap_or(NONE);
        if slot.flags & HEAD == 0 && self.config.batch_key > 1 {
            self.orphan_behind(index);
            behind = true;
        }
        self.cancels.insert(index);
        self.abandons.remove(index);
        self.leave_sequence(index);
        let part = &mut self.partitions[partition];
        part.busy -= 1;
        self.credit
            .disown(part, self.slab.slots[index as usize].cold.bytes);
        if mutants::is(20) || (behind && mutants::is(216)) {
            self.cut_loose(index);
        }
    }

    /// The key of an orphan is not kept busy (a fault, for the simulator): it moves to a lane that
    /// no other message has.
    fn cut_loose(&mut self, index: u32) {
        let slot = self.slab.slots[index as usize].hot;
        let next = self.lanes.pop_head(&mut self.slab, index, slot);
        self.slab.slots[index as usize].hot.flags &= !HEAD;
        let lane = crate::backoff::mix(u64::from(index) ^ 0xDEAD_0000_0000_0000);
        let slot = &mut self.slab.slots[index as usize].hot;
        (slot.lane, slot.next, slot.tail) = (lane, NONE, index);
        self.lanes.append(&mut self.slab, index, lane);
        if let Some(next) = next {
            self.activate(next);
        }
    }

    pub(super) fn end_orphan(&mut self, now: Time, index: u32, succeeded: bool) {
        self.cancels.remove(index);
        let slot = self.slab.slots[index as usize].hot;
        if slot.entry != NONE {
            // S4: it succeeded in this process, whoever owns the partition now.
            if succeeded {
                mark!(OrphanSucceeds);
                self.identities
                    .succeed_late(self.remember_until, slot.entry);
            } else {
                mark!(OrphanFails);
                self.identities.release(slot.entry);
            }
        }
        if mutants::is(9) && succeeded {
            let partition = usize::from(slot.partition);
            let part = &mut self.partitions[partition];
            if part.is_ours() && part.window.len == 0 {
                part.frontier = part.frontier.next();
                self.dirty(now, partition, 1);
            }
        }
        let bytes = self.slab.slots[index as usize].cold.bytes;
        let part = &mut self.partitions[usize::from(slot.partition)];
        self.credit.refund(part, index, bytes, &self.limits);
        if slot.flags & HEAD == 0 {
            self.lanes.unlink(&mut self.slab, index);
            self.slab.give(index);
            return;
        }
        self.slab.give(index);
        if let Some(next) = self.lanes.pop_head(&mut self.slab, index, slot) {
            self.go_on(next);
        }
    }

    /// Turns the handlers of a partition that still run into orphans, each named by a notice.
    pub(super) fn abandon_handlers(&mut self, partition: usize) -> u32 {
        let mut abandoned = 0;
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.slots[index as usize].hot;
            if slot.state.runs() && usize::from(slot.partition) == partition {
                let position = self.pool.position(slot.entry);
                mark!(Abandoned);
                self.notice(partition, NoticeKind::Abandoned, position);
                abandoned += 1;
            }
        }
        if abandoned > 0 {
            self.orphan_all(partition);
        }
        if self.config.batch_key > 1 {
            self.give_back_all(partition);
        }
        self.trim_sequences();
        self.step_lot(self.now);
        abandoned
    }

    /// Drops everything that is held of a partition, except handlers: those become orphans.
    /// O(slots).
    pub(super) fn clear_partition(&mut self, partition: usize) {
        let number = partition as u16;
        self.lanes.retain_ready(&mut self.slab, |p| p != number);
        self.orphan_all(partition);
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.slots[index as usize].hot;
            if slot.state != State::Free && slot.flags & HEAD != 0 {
                self.prune(index, number);
            }
        }
        self.drop_map(partition);
        self.end_stall(partition);
        let part = &mut self.partitions[partition];
        if part.window.blocks() > 0 {
            part.window.clear(&mut self.pool);
            self.blockless += 1;
        }
        part.window = Window::EMPTY;
        part.busy = 0;
        part.relents = false;
        self.sequences.forget_partition(number);
        self.trim_sequences();
        self.drop_lot(partition);
    }

    /// Takes the messages of a partition out of one lane.
    fn prune(&mut self, mut head: u32, partition: u16) {
        let dropped = |slot: &Hot| slot.partition == partition && slot.state != State::Orphan;
        while dropped(&self.slab.slots[head as usize].hot) {
            let slot = self.slab.slots[head as usize].hot;
            let next = self.lanes.pop_head(&mut self.slab, head, slot);
            self.drop_slot(head);
            let Some(next) = next else { return };
            head = next;
        }
        let (mut before, mut kept) = (head, 1);
        let mut at = self.slab.slots[head as usize].hot.next;
        while at != NONE {
            let slot = self.slab.slots[at as usize].hot;
            if dropped(&slot) {
                mark!(PrunedInside);
                self.slab.slots[before as usize].hot.next = slot.next;
                self.drop_slot(at);
            } else {
                before = at;
                kept += 1;
            }
            at = slot.next;
        }
        self.slab.slots[head as usize].hot.tail = before;
        self.lanes.set_depth(head, kept);
        if self.slab.slots[head as usize].hot.state == State::Queued {
            self.activate(head);
        }
    }

    /// Frees a slot that is in no lane any more, unfinished.
    fn drop_slot(&mut self, index: u32) {
        let slot = self.slab.slots[index as usize].hot;
        if matches!(slot.state, State::Waiting | State::Reburying) {
            self.timers.disarm(&mut self.slab, index);
        }
        self.leave_sequence(index);
        self.letters.remove(index);
        self.copies.remove(index);
        self.passes.remove(index);
        if let Some(identity) = self.pool.identity(slot.entry) {
            self.identities.release(identity);
        }
        let bytes = self.slab.slots[index as usize].cold.bytes;
        let part = &mut self.partitions[usize::from(slot.partition)];
        self.credit.disown(part, bytes);
        self.credit.refund(part, index, bytes, &self.limits);
        self.slab.give(index);
    }

    /// Puts what could not start during a lapsed lease back into the ready list. O(slots).
    pub(super) fn wake_held(&mut self, partition: usize) {
        debug_assert!(self.partitions[partition].phase == Phase::Open);
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.slots[index as usize].hot;
            if slot.state == State::Held && usize::from(slot.partition) == partition {
                mark!(WokenAfterLapse);
                self.activate(index);
            }
        }
    }
}

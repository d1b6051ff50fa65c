//! The end of a held message, in every way that it can end.

use super::dedupe::digest;
use super::partition::Phase;
use super::slab::{HEAD, NONE, State};
use super::window::{Note, Window};
use super::{Anchor, Consumer, NoticeKind, WakeReason};
use crate::{Stamp, Time, mutants};

impl<M> Consumer<M> {
    /// A message is finished: its position is marked, its identity settled, its credit given back,
    /// and the next of its key goes on.
    pub(super) fn finish(&mut self, now: Time, index: u32, succeeded: bool) {
        let slot = self.slab.hot[index as usize];
        let partition = usize::from(slot.partition);
        let kept = match self.pool.note(slot.entry) {
            Note::Digest(digest) => digest,
            Note::Identity(identity) => {
                let kept = digest(self.identities.identity(identity));
                if succeeded {
                    self.identities.succeed(now, identity);
                } else {
                    self.identities.release(identity);
                }
                kept
            }
        };
        self.pool.finish(slot.entry, kept);
        let part = &mut self.partitions[partition];
        if part.window.is_head(slot.entry) {
            // The message whose settling moves the frontier is what the log is recognised by.
            part.anchor = Some(Anchor {
                position: self.pool.position(slot.entry),
                stamp: Stamp(self.slab.cold[index as usize].stamp),
            });
            part.window.advance(&mut self.pool);
            part.frontier = part.window.first(&self.pool).unwrap_or(part.floor);
            if part.window.blocks() == 0 {
                self.blockless += 1;
            }
        }
        self.dirty(now, partition, 1);
        self.disown(partition, self.slab.cold[index as usize].bytes);
        self.pop(index);
    }

    /// Takes a head out of its lane, frees its slot, and lets the next of the key go on.
    fn pop(&mut self, index: u32) {
        let next = self.lanes.pop_head(&mut self.slab, index);
        self.refund(index, self.slab.cold[index as usize].bytes);
        self.slab.give(index);
        if let Some(next) = next
            && self.slab.hot[next as usize].state == State::Queued
        {
            self.activate(next);
        }
    }

    /// Progress was made that no commit covers: by how many messages.
    pub(super) fn dirty(&mut self, now: Time, partition: usize, messages: u32) {
        let every = self.config.commit.every;
        let part = &mut self.partitions[partition];
        part.dirty = true;
        part.unwritten = part.unwritten.saturating_add(messages);
        part.unstored += u64::from(messages);
        if part.unwritten >= self.config.commit.messages && part.outstanding.is_none() {
            self.commits.insert(partition as u32);
        } else if part.commit_at == Time::MAX {
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

    /// A handler goes on without its partition: it keeps its key busy (S1) and is asked to stop.
    fn orphan(&mut self, index: u32) {
        let slot = &mut self.slab.hot[index as usize];
        let partition = usize::from(slot.partition);
        slot.state = State::Orphan;
        slot.entry = match self.pool.note(slot.entry) {
            Note::Identity(identity) => identity,
            Note::Digest(_) => NONE,
        };
        self.cancels.insert(index);
        self.partitions[partition].busy -= 1;
        self.disown(partition, self.slab.cold[index as usize].bytes);
        if mutants::is(20) {
            self.cut_loose(index);
        }
    }

    /// The key of an orphan is not kept busy (a fault, for the simulator): it moves to a lane that
    /// no other message has.
    fn cut_loose(&mut self, index: u32) {
        let next = self.lanes.pop_head(&mut self.slab, index);
        self.slab.hot[index as usize].flags &= !HEAD;
        let lane = crate::backoff::mix(u64::from(index) ^ 0xDEAD_0000_0000_0000);
        self.slab.hot[index as usize].lane = lane;
        self.lanes.append(&mut self.slab, index);
        if let Some(next) = next {
            self.activate(next);
        }
    }

    pub(super) fn end_orphan(&mut self, now: Time, index: u32, succeeded: bool) {
        self.cancels.remove(index);
        let slot = self.slab.hot[index as usize];
        if slot.entry != NONE {
            // S4: it succeeded in this process, whoever owns the partition now.
            if succeeded {
                self.identities.succeed(now, slot.entry);
            } else {
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
        self.pop(index);
    }

    /// Turns the handlers of a partition that still run into orphans, each named by a notice.
    pub(super) fn abandon_handlers(&mut self, partition: usize) -> u32 {
        let mut abandoned = 0;
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.hot[index as usize];
            let runs = matches!(slot.state, State::Running | State::Stopping);
            if runs && usize::from(slot.partition) == partition {
                let position = self.pool.position(slot.entry);
                self.notice(partition, NoticeKind::Abandoned, position);
                self.orphan(index);
                abandoned += 1;
            }
        }
        abandoned
    }

    /// Drops everything that is held of a partition, except handlers: those become orphans.
    /// O(slots).
    pub(super) fn clear_partition(&mut self, partition: usize) {
        let number = partition as u16;
        self.lanes.retain_ready(&mut self.slab, |p| p != number);
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.hot[index as usize];
            if slot.partition == number && matches!(slot.state, State::Running | State::Stopping) {
                self.orphan(index);
            }
        }
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.hot[index as usize];
            if slot.state != State::Free && slot.flags & HEAD != 0 {
                self.prune(index, number);
            }
        }
        self.drop_map(partition);
        let part = &mut self.partitions[partition];
        if part.window.blocks() > 0 {
            part.window.clear(&mut self.pool);
            self.blockless += 1;
        }
        part.window = Window::EMPTY;
        part.busy = 0;
    }

    /// Takes the messages of a partition out of one lane.
    fn prune(&mut self, mut head: u32, partition: u16) {
        let dropped =
            |slot: &super::slab::Slot| slot.partition == partition && slot.state != State::Orphan;
        while dropped(&self.slab.hot[head as usize]) {
            let next = self.lanes.pop_head(&mut self.slab, head);
            self.drop_slot(head);
            let Some(next) = next else { return };
            head = next;
        }
        let mut before = head;
        let mut at = self.slab.hot[head as usize].next;
        while at != NONE {
            let slot = self.slab.hot[at as usize];
            if dropped(&slot) {
                self.slab.hot[before as usize].next = slot.next;
                self.drop_slot(at);
            } else {
                before = at;
            }
            at = slot.next;
        }
        self.slab.hot[head as usize].tail = before;
        if self.slab.hot[head as usize].state == State::Queued {
            self.activate(head);
        }
    }

    /// Frees a slot that is in no lane any more, unfinished.
    fn drop_slot(&mut self, index: u32) {
        let slot = self.slab.hot[index as usize];
        if matches!(slot.state, State::Waiting | State::Reburying) {
            self.timers.disarm(&mut self.slab, index);
        }
        self.letters.remove(index);
        self.copies.remove(index);
        if let Note::Identity(identity) = self.pool.note(slot.entry) {
            self.identities.release(identity);
        }
        let bytes = self.slab.cold[index as usize].bytes;
        self.disown(usize::from(slot.partition), bytes);
        self.refund(index, bytes);
        self.slab.give(index);
    }

    /// Puts what could not start during a lapsed lease back into the ready list. O(slots).
    pub(super) fn wake_held(&mut self, partition: usize) {
        debug_assert!(self.partitions[partition].phase == Phase::Open);
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.hot[index as usize];
            if slot.state == State::Held && usize::from(slot.partition) == partition {
                self.activate(index);
            }
        }
    }
}

//! How publishes come back from the wire and how they end.

use super::slots::{Latest, NONE, Phase};
use super::{Answer, Producer, Published, Unsent};
use crate::{Span, Time, mutants};

impl<M> Producer<M> {
    /// Moves time on and carries out what fell due, in the order of deadlines and acceptance.
    pub(super) fn tick(&mut self, now: Time) {
        self.now = self.now.max(now);
        while let Some((at, index)) = self.timers.due(self.now) {
            let slot = self.slots.get(index);
            if at < slot.deadline {
                // It may be sent again. Its deadline comes in its turn.
                let (lane, deadline) = (slot.lane, slot.deadline);
                self.timers.set(&mut self.slots, index, deadline);
                self.lanes.refresh(&self.slots, lane, self.now);
            } else if slot.maybe_stored() && !mutants::is(72) {
                self.end_unknown(index);
            } else {
                self.end(index, Published::Refused(Unsent::Deadline));
            }
        }
    }

    /// An answer for a send of a publish that is still in its lane. Whether it told anything new.
    pub(super) fn answered(&mut self, index: u32, attempt: u32, answer: Answer) -> bool {
        let slot = self.slots.get(index);
        if attempt > slot.attempt {
            return false;
        }
        if answer == Answer::Stored {
            self.stored(index);
            return true;
        }
        // Of an older send, or a send that has its answer, only the good news counts.
        if attempt < slot.attempt || slot.latest == Latest::Settled {
            return false;
        }
        match (answer, slot.latest) {
            (Answer::Conflict, _) => {
                // No send of it is in the log, and none that is still on its way can get in: what it
                // expected is not the last any more.
                self.lanes.stall(slot.lane);
                self.slots.get_mut(index).earlier_maybe = false;
                match self.slots.get(index).phase {
                    Phase::Ghost => self.lay(index),
                    _ if mutants::is(240) => self.end(index, Published::Stored),
                    _ if mutants::is(241) => self.returned(index, Latest::Settled),
                    Phase::Live | Phase::Over | Phase::Free => {
                        self.end(index, Published::Refused(Unsent::Conflict));
                    }
                }
            }
            (Answer::NotStored, _) => {
                // A repeated send that is answered comes after all earlier ones of its identity:
                // none of them can land any more. They may be in the log already.
                self.lanes.stall(slot.lane);
                let slot = self.slots.get(index);
                if slot.phase == Phase::Ghost {
                    self.lay(index);
                } else if slot.earlier_maybe && !mutants::is(73) {
                    self.end(index, Published::Unknown);
                } else {
                    self.end(index, Published::Refused(Unsent::Broker));
                }
            }
            (Answer::Apart, Latest::Out) if mutants::is(205) => {
                return self.answered(index, attempt, Answer::NotStored);
            }
            (Answer::Apart, latest) => {
                let was_alone = core::mem::replace(&mut self.slots.get_mut(index).alone, true);
                if latest == Latest::Out && !was_alone {
                    self.returned_for(index, Latest::Settled, Span::ZERO);
                    return true;
                }
                return self.answered(index, attempt, Answer::Retry);
            }
            (Answer::Retry, Latest::Out) => self.returned(index, Latest::Settled),
            (Answer::Retry, _) => {
                self.slots.get_mut(index).latest = Latest::Settled;
                self.lay_if_harmless(index);
            }
            (Answer::Unknown, Latest::Out) => self.returned(index, Latest::Open),
            (Answer::Unknown | Answer::Stored | Answer::Fatal, _) => return false,
        }
        true
    }

    /// A send came back without having settled its publish: it waits for the next one.
    pub(super) fn returned(&mut self, index: u32, latest: Latest) {
        let slot = self.slots.get(index);
        let backoff = self.config.backoff;
        let wait = backoff.after(slot.attempt, self.config.seed, slot.serial);
        self.returned_for(index, latest, wait);
    }

    /// The same, with the time until the next one.
    fn returned_for(&mut self, index: u32, latest: Latest, wait: Span) {
        self.lanes
            .returned(&mut self.slots, index, latest, self.now);
        let slot = self.slots.get(index);
        if slot.phase == Phase::Ghost {
            self.stats.stuck += 1;
            self.lay_if_harmless(index);
        } else if slot.serial < self.lanes.stored(slot.lane) {
            self.end_overtaken(index);
        } else {
            let (lane, due) = (slot.lane, self.now + wait);
            self.slots.get_mut(index).due = due;
            self.arm(index);
            self.lanes.refresh(&self.slots, lane, self.now);
        }
    }

    /// It is in the log. What is older in its key and waits to be sent again must not be, ever:
    /// it would come behind (S8).
    fn stored(&mut self, index: u32) {
        let slot = self.slots.get(index);
        let (lane, serial) = (slot.lane, slot.serial);
        let mut older = self.lanes.head(lane);
        self.lanes.note_stored(lane, serial);
        if older == index {
            older = NONE;
        }
        if self.slots.get(index).phase == Phase::Ghost {
            self.lay(index);
        } else {
            self.end(index, Published::Stored);
        }
        while older != NONE && self.slots.get(older).serial < serial {
            let slot = self.slots.get(older);
            let mut next = slot.next;
            if slot.phase == Phase::Live && slot.latest != Latest::Out {
                let stays = slot.can_land();
                self.end_overtaken(older);
                if stays {
                    next = self.slots.get(older).next;
                }
            }
            older = next;
        }
    }

    fn end_overtaken(&mut self, index: u32) {
        if self.slots.get(index).maybe_stored() {
            self.end_unknown(index);
        } else {
            self.end(index, Published::Refused(Unsent::Overtaken));
        }
    }

    /// Ends as unknown. While it may still land it stays in its lane, and what is queued behind it
    /// is refused, in order (S8).
    fn end_unknown(&mut self, index: u32) {
        if !self.slots.get(index).can_land() || mutants::is(71) {
            self.end(index, Published::Unknown);
            return;
        }
        self.report(index, Published::Unknown);
        let slot = self.slots.get_mut(index);
        slot.phase = Phase::Ghost;
        self.stats.uncertain += 1;
        self.stats.stuck += u32::from(slot.latest != Latest::Out);
        self.lanes.block(&self.slots, index);
        let slot = self.slots.get(index);
        let (lane, mut newer) = (slot.lane, slot.next);
        while newer != NONE {
            let slot = self.slots.get(newer);
            let next = slot.next;
            if slot.phase == Phase::Live && !slot.maybe_stored() {
                self.end(newer, Published::Refused(Unsent::Predecessor));
            }
            newer = next;
        }
        self.lanes.refresh(&self.slots, lane, self.now);
    }

    /// Ends a publish for good.
    pub(super) fn end(&mut self, index: u32, result: Published) {
        self.report(index, result);
        self.unlink(index);
        self.slots.get_mut(index).phase = Phase::Over;
    }

    /// An unknown publish cannot land any more, or has: its key goes on.
    pub(super) fn lay(&mut self, index: u32) {
        self.stats.uncertain -= 1;
        self.stats.stuck -= u32::from(self.slots.get(index).latest != Latest::Out);
        self.unlink(index);
        if self.slots.get(index).result.is_some() {
            self.slots.get_mut(index).phase = Phase::Over;
        } else {
            self.slots.remove(index);
        }
    }

    fn lay_if_harmless(&mut self, index: u32) {
        let slot = self.slots.get(index);
        if slot.phase == Phase::Ghost && !slot.can_land() {
            self.lay(index);
        }
    }

    fn unlink(&mut self, index: u32) {
        self.lanes.unlink(&mut self.slots, index, self.now);
    }

    /// Queues the one result of a publish (S10).
    fn report(&mut self, index: u32, result: Published) {
        self.timers.clear(&mut self.slots, index);
        match result {
            Published::Stored => self.stats.stored += 1,
            Published::Refused(_) => self.stats.refused += 1,
            Published::Unknown => self.stats.unknown += 1,
        }
        self.slots.get_mut(index).result = Some(result);
        if self.done_last == NONE {
            self.done_first = index;
        } else {
            self.slots.get_mut(self.done_last).done_next = index;
        }
        self.done_last = index;
    }

    /// Sets the timer of a live publish: when it may be sent again, else its deadline.
    pub(super) fn arm(&mut self, index: u32) {
        let slot = self.slots.get(index);
        let at = if slot.due > self.now {
            slot.due.min(slot.deadline)
        } else {
            slot.deadline
        };
        self.timers.set(&mut self.slots, index, at);
    }

    /// Calls `act` for every publish that is in a lane at this moment and still is when its turn
    /// comes, in the order of acceptance.
    pub(super) fn each_in_order(&mut self, mut act: impl FnMut(&mut Self, u32)) {
        let mut scratch = core::mem::take(&mut self.scratch);
        scratch.extend(
            self.slots
                .iter()
                .filter(|(_, s)| s.lane != NONE)
                .map(|(index, _)| index),
        );
        scratch.sort_unstable_by_key(|&index| self.slots.get(index).serial);
        for &index in &scratch {
            if self.slots.get(index).lane != NONE {
                act(self, index);
            }
        }
        scratch.clear();
        self.scratch = scratch;
    }
}

//! Calls of several messages of one key: what one attempt takes along, and how it ends.
//!
//! ```text
//!    key A:  [7 RUNNING] -> [9 JOINED] -> [2 JOINED] -> [5 QUEUED]     one call: 7, 9 and 2 (S1)
//!    9 is told to be done, 7 to have failed, 2 still runs:
//!            [7 TOLD: RETRY] -> [9 TOLD: DONE] -> [2 JOINED] -> [5 QUEUED]
//!    2 is told: the call is over, and 7 holds up what is behind it (S2):
//!            [7 WAITING] -> [9 QUEUED] -> [2 QUEUED] -> [5 QUEUED]
//! ```
//! What is told of a message takes effect when all before it in the call are done, in the order of the
//! log. Where one is not, those behind it are given back when the call is over, whatever was said of
//! them, and their attempts do not count; behind one that was rejected they wait for its dead letter. See
//! ADR 0010.

use super::slab::{HEAD, NONE, QUARANTINED, State};
use super::{Consumer, Dispatch, Outcome, Why};
use crate::marks::mark;
use crate::{Time, Token, mutants};

impl State {
    /// With a handler that may still change its mind.
    pub(super) const fn runs(self) -> bool {
        matches!(self, Self::Running | Self::Stopping | Self::Joined)
    }

    /// Told, and waiting for what is before it in its call.
    pub(super) const fn is_told(self) -> bool {
        matches!(
            self,
            Self::ToldDone | Self::ToldRetry | Self::ToldReject | Self::ToldCancelled
        )
    }
}

impl<M> Consumer<M> {
    /// Another message for the call that [`poll_dispatch`](Self::poll_dispatch) gave `token` for: the next
    /// one of the same key (with [`Config::sequence`](crate::Config::sequence), the one with the next number),
    /// if it may run now and the call has less than `Config::batch_key`. Ask until
    /// `None`, before the handler starts. Each has a token, an attempt and an outcome of its own, and the
    /// deadline of the first. Settle the first with any outcome, the others with any but plain
    /// [`Outcome::Done`]: [`Outcome::Handled`]. O(messages of the call).
    #[inline]
    pub fn poll_follow(&mut self, now: Time, token: Token) -> Option<Dispatch<M>> {
        let now = self.tick(now);
        if self.config.batch_key <= 1 {
            return None;
        }
        self.next_of_call(now, token)
    }

    fn next_of_call(&mut self, now: Time, token: Token) -> Option<Dispatch<M>> {
        let first = self.slab.resolve(token)?;
        let slots = &self.slab.slots;
        let head = slots[first as usize].hot;
        if head.state != State::Running || head.flags & HEAD == 0 {
            return None;
        }
        let (mut index, mut count) = (head.next, 1);
        while index != NONE && slots[index as usize].hot.state == State::Joined {
            (index, count) = (slots[index as usize].hot.next, count + 1);
        }
        let next = slots.get(index as usize)?.hot;
        let same = next.partition == head.partition
            && (self.parking.key(index) == self.parking.key(first) || mutants::is(215))
            && next.flags & QUARANTINED == 0;
        if next.state != State::Queued
            || !same
            || (count >= self.config.batch_key && !mutants::is(212))
            || self.identities.has_copies()
            || !self.follows_in_sequence(first, index)
            || (self.parking.is_on() && self.is_parked(index))
            || (self.expiry.is_over(index, now) && !mutants::is(214))
        {
            return None;
        }
        let part = &mut self.partitions[usize::from(head.partition)];
        if now >= part.starts_until {
            return None;
        }
        mark!(Followed);
        if mutants::is(254) {
            self.sequences.pass_early(index);
        }
        self.stats.running += 1;
        let deadline = slots[first as usize].cold.at;
        let slot = &mut self.slab.slots[index as usize];
        let position = self.pool.position(slot.hot.entry);
        Some(slot.hand_out(index, part, position, (State::Joined, deadline)))
    }

    /// Whether a message that runs shares its call with others.
    pub(super) fn is_in_call(&self, index: u32) -> bool {
        let slot = self.slab.slots[index as usize].hot;
        slot.flags & HEAD == 0 || self.call_has(index, |s| s.runs() || s.is_told())
    }

    /// Whether there is such a state behind this message, in its call.
    fn call_has(&self, index: u32, is: impl Fn(State) -> bool) -> bool {
        let mut at = self.slab.slots[index as usize].hot.next;
        while let Some(slot) = self.slab.slots.get(at as usize)
            && (slot.hot.state.runs() || slot.hot.state.is_told())
        {
            if is(slot.hot.state) {
                return true;
            }
            at = slot.hot.next;
        }
        false
    }

    /// What was said of a message of a call is kept until its turn.
    pub(super) fn tell(&mut self, index: u32, timed_out: bool, outcome: Outcome<M>) {
        let slot = &mut self.slab.slots[index as usize];
        let (state, message) = match outcome {
            // The first of a call, told by its message alone, never comes here.
            Outcome::Done => return,
            Outcome::Handled(message) => (State::ToldDone, message),
            Outcome::Retry(message) => (State::ToldRetry, message),
            Outcome::Reject(message) => (State::ToldReject, message),
            Outcome::Cancelled(message) if timed_out => (State::ToldRetry, message),
            Outcome::Cancelled(message) => (State::ToldCancelled, message),
        };
        slot.hot.state = state;
        slot.message = Some(message);
        if mutants::is(210) && state == State::ToldDone && slot.hot.flags & HEAD == 0 {
            return self.finish_behind(index);
        }
        let lane = slot.hot.lane;
        if let Some(head) = self.lanes.head(&self.slab, lane) {
            self.lead_on(head);
        }
    }

    /// The head of a lane is, or has become, a message of a call: it takes effect what was told of it.
    pub(super) fn lead_on(&mut self, head: u32) {
        if self.sequences.is_on() && self.slab.slots[head as usize].hot.state != State::Queued {
            // It was the next one when it joined, and is accepted as that.
            let _next = self.sequences.judge(head);
        }
        match self.slab.slots[head as usize].hot.state {
            State::Joined => self.slab.slots[head as usize].hot.state = State::Running,
            State::ToldDone => {
                self.stats.done += 1;
                self.finish(head, false, true);
            }
            State::ToldRetry | State::ToldReject | State::ToldCancelled => self.stop_call(head),
            State::Queued => self.activate(head),
            State::Free
            | State::Ready
            | State::Held
            | State::Running
            | State::Stopping
            | State::Waiting
            | State::Burying
            | State::Buried
            | State::Reburying
            | State::Copied
            | State::Passed
            | State::Ahead
            | State::Orphan => {}
        }
    }

    /// A message that did not end well stops its call: when that is over (S1), those behind are given
    /// back (S2).
    fn stop_call(&mut self, head: u32) {
        if self.call_has(head, State::runs) && !mutants::is(211) {
            return;
        }
        let state = self.slab.slots[head as usize].hot.state;
        // A dead letter that parks its key takes those behind it along. Behind any other, what was told
        // takes effect when it is confirmed.
        if state != State::ToldReject || self.parking.is_on() {
            self.give_back_behind(head);
        }
        let message = self.slab.slots[head as usize].message.take();
        let message = message.expect("invariant: what was told holds its message");
        if state == State::ToldRetry {
            self.failed(self.now, head, message);
        } else if state == State::ToldReject {
            self.rejected(head, message);
        } else {
            self.uncounted(head, message);
        }
    }

    /// Failed for good.
    pub(super) fn rejected(&mut self, index: u32, message: M) {
        self.slab.slots[index as usize].message = Some(message);
        self.stats.failed += 1;
        self.bury(index, Why::Rejected);
    }

    /// It never came to an end of its own: the attempt does not count.
    pub(super) fn uncounted(&mut self, index: u32, message: M) {
        mark!(CancelledUncounted);
        let slot = &mut self.slab.slots[index as usize];
        slot.message = Some(message);
        slot.cold.uncount_attempt();
        self.activate(index);
    }

    fn give_back_behind(&mut self, head: u32) {
        let mut at = self.slab.slots[head as usize].hot.next;
        while let Some(slot) = self.slab.slots.get(at as usize)
            && slot.hot.state.is_told()
        {
            let next = slot.hot.next;
            self.give_back(at);
            at = next;
        }
    }

    /// It is as if it had never been handed out.
    fn give_back(&mut self, index: u32) {
        mark!(GivenBack);
        let slot = &mut self.slab.slots[index as usize];
        slot.hot.state = if slot.hot.flags & HEAD == 0 {
            State::Queued
        } else {
            State::Held
        };
        if !mutants::is(213) {
            slot.cold.uncount_attempt();
        }
    }

    /// The handlers of a partition that is given up are left behind: nothing that was told and waits for
    /// them takes effect any more.
    pub(super) fn give_back_all(&mut self, partition: usize) {
        for index in 0..self.slab.capacity() as u32 {
            let slot = self.slab.slots[index as usize].hot;
            if slot.state.is_told() && usize::from(slot.partition) == partition {
                self.give_back(index);
            }
        }
    }

    /// A handler goes on without its partition, and has taken this message along: it keeps the key busy
    /// in front of what waits (S1). Whether it ends well is not remembered, because nobody will know how
    /// those before it have (S2).
    pub(super) fn orphan_behind(&mut self, index: u32) {
        let slot = self.slab.slots[index as usize].hot;
        if slot.entry != NONE {
            self.identities.release(slot.entry);
            self.slab.slots[index as usize].hot.entry = NONE;
        }
        self.lanes.unlink(&mut self.slab, index);
        if let Some(head) = self.lanes.head(&self.slab, slot.lane) {
            self.lanes.lead(&mut self.slab, index, head);
        }
    }

    /// A success is counted whatever becomes of those before it (a fault, for the simulator).
    fn finish_behind(&mut self, index: u32) {
        self.lanes.unlink(&mut self.slab, index);
        let lane = crate::backoff::mix(u64::from(index) ^ 0xBEEF_0000_0000_0000);
        let slot = &mut self.slab.slots[index as usize].hot;
        (slot.lane, slot.next, slot.tail) = (lane, NONE, index);
        self.lanes.append(&mut self.slab, index, lane);
        self.stats.done += 1;
        self.finish(index, false, true);
    }
}

//! Handing messages to handlers, and hearing how it went.

use super::slab::{HEAD, Slot, State, TIMED_OUT};
use super::{Consumer, Copied, Dispatch, NoticeKind, Outcome, Stale, WakeReason, Why};
use crate::marks::mark;
use crate::{OnHung, PartitionId, Position, Span, Time, Token, mutants};

use super::partition::{Partition, Phase};

impl<M> Slot<M> {
    /// It is with a handler from now on.
    #[inline(always)]
    pub(super) fn hand_out(
        &mut self,
        index: u32,
        part: &mut Partition,
        position: Position,
        (state, deadline): (State, Time),
    ) -> Dispatch<M> {
        self.hot.state = state;
        self.cold.at = deadline;
        part.busy += 1;
        Dispatch {
            token: self.hot.token(index),
            partition: PartitionId(self.hot.partition.into()),
            epoch: part.epoch,
            position,
            attempt: self.cold.count_attempt(),
            deadline,
            message: self
                .message
                .take()
                .expect("invariant: what is handed out is in its slot"),
        }
    }
}

impl<M> Consumer<M> {
    /// Hands out a message: the next one of a key that has none running (S1, S2). Keys take turns in
    /// the order in which they became ready. Past the end of a lease nothing of that partition is
    /// handed out; give a `now` that was read just before. What has expired is passed over, and comes by
    /// [`poll_passed`](Self::poll_passed) or as a dead letter.
    #[inline]
    pub fn poll_dispatch(&mut self, now: Time) -> Option<Dispatch<M>> {
        let now = self.tick(now);
        if self.lanes.none_ready() {
            return None;
        }
        match self.dispatch_first(now) {
            Some(dispatch) => Some(dispatch),
            None => self.dispatch_next(now),
        }
    }

    /// The first was passed over: the next that is not.
    #[cold]
    #[inline(never)]
    fn dispatch_next(&mut self, now: Time) -> Option<Dispatch<M>> {
        let mut turns = 0;
        while !self.lanes.none_ready() {
            // Who is set free on the way comes once more.
            mutants::turn(&mut turns, 4 * self.slab.capacity());
            let dispatch = self.dispatch_first(now);
            if dispatch.is_some() {
                return dispatch;
            }
        }
        None
    }

    /// Takes the first of the ready list, and hands it out if it may start.
    #[inline(always)]
    fn dispatch_first(&mut self, now: Time) -> Option<Dispatch<M>> {
        if self.deadline.0 != now {
            self.deadline = (now, self.deadline_from(now));
        }
        let Self {
            slab,
            lanes,
            partitions,
            pool,
            identities,
            expiry,
            remember_until,
            ..
        } = self;
        let (index, slot) = lanes.pop_ready(slab)?;
        let partition = usize::from(slot.hot.partition);
        let part = &mut partitions[partition];
        if now >= part.starts_until && !part.starts_anyway() {
            return self.not_yet(now, index);
        }
        let entry = slot.hot.entry;
        let block = pool.block(entry);
        if (identities.has_copies() || mutants::is(19))
            && let Some(identity) = block.identity(entry)
        {
            if identities.is_done(identity) {
                mark!(CopyInItsTurn);
                slot.hot.state = State::Copied;
                self.copies.insert(index);
                return None;
            }
            if mutants::is(19) {
                identities.mark(*remember_until, identity);
            }
        }
        if expiry.is_over(index, now) {
            self.expire(index);
            return None;
        }
        let deadline = self.deadline.1;
        if deadline < self.handlers_at {
            self.handlers_at = deadline;
        }
        self.stats.running += 1;
        let position = block.position(entry);
        Some(slot.hand_out(index, part, position, (State::Running, deadline)))
    }

    /// A message that may start although its partition is under suspicion. As `dispatch_first`; apart from
    /// it, so that the usual way stays as short as it is.
    pub(super) fn start(&mut self, now: Time, index: u32) -> Option<Dispatch<M>> {
        let slot = &mut self.slab.slots[index as usize];
        let (partition, entry) = (usize::from(slot.hot.partition), slot.hot.entry);
        if let Some(identity) = self.pool.identity(entry)
            && self.identities.is_done(identity)
        {
            mark!(CopyInItsTurn);
            slot.hot.state = State::Copied;
            self.copies.insert(index);
            self.step_lot(now);
            return None;
        }
        if self.expiry.is_over(index, now) {
            self.expire(index);
            self.step_lot(now);
            return None;
        }
        let deadline = self.deadline.1;
        self.handlers_at = self.handlers_at.min(deadline);
        self.stats.running += 1;
        let (part, position) = (&mut self.partitions[partition], self.pool.position(entry));
        Some(slot.hand_out(index, part, position, (State::Running, deadline)))
    }

    /// What was to be handed out waits: the partition is to be given up, or its lease has run out
    /// and is to be renewed.
    #[cold]
    pub(super) fn lapse(&mut self, partition: usize) {
        let part = &mut self.partitions[partition];
        if part.phase == Phase::Open && !part.lapsed {
            part.lapsed = true;
            let frontier = part.frontier;
            self.notice(partition, NoticeKind::LeaseLapsed, frontier);
        }
    }

    /// Deadlines are rounded up to a 64th of the timeout: expired handlers are found by walking
    /// over the slots, and so a walk happens at most 64 times in a timeout, whatever is started.
    fn deadline_from(&self, now: Time) -> Time {
        let timeout = self.config.handler_timeout;
        if timeout == Span::MAX {
            return Time::MAX;
        }
        let grain = (timeout.as_nanos() / 64).max(1);
        let at = (now + timeout).as_nanos();
        Time::from_nanos(at.div_ceil(grain).saturating_mul(grain))
    }

    /// Says how an attempt ended. A result of a lost or rewritten partition frees what it held and
    /// changes nothing else, except that a success is remembered by identity (S4, S6).
    ///
    /// # Errors
    /// [`Stale`] when the token was settled before, or a message behind others of its call is called done
    /// without giving it back ([`Outcome::Handled`]); nothing was changed.
    pub fn settle(&mut self, now: Time, token: Token, outcome: Outcome<M>) -> Result<(), Stale> {
        let now = self.tick(now);
        let slot = self.slab.slots.get(token.slot as usize);
        let runs = slot
            .is_some_and(|s| s.hot.generation == token.generation && s.hot.state == State::Running);
        if !runs || !matches!(outcome, Outcome::Done) {
            return self.settle_rest(now, token, outcome);
        }
        // The way of nearly every message.
        if !self.finish_alone(token.slot) {
            self.finish(token.slot, true, true);
        }
        self.stats.running -= 1;
        self.stats.done += 1;
        Ok(())
    }

    #[cold]
    fn settle_rest(&mut self, now: Time, token: Token, outcome: Outcome<M>) -> Result<(), Stale> {
        let index = self.slab.resolve(token).ok_or(Stale)?;
        let slot = self.slab.slots[index as usize].hot;
        let fails = matches!(outcome, Outcome::Retry(_));
        assert!(!(fails && mutants::is(249)), "a deliberate panic");
        match slot.state {
            // What of a call succeeded may have to be handed out again: its message must come back.
            State::Running | State::Stopping | State::Joined
                if slot.flags & HEAD == 0 && matches!(outcome, Outcome::Done) =>
            {
                return Err(Stale);
            }
            State::Running | State::Stopping | State::Joined => {}
            State::Orphan => {
                self.stats.running -= 1;
                let succeeded = matches!(outcome, Outcome::Done | Outcome::Handled(_));
                self.end_orphan(now, index, succeeded);
                return Ok(());
            }
            State::Free
            | State::Queued
            | State::Ready
            | State::Held
            | State::Waiting
            | State::Burying
            | State::Buried
            | State::Reburying
            | State::Copied
            | State::Passed
            | State::ToldDone
            | State::ToldRetry
            | State::ToldReject
            | State::ToldCancelled
            | State::Ahead => return Err(Stale),
        }
        let partition = usize::from(slot.partition);
        let succeeded = matches!(outcome, Outcome::Done | Outcome::Handled(_));
        // The first of a call that is done is done like any other; those behind it wait for it.
        let told = self.config.batch_key > 1
            && !(succeeded && slot.flags & HEAD != 0)
            && self.is_in_call(index);
        self.stats.running -= 1;
        self.partitions[partition].busy -= 1;
        self.cancels.remove(index);
        self.abandons.remove(index);
        // S6: a token names one dispatch. The message may stay, its next attempt has another token.
        let hot = &mut self.slab.slots[index as usize].hot;
        hot.renew();
        hot.flags &= !TIMED_OUT;
        if told {
            self.tell(index, slot.flags & TIMED_OUT != 0, outcome);
            self.close_when_idle(now, partition);
            return Ok(());
        }
        match outcome {
            Outcome::Done | Outcome::Handled(_) => {
                self.stats.done += 1;
                self.finish(index, false, true);
            }
            Outcome::Retry(message) => self.failed(now, index, message),
            Outcome::Reject(message) => self.rejected(index, message),
            Outcome::Cancelled(message) if slot.flags & TIMED_OUT != 0 => {
                mark!(TimedOut);
                self.failed(now, index, message);
            }
            Outcome::Cancelled(message) => self.uncounted(index, message),
        }
        self.step_lot(now);
        self.close_when_idle(now, partition);
        Ok(())
    }

    pub(super) fn failed(&mut self, now: Time, index: u32, message: M) {
        self.stats.failed += 1;
        if mutants::is(4) {
            return self.finish(index, false, true);
        }
        self.slab.slots[index as usize].message = Some(message);
        let slot = self.slab.slots[index as usize].hot;
        let attempts = self.slab.slots[index as usize].cold.attempts();
        if mutants::is(42) && attempts >= self.config.retry.attempts {
            return self.finish(index, false, false);
        }
        if mutants::is(176) {
            self.sequences.pass_early(index);
        }
        if attempts
            >= self
                .config
                .retry
                .attempts
                .saturating_add(u32::from(mutants::is(47)))
        {
            mark!(Exhausted);
            return self.bury(index, Why::Exhausted);
        }
        if self.partitions[usize::from(slot.partition)].phase != Phase::Open {
            mark!(FailedInHandover);
            self.slab.slots[index as usize].hot.state = State::Held;
            return;
        }
        if mutants::is(5)
            && self.config.order == crate::Order::Key
            && let Some(head) = self.lanes.rotate(&mut self.slab, index)
        {
            return self.activate(head);
        }
        let position = self.pool.position(slot.entry).0;
        let wait = self
            .config
            .retry
            .backoff
            .after(attempts, self.config.seed, position);
        mark!(RetrySet);
        self.slab.slots[index as usize].hot.state = State::Waiting;
        let at = if mutants::is(22) && attempts == 2 {
            Time::MAX
        } else if mutants::is(46) {
            now
        } else {
            now + wait
        };
        self.timers.arm(&mut self.slab, index, at);
    }

    /// A handler that should stop: drop its future, or tell it; then settle with
    /// [`Outcome::Cancelled`], or with whatever it ended with.
    pub fn poll_cancel(&mut self) -> Option<Token> {
        self.cancels.pop().map(|index| self.slab.token(index))
    }

    /// An attempt that is to be given up because its handler does not stop
    /// ([`OnHung::Abandon`](crate::OnHung::Abandon)): settle it with [`Outcome::Cancelled`] and a copy
    /// of the message, and forget the handler. Whatever that says later is stale.
    pub fn poll_abandon(&mut self) -> Option<Token> {
        self.abandons.pop().map(|index| self.slab.token(index))
    }

    /// A queued message that turned out to be a copy: of one that has succeeded meanwhile, or, in order
    /// by sequence, of a sequence that its key has passed. It is finished by this call.
    #[inline]
    pub fn poll_duplicate(&mut self, now: Time) -> Option<Copied<M>> {
        self.tick(now);
        let index = self.copies.pop()?;
        Some(self.copied(index))
    }

    #[inline(never)]
    fn copied(&mut self, index: u32) -> Copied<M> {
        let slot = self.slab.slots[index as usize].hot;
        let message = self.slab.slots[index as usize]
            .message
            .take()
            .expect("invariant: a copy is in its slot until it is reported");
        let position: Position = self.pool.position(slot.entry);
        let by_sequence = self.sequences.is_passed(index);
        if by_sequence {
            self.stats.behind += 1;
            self.notice(
                usize::from(slot.partition),
                NoticeKind::SequenceBehind,
                position,
            );
        } else {
            self.stats.duplicates += 1;
        }
        self.finish(index, false, false);
        Copied {
            partition: PartitionId(slot.partition.into()),
            position,
            by_sequence,
            message,
        }
    }

    /// The head of a lane may go on: it joins the ready list, the dead letters, or what is passed.
    pub(super) fn activate(&mut self, index: u32) {
        let slot = &mut self.slab.slots[index as usize].hot;
        debug_assert!(
            slot.flags & HEAD != 0 || mutants::is(2),
            "invariant: only heads go on"
        );
        if self.partitions[usize::from(slot.partition)].phase != Phase::Open && !mutants::is(14) {
            slot.state = State::Held;
        } else if self.sequences.is_on() && self.is_out_of_turn(index) {
            // It waits, or is reported.
        } else if self.slab.slots[index as usize].hot.flags & super::slab::QUARANTINED != 0
            && !mutants::is(57)
        {
            self.stage(index);
        } else if !(self.parking.is_on() && self.follow(index)) {
            self.lanes.push_ready(&mut self.slab, index);
        }
    }

    /// Looks for handlers whose time is up. O(slots), at most 64 times in a handler timeout.
    pub(super) fn expire_handlers(&mut self, now: Time) {
        if now < self.handlers_at || mutants::is(44) {
            return;
        }
        let mut next = Time::MAX;
        for index in 0..self.slab.capacity() {
            let state = self.slab.slots[index].hot.state;
            if !state.runs() {
                continue;
            }
            let at = self.slab.slots[index].cold.at;
            if at > now {
                next = next.min(at);
                continue;
            }
            let slot = &mut self.slab.slots[index].hot;
            if state != State::Stopping {
                slot.state = State::Stopping;
                slot.flags |= TIMED_OUT;
                let at = now + self.config.cancel_grace;
                self.slab.slots[index].cold.at = at;
                next = next.min(at);
                self.cancels.insert(index as u32);
                if mutants::is(38) {
                    self.abandons.insert(index as u32);
                }
            } else {
                // S1: the key stays blocked until the old future has ended, unless its owner gives that
                // up; everything else runs.
                let (partition, entry) = (usize::from(slot.partition), slot.entry);
                self.slab.slots[index].cold.at = Time::MAX;
                let position = self.pool.position(entry);
                mark!(HandlerStuck);
                if self.config.on_hung == OnHung::Abandon && !mutants::is(37) {
                    mark!(GivenUp);
                    self.abandons.insert(index as u32);
                }
                self.notice(partition, NoticeKind::HandlerStuck, position);
            }
        }
        self.handlers_at = next;
    }

    /// Asks every handler of a partition to stop. O(slots).
    pub(super) fn stop_handlers(&mut self, partition: usize) {
        for index in 0..self.slab.capacity() {
            let slot = &mut self.slab.slots[index].hot;
            if matches!(slot.state, State::Running | State::Joined)
                && usize::from(slot.partition) == partition
            {
                slot.state = State::Stopping;
                self.slab.slots[index].cold.at = Time::MAX;
                self.cancels.insert(index as u32);
            }
        }
    }

    pub(super) fn due_timers(&mut self, now: Time) {
        while let Some(index) = self.timers.pop_due(&mut self.slab, now) {
            match self.slab.slots[index as usize].hot.state {
                State::Waiting => self.activate(index),
                State::Reburying => self.restage(index),
                State::Ahead => self.end_patience(index),
                State::Free
                | State::Queued
                | State::Ready
                | State::Held
                | State::Running
                | State::Stopping
                | State::Joined
                | State::ToldDone
                | State::ToldRetry
                | State::ToldReject
                | State::ToldCancelled
                | State::Burying
                | State::Buried
                | State::Copied
                | State::Passed
                | State::Orphan => {
                    debug_assert!(false, "invariant: only waiting slots have timers")
                }
            }
        }
    }

    pub(super) fn next_slot_wake(&self) -> (Time, WakeReason) {
        let retry = self.timers.first(&self.slab).unwrap_or(Time::MAX);
        if self.handlers_at < retry {
            (self.handlers_at, WakeReason::Handler)
        } else {
            (retry, WakeReason::Retry)
        }
    }
}

impl Partition {
    /// Whether it goes on where it must not (faults, for the simulator).
    fn starts_anyway(&self) -> bool {
        match self.phase {
            Phase::Open => mutants::is(17),
            Phase::Revoking | Phase::Closing => mutants::is(14),
            Phase::Closed => false,
        }
    }
}

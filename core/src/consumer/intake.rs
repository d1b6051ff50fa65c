//! Taking messages in: epochs, sessions, gaps, replays, copies, credit, window.

use super::dedupe::{Claimed, digest, fold};
use super::flow::{Account, Payment};
use super::gaps::sequence_of;
use super::partition::{Delivery, Partition, Phase};
use super::pool::Pool;
use super::resumed::Says;
use super::slab::{Cold, Hot, QUARANTINED, WHY_SHIFT};
use super::window::Note;
use super::{Admit, Anchor, Arrival, Consumer, NoticeKind, Refusal, Refused, Why};
use crate::marks::mark;
use crate::{Keyless, Order, Position, Time, mutants};

impl<M> Consumer<M> {
    /// Offers a message. One that cannot be paid for, or does not fit the window, is given back and
    /// nothing has changed: offer it again, before any later one of its partition, when `credit` or
    /// a `Resume` says so.
    ///
    /// # Errors
    /// [`Refused`] with the arrival.
    pub fn offer(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        let now = self.tick(now);
        match self.offer_usual(now, arrival) {
            Ok(admit) => Ok(admit),
            Err(arrival) if self.extend_window(now, &arrival) => self.offer_again(now, arrival),
            Err(arrival) => self.offer_rest(now, arrival),
        }
    }

    /// There is room in the window now.
    #[cold]
    #[inline(never)]
    fn offer_again(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        match self.offer_usual(now, arrival) {
            Ok(admit) => Ok(admit),
            Err(arrival) => self.offer_rest(now, arrival),
        }
    }

    /// The way of nearly every message: it is the next one, it is small enough for the share of its
    /// partition, and there is room in the last block. Each structure is looked up once. If it is not so,
    /// nothing has changed.
    #[inline(always)]
    fn offer_usual(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Arrival<M>> {
        let Self {
            partitions,
            credit,
            pool,
            slab,
            lanes,
            identities,
            stall_due,
            stalls_at,
            ..
        } = self;
        let index = arrival.partition.0 as usize;
        if let Some(part) = partitions.get_mut(index)
            && part.is_usual(credit, now, &arrival)
            && let Some(block) = part.window.block_for(pool, arrival.position)
        {
            let digest = digest(arrival.identity);
            let identity = match identities.claim_first(now, arrival.identity, digest) {
                Some(place) => place,
                None => match identities.claim_known(arrival.identity, digest) {
                    Claimed::Pending(place) => place,
                    Claimed::Done => return Ok(self.duplicate(now, index, &arrival)),
                },
            };
            part.barren = 0;
            part.totals.taken.messages += 1;
            part.totals.taken.bytes += u64::from(arrival.bytes);
            if let Some(delivery) = arrival.delivery {
                part.next_delivery = delivery + 1;
            }
            part.last = Some(Anchor {
                position: arrival.position,
                stamp: arrival.stamp,
            });
            part.floor = Position(arrival.position.0 + 1);
            if part.window.len == 0 {
                part.frontier = arrival.position;
                part.since = now;
                if *stall_due < *stalls_at {
                    *stalls_at = *stall_due;
                }
            }
            let entry = part
                .window
                .add(block, arrival.position, Note { digest, identity });
            let full = Pool::is_last(entry);
            credit.charge_covered(part, arrival.bytes);
            let slot = slab.next();
            let cold = Cold::new(arrival.stamp.0, arrival.bytes);
            let hot = Hot::ready(slot, arrival.lane, entry, index as u16);
            slab.put(hot, cold, arrival.message);
            match lanes.head_or_put(slab, slot, arrival.lane) {
                None => lanes.link_ready(slab, slot),
                Some(head) => lanes.queue(slab, slot, head),
            }
            if full {
                // Feeds that pull never offer what does not fit: they must hear of it now (L3).
                self.has_block(index);
            }
            return Ok(Admit::Queued);
        }
        Err(arrival)
    }

    /// Adds a block to the window where it is all that the usual way lacks, as it is for one message of
    /// 64. Whether it did.
    #[inline(never)]
    fn extend_window(&mut self, now: Time, arrival: &Arrival<M>) -> bool {
        let index = arrival.partition.0 as usize;
        let position = arrival.position;
        let part = self.partitions.get(index);
        let Some(part) = part.filter(|p| p.is_usual(&self.credit, now, arrival)) else {
            return false;
        };
        if part.window.needs_block(&self.pool, position) && !self.may_take_block(index) {
            return false;
        }
        let window = &mut self.partitions[index].window;
        if window.block_for(&mut self.pool, position).is_some() {
            return false;
        }
        self.blockless -= u32::from(window.blocks() == 0);
        window.extend(&mut self.pool, position);
        true
    }

    /// A copy of what succeeded: finished without running.
    #[cold]
    fn duplicate(&mut self, now: Time, index: usize, arrival: &Arrival<M>) -> Admit {
        mark!(CopyArrives);
        self.stats.duplicates += 1;
        self.pass(now, index, arrival);
        Admit::Duplicate
    }

    /// Everything that can become of an arrival.
    #[inline(never)]
    fn offer_rest(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        let index = arrival.partition.0 as usize;
        let Some(part) = self.partitions.get_mut(index) else {
            return Ok(self.void());
        };
        self.credit.moved = true;
        let session = arrival.session == part.session || mutants::is(15);
        if part.phase != Phase::Open
            || part.epoch != arrival.epoch
            || !session
            || part.delivery != Delivery::Live
        {
            return Ok(self.void());
        }
        if let Some(delivery) = arrival.delivery
            && delivery > part.next_delivery
            && !mutants::is(18)
        {
            // Something was lost on the way. Nothing ahead of the hole may start: its key is not
            // known (S2). A new session brings it again.
            mark!(DeliveryGap);
            if !mutants::is(64) {
                self.notice(index, NoticeKind::Gap, arrival.position);
            }
            self.end_session(now, index);
            return Ok(self.void());
        }
        if part.last.is_some_and(|l| arrival.position <= l.position)
            || arrival.position < part.frontier
        {
            return Ok(self.again(now, index, &arrival));
        }
        if now >= part.until && !mutants::is(17) {
            mark!(ArrivalAfterLease);
            return Err(Refused {
                why: Refusal::Credit,
                arrival,
            });
        }
        self.admit(now, index, arrival)
    }

    #[cold]
    fn void(&mut self) -> Admit {
        mark!(VoidArrival);
        self.stats.void += 1;
        Admit::Void
    }

    /// A position at or below the last received one: finished, held, or not what it was.
    #[cold]
    fn again(&mut self, now: Time, index: usize, arrival: &Arrival<M>) -> Admit {
        let position = arrival.position;
        let part = &mut self.partitions[index];
        if position >= part.frontier {
            let found = part.window.find(&self.pool, position);
            // The window holds every position from the frontier to the last received one. Another
            // identity, or a message where there was a hole: the log was rewritten.
            let same =
                found.is_some_and(|entry| self.pool.digest(entry) == digest(arrival.identity));
            if mutants::is(3) && found.is_some_and(|e| !self.pool.is_done(e)) {
                self.partitions[index].last = None;
                return Admit::Void;
            }
            if !same {
                mark!(OtherIdentity);
                self.rewind(now, index, position);
                return self.void();
            }
        }
        mark!(KnownAgain);
        if position < self.partitions[index].frontier {
            self.seen_finished(index, arrival);
        }
        self.received(index, arrival);
        self.passed_last(now, index, position);
        self.stats.replayed += 1;
        Admit::Replayed
    }

    fn received(&mut self, index: usize, arrival: &Arrival<M>) {
        self.credit.moved = true;
        self.partitions[index].received(arrival);
    }

    fn admit(&mut self, now: Time, index: usize, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        match self.resumed_says(index, arrival.position, arrival.identity) {
            Says::Nothing => {}
            Says::Finished => return self.admit_finished(now, index, arrival),
            Says::Another => {
                mark!(RewrittenByMap);
                self.rewind(now, index, arrival.position);
                return Ok(self.void());
            }
        }
        let most = self.config.message_bytes_max;
        let known = arrival.quarantine == Some(Why::TooLarge);
        if arrival.bytes > most && !known {
            mark!(TooLarge);
            return Err(Refused {
                why: Refusal::TooLarge,
                arrival,
            });
        }
        if self.partitions[index].used_messages > 0 && !self.has_key_room(index, &arrival) {
            return Err(self.refuse(index, arrival));
        }
        let Self {
            partitions,
            credit,
            pool,
            slab,
            limits,
            ..
        } = self;
        let part = &mut partitions[index];
        let price = credit.price(limits, part, arrival.bytes.min(most), slab.used());
        let Some(payment) = price.filter(|_| slab.has_room()) else {
            return Err(self.refuse(index, arrival));
        };
        if part.window.needs_block(pool, arrival.position) && !self.has_block(index) {
            self.believe_soon(now, index);
            return Err(Refused {
                why: Refusal::Window,
                arrival,
            });
        }
        // Nothing was changed up to here; from here on nothing is refused.
        self.pass_map(index, arrival.position);
        self.passed_last(now, index, arrival.position);
        let (lane, why) = self.lane_of(&arrival);
        let sequenced = self.sequences.is_on() && sequence_of(&arrival).is_some();
        let mut note = Note::digest(digest(arrival.identity));
        if why.is_some() || !self.identities.is_on() {
            // Nobody looks at it.
        } else if sequenced {
            // A copy takes its turn, too: its sequence is passed with it.
            note.identity = self.identities.claim_anyway(now, arrival.identity);
        } else {
            match self.identities.claim(now, arrival.identity) {
                Claimed::Pending(place) => note.identity = place,
                Claimed::Done => return Ok(self.duplicate(now, index, &arrival)),
            }
        }
        self.hold(index, arrival, lane, note, why, payment);
        Ok(Admit::Queued)
    }

    /// A resumed map says that this arrival is finished: it needs no credit, only its place.
    #[cold]
    fn admit_finished(
        &mut self,
        now: Time,
        index: usize,
        arrival: Arrival<M>,
    ) -> Result<Admit, Refused<M>> {
        let part = &self.partitions[index];
        if part.window.needs_block(&self.pool, arrival.position) && !self.has_block(index) {
            self.believe_soon(now, index);
            return Err(Refused {
                why: Refusal::Window,
                arrival,
            });
        }
        mark!(FinishedByMap);
        self.pass_map(index, arrival.position);
        self.passed_last(now, index, arrival.position);
        self.stats.replayed += 1;
        self.seen_finished(index, &arrival);
        self.pass(now, index, &arrival);
        Ok(Admit::Replayed)
    }

    /// The recorded progress calls an arrival finished: its sequence is passed.
    fn seen_finished(&mut self, index: usize, arrival: &Arrival<M>) {
        if self.sequences.is_on()
            && let Some((key, sequence)) = sequence_of(arrival)
        {
            let forgotten = self.sequences.seen(key, index as u16, sequence);
            self.stats.forgotten += u64::from(forgotten);
        }
    }

    /// Whether the lane of an arrival has room. A message at the frontier always gets in: the caller
    /// does not ask where its partition holds nothing.
    fn has_key_room(&mut self, index: usize, arrival: &Arrival<M>) -> bool {
        let most = self.config.key_messages;
        if most == u32::MAX || mutants::is(33) {
            return true;
        }
        let (lane, _) = self.lane_of(arrival);
        let room = self.lanes.depth(&self.slab, lane) < most;
        if !room {
            self.partitions[index].hot = Some(lane);
        }
        room
    }

    /// There is no credit.
    #[cold]
    fn refuse(&mut self, index: usize, arrival: Arrival<M>) -> Refused<M> {
        mark!(NoCredit);
        self.shut(index);
        self.relent(index, false);
        Refused {
            why: Refusal::Credit,
            arrival,
        }
    }

    /// Whether a block of the window pool may be taken; if not, says so and shuts the intake.
    #[cold]
    fn has_block(&mut self, index: usize) -> bool {
        if self.may_take_block(index) {
            return true;
        }
        mark!(NoWindow);
        let frontier = self.partitions[index].frontier;
        self.notice(index, NoticeKind::WindowFull, frontier);
        self.shut(index);
        self.relent(index, true);
        false
    }

    /// Whether a block of the window pool may be taken.
    fn may_take_block(&self, index: usize) -> bool {
        let taken = self.partitions[index].window.blocks();
        taken < self.blocks_max() && self.blocks_free(index) > 0
    }

    /// Finishes an arrival on arrival.
    #[cold]
    fn pass(&mut self, now: Time, index: usize, arrival: &Arrival<M>) {
        let part = &mut self.partitions[index];
        self.credit.moved = true;
        part.received(arrival);
        if part.window.len == 0 {
            part.frontier = part.floor;
            part.anchor = Some(Anchor {
                position: arrival.position,
                stamp: arrival.stamp,
            });
        } else {
            let blocks = part.window.blocks();
            let kept = digest(arrival.identity);
            let entry = part
                .window
                .push(&mut self.pool, arrival.position, Note::digest(kept));
            self.blockless -= u32::from(blocks == 0);
            self.pool.finish(entry);
        }
        self.dirty(now, index, 1);
    }

    /// Takes a message in: its place in the window, in its lane, in the accounts.
    fn hold(
        &mut self,
        index: usize,
        arrival: Arrival<M>,
        lane: u64,
        note: Note,
        why: Option<Why>,
        payment: Payment,
    ) {
        let Self {
            partitions,
            credit,
            pool,
            slab,
            lanes,
            config,
            ..
        } = self;
        let bytes = arrival.bytes.min(config.message_bytes_max);
        let part = &mut partitions[index];
        part.received(&arrival);
        if part.window.len == 0 {
            part.frontier = arrival.position;
            part.since = self.now;
            self.stalls_at = self.stalls_at.min(self.stall_due);
        }
        let blocks = part.window.blocks();
        let entry = part.window.push(pool, arrival.position, note);
        self.blockless -= u32::from(blocks == 0);
        let full = part.window.is_full(pool);
        let parked = part.parked;
        let slot = slab.next();
        credit.charge(part, slot, bytes, payment);
        self.parking.set_key(slot, arrival.key);
        self.expiry.set(slot, arrival.expires);
        let sequence = sequence_of(&arrival);
        let head = lanes.head_or_put(slab, slot, lane);
        let mut hot = Hot::ready(slot, lane, entry, index as u16);
        hot.flags |= why.map_or(0, |w| QUARANTINED | ((w as u8) << WHY_SHIFT));
        let cold = Cold::new(arrival.stamp.0, bytes);
        slab.put(hot, cold, arrival.message);
        if head.is_none() {
            lanes.set_depth(slot, 1);
        }
        if self.sequences.is_on() {
            match sequence {
                Some(sequence) => self.enter_sequence(slot, index, sequence),
                None => self.stats.unsequenced += 1,
            }
            match head {
                None => self.activate(slot),
                Some(head) => self.queue_in_sequence(slot, head),
            }
            if full {
                self.has_block(index);
            }
            return;
        }
        match head {
            None if why.is_some() => {
                mark!(Quarantined);
                self.stage(slot);
            }
            None if parked => self.activate(slot),
            None => lanes.link_ready(slab, slot),
            Some(head) => lanes.queue(slab, slot, head),
        }
        if full {
            self.has_block(index);
        }
    }

    /// The lane of an arrival, and why it never reaches a handler.
    fn lane_of(&self, arrival: &Arrival<M>) -> (u64, Option<Why>) {
        if arrival.key.is_some() && self.config.order == Order::Key {
            return (arrival.lane, arrival.quarantine);
        }
        // Copies of one identity share a lane even without order, so that they wait for each other.
        let by_identity = fold(arrival.identity);
        match (self.config.order, self.config.keyless) {
            (Order::Unordered, _) | (_, Keyless::Unordered) => (by_identity, arrival.quarantine),
            (Order::Key, Keyless::Shared) => (0, arrival.quarantine),
            (Order::Key, Keyless::Refuse) => {
                (by_identity, arrival.quarantine.or(Some(Why::Keyless)))
            }
        }
    }
}

impl Partition {
    /// Whether a message may come in the usual way, if the window has room.
    #[inline(always)]
    fn is_usual<M>(&self, credit: &Account, now: Time, arrival: &Arrival<M>) -> bool {
        self.expects(now, arrival)
            && credit.covers(self, arrival.bytes)
            && arrival.key.is_some()
            && arrival.quarantine.is_none()
    }

    /// Whether an arrival is a new one of the running session, behind all others, with nothing
    /// unusual to be seen to.
    #[inline(always)]
    fn expects<M>(&self, now: Time, arrival: &Arrival<M>) -> bool {
        // The frontier and what was received last are not beyond the floor. The highest position of all
        // has none behind it, and is no usual one.
        now < self.takes_until
            && self.epoch == arrival.epoch
            && self.session == arrival.session
            && arrival.delivery.is_none_or(|d| d == self.next_delivery)
            && arrival.position.0.wrapping_add(1) > self.floor.0
    }

    /// Counts the delivery, and remembers it if it is the furthest.
    #[inline(always)]
    fn received<M>(&mut self, arrival: &Arrival<M>) {
        self.barren = 0;
        self.totals.taken.messages += 1;
        self.totals.taken.bytes += u64::from(arrival.bytes);
        if let Some(delivery) = arrival.delivery {
            self.next_delivery = self.next_delivery.max(delivery + 1);
        }
        if self.last.is_none_or(|l| arrival.position > l.position) {
            self.last = Some(Anchor {
                position: arrival.position,
                stamp: arrival.stamp,
            });
            self.floor = self.floor.max(arrival.position.next());
        }
    }
}

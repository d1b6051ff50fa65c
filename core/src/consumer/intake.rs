//! Taking messages in: epochs, sessions, gaps, replays, copies, credit, window.

use super::dedupe::{Claimed, digest};
use super::flow::Payment;
use super::partition::{Delivery, Partition, Phase};
use super::slab::{Cold, QUARANTINED, WHY_SHIFT};
use super::window::Note;
use super::{Admit, Anchor, Arrival, Consumer, NoticeKind, Refusal, Refused, Why};
use crate::{Keyless, Order, Time, mutants};

impl<M> Consumer<M> {
    /// Offers a message. One that cannot be paid for, or does not fit the window, is given back and
    /// nothing has changed: offer it again, before any later one of its partition, when `credit` or
    /// a `Resume` says so.
    ///
    /// # Errors
    /// [`Refused`] with the arrival.
    pub fn offer(&mut self, now: Time, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        let now = self.tick(now);
        let index = arrival.partition.0 as usize;
        let Some(part) = self.partitions.get_mut(index) else {
            return Ok(self.void());
        };
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
            self.notice(index, NoticeKind::Gap, arrival.position);
            self.end_session(now, index);
            return Ok(self.void());
        }
        if part.last.is_some_and(|l| arrival.position <= l.position)
            || arrival.position < part.frontier
        {
            return Ok(self.again(now, index, &arrival));
        }
        if now >= part.until && !mutants::is(17) {
            return Err(Refused {
                why: Refusal::Credit,
                arrival,
            });
        }
        self.admit(now, index, arrival)
    }

    fn void(&mut self) -> Admit {
        self.stats.void += 1;
        Admit::Void
    }

    /// A position at or below the last received one: finished, held, or not what it was.
    fn again(&mut self, now: Time, index: usize, arrival: &Arrival<M>) -> Admit {
        let position = arrival.position;
        let part = &mut self.partitions[index];
        if position >= part.frontier {
            let found = part.window.find(&self.pool, position);
            // The window holds every position from the frontier to the last received one. Another
            // identity, or a message where there was a hole: the log was rewritten.
            let same = found.is_some_and(|entry| self.digest_at(entry) == digest(arrival.identity));
            if mutants::is(3) && found.is_some_and(|e| !self.pool.is_done(e)) {
                self.partitions[index].last = None;
                return Admit::Void;
            }
            if !same {
                self.rewind(now, index, position);
                return self.void();
            }
        }
        self.received(index, arrival);
        self.stats.replayed += 1;
        Admit::Replayed
    }

    fn received(&mut self, index: usize, arrival: &Arrival<M>) {
        self.partitions[index].received(arrival);
    }

    fn admit(&mut self, now: Time, index: usize, arrival: Arrival<M>) -> Result<Admit, Refused<M>> {
        let position = arrival.position;
        let finished =
            self.partitions[index].resumed.is_some() && self.resumed_done(index, position);
        let Self {
            partitions,
            credit,
            pool,
            slab,
            limits,
            config,
            ..
        } = &mut *self;
        let part = &mut partitions[index];
        let mut payment = Payment::Credit;
        if !finished {
            if arrival.bytes > config.message_bytes_max {
                return Err(Refused {
                    why: Refusal::TooLarge,
                    arrival,
                });
            }
            match credit.price(limits, part, arrival.bytes) {
                Some(how) if slab.has_room() => payment = how,
                Some(_) | None => {
                    self.shut(index);
                    return Err(Refused {
                        why: Refusal::Credit,
                        arrival,
                    });
                }
            }
        }
        if part.window.needs_block(pool, position) && !self.has_block(index) {
            return Err(Refused {
                why: Refusal::Window,
                arrival,
            });
        }
        // Nothing was changed up to here; from here on nothing is refused.
        let part = &mut self.partitions[index];
        part.received(&arrival);
        if finished {
            self.stats.replayed += 1;
            self.pass(now, index, &arrival);
            return Ok(Admit::Replayed);
        }
        let refuse = self.config.keyless == Keyless::Refuse && self.config.order == Order::Key;
        let why = arrival
            .quarantine
            .or_else(|| (arrival.key.is_none() && refuse).then_some(Why::Keyless));
        let mut note = Note::Digest(digest(arrival.identity));
        if self.identities.is_on() && why.is_none() {
            match self.identities.claim(now, arrival.identity) {
                Claimed::Done => {
                    self.stats.duplicates += 1;
                    self.pass(now, index, &arrival);
                    return Ok(Admit::Duplicate);
                }
                Claimed::Pending(place) => note = Note::Identity(place),
            }
        }
        self.hold(index, arrival, note, why, payment);
        Ok(Admit::Queued)
    }

    /// Whether a block of the window pool may be taken; if not, says so and shuts the intake.
    #[cold]
    fn has_block(&mut self, index: usize) -> bool {
        let part = &self.partitions[index];
        if part.window.blocks() < self.blocks_max() && self.blocks_free(index) > 0 {
            return true;
        }
        let frontier = part.frontier;
        self.notice(index, NoticeKind::WindowFull, frontier);
        self.shut(index);
        false
    }

    /// Finishes an arrival on arrival.
    fn pass(&mut self, now: Time, index: usize, arrival: &Arrival<M>) {
        let part = &mut self.partitions[index];
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
                .push(&mut self.pool, arrival.position, Note::Digest(kept));
            self.blockless -= u32::from(blocks == 0);
            self.pool.finish(entry, kept);
        }
        self.dirty(now, index, 1);
    }

    #[inline]
    fn hold(
        &mut self,
        index: usize,
        arrival: Arrival<M>,
        note: Note,
        why: Option<Why>,
        payment: Payment,
    ) {
        let lane = self.lane_of(&arrival);
        let Self {
            partitions,
            credit,
            pool,
            slab,
            lanes,
            ..
        } = self;
        let part = &mut partitions[index];
        if part.window.len == 0 {
            part.frontier = arrival.position;
        }
        let blocks = part.window.blocks();
        let entry = part.window.push(pool, arrival.position, note);
        self.blockless -= u32::from(blocks == 0);
        let flags = why.map_or(0, |w| QUARANTINED | ((w as u8) << WHY_SHIFT));
        let cold = Cold::new(arrival.stamp.0, arrival.bytes);
        let slot = slab.put(lane, entry, index as u16, flags, cold, arrival.message);
        credit.charge(part, slot, arrival.bytes, payment);
        if lanes.append(slab, slot, lane) {
            if why.is_some() {
                self.stage(slot);
            } else {
                lanes.push_ready(slab, slot);
            }
        }
    }

    /// Copies of one identity share a lane even without order, so that they wait for each other.
    #[inline]
    fn lane_of(&self, arrival: &Arrival<M>) -> u64 {
        let by_identity = (arrival.identity as u64) ^ (arrival.identity >> 64) as u64;
        match (self.config.order, arrival.key, self.config.keyless) {
            (Order::Unordered, ..) => by_identity,
            (Order::Key, Some(_), _) => arrival.lane,
            (Order::Key, None, Keyless::Shared) => 0,
            (Order::Key, None, Keyless::Unordered | Keyless::Refuse) => by_identity,
        }
    }

    /// The digest of the identity at a window entry, finished or held.
    fn digest_at(&self, entry: u32) -> u32 {
        match self.pool.note(entry) {
            Note::Digest(digest) => digest,
            Note::Identity(index) => digest(self.identities.identity(index)),
        }
    }
}

impl Partition {
    /// Counts the delivery, and remembers it if it is the furthest.
    #[inline]
    fn received<M>(&mut self, arrival: &Arrival<M>) {
        self.barren = 0;
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

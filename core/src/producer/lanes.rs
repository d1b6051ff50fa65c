//! Publishes of one key in the order of their acceptance, and which keys may send.

use alloc::vec::Vec;

use hashbrown::HashTable;

use super::slots::{Latest, NONE, Phase, Slots};
use crate::{Time, mutants};

/// One key with unfinished publishes.
#[derive(Clone, Debug)]
struct Lane {
    hash: u64,
    /// The oldest and the newest.
    head: u32,
    tail: u32,
    /// The oldest that is not on its way: all before it are. What is sent next, if it may be.
    cursor: u32,
    /// Publishes of it that are on their way.
    in_flight: u32,
    /// What began the request that is on its way, while others may still join it: all in it are without
    /// an answer and without a result.
    first: u32,
    /// One of those on their way together failed: what the broker keeps in order, it may drop
    /// together, so nothing new follows until all have come back.
    is_stalled: bool,
    /// Serial of the newest that is stored; nothing older is sent any more.
    stored: u64,
    is_ready: bool,
    /// Neighbours among the ready lanes; `next` also links free lanes.
    prev: u32,
    next: u32,
}

impl Lane {
    /// One less on its way; nothing joins its request any more.
    const fn land_one(&mut self) {
        self.in_flight -= 1;
        self.is_stalled &= self.in_flight > 0;
        self.first = NONE;
    }
}

const FREE: Lane = Lane {
    hash: 0,
    head: NONE,
    tail: NONE,
    cursor: NONE,
    in_flight: 0,
    first: NONE,
    is_stalled: false,
    stored: 0,
    is_ready: false,
    prev: NONE,
    next: NONE,
};

/// All keys with unfinished publishes, at most one a slot. A lane is ready exactly when its next
/// publish may be sent; ready lanes take turns.
#[derive(Debug)]
pub(super) struct Lanes {
    all: Vec<Lane>,
    table: HashTable<u32>,
    free: u32,
    ready_first: u32,
    ready_last: u32,
    pipelining: bool,
    /// Most publishes of a request.
    batch: u32,
    /// Requests on their way.
    requests: u32,
}

impl Lanes {
    pub(super) fn new(capacity: u32, pipelining: bool, batch: u32) -> Self {
        let mut all: Vec<Lane> = (1..=capacity).map(|next| Lane { next, ..FREE }).collect();
        if let Some(last) = all.last_mut() {
            last.next = NONE;
        }
        // Four times as much: a table that is emptied and filled again never allocates.
        let table = HashTable::with_capacity(4 * capacity as usize);
        Self {
            all,
            table,
            free: 0,
            ready_first: NONE,
            ready_last: NONE,
            pipelining,
            batch,
            requests: 0,
        }
    }

    /// Requests that are on their way: those of a key that go together count as one.
    pub(super) const fn requests(&self) -> u32 {
        self.requests
    }

    fn lane(&self, index: u32) -> &Lane {
        &self.all[index as usize]
    }

    fn lane_mut(&mut self, index: u32) -> &mut Lane {
        &mut self.all[index as usize]
    }

    /// Oldest publish of a lane.
    pub(super) fn head(&self, lane: u32) -> u32 {
        self.lane(lane).head
    }

    /// Serial of the newest stored publish of a lane; 0: none.
    pub(super) fn stored(&self, lane: u32) -> u64 {
        self.lane(lane).stored
    }

    pub(super) fn note_stored(&mut self, lane: u32, serial: u64) {
        let lane = self.lane_mut(lane);
        lane.stored = lane.stored.max(serial);
    }

    /// Appends a new publish to the lane of its key.
    pub(super) fn append<M>(&mut self, slots: &mut Slots<M>, index: u32, hash: u64, now: Time) {
        let lane = self.find_or_open(hash);
        let tail = self.lane(lane).tail;
        let slot = slots.get_mut(index);
        (slot.lane, slot.prev, slot.next) = (lane, tail, NONE);
        if tail == NONE {
            self.lane_mut(lane).head = index;
        } else {
            slots.get_mut(tail).next = index;
        }
        let open = self.lane_mut(lane);
        open.tail = index;
        if open.cursor == NONE {
            open.cursor = index;
        }
        self.refresh(slots, lane, now);
    }

    /// Takes a publish out of its lane; an empty lane is forgotten.
    pub(super) fn unlink<M>(&mut self, slots: &mut Slots<M>, index: u32, now: Time) {
        let (lane, prev, next) = {
            let slot = slots.get(index);
            (slot.lane, slot.prev, slot.next)
        };
        if prev == NONE {
            self.lane_mut(lane).head = next;
        } else {
            slots.get_mut(prev).next = next;
        }
        if next == NONE {
            self.lane_mut(lane).tail = prev;
        } else {
            slots.get_mut(next).prev = prev;
        }
        let slot = slots.get_mut(index);
        (slot.lane, slot.prev, slot.next) = (NONE, NONE, NONE);
        if slot.latest == Latest::Out {
            slot.latest = Latest::Settled;
            self.land_one(lane);
        }
        if self.lane(lane).cursor == index {
            self.lane_mut(lane).cursor = Self::past_sent(slots, next);
        }
        if self.lane(lane).head == NONE {
            self.close(lane);
        } else {
            self.refresh(slots, lane, now);
        }
    }

    /// The next publish to send, taken from the lane whose turn it is; it counts as on its way.
    pub(super) fn pop_ready<M>(&mut self, slots: &mut Slots<M>, now: Time) -> Option<u32> {
        let lane = self.ready_first;
        if lane == NONE {
            return None;
        }
        self.unready(lane);
        let index = self.lane(lane).cursor;
        let is_open = self.batch > 1 && !self.pipelining && slots.get(index).is_sociable();
        self.depart(slots, index);
        self.requests += 1;
        if is_open {
            self.lane_mut(lane).first = index;
        }
        self.refresh(slots, lane, now);
        Some(index)
    }

    /// The next publish of the key that may join the request which `first` began. Its own wait does not
    /// matter: `first` stands before it, and has waited.
    pub(super) fn follower<M>(&self, slots: &Slots<M>, first: u32) -> Option<u32> {
        let lane = self.lane(slots.get(first).lane);
        let has_room = lane.in_flight < self.batch || mutants::is(209);
        if lane.first != first || lane.cursor == NONE || !has_room {
            return None;
        }
        slots.get(lane.cursor).is_sociable().then_some(lane.cursor)
    }

    /// A [`follower`](Self::follower) is on its way.
    pub(super) fn join<M>(&mut self, slots: &mut Slots<M>, index: u32, now: Time) {
        self.depart(slots, index);
        self.refresh(slots, slots.get(index).lane, now);
    }

    /// A publish is on its way from here on.
    fn depart<M>(&mut self, slots: &mut Slots<M>, index: u32) {
        let slot = slots.get_mut(index);
        slot.earlier_maybe = slot.maybe_stored();
        slot.earlier_lands = slot.can_land();
        slot.latest = Latest::Out;
        slot.attempt = slot.attempt.saturating_add(1);
        let (lane, next) = (slot.lane, slot.next);
        let open = self.lane_mut(lane);
        open.in_flight += 1;
        open.cursor = Self::past_sent(slots, next);
    }

    /// One of a lane is not on its way any more.
    fn land_one(&mut self, lane: u32) {
        self.lane_mut(lane).land_one();
        if self.pipelining || self.lane(lane).in_flight == 0 {
            self.requests -= 1;
        }
    }

    /// A publish is not on its way any more: `latest` is what is known of it.
    pub(super) fn returned<M>(
        &mut self,
        slots: &mut Slots<M>,
        index: u32,
        latest: Latest,
        now: Time,
    ) {
        slots.get_mut(index).latest = latest;
        let slot = slots.get(index);
        let lane = slot.lane;
        self.lane_mut(lane).is_stalled = true;
        self.land_one(lane);
        self.block(slots, index);
        self.refresh(slots, lane, now);
    }

    /// One of a lane was refused, others of it may be on their way.
    pub(super) fn stall(&mut self, lane: u32) {
        let lane = self.lane_mut(lane);
        lane.is_stalled = lane.in_flight > 0;
    }

    /// Moves the cursor back to a publish that must not be passed.
    pub(super) fn block<M>(&mut self, slots: &Slots<M>, index: u32) {
        let slot = slots.get(index);
        let cursor = self.lane(slot.lane).cursor;
        if cursor == NONE || slot.serial < slots.get(cursor).serial {
            self.lane_mut(slot.lane).cursor = index;
        }
        self.lane_mut(slot.lane).first = NONE;
    }

    /// Makes the lane ready, or not, as its next publish may be sent, or not.
    pub(super) fn refresh<M>(&mut self, slots: &Slots<M>, index: u32, now: Time) {
        let may = self.may_send(slots, index, now);
        if may == self.lane(index).is_ready {
            return;
        }
        if !may {
            self.unready(index);
            return;
        }
        let last = self.ready_last;
        let lane = self.lane_mut(index);
        (lane.is_ready, lane.prev, lane.next) = (true, last, NONE);
        if last == NONE {
            self.ready_first = index;
        } else {
            self.lane_mut(last).next = index;
        }
        self.ready_last = index;
    }

    /// One request of a key at a time, unless the broker keeps order; and what is sent again, or after a
    /// failure, waits until nothing of its key is on its way (S8).
    fn may_send<M>(&self, slots: &Slots<M>, index: u32, now: Time) -> bool {
        let lane = self.lane(index);
        if lane.cursor == NONE {
            return false;
        }
        let slot = slots.get(lane.cursor);
        slot.phase == Phase::Live
            && slot.due <= now
            && (lane.in_flight == 0
                || mutants::is(206) && lane.first == NONE
                || self.pipelining && !lane.is_stalled && slot.attempt == 0)
    }

    fn past_sent<M>(slots: &Slots<M>, mut index: u32) -> u32 {
        while index != NONE && slots.get(index).is_passable() {
            index = slots.get(index).next;
        }
        index
    }

    fn find_or_open(&mut self, hash: u64) -> u32 {
        let all = &self.all;
        if let Some(&lane) = self
            .table
            .find(spread(hash), |&i| all[i as usize].hash == hash)
        {
            return lane;
        }
        // There is a lane for every slot, and the new publish has a slot.
        let index = self.free;
        self.free = self.lane(index).next;
        *self.lane_mut(index) = Lane { hash, ..FREE };
        let all = &self.all;
        self.table
            .insert_unique(spread(hash), index, |&i| spread(all[i as usize].hash));
        index
    }

    fn close(&mut self, index: u32) {
        if self.lane(index).is_ready {
            self.unready(index);
        }
        if let Ok(entry) = self
            .table
            .find_entry(spread(self.lane(index).hash), |&i| i == index)
        {
            entry.remove();
        }
        *self.lane_mut(index) = Lane {
            next: self.free,
            ..FREE
        };
        self.free = index;
    }

    fn unready(&mut self, index: u32) {
        let lane = self.lane_mut(index);
        lane.is_ready = false;
        let (prev, next) = (lane.prev, lane.next);
        (lane.prev, lane.next) = (NONE, NONE);
        if prev == NONE {
            self.ready_first = next;
        } else {
            self.lane_mut(prev).next = next;
        }
        if next == NONE {
            self.ready_last = prev;
        } else {
            self.lane_mut(next).prev = prev;
        }
    }

    pub(super) fn check<M>(&self, slots: &Slots<M>, now: Time) -> Result<(), &'static str> {
        let (mut linked, mut requests) = (0, 0);
        for &index in &self.table {
            let lane = self.lane(index);
            let (mut prev, mut at, mut cursor, mut in_flight) = (NONE, lane.head, NONE, 0);
            while at != NONE {
                let slot = slots.get(at);
                if slot.prev != prev || slot.lane != index {
                    return Err("lanes: a link is broken");
                }
                if prev != NONE && slots.get(prev).serial >= slot.serial {
                    return Err("lanes: publishes are not in the order of acceptance");
                }
                if cursor == NONE && !slot.is_passable() {
                    cursor = at;
                }
                in_flight += u32::from(slot.latest == Latest::Out);
                linked += 1;
                (prev, at) = (at, slot.next);
            }
            if lane.head == NONE || lane.tail != prev || lane.cursor != cursor {
                return Err("lanes: head, tail or cursor is wrong");
            }
            requests += if self.pipelining {
                in_flight
            } else {
                in_flight.min(1)
            };
            if lane.in_flight != in_flight || (!self.pipelining && in_flight > self.batch) {
                return Err("S8: more of a key on their way than may be");
            }
            if lane.first != NONE && !slots.get(lane.first).is_passable() {
                return Err("lanes: a request that is over takes others in");
            }
            if lane.is_stalled && in_flight == 0 {
                return Err("lanes: stalled, with nothing on its way");
            }
            if lane.is_ready != self.may_send(slots, index, now) {
                return Err("lanes: ready is not what may send");
            }
        }
        if requests != self.requests {
            return Err("S7: requests are not what is on its way");
        }
        let members = slots.iter().filter(|(_, slot)| slot.lane != NONE).count();
        if members != linked {
            return Err("lanes: a publish is in no lane");
        }
        let ready = self
            .table
            .iter()
            .filter(|&&i| self.lane(i).is_ready)
            .count();
        let (mut count, mut at) = (0, self.ready_first);
        while at != NONE && count <= ready {
            count += 1;
            at = self.lane(at).next;
        }
        if count != ready {
            return Err("lanes: the ready list is broken");
        }
        Ok(())
    }
}

/// Lane hashes are good already; the table also wants good high bits from small test numbers.
const fn spread(hash: u64) -> u64 {
    hash.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

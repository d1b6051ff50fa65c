//! Sessions of the reference, and what they deliver.

use procession_core::{
    Admit, Anchor, Arrival, Continuity, Keyless, NoticeKind, Order, Refusal, Time, Why,
};

use super::model::{Arrived, Delivery, Held, Lane, Model, State, wait};

/// What a map keeps of an identity, as the wire's documentation words it.
pub fn digest(identity: u128) -> u16 {
    let folded = (identity as u64) ^ (identity >> 64) as u64;
    (folded.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16
}

impl Model {
    pub fn session(&mut self, p: u32, epoch: u64, session: u64, found: Continuity) {
        let Some(p) = self.current(p, epoch, session) else {
            return;
        };
        if self.parts[p].delivery != Delivery::Starting {
            return;
        }
        self.parts[p].delivery = Delivery::Live;
        let blind = std::mem::take(&mut self.parts[p].blind);
        let unproven = self.parts[p].unproven.take();
        match found {
            Continuity::Continues => {
                self.cut(p, unproven, true);
                if !blind {
                    self.believe(p);
                }
            }
            Continuity::CannotTell => {
                self.cut(p, unproven, false);
                self.notice(p, NoticeKind::CannotTell);
                let now = self.now;
                let part = &mut self.parts[p];
                let last = part.last.filter(|l| l.position.0 >= part.frontier);
                if let Some(last) = last {
                    // What an earlier session told of behind it is not known any more.
                    part.floor = last.position.0 + 1;
                    part.blind = true;
                    part.doubted = true;
                    part.delivery = Delivery::Wanted(now);
                }
            }
            Continuity::Rewritten { from } => self.rewind(p, from.0),
        }
    }

    /// A frontier beyond the end of the log comes back to it.
    fn cut(&mut self, p: usize, end: Option<u64>, found: bool) {
        let Some(end) = end else { return };
        let now = self.now;
        let part = &mut self.parts[p];
        let after = part
            .anchor
            .filter(|_| found)
            .map_or(0, |a| a.position.0 + 1);
        let end = end.max(after);
        part.frontier = part.frontier.min(end);
        part.floor = part.frontier;
        if part.anchor.is_some_and(|a| a.position.0 >= end) {
            part.anchor = None;
            part.delivery = Delivery::Wanted(now);
        }
        self.dirty(p, 0);
    }

    fn rewind(&mut self, p: usize, from: u64) {
        self.notice(p, NoticeKind::LogRewritten);
        let from = from.min(self.parts[p].frontier);
        self.clear(p);
        let now = self.now;
        let part = &mut self.parts[p];
        part.epoch += 1;
        part.write = 0;
        (part.frontier, part.floor) = (from, from);
        part.last = None;
        part.anchor = part.anchor.filter(|a| a.position.0 < from);
        part.unproven = None;
        part.parked.retain(|_, place| place.2);
        for place in part.parked.values_mut() {
            place.0 = place.0.min(from);
        }
        part.crowded = false;
        part.blind = false;
        part.doubted = false;
        part.barren = 0;
        part.session = 0;
        part.delivery = Delivery::Wanted(now);
        self.dirty(p, 0);
        self.forget_accused(p);
    }

    /// The doubt is over: the frontier moves over what was finished meanwhile.
    fn believe(&mut self, p: usize) {
        let now = self.now;
        let part = &mut self.parts[p];
        let stood = part.window.get(&part.frontier).is_some_and(|w| w.done);
        if std::mem::take(&mut part.doubted) && stood {
            part.pass_finished();
            part.since = now;
            if part.window.is_empty() {
                part.anchor = part.last;
            }
            self.end_stall(p);
            self.dirty(p, 0);
        }
    }

    /// The session delivered or passed a position.
    fn passed_last(&mut self, p: usize, position: u64) {
        let last = self.parts[p].last.map_or(0, |l| l.position.0);
        if position >= last {
            self.believe(p);
        }
    }

    pub fn broken(&mut self, p: u32, epoch: u64, session: u64) {
        if let Some(p) = self.current(p, epoch, session) {
            self.end_session(p);
        }
    }

    fn end_session(&mut self, p: usize) {
        let backoff = self.config.session_backoff;
        let part = &mut self.parts[p];
        let at = if part.barren == 0 {
            self.now
        } else {
            self.now + wait(&backoff, part.barren)
        };
        part.barren += 1;
        part.delivery = Delivery::Wanted(at);
    }

    pub fn offer(&mut self, a: &Arrival<u32>) -> Result<Admit, Refusal> {
        let (p, position) = (a.partition.0 as usize, a.position.0);
        let Some(p) = self
            .current(a.partition.0, a.epoch.0, a.session.0)
            .filter(|p| self.parts[*p].delivery == Delivery::Live)
        else {
            self.stats.void += 1;
            let _ = p;
            return Ok(Admit::Void);
        };
        if a.delivery.is_some_and(|d| d > self.parts[p].next_delivery) {
            self.notice(p, NoticeKind::Gap);
            self.end_session(p);
            self.stats.void += 1;
            return Ok(Admit::Void);
        }
        let part = &self.parts[p];
        if position < part.frontier || part.last.is_some_and(|l| position <= l.position.0) {
            let here = part.window.get(&position);
            if position >= part.frontier && here.is_none_or(|h| h.identity != a.identity) {
                self.rewind(p, position);
                self.stats.void += 1;
                return Ok(Admit::Void);
            }
            let passed = position < self.parts[p].frontier;
            if let (Some(key), Some(sequence), true) = (a.key, self.sequence(a), passed) {
                self.seen(p, key, sequence);
            }
            self.receive(p, a);
            self.passed_last(p, position);
            self.stats.replayed += 1;
            return Ok(Admit::Replayed);
        }
        if self.now >= part.until {
            return Err(Refusal::Credit);
        }
        let inherited = part.resumed.iter().any(|r| (r.0..r.1).contains(&position));
        let recorded = part.digests.get(&position);
        if recorded.is_some_and(|d| *d != digest(a.identity)) {
            self.recognised += 1;
            self.rewind(p, position);
            self.stats.void += 1;
            return Ok(Admit::Void);
        }
        let mut overdraft = false;
        if !inherited {
            let most = self.config.message_bytes_max;
            if a.bytes > most && a.quarantine != Some(Why::TooLarge) {
                return Err(Refusal::TooLarge);
            }
            let lane = self.lane(a);
            let of_key = self.held.iter().filter(|h| h.lane == lane).count();
            let full = of_key >= self.config.key_messages as usize;
            let crowd = full && self.owned(p).next().is_some();
            let price = self.price(p, a.bytes.min(most)).filter(|_| !crowd);
            let Some(beyond) = price else {
                self.parts[p].shut = true;
                self.relent(p);
                return Err(Refusal::Credit);
            };
            overdraft = beyond;
        }
        self.passed_last(p, position);
        self.receive(p, a);
        if inherited {
            self.stats.replayed += 1;
            if let (Some(key), Some(sequence)) = (a.key, self.sequence(a)) {
                self.seen(p, key, sequence);
            }
            self.pass(p, a);
            return Ok(Admit::Replayed);
        }
        let refuse = self.config.keyless == Keyless::Refuse && self.config.order == Order::Key;
        let why = a
            .quarantine
            .or_else(|| (a.key.is_none() && refuse).then_some(Why::Keyless));
        let claimed = self.config.dedupe.ids > 0 && why.is_none();
        // In order by sequence a copy takes its turn.
        let in_turn = self.sequence(a).is_some();
        if claimed && self.claim(a.identity, in_turn) && !in_turn {
            self.stats.duplicates += 1;
            self.pass(p, a);
            return Ok(Admit::Duplicate);
        }
        self.hold(p, a, why, claimed, overdraft);
        Ok(Admit::Queued)
    }

    /// The number of an arrival that takes part in an order by sequence.
    fn sequence(&self, a: &Arrival<u32>) -> Option<u64> {
        let on = self.config.sequence.is_some() && a.key.is_some();
        a.sequence.filter(|s| on && *s < u64::MAX)
    }

    fn receive(&mut self, p: usize, a: &Arrival<u32>) {
        let part = &mut self.parts[p];
        part.barren = 0;
        part.taken.0 += 1;
        part.taken.1 += u64::from(a.bytes);
        if let Some(delivery) = a.delivery {
            part.next_delivery = part.next_delivery.max(delivery + 1);
        }
        if part.last.is_none_or(|l| a.position > l.position) {
            part.last = Some(Anchor {
                position: a.position,
                stamp: a.stamp,
            });
            part.floor = part.floor.max(a.position.0.saturating_add(1));
        }
    }

    /// Finished on arrival.
    fn pass(&mut self, p: usize, a: &Arrival<u32>) {
        let part = &mut self.parts[p];
        if part.window.is_empty() {
            part.frontier = part.floor;
            part.anchor = Some(Anchor {
                position: a.position,
                stamp: a.stamp,
            });
        } else {
            part.window.insert(
                a.position.0,
                Arrived {
                    identity: a.identity,
                    done: true,
                },
            );
        }
        self.dirty(p, 1);
    }

    fn lane(&self, a: &Arrival<u32>) -> Lane {
        match (self.config.order, a.key, self.config.keyless) {
            (Order::Key, Some(_), _) => Lane::Key(a.lane),
            (Order::Key, None, Keyless::Shared) => Lane::Shared,
            _ => Lane::Identity(a.identity),
        }
    }

    fn hold(&mut self, p: usize, a: &Arrival<u32>, why: Option<Why>, claimed: bool, beyond: bool) {
        let lane = self.lane(a);
        let part = &mut self.parts[p];
        if part.window.is_empty() {
            part.frontier = a.position.0;
            part.since = self.now;
        }
        part.window.insert(
            a.position.0,
            Arrived {
                identity: a.identity,
                done: false,
            },
        );
        self.arrivals += 1;
        let sequence = self.sequence(a);
        if self.config.sequence.is_some() && sequence.is_none() {
            self.stats.unsequenced += 1;
        }
        self.place(Held {
            message: a.message,
            p,
            position: a.position.0,
            stamp: a.stamp.0,
            lane,
            identity: a.identity,
            key: a.key,
            claimed,
            sequence,
            since: self.now,
            late: false,
            bytes: a.bytes.min(self.config.message_bytes_max),
            why,
            expires: a.expires,
            state: State::Queued,
            attempts: 0,
            burials: 0,
            shorten: 0,
            token: None,
            timed_out: false,
            until: Time::MAX,
            overdraft: beyond,
            withheld: false,
        });
        self.activate_heads();
        self.bound_lane(p, a.position.0);
    }

    pub fn advance(&mut self, p: u32, epoch: u64, session: u64, position: u64) {
        let Some(p) = self.current(p, epoch, session) else {
            return;
        };
        if self.parts[p].delivery != Delivery::Live {
            return;
        }
        self.passed_last(p, position.saturating_sub(1));
        let part = &mut self.parts[p];
        if position <= part.floor {
            return;
        }
        part.floor = position;
        if part.window.is_empty() {
            part.frontier = position;
            self.dirty(p, 0);
        }
    }
}

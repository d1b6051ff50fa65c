//! What is delivered to both.

use procession_core::{Admit, Arrival, NoticeKind, Position, Refusal, Stamp, Why};

use super::account::far_apart;
use super::compare::{Pair, millis, same};
use super::ops::Offer;

impl Pair {
    pub fn offer(&mut self, o: &Offer) -> Result<(), String> {
        let now = self.model.now;
        let (partition, epoch, session) = self.named(o.p, o.stale);
        let part = &self.model.parts[usize::from(o.p)];
        let base = part
            .last
            .map_or(part.frontier, |l| l.position.0.saturating_add(1));
        let position = match o.step {
            15 => base.saturating_add(5_000_000_000),
            24 => {
                let known = self.offered.keys();
                let mut known = known.filter(|k| k.0 == usize::from(o.p) && k.1 >= base);
                known.next().map_or(base, |k| k.1)
            }
            ahead @ 0..15 => base.saturating_add(ahead.into()),
            back => base.saturating_sub(u64::from(back) - 15),
        };
        self.messages += 1;
        // Numbers go on by one, mostly; two lanes only where it does not matter which waits first.
        let bounded = self
            .model
            .config
            .sequence
            .is_some_and(|s| s.hold_messages < self.model.config.limits.messages);
        let number = self.numbers.entry((o.p, o.key.unwrap_or(9))).or_insert(10);
        let sequence = match o.sequence {
            0 => None,
            step => {
                *number = (*number + u64::from(step)).saturating_sub(2);
                Some(*number)
            }
        };
        let key = (usize::from(o.p), position);
        // What comes again is what it was, mostly; some identities occur at several positions.
        let fresh = if o.identity.is_multiple_of(4) {
            u128::from(o.identity / 4 % 4) + 1
        } else {
            1_000 + u128::from(self.messages)
        };
        let identity = match self.offered.get(&key) {
            Some(&before) if o.identity % 16 != 7 => before,
            _ => fresh << 64 | 9,
        };
        let arrival = Arrival {
            partition,
            epoch,
            session,
            delivery: match o.delivery {
                0 => None,
                1 => Some(part.next_delivery),
                2 => Some(part.next_delivery.saturating_add(1 + u64::from(o.step))),
                _ => Some(1),
            },
            position: Position(position),
            stamp: Stamp(u64::from(self.messages)),
            // Two of four keys share a lane.
            lane: u64::from(o.key.unwrap_or_default() / if bounded { 4 } else { 2 }) + 100,
            // A hash of 0 stands for no key among those that may be parked.
            key: o.key.map(|k| u128::from(k) + 1),
            identity,
            bytes: o.bytes.into(),
            expires: o.expires.map(|after| now + millis(after)),
            sequence,
            quarantine: o.malformed.then_some(Why::Malformed),
            message: self.messages,
        };
        match self.offer_both(&arrival)? {
            Err(Refusal::TooLarge) if o.identity.is_multiple_of(2) => {
                let quarantine = Some(Why::TooLarge);
                let marked = Arrival {
                    quarantine,
                    ..arrival
                };
                self.offer_both(&marked).map(|_| ())
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn offer_both(&mut self, arrival: &Arrival<u32>) -> Result<Result<Admit, Refusal>, String> {
        let (partition, identity) = (arrival.partition, arrival.identity);
        let key = (partition.0 as usize, arrival.position.0);
        let before = (
            self.core.stats(),
            self.core.frontier(partition),
            self.core.epoch(partition),
        );
        let was = self.model.clone();
        let now = self.model.now;
        let core = self.core.offer(now, arrival.clone());
        let mut reference = self.model.offer(arrival);
        let core = match core {
            Ok(admit) => Ok(admit),
            Err(refused) => {
                same("what is given back", &refused.arrival, arrival)?;
                let after = (
                    self.core.stats(),
                    self.core.frontier(partition),
                    self.core.epoch(partition),
                );
                same("a refused offer is a no-op", &after, &before)?;
                Err(refused.why)
            }
        };
        if core == Err(Refusal::Window) && far_apart(&was, partition.0) {
            // The window is kept in blocks; messages very far apart take one each.
            self.model = was;
            self.model
                .notice(partition.0 as usize, NoticeKind::WindowFull);
            self.model.relent_window(partition.0 as usize);
            reference = Err(Refusal::Window);
        }
        same("offer", &core, &reference)?;
        match core {
            Ok(Admit::Queued) => self.seen.queued += 1,
            Ok(Admit::Duplicate) => self.seen.duplicates += 1,
            Ok(Admit::Replayed) => self.seen.replayed += 1,
            Ok(Admit::Void) => self.seen.void += 1,
            Err(_) => self.seen.refused += 1,
        }
        if core.is_ok_and(|a| a != Admit::Void) {
            self.offered.insert(key, identity);
        }
        Ok(core)
    }
}

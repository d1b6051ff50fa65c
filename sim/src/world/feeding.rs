//! From the log to the core: sessions, batches, losses, heartbeats.

use procession_core::{
    Admit, Arrival, Continuity, NoticeKind, PartitionId, Position, Refusal, Stamp, Start, Time, Why,
};

use super::World;
use crate::checker::Checked;
use crate::coverage::Mark;
use crate::event::Event;
use crate::log::{Entry, wide};
use crate::member::{Delivery, InFlight};
use crate::plan::Flavour;
use crate::rule::Rule;
use crate::site::Site;

impl World {
    /// The core asks for a session.
    #[inline(never)]
    pub(super) fn session_asked(&mut self, member: u32, start: Start) -> Checked {
        let p = start.partition.0 as usize;
        self.checker
            .session_asked(member as usize, &start, &self.logs[p], self.now)?;
        self.strand(member, start.partition.0);
        self.sessions[p] += 1;
        let session = self.sessions[p] << 16 | p as u64;
        let process = &mut self.members[member as usize];
        let life = process.life;
        process.feeds[p].delivery = Some(Delivery::new(session, start));
        let n = session;
        let wait = self.latency(Site::SessionRefused, u64::from(start.partition.0), n);
        let partition = start.partition.0;
        self.push_in(
            wait,
            Event::SessionUp {
                member,
                life,
                partition,
                session,
            },
        );
        self.note(|_, out| out.push_str(&format!("             {start:?}\n")));
        Ok(())
    }

    /// What was on its way in the old session arrives late, or never.
    pub(super) fn strand(&mut self, member: u32, partition: u32) {
        let process = &mut self.members[member as usize];
        let life = process.life;
        let Some(delivery) = process.feeds[partition as usize].delivery.take() else {
            return;
        };
        let left = delivery.in_flight.into_iter().chain(delivery.stalled);
        for left in left {
            let n = self.stragglers.len() as u32;
            let entry = &self.entries[left.entry as usize];
            let number = u64::from(entry.number);
            if self.fate.decide(Site::DeliveryLate, number, delivery.id) {
                let wait = self.latency(Site::DeliveryLate, number, delivery.id) * 4;
                self.stragglers.push(arrival(&left, entry, delivery.start));
                self.push_in(
                    wait,
                    Event::Straggle {
                        member,
                        life,
                        straggler: n,
                    },
                );
            }
        }
    }

    #[inline(never)]
    pub(super) fn straggle(&mut self, member: u32, number: u32) -> Checked {
        self.hit(Mark::Straggler);
        let arrival = self.stragglers[number as usize].clone();
        self.offer(member, &arrival).map(|_| ())
    }

    /// The delivery of a partition, if this is still its session.
    fn delivery(&mut self, member: u32, partition: u32, session: u64) -> Option<&mut Delivery> {
        let feed = &mut self.members[member as usize].feeds[partition as usize];
        feed.delivery.as_mut().filter(|d| d.id == session)
    }

    /// A session begins, or fails to.
    #[inline(never)]
    pub(super) fn session_up(&mut self, member: u32, partition: u32, session: u64) -> Checked {
        let m = member as usize;
        let Some(delivery) = self.delivery(member, partition, session) else {
            return Ok(());
        };
        if delivery.live {
            return Ok(());
        }
        let start = delivery.start;
        if self
            .fate
            .decide(Site::SessionRefused, u64::from(partition), session)
        {
            return self.break_session(member, partition);
        }
        let log = &self.logs[partition as usize];
        let continuity = start
            .expect
            .map_or(Continuity::Continues, |e| log.continuity(&self.entries, e));
        self.marks[match continuity {
            Continuity::Continues => Mark::Continues,
            Continuity::Rewritten { .. } => Mark::Rewritten,
            Continuity::CannotTell => Mark::CannotTell,
        } as usize] += 1;
        let skip = start.expect.is_some() && continuity == Continuity::Continues;
        if let Some(delivery) = self.delivery(member, partition, session) {
            delivery.live = true;
            delivery.cursor = start.at.0 + u64::from(skip);
        }
        let time = self.time();
        if self.checker.goes_on(m, partition) {
            self.checker.session_began(
                m,
                partition,
                start.session.0,
                &self.logs[partition as usize],
            );
        }
        if let Some(core) = &mut self.members[m].core {
            core.session(
                time,
                PartitionId(partition),
                start.epoch,
                start.session,
                continuity,
            );
        }
        match continuity {
            Continuity::CannotTell if self.checker.goes_on(m, partition) => {
                let frontier = self.members[m].core.as_ref();
                let frontier = frontier.and_then(|c| c.frontier(PartitionId(partition)));
                let log = &self.logs[partition as usize];
                let frontier = frontier.map_or(0, |f| f.0);
                self.checker.cannot_tell(m, partition, frontier, log);
                self.checker
                    .expect_notice(m, partition, &[NoticeKind::CannotTell]);
            }
            Continuity::Rewritten { from } if self.checker.goes_on(m, partition) => {
                self.checker.rewritten(m, partition, from.0);
                self.checker
                    .expect_notice(m, partition, &[NoticeKind::LogRewritten]);
                // The core asks for another session, in its next epoch.
                self.strand(member, partition);
            }
            Continuity::Continues | Continuity::CannotTell | Continuity::Rewritten { .. } => {}
        }
        self.note(|_, out| out.push_str(&format!("             {continuity:?}\n")));
        let (life, beat) = (self.members[m].life, self.plan.beat);
        self.push_in(
            beat,
            Event::Beat {
                member,
                life,
                partition,
                session,
            },
        );
        self.want_pump(member, partition);
        Ok(())
    }

    /// The session ends, and the core is told.
    pub(super) fn break_session(&mut self, member: u32, partition: u32) -> Checked {
        let feed = &self.members[member as usize].feeds[partition as usize];
        let Some((epoch, session)) = feed.delivery.as_ref().map(Delivery::session) else {
            return Ok(());
        };
        self.strand(member, partition);
        let time = self.time();
        if let Some(core) = &mut self.members[member as usize].core {
            core.broken(time, PartitionId(partition), epoch, session);
        }
        self.checker
            .session_broke(member as usize, partition, session.0);
        Ok(())
    }

    /// Schedules a pump, if there is something to deliver and none is scheduled.
    #[inline]
    pub(super) fn want_pump(&mut self, member: u32, partition: u32) {
        let feed = &self.members[member as usize].feeds[partition as usize];
        if feed.wants_pump(self.logs[partition as usize].end) {
            self.may_pump(member, partition);
        }
    }

    /// As [`want_pump`](Self::want_pump), where a feed has something to deliver.
    #[inline]
    pub(super) fn may_pump(&mut self, member: u32, partition: u32) {
        // Most that wait have used up what was granted, or are paused.
        if self.members[member as usize].feeds[partition as usize].waits(self.plan.flavour) {
            return;
        }
        if self.may_deliver(member as usize, partition) {
            self.call_pump(member, partition);
        }
    }

    #[inline(never)]
    fn call_pump(&mut self, member: u32, partition: u32) {
        let process = &mut self.members[member as usize];
        let (life, feed) = (process.life, &mut process.feeds[partition as usize]);
        let n = feed.pumps;
        feed.pumping = true;
        let wait = self
            .fate
            .draw_log(Site::Latency, u64::from(partition), n, 0, 1_000_000);
        self.push_in(
            wait,
            Event::Pump {
                member,
                life,
                partition,
            },
        );
    }

    fn may_deliver(&self, m: usize, partition: u32) -> bool {
        let feed = &self.members[m].feeds[partition as usize];
        let delivery = feed.delivery.as_ref();
        match (&self.members[m].core, self.plan.flavour) {
            (None, _) => false,
            (Some(core), Flavour::JetStream) => {
                delivery.is_some_and(|d| match &d.stalled {
                    // What was refused before waits until it fits.
                    Some(s) => {
                        let credit = core.credit(PartitionId(partition));
                        let bytes = self.entries[s.entry as usize].bytes;
                        credit.messages > 0 && u64::from(bytes) <= credit.bytes
                    }
                    None => d.room().0 > 0 && d.room().1 > 0,
                })
            }
            (Some(_), Flavour::Kafka) => !feed.paused,
        }
    }

    /// A feed takes messages from the log, within credit mostly.
    pub(super) fn pump(&mut self, member: u32, partition: u32) {
        let m = member as usize;
        let p = partition as usize;
        self.members[m].feeds[p].pumping = false;
        self.members[m].feeds[p].pumps += 1;
        let pumps = self.members[m].feeds[p].pumps;
        if !self.may_deliver(m, partition) {
            return;
        }
        let n = pumps << 8 | u64::from(partition);
        let push = self.fate.decide(Site::OverPush, n, u64::from(member));
        let wait = self.latency(Site::DeliveryLost, n, 0);
        let life = self.members[m].life;
        let feed = &mut self.members[m].feeds[p];
        let Some(delivery) = feed.delivery.as_mut().filter(|d| d.live) else {
            return;
        };
        let unlimited = push || self.plan.flavour == Flavour::Kafka;
        let (granted, mut bytes) = delivery.room();
        let room = if unlimited { u64::MAX } else { granted };
        if self.plan.flavour == Flavour::Kafka && self.fate.decide(Site::Rewind, n, 0) {
            let back = self.fate.draw(Site::Rewind, n, 1, 1, 6);
            delivery.cursor = delivery.cursor.saturating_sub(back).max(self.logs[p].start);
        }
        let batch = room.min(u64::from(self.plan.batch));
        let at = delivery
            .in_flight
            .back()
            .map_or(0, |f| f.at)
            .max(self.now + wait);
        let log = &self.logs[p];
        let mut left = log.entries()[log.seek(delivery.cursor)..].iter();
        for taken in 0..batch {
            let Some(&e) = left.next() else {
                delivery.cursor = delivery.cursor.max(log.end);
                break;
            };
            let entry = &self.entries[e as usize];
            // One message may always come, whatever its size.
            if taken > 0 && !unlimited && u64::from(entry.bytes) > bytes {
                break;
            }
            bytes = bytes.saturating_sub(u64::from(entry.bytes));
            delivery.cursor = entry.position + 1;
            delivery.numbered += 1;
            delivery.sent_bytes += u64::from(entry.bytes);
            let number = (self.plan.flavour == Flavour::JetStream).then_some(delivery.numbered);
            let named = u64::from(entry.number);
            let lost = number.is_some() && self.fate.decide(Site::DeliveryLost, named, delivery.id);
            if !lost {
                delivery.in_flight.push_back(InFlight {
                    at,
                    entry: e,
                    number,
                    quarantine: entry.malformed.then_some(Why::Malformed),
                });
            }
        }
        if !delivery.in_flight.is_empty() || delivery.stalled.is_some() {
            let session = delivery.id;
            self.push_at(
                at,
                Event::Arrive {
                    member,
                    life,
                    partition,
                    session,
                },
            );
        }
    }

    /// What is due arrives: what was refused before comes first.
    pub(super) fn arrive(&mut self, member: u32, partition: u32, session: u64) -> Checked {
        let core = self.members[member as usize].core.as_ref();
        let turns = core.map_or(0, |c| c.turns());
        if let Some(delivery) = self.delivery(member, partition, session)
            && delivery.stalled.is_some()
            && delivery.refused_at == turns
        {
            // It is as it was when it refused.
            self.hit(Mark::OfferedAgain);
            return Ok(());
        }
        loop {
            let now = self.now;
            let Some(delivery) = self.delivery(member, partition, session) else {
                return Ok(());
            };
            let due = delivery.in_flight.front().is_some_and(|f| f.at <= now);
            let came = match delivery.stalled.take() {
                Some(stalled) => stalled,
                None if due => match delivery.in_flight.pop_front() {
                    Some(in_flight) => in_flight,
                    None => return Ok(()),
                },
                None => return Ok(()),
            };
            let start = delivery.start;
            let number = came.number.unwrap_or_default();
            let arrival = arrival(&came, &self.entries[came.entry as usize], start);
            let bytes = u64::from(arrival.bytes);
            match self.offer(member, &arrival)? {
                Offered::Refused(quarantine) => {
                    self.hit(Mark::OfferedAgain);
                    let core = self.members[member as usize].core.as_ref();
                    let turns = core.map_or(0, |c| c.turns());
                    if let Some(delivery) = self.delivery(member, partition, session) {
                        delivery.stalled = Some(InFlight { quarantine, ..came });
                        delivery.refused_at = turns;
                    }
                    return Ok(());
                }
                Offered::Over => {
                    if let Some(delivery) = self.delivery(member, partition, session) {
                        delivery.arrived = delivery.arrived.max(number);
                        delivery.taken.0 += 1;
                        delivery.taken.1 += bytes;
                    }
                }
            }
        }
    }

    /// Offers a message, which must change nothing where it is refused.
    fn offer(&mut self, member: u32, arrival: &Arrival<u32>) -> Checked<Offered> {
        let m = member as usize;
        let time = self.time();
        let void = self.checker.arrives(m, arrival);
        let Some(core) = &mut self.members[m].core else {
            return Ok(Offered::Over);
        };
        let before = (core.stats(), core.frontier(arrival.partition));
        let (epoch, fresh) = (core.epoch(arrival.partition), core.is_fresh());
        let turns = core.turns();
        let result = core.offer(time, arrival.clone());
        let noticed = core.epoch(arrival.partition) != epoch;
        if result.is_err() && !noticed {
            // Nothing was changed, but that the feed may be told to pause.
            core.refresh(fresh || core.has_news());
            core.turn_back(turns);
        }
        self.note(|_, out| {
            let what = match &result {
                Ok(admit) => format!("{admit:?}"),
                Err(refused) => format!("{:?}", refused.why),
            };
            out.push_str(&format!(
                "             m{member} offer msg={} {}@{} s{} d{:?}: {what}\n",
                arrival.message,
                arrival.partition.0,
                arrival.position.0,
                arrival.session.0,
                arrival.delivery
            ));
        });
        let partition = arrival.partition.0;
        if noticed && !void && self.logs[partition as usize].rewrites > 0 {
            // Another message where one was before, or where there was a hole: the core begins a new
            // epoch there.
            self.checker.rewritten(m, partition, arrival.position.0);
            self.checker
                .expect_notice(m, partition, &[NoticeKind::LogRewritten]);
            self.strand(member, partition);
            return Ok(Offered::Over);
        }
        match result {
            Ok(admit) => {
                self.mark(
                    50 + admit as u64,
                    u64::from(arrival.message),
                    arrival.session.0,
                );
                let (entries, logs) = (&self.entries, &self.logs);
                self.checker
                    .admitted(m, arrival, (void, admit), entries, logs, self.now)?;
                if admit != Admit::Void {
                    self.want_pump(member, arrival.partition.0);
                }
                Ok(Offered::Over)
            }
            Err(refused) => {
                self.checker.tally.refused += 1;
                if let Some(tenure) = self.checker.tenure(m, partition).filter(|_| !void) {
                    tenure.came_to(arrival.position.0);
                }
                let core = self.members[m].core.as_ref();
                let after = core.map(|c| (c.stats(), c.frontier(arrival.partition)));
                let same = after == Some(before) && refused.arrival == *arrival && !void;
                self.checker.rules.hold(Rule::RefusedOffer, same, || {
                    format!("{refused} at={}: {before:?} {after:?}", self.now)
                })?;
                self.refused(member, refused.why, &refused.arrival)?;
                match refused.why {
                    Refusal::Credit | Refusal::Window => Ok(Offered::Refused(arrival.quarantine)),
                    Refusal::TooLarge => {
                        let mut again = refused.arrival;
                        again.quarantine = Some(Why::TooLarge);
                        self.offer(member, &again)
                    }
                }
            }
        }
    }

    /// The broker tells how far it has delivered: a lost tail shows, trailing holes are passed.
    pub(super) fn beat(&mut self, member: u32, partition: u32, session: u64) -> Checked {
        let p = partition as usize;
        let n = self.now;
        let log = &self.logs[p];
        let next = {
            let feed = &self.members[member as usize].feeds[p];
            let cursor = feed.delivery.as_ref().map_or(0, |d| d.cursor);
            log.at_or_after(cursor)
                .map_or(log.end, |e| self.entries[e as usize].position)
        };
        let life = self.members[member as usize].life;
        let Some(delivery) = self.delivery(member, partition, session) else {
            return Ok(());
        };
        let quiet = delivery.in_flight.is_empty() && delivery.stalled.is_none();
        let (epoch, number) = delivery.session();
        let lost = delivery.arrived < delivery.numbered;
        let cursor = delivery.cursor;
        if quiet {
            if lost && self.plan.flavour == Flavour::JetStream {
                self.hit(Mark::LostTail);
                return self.break_session(member, partition);
            }
            if next > cursor {
                self.hit(Mark::TrailingHoles);
            }
            let time = self.time();
            if let Some(core) = &mut self.members[member as usize].core {
                let position = Position(next.max(cursor));
                core.advance(time, PartitionId(partition), epoch, number, position);
                if let Some(tenure) = self.checker.tenure(member as usize, partition) {
                    tenure.reach = tenure.reach.max(position.0);
                    tenure.came_to(position.0);
                }
            }
        } else {
            let due = self.now;
            self.push_at(
                due,
                Event::Arrive {
                    member,
                    life,
                    partition,
                    session,
                },
            );
        }
        self.want_pump(member, partition);
        if self.fate.decide(Site::SessionCut, u64::from(partition), n) {
            return self.break_session(member, partition);
        }
        let beat = self.plan.beat;
        self.push_in(
            beat,
            Event::Beat {
                member,
                life,
                partition,
                session,
            },
        );
        Ok(())
    }
}

/// What became of an offer.
enum Offered {
    /// It was taken, or is void.
    Over,
    /// It is to be offered again, with this quarantine.
    Refused(Option<Why>),
}

fn arrival(came: &InFlight, entry: &Entry, start: Start) -> Arrival<u32> {
    Arrival {
        partition: start.partition,
        epoch: start.epoch,
        session: start.session,
        delivery: came.number,
        position: Position(entry.position),
        stamp: Stamp(entry.stamp),
        lane: entry.lane,
        key: entry.key_hash(),
        identity: wide(1_000_000 + u64::from(entry.identity)),
        bytes: entry.bytes,
        expires: entry.expires.map(Time::from_nanos),
        sequence: entry.sequence,
        quarantine: came.quarantine,
        message: came.entry,
    }
}

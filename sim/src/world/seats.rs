//! Who owns which partition: assignment, leases, loss, hand-over, death.

use procession_core::{
    Epoch, Incarnation, NoticeKind, PartitionId, Position, ProgressMap, Span, Time,
};

use super::{Stage, World};
use crate::checker::{Checked, Opening};
use crate::coverage::Mark;
use crate::event::Event;
use crate::log::Seat;
use crate::plan::Flavour;
use crate::rule::Rule;
use crate::site::Site;
use crate::tape::Core;

/// How long a dead owner's partition stays with it where the broker fences by itself.
const SESSION_TIMEOUT: u64 = 30_000_000;

impl World {
    #[inline(never)]
    pub(super) fn restart(&mut self, member: u32) {
        let process = &mut self.members[member as usize];
        if process.core.is_some() || self.stage == Stage::Draining {
            return;
        }
        let tape = self.recorder.clone().map(|recorder| (recorder, member));
        let now = Time::from_nanos(self.now);
        let mut core = Box::new(Core::new(&self.plan.config, now, tape));
        if let Some((bytes, at)) = process.left.take() {
            let elapsed = Span::from_nanos(self.now - at);
            let restored = core.import_identities(now, elapsed, &bytes);
            self.checker.restored(member as usize, restored.is_ok());
            self.marks[match restored {
                Ok(_) => Mark::Remembered,
                Err(_) => Mark::RememberedBroken,
            } as usize] += 1;
        }
        process.core = Some(core);
        process.wake = u64::MAX;
        process.paused_until = 0;
        process.limits = None;
        process.weights.fill(1);
        self.weigh_all(member, 0);
    }

    /// A free partition is given to a member that is ready.
    #[inline(never)]
    pub(super) fn assign(&mut self, partition: u32) -> Checked {
        if self.seats[partition as usize].is_some() || self.stage == Stage::Draining {
            return Ok(());
        }
        if self.behind_barrier() {
            self.hit(Mark::BehindBarrier);
            self.push_in(1_000_000, Event::Assign { partition });
            return Ok(());
        }
        self.assignments[partition as usize] += 1;
        let n = self.assignments[partition as usize];
        let ready: Vec<u32> = (0..self.plan.members)
            .filter(|&m| {
                let process = &self.members[m as usize];
                let entity = u64::from(m) << 32 | u64::from(partition);
                let drains = process.draining && !self.fate.decide(Site::AssignDraining, entity, n);
                process.is_ready(self.now) && !drains
            })
            .collect();
        if ready.is_empty() {
            self.push_in(5_000_000, Event::Assign { partition });
            return Ok(());
        }
        let choice = self.fate.draw(
            Site::Assign,
            u64::from(partition),
            n,
            0,
            ready.len() as u64 - 1,
        );
        let member = ready[choice as usize];
        if self.members[member as usize].draining {
            self.hit(Mark::AssignedDraining);
        }
        self.open(member, partition)?;
        self.after(member)
    }

    fn open(&mut self, member: u32, partition: u32) -> Checked {
        let p = partition as usize;
        if let Some(old) = self.members[member as usize].feeds[p].epoch {
            // It did not notice that it had lost it. It is told now, or not at all.
            let n = self.assignments[p];
            if !self.fate.decide(Site::Reopen, u64::from(partition), n) {
                self.lose(member, partition, old)?;
            } else {
                self.hit(Mark::Unaware);
            }
        }
        let epoch = self.records[p].open();
        self.opens[p] += 1;
        let life = self.members[member as usize].life;
        let lease_end = match self.plan.flavour {
            Flavour::JetStream => self.now + self.plan.lease,
            Flavour::Kafka => u64::MAX,
        };
        self.seats[p] = Some(Seat {
            member,
            life,
            epoch,
            lease_end,
            revoking: None,
        });
        let until = self.core_lease(lease_end);
        self.open_core(member, partition, epoch, until);
        if lease_end < u64::MAX {
            self.push_at(lease_end, Event::LeaseCheck { partition, epoch });
            let due = self.plan.lease / 5;
            self.push_in(
                due,
                Event::Renew {
                    member,
                    life,
                    partition,
                    epoch,
                },
            );
        }
        Ok(())
    }

    /// The lease as the owner reckons it: with a margin.
    fn core_lease(&self, lease_end: u64) -> u64 {
        if lease_end == u64::MAX {
            u64::MAX
        } else {
            lease_end - self.plan.lease / 10
        }
    }

    fn open_core(&mut self, member: u32, partition: u32, epoch: u64, until: u64) {
        let p = partition as usize;
        let (record, log) = (&self.records[p], &self.logs[p]);
        let mut map = record.map.clone();
        let corrupt = self
            .fate
            .decide(Site::MapCorrupt, u64::from(partition), epoch);
        if corrupt {
            let noise = self.fate.bits(Site::Noise, u64::from(partition), epoch);
            match (noise % 3, map.len()) {
                (_, 0) | (0, _) => map = noise.to_le_bytes().repeat(1 + (noise % 5) as usize),
                (1, len) => map.truncate((noise >> 8) as usize % len),
                (_, len) => map[(noise >> 8) as usize % len] ^= 1 << (noise >> 4 & 7),
            }
        }
        let incarnation = Incarnation(log.incarnation);
        let resume = record.resume(log, &map);
        let foreign = record.incarnation.is_some_and(|i| i != incarnation);
        let beyond = record.frontier.is_some_and(|f| f > log.end);
        self.marks[Mark::RecordForeign as usize] += u64::from(foreign);
        self.marks[Mark::RecordBeyond as usize] += u64::from(beyond);
        let valid = record.frontier.filter(|_| !foreign && !beyond);
        let read = valid.and_then(|f| ProgressMap::read(&map, Position(f)));
        let ranges = read.as_ref().map_or_else(Vec::new, ProgressMap::ranges);
        let reaches = ranges.last().is_none_or(|l| l.1.0 <= log.end);
        let sound = reaches && (read.is_some() || valid.is_none() || map.is_empty());
        // A record without an incarnation may still hold the map of an earlier one.
        let same = map.get(2..10) == Some(&incarnation.0.to_le_bytes());
        let told = read.filter(|_| sound && same);
        let opening = Opening {
            epoch,
            floor: match record.frontier {
                _ if foreign => 0,
                // Beyond the end, only the anchor can tell where the log was cut.
                Some(_) if beyond && record.anchor.is_none() => 0,
                Some(f) => f.min(log.end),
                None => 0,
            },
            digests: told
                .iter()
                .flat_map(ProgressMap::digests)
                .map(|d| (d.0.0, d.1))
                .collect(),
            ranges: ranges
                .into_iter()
                .filter(|_| sound)
                .map(|(from, to)| (from.0, to.0))
                .collect(),
            until,
            recorded: record.frontier.filter(|_| !foreign).unwrap_or(0),
            anchored: !foreign && record.frontier.is_some() && record.anchor.is_some(),
        };
        let m = member as usize;
        let time = Time::from_nanos(self.now);
        let lease = (until < u64::MAX).then(|| Time::from_nanos(until));
        let core = self.members[m]
            .core
            .as_mut()
            .expect("invariant: only ready members open");
        core.open(time, PartitionId(partition), Epoch(epoch), &resume, lease);
        // A core that counted epochs up by itself may be ahead of the record. One that drains may have
        // given the partition up at once.
        let counted = match core.epoch(PartitionId(partition)) {
            Some(counted) => counted.0.max(epoch),
            None => self.checker.processes[m].counts(partition, epoch),
        };
        self.checker.opened(
            m,
            partition,
            Opening {
                epoch: counted,
                ..opening
            },
        );
        if let Some(tenure) = self.checker.tenure(m, partition) {
            let parked: Vec<_> = told.iter().flat_map(ProgressMap::parked).collect();
            tenure.parked.inherit(&parked);
        }
        let draining = self.checker.processes[m].draining;
        let now = self.now;
        if let (Some(deadline), Some(tenure)) = (draining, self.checker.tenure(m, partition)) {
            // Whoever drains gives it up again at once.
            tenure.stop(now, deadline);
        }
        if foreign || beyond {
            self.checker
                .expect_notice(m, partition, &[NoticeKind::ResumeVoid]);
        } else if !sound {
            self.checker
                .expect_notice(m, partition, &[NoticeKind::MapIgnored]);
        }
        if told.is_some_and(|t| self.checker.suspects_told(partition, &t)) {
            self.checker
                .expect_notice(m, partition, &[NoticeKind::UncleanEnd]);
        }
        let behind = !foreign && !beyond && record.frontier.is_some_and(|f| f < log.start);
        if behind {
            self.checker
                .expect_notice(m, partition, &[NoticeKind::Truncated]);
        }
        if let Some(recorded) = record.frontier.filter(|_| behind) {
            let range = (log.start, log.end);
            self.out_of_range(m, partition, recorded, range);
        }
        let feed = &mut self.members[m].feeds[p];
        feed.close();
        feed.epoch = Some(epoch);
        self.mark(epoch, 40, u64::from(partition));
        let frontier = self.records[p].frontier;
        self.note(|_, out| {
            out.push_str(&format!(
                "             m{member} opens {partition} epoch={epoch} frontier={frontier:?}\n"
            ));
        });
    }

    /// The member is told that it lost a partition.
    pub(super) fn lose(&mut self, member: u32, partition: u32, epoch: u64) -> Checked {
        let m = member as usize;
        if self.members[m].feeds[partition as usize].epoch == Some(epoch) {
            self.strand(member, partition);
            self.members[m].feeds[partition as usize].close();
            self.checker.ended(m, partition);
        }
        let time = self.time();
        if let Some(core) = &mut self.members[m].core {
            core.lose(time, PartitionId(partition), Epoch(epoch));
        }
        self.note(|_, out| out.push_str(&format!("             m{member} loses {partition}\n")));
        Ok(())
    }

    #[inline(never)]
    pub(super) fn fenced(&mut self, member: u32, partition: u32, epoch: u64) -> Checked {
        if self.members[member as usize].feeds[partition as usize].epoch == Some(epoch) {
            self.lose(member, partition, epoch)?;
        }
        Ok(())
    }

    /// The broker takes a partition from its owner, who learns of it now or later.
    pub(super) fn take_away(&mut self, partition: u32, told: bool) -> Checked {
        let Some(seat) = self.seats[partition as usize].take() else {
            return Ok(());
        };
        let Seat {
            member,
            life,
            epoch,
            ..
        } = seat;
        let process = &self.members[member as usize];
        if process.life == life && process.core.is_some() {
            if told && process.paused_until <= self.now {
                self.lose(member, partition, epoch)?;
                self.after(member)?;
            } else {
                let late = self.latency(Site::TakeOver, u64::from(partition), epoch) * 8;
                self.push_in(
                    late,
                    Event::Fenced {
                        member,
                        life,
                        partition,
                        epoch,
                    },
                );
            }
        }
        let wait = self.latency(Site::Lose, u64::from(partition), epoch);
        self.push_in(wait, Event::Assign { partition });
        Ok(())
    }

    /// The owner renews its lease: one write to the record, if it is still the owner.
    pub(super) fn renew(&mut self, member: u32, partition: u32, epoch: u64) -> Checked {
        let p = partition as usize;
        let Some(seat) = &mut self.seats[p] else {
            return Ok(());
        };
        let life = self.members[member as usize].life;
        if (seat.member, seat.life, seat.epoch) != (member, life, epoch) {
            return self.fenced(member, partition, epoch);
        }
        let due = self.plan.lease / 5;
        if !self
            .fate
            .decide(Site::RenewFails, u64::from(partition), self.now)
        {
            seat.lease_end = self.now + self.plan.lease;
            let until = seat.lease_end - self.plan.lease / 10;
            let (p, now) = (u64::from(partition), self.now);
            if self.fate.decide(Site::RenewLate, p, now) {
                let lease = self.plan.lease;
                let late = self.fate.draw(Site::RenewLate, p, now, lease / 2, lease);
                self.push_in(
                    late,
                    Event::Renewed {
                        member,
                        life,
                        partition,
                        epoch,
                        until,
                    },
                );
            } else {
                self.renewed(member, partition, epoch, until);
            }
        }
        self.push_in(
            due,
            Event::Renew {
                member,
                life,
                partition,
                epoch,
            },
        );
        Ok(())
    }

    /// The owner hears until when its lease is good now. What it heard before may reach further.
    pub(super) fn renewed(&mut self, member: u32, partition: u32, epoch: u64, until: u64) {
        let feed = &self.members[member as usize].feeds[partition as usize];
        let known = self.checker.tenure(member as usize, partition);
        let Some(tenure) = known.filter(|t| feed.epoch == Some(epoch) && t.until < until) else {
            return;
        };
        // What has not run out goes on as it was: there is nothing to look after.
        let goes_on = self.now < tenure.until;
        tenure.until = until;
        let time = self.time();
        if let Some(core) = &mut self.members[member as usize].core {
            let fresh = core.is_fresh();
            let until = Time::from_nanos(until);
            core.extend(time, PartitionId(partition), Epoch(epoch), until);
            core.refresh(fresh || !goes_on);
        }
    }

    /// A watcher looks at a lease; when it has run out, somebody takes over.
    #[inline(never)]
    pub(super) fn lease_check(&mut self, partition: u32, epoch: u64) -> Checked {
        let Some(seat) = self.seats[partition as usize].filter(|s| s.epoch == epoch) else {
            return Ok(());
        };
        let overdue = seat.revoking.is_some_and(|d| self.now >= d);
        if seat.lease_end > self.now && !overdue {
            self.push_at(seat.lease_end, Event::LeaseCheck { partition, epoch });
            return Ok(());
        }
        self.hit(Mark::TakenOver);
        self.take_away(partition, false)
    }

    /// Somebody else is to have the partition, by a deadline.
    pub(super) fn revoke(&mut self, partition: u32, grace: u64) -> Checked {
        let p = partition as usize;
        let deadline = self.now + grace;
        let Some(seat) = self.seats[p].as_mut().filter(|s| s.revoking.is_none()) else {
            return Ok(());
        };
        let (member, life, epoch) = (seat.member, seat.life, seat.epoch);
        let process = &mut self.members[member as usize];
        if process.life != life || process.core.is_none() || process.paused_until > self.now {
            return Ok(());
        }
        // A little after the deadline the broker waits no longer.
        seat.revoking = Some(deadline + 1_000_000);
        self.push_at(deadline + 1_000_000, Event::LeaseCheck { partition, epoch });
        self.revoke_member(member, partition, epoch, deadline);
        self.after(member)
    }

    fn revoke_member(&mut self, member: u32, partition: u32, epoch: u64, deadline: u64) {
        let time = self.time();
        if let Some(core) = &mut self.members[member as usize].core {
            core.revoke(
                time,
                PartitionId(partition),
                Epoch(epoch),
                Time::from_nanos(deadline),
            );
        }
        let now = self.now;
        if let Some(tenure) = self.checker.tenure(member as usize, partition) {
            tenure.stop(now, deadline);
        }
        self.note(|_, out| {
            out.push_str(&format!(
                "             m{member} revoke {partition} by {deadline}\n"
            ));
        });
    }

    /// A member drains, and is gone when that is over.
    pub(super) fn drain_member(&mut self, member: u32, within: u64) -> Checked {
        let deadline = self.now + within;
        let time = self.time();
        let m = member as usize;
        let Some(core) = &mut self.members[m].core else {
            return Ok(());
        };
        core.drain(time, Time::from_nanos(deadline));
        self.members[m].draining = true;
        let process = &mut self.checker.processes[m];
        let deadline = process.draining.map_or(deadline, |d| d.min(deadline));
        process.draining = Some(deadline);
        for tenure in process.tenures.iter_mut().flatten() {
            tenure.stop(self.now, deadline);
        }
        self.note(|_, out| out.push_str(&format!("             m{member} drains by {deadline}\n")));
        self.after(member)
    }

    /// The process is gone at once; its partitions are free when the broker notices.
    pub(super) fn crash(&mut self, member: u32, restart_in: u64) {
        if self.members[member as usize].core.is_none() {
            return;
        }
        self.leave(member);
        self.checker.tally.crashes += 1;
        for partition in 0..self.plan.config.partitions {
            let Some(seat) = self.seats[partition as usize].filter(|s| s.member == member) else {
                continue;
            };
            let epoch = seat.epoch;
            if seat.lease_end == u64::MAX {
                let end = self.now + SESSION_TIMEOUT;
                self.seats[partition as usize] = Some(Seat {
                    lease_end: end,
                    ..seat
                });
                self.push_at(end, Event::LeaseCheck { partition, epoch });
            }
        }
        self.push_in(restart_in, Event::Restart { member });
        self.note(|_, out| out.push_str(&format!("             m{member} dies\n")));
    }

    /// A process ends; some keep what they remembered of identities, and a little of that is broken.
    fn leave(&mut self, member: u32) {
        let process = &mut self.members[member as usize];
        let n = u64::from(process.life);
        let keeps = self.fate.draw(Site::Noise, u64::from(member), n, 0, 7);
        let left = process.core.as_ref().filter(|_| keeps > 3).map(|core| {
            let mut bytes = vec![0; core.identities_bytes()];
            let len = core.export_identities(Time::from_nanos(self.now), &mut bytes);
            bytes.truncate(if keeps == 7 { len - 1 } else { len });
            (bytes, self.now)
        });
        process.die();
        process.left = left;
        self.checker.died(member as usize);
    }

    /// At the end of a process, nothing may be left in its core.
    #[inline(never)]
    pub(super) fn exit(&mut self, member: u32) -> Checked {
        let m = member as usize;
        let Some(core) = &self.members[m].core else {
            return Ok(());
        };
        let stats = core.stats();
        let orphans = self.checker.processes[m].runs.len() as u32;
        let empty = stats.held == orphans && (orphans > 0 || stats.held_bytes == 0);
        self.checker.rules.hold(Rule::LeftAfterDrain, empty, || {
            format!(
                "member={member} at={}: {stats:?} orphans={orphans}",
                self.now
            )
        })?;
        self.leave(member);
        if self.stage != Stage::Draining {
            self.push_in(10_000_000, Event::Restart { member });
        }
        Ok(())
    }
}

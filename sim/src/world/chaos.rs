//! Faults of the world: who dies, pauses, loses, drains, and when it ends.

use procession_core::{Continuity, Epoch, Limits, PartitionId, Position, Session, Time};

use super::{Stage, World};
use crate::checker::Checked;
use crate::event::Event;
use crate::plan::Flavour;
use crate::rule::Rule;
use crate::site::Site;

/// A storm that does not come to its number of events ends after so many times its span.
const HEAL_TIMES: u64 = 16;

impl World {
    /// The time from one tick to the next.
    pub(super) fn tick_span(&self) -> u64 {
        self.plan.heal_at / u64::from(self.plan.ticks + 1)
    }

    /// One tick of world-level faults.
    #[inline(never)]
    pub(super) fn chaos(&mut self, tick: u32) -> Checked {
        if self.fate.is_healed() {
            return Ok(());
        }
        if tick + 1 < self.plan.ticks || self.plan.calm_at.is_some() {
            let next = self.tick_span().saturating_mul(u64::from(tick) + 2);
            self.push_at(next, Event::Chaos { tick: tick + 1 });
        }
        let n = u64::from(tick);
        self.rebalance(n)?;
        for partition in 0..self.plan.config.partitions {
            self.concerns_owner(partition);
            self.shake_partition(partition, n)?;
        }
        for member in 0..self.plan.members {
            self.concerns(Some(member));
            self.shake_member(member, n)?;
        }
        Ok(())
    }

    fn shake_partition(&mut self, partition: u32, n: u64) -> Checked {
        let entity = u64::from(partition);
        if self.fate.decide(Site::Retention, entity, n) {
            self.retain(
                partition,
                self.fate.draw(Site::Retention, entity, n, 1, 100),
            );
        }
        if self.fate.decide(Site::Delete, entity, n) {
            self.delete(partition, self.fate.bits(Site::Noise, entity, n));
        }
        let rewrite = self.fate.decide(Site::Rewrite, entity, n);
        if rewrite {
            self.rewrite(partition, self.fate.draw(Site::Rewrite, entity, n, 1, 100));
        }
        let recreate = self.fate.decide(Site::Recreate, entity, n);
        if recreate {
            self.recreate(partition);
            self.take_away(partition, true)?;
            // Whoever still delivers from the old one finds it gone.
            for member in 0..self.plan.members {
                if let Some(epoch) = self.members[member as usize].feeds[partition as usize].epoch {
                    self.lose(member, partition, epoch)?;
                    self.after(member)?;
                }
            }
        }
        if rewrite || recreate || self.fate.decide(Site::SessionCut, entity, n) {
            // The server restarts: every connection is gone.
            for member in 0..self.plan.members {
                self.break_session(member, partition)?;
                self.after(member)?;
            }
        }
        if self.fate.decide(Site::RecordRollback, entity, n)
            && !self.copies[partition as usize].is_empty()
        {
            // A restored bucket: the owner finds that the record is not what it wrote, and stops.
            let copies = &self.copies[partition as usize];
            let older =
                copies[self.fate.bits(Site::Noise, entity, n) as usize % copies.len()].clone();
            let epoch = self.records[partition as usize].epoch.max(older.epoch);
            self.records[partition as usize] = crate::log::Record { epoch, ..older };
            self.take_away(partition, true)?;
        }
        if self.fate.decide(Site::Revoke, entity, n) {
            self.revoke(
                partition,
                self.fate.draw(Site::Revoke, entity, n, 0, 60_000_000),
            )?;
        }
        if self.fate.decide(Site::Lose, entity, n) {
            self.take_away(partition, true)?;
        }
        if self.fate.decide(Site::TakeOver, entity, n) {
            // On JetStream only a lease that has run out can be taken over.
            let seat = self.seats[partition as usize];
            if self.plan.flavour == Flavour::Kafka || seat.is_some_and(|s| s.lease_end <= self.now)
            {
                self.take_away(partition, false)?;
            }
        }
        Ok(())
    }

    fn shake_member(&mut self, member: u32, n: u64) -> Checked {
        let entity = u64::from(member);
        if self.fate.decide(Site::Crash, entity, n) {
            self.crash(
                member,
                self.fate.draw_log(Site::Crash, entity, n, 1, 50_000_000),
            );
        }
        if self.fate.decide(Site::Pause, entity, n) {
            let span = self
                .fate
                .draw_log(Site::Pause, entity, n, 1_000_000, 3 * self.plan.lease);
            self.members[member as usize].paused_until = self.now + span;
        }
        if self.members[member as usize].paused_until > self.now {
            return Ok(());
        }
        if self.fate.decide(Site::SetLimits, entity, n) {
            self.set_limits(member, self.fate.bits(Site::SetLimits, entity, n ^ 1 << 32))?;
        }
        if self.fate.decide(Site::Owner, entity, n) {
            let how = self.fate.bits(Site::Owner, entity, n ^ 1 << 32);
            self.treat_parked(member, how)?;
        }
        if self.fate.decide(Site::StaleInput, entity, n) {
            self.stale_inputs(
                member,
                self.fate.bits(Site::StaleInput, entity, n ^ 1 << 32),
            )?;
        }
        if self.fate.decide(Site::Drain, entity, n) {
            let within = self.fate.draw_log(Site::Drain, entity, n, 0, 100_000_000);
            self.drain_member(member, within)?;
        }
        Ok(())
    }

    /// Right before the chosen events of the run, somebody dies, or is shaken.
    #[cold]
    #[inline(never)]
    pub(super) fn at_chosen_event(&mut self) -> Checked {
        let n = self.events;
        let chosen = [self.plan.crash_at, self.plan.shake_at];
        let next = chosen.into_iter().flatten().filter(|e| *e >= n).min();
        self.chosen = next.unwrap_or(u64::MAX);
        if self.chosen > n {
            return Ok(());
        }
        if self.fate.is_healed() {
            return Ok(());
        }
        let members = u64::from(self.plan.members) - 1;
        if self.plan.crash_at == Some(n) {
            self.fate.mark(Site::CrashAtEvent);
            let member = self.fate.draw(Site::CrashAtEvent, n, 0, 0, members) as u32;
            self.crash(member, 5_000_000);
        }
        if self.plan.shake_at == Some(n) {
            self.fate.mark(Site::ShakeAtEvent);
            let member = self.fate.draw(Site::ShakeAtEvent, n, 1, 0, members) as u32;
            let last = u64::from(self.plan.config.partitions) - 1;
            let partition = self.fate.draw(Site::ShakeAtEvent, n, 2, 0, last) as u32;
            let grace = self.fate.draw_log(Site::ShakeAtEvent, n, 3, 0, 60_000_000);
            let paused = self.members[member as usize].paused_until > self.now;
            match self.fate.draw(Site::ShakeAtEvent, n, 4, 0, 2) {
                0 => self.revoke(partition, grace)?,
                1 => self.take_away(partition, true)?,
                _ if !paused => self.drain_member(member, grace)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn set_limits(&mut self, member: u32, bits: u64) -> Checked {
        let most = self.plan.config.limits;
        let shrink = |limit: u64, bits: u64| (limit * (bits % 100 + 1) / 100).max(1);
        let limits = Limits {
            messages: shrink(most.messages.into(), bits) as u32,
            bytes: shrink(most.bytes, bits >> 8),
            partition_messages: shrink(most.partition_messages.into(), bits >> 16) as u32,
            partition_bytes: shrink(most.partition_bytes, bits >> 24),
            low_water_percent: most.low_water_percent,
        };
        let time = self.time();
        if let Some(core) = &mut self.members[member as usize].core {
            core.set_limits(time, &limits);
        }
        self.members[member as usize].limits = Some(limits);
        self.weigh_all(member, bits);
        self.after(member)
    }

    /// What names an epoch, session or write that is over must change nothing (S6).
    fn stale_inputs(&mut self, member: u32, bits: u64) -> Checked {
        let m = member as usize;
        let time = self.time();
        for p in 0..self.plan.config.partitions {
            let partition = PartitionId(p);
            let delivery = self.members[m].feeds[p as usize].delivery.as_ref();
            let (current, session) = match delivery {
                Some(delivery) => (delivery.start.epoch, delivery.start.session),
                None => (Epoch(0), Session(0)),
            };
            let opened = self.members[m].feeds[p as usize].epoch.unwrap_or(0);
            let Some(core) = &mut self.members[m].core else {
                return Ok(());
            };
            let (old, before) = (
                Epoch(opened.saturating_sub(1)),
                Session(session.0.wrapping_sub(1)),
            );
            let snapshot = |c: &crate::tape::Core| {
                (
                    c.stats(),
                    c.frontier(partition),
                    c.credit(partition),
                    c.poll_timeout(),
                )
            };
            let was = snapshot(core);
            match bits % 8 {
                0 => core.lose(time, partition, old),
                1 => core.revoke(time, partition, old, time),
                2 => core.extend(time, partition, old, Time::MAX),
                3 => core.broken(time, partition, old, session),
                4 if session.0 > 0 => core.broken(time, partition, current, before),
                5 if session.0 > 0 => {
                    let rewritten = Continuity::Rewritten { from: Position(0) };
                    core.session(time, partition, current, before, rewritten);
                }
                6 if session.0 > 0 => {
                    core.advance(time, partition, current, before, Position(u64::MAX));
                }
                _ => core.lose(time, PartitionId(u32::MAX), current),
            }
            let same = snapshot(core) == was;
            self.checker.rules.hold(Rule::StaleInput, same, || {
                format!("input {} partition={p} at={}", bits % 8, self.now)
            })?;
        }
        self.after(member)
    }

    /// Whether this run is to fail, to show that failures are reported.
    fn is_canary(&self) -> bool {
        #[cfg(feature = "mutants")]
        return self.plan.seed.is_multiple_of(1_000)
            && procession_core::mutants::active() == crate::mutants::CANARY;
        #[cfg(not(feature = "mutants"))]
        false
    }

    /// The time of faults is over. Where the run has its length in events, it goes on until then.
    #[inline(never)]
    pub(super) fn heal_in_time(&mut self) -> Checked {
        if self.stage != Stage::Storm {
            return Ok(());
        }
        let longest = self.plan.heal_at.saturating_mul(HEAL_TIMES);
        if self.plan.calm_at.is_some() && self.now < longest {
            self.push_in(self.plan.heal_at, Event::Heal);
            return Ok(());
        }
        self.heal()
    }

    /// Faults stop; poison stays.
    #[inline(never)]
    pub(super) fn heal(&mut self) -> Checked {
        self.silent |= self.plan.calm_at.is_some();
        self.note(|_, out| out.push_str("             faults stop\n"));
        self.fate.heal();
        self.checker
            .rules
            .hold(Rule::Canary, !self.is_canary(), || {
                format!("at={}: a deliberate fault of the simulator", self.now)
            })?;
        self.stage = Stage::Calm;
        self.push_in(self.plan.patience, Event::Watchdog);
        self.push_in(5_000_000, Event::Tidy);
        self.end_hanging();
        for member in 0..self.plan.members {
            self.push_in(1_000_000, Event::Restart { member });
            let process = &mut self.members[member as usize];
            process.paused_until = process.paused_until.min(self.now + 5_000_000);
            let life = process.life;
            // Everybody looks around: timers that were lost with their lateness are set again.
            self.push_in(2_000_000, Event::Timer { member, life });
            for partition in 0..self.plan.config.partitions {
                let owned = self.seats[partition as usize].is_some_and(|s| s.member == member);
                let believed = self.members[member as usize].feeds[partition as usize].epoch;
                if let (false, Some(epoch)) = (owned, believed) {
                    self.push_in(
                        1_000_000,
                        Event::Fenced {
                            member,
                            life,
                            partition,
                            epoch,
                        },
                    );
                }
            }
        }
        for partition in 0..self.plan.config.partitions {
            self.push_in(3_000_000, Event::Assign { partition });
        }
        Ok(())
    }
}

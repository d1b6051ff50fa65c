//! The machine as a whole.

use alloc::vec;
use alloc::vec::Vec;

use super::super::flow::Account;
use super::super::outputs::{Drained, Stats};
use super::super::partition::Partition;
use super::super::slab::{NONE, State};
use super::super::window::Window;
use super::super::{Consumer, WakeReason};
use super::io::{Fault, Io, Reader, Writer, told};
use super::need;
use super::partitions::round_fields;
use super::windows::Taken;
use crate::{Limits, Time};

const REASONS: [WakeReason; 7] = [
    WakeReason::Retry,
    WakeReason::Handler,
    WakeReason::Commit,
    WakeReason::Session,
    WakeReason::Deadline,
    WakeReason::Stall,
    WakeReason::Gap,
];

/// What is not a structure of its own.
struct Rest<'a> {
    limits: &'a mut Limits,
    now: &'a mut Time,
    remember_until: &'a mut Time,
    deadline: &'a mut (Time, Time),
    handlers_at: &'a mut Time,
    partitions_at: &'a mut Time,
    partitions_why: &'a mut WakeReason,
    stalls_at: &'a mut Time,
    stall_due: &'a mut Time,
    draining: &'a mut Option<Time>,
    drained: &'a mut Drained,
    drained_reported: &'a mut bool,
    stats: &'a mut Stats,
}

impl Rest<'_> {
    fn fields<I: Io>(self, io: &mut I) -> Result<(), Fault> {
        let Limits {
            messages,
            bytes,
            partition_messages,
            partition_bytes,
            low_water_percent,
        } = self.limits;
        io.u32(messages)?;
        io.u64(bytes)?;
        io.u32(partition_messages)?;
        io.u64(partition_bytes)?;
        io.u8(low_water_percent)?;
        for time in [
            self.now,
            self.remember_until,
            &mut self.deadline.0,
            &mut self.deadline.1,
            self.handlers_at,
            self.partitions_at,
            self.stalls_at,
            self.stall_due,
        ] {
            io.time(time)?;
        }
        io.choice(self.partitions_why, &REASONS)?;
        io.maybe(self.draining, Time::ZERO, I::time)?;
        let Drained {
            handed_back,
            abandoned,
        } = self.drained;
        io.u32(handed_back)?;
        io.u32(abandoned)?;
        io.flag(self.drained_reported)?;
        let Stats {
            // Answered from what is held.
            held: _,
            held_bytes: _,
            running,
            done,
            failed,
            dead,
            expired,
            passed,
            duplicates,
            behind,
            late,
            gaps,
            unsequenced,
            forgotten,
            replayed,
            void,
            window: _,
            identities: _,
            lanes: _,
            ahead: _,
            sequences: _,
            parked_keys: _,
        } = self.stats;
        io.u32(running)?;
        for count in [
            done,
            failed,
            dead,
            expired,
            passed,
            duplicates,
            behind,
            late,
            gaps,
            unsequenced,
            forgotten,
            replayed,
            void,
        ] {
            io.u64(count)?;
        }
        Ok(())
    }
}

impl<M> Consumer<M> {
    pub(super) fn write(&self, to: &mut Writer<'_>, message: impl FnMut(&M, &mut Vec<u8>)) {
        let Self {
            // Whoever restores it brings the configuration.
            config: _,
            limits,
            now,
            remember_until,
            // With the slots.
            slab: _,
            lanes: _,
            timers: _,
            identities,
            pool,
            parking,
            // With the slots.
            expiry: _,
            sequences,
            suspects,
            partitions,
            sessions,
            commits,
            releases,
            flows,
            shut,
            cancels,
            abandons,
            letters,
            copies,
            passes,
            gaps,
            notices,
            credit,
            round,
            // Counted.
            blockless: _,
            deadline,
            handlers_at,
            partitions_at,
            partitions_why,
            stalls_at,
            stall_due,
            draining,
            drained,
            drained_reported,
            stats,
        } = self;
        let rest = Rest {
            limits: &mut { *limits },
            now: &mut { *now },
            remember_until: &mut { *remember_until },
            deadline: &mut { *deadline },
            handlers_at: &mut { *handlers_at },
            partitions_at: &mut { *partitions_at },
            partitions_why: &mut { *partitions_why },
            stalls_at: &mut { *stalls_at },
            stall_due: &mut { *stall_due },
            draining: &mut { *draining },
            drained: &mut { *drained },
            drained_reported: &mut { *drained_reported },
            stats: &mut { *stats },
        };
        told(rest.fields(to));
        for part in partitions {
            // Those that were never ours are as they were made, but for their weights.
            told(to.u32(&mut { part.weight }));
            told(to.flag(&mut { part.known }));
            if part.known {
                told(part.clone().fields(to));
                part.window.write(pool, to);
                match &part.resumed {
                    Some(resumed) => resumed.write(pool, to),
                    None => to.put(0),
                }
            }
        }
        self.write_slots(to, message);
        identities.write(to);
        parking.write(to);
        sequences.write(to);
        suspects.write(to);
        for set in [
            sessions, commits, releases, flows, shut, cancels, abandons, letters, copies, passes,
            gaps,
        ] {
            set.write(to);
        }
        notices.write(to);
        let walk = (&mut { *round }, &mut { credit.moved });
        told(round_fields(walk, partitions.len(), to));
        let Account {
            // What follows from the limits, and from what is held.
            spare_messages: _,
            spare_bytes: _,
            used_bytes: _,
            plain_bytes: _,
            plain_bytes_end: _,
            overdraft,
            refunded,
            // With the round.
            moved: _,
        } = credit;
        to.put(*overdraft);
        told(to.flag(&mut { *refunded }));
    }

    /// Into a new one.
    pub(super) fn read(
        &mut self,
        from: &mut Reader<'_>,
        message: impl FnMut(&[u8]) -> Option<M>,
    ) -> Result<(), Fault> {
        let rest = Rest {
            limits: &mut self.limits,
            now: &mut self.now,
            remember_until: &mut self.remember_until,
            deadline: &mut self.deadline,
            handlers_at: &mut self.handlers_at,
            partitions_at: &mut self.partitions_at,
            partitions_why: &mut self.partitions_why,
            stalls_at: &mut self.stalls_at,
            stall_due: &mut self.stall_due,
            draining: &mut self.draining,
            drained: &mut self.drained,
            drained_reported: &mut self.drained_reported,
            stats: &mut self.stats,
        };
        rest.fields(from)?;
        let most = &self.config.limits;
        let limits = &self.limits;
        let inside = (1..=most.messages).contains(&limits.messages)
            && (1..=most.bytes).contains(&limits.bytes)
            && (1..=100).contains(&limits.low_water_percent);
        need(inside, "the limits are beyond those of the configuration")?;
        self.pool.fill();
        let mut taken = self.pool.none_taken();
        for index in 0..self.partitions.len() {
            self.read_partition(index, &mut taken, from)?;
        }
        self.pool.free_rest(&taken);
        self.read_slots(from, message)?;
        let holds = self.check_entries()?;
        self.identities.read(from, &holds)?;
        self.parking.read(from)?;
        self.read_sequences(from)?;
        self.suspects.read(from)?;
        self.read_levels(from)?;
        let partitions = self.partitions.len();
        let (mut round, mut moved) = (self.round, true);
        round_fields((&mut round, &mut moved), partitions, from)?;
        let (mut overdraft, mut refunded) = (NONE, false);
        from.u32(&mut overdraft)?;
        from.flag(&mut refunded)?;
        need(from.0.is_empty(), "something is left over")?;
        self.sum_up();
        self.credit.overdraft = overdraft;
        self.share_out();
        self.credit.refunded = refunded;
        self.credit.moved = moved;
        self.round = round;
        Ok(())
    }

    fn read_partition(
        &mut self,
        index: usize,
        taken: &mut Taken,
        from: &mut Reader<'_>,
    ) -> Result<(), Fault> {
        let (mut weight, mut known) = (0, false);
        from.u32(&mut weight)?;
        let inside = (1..=super::super::WEIGHT_MAX).contains(&weight);
        need(inside, "a weight is out of range")?;
        self.partitions[index].weight = weight;
        from.flag(&mut known)?;
        if !known {
            return Ok(());
        }
        let mut part = Partition::closed();
        part.weight = weight;
        part.fields(from)?;
        need(part.known, "a partition is known and is not")?;
        let identities = self.identities.capacity();
        part.window = Window::read(from, &mut self.pool, taken, identities)?;
        part.resumed = super::super::partition::Resumed::read(from, &mut self.pool, taken)?;
        self.partitions[index] = part;
        Ok(())
    }

    fn read_levels(&mut self, from: &mut Reader<'_>) -> Result<(), Fault> {
        let partitions = self.partitions.len();
        for set in [
            &mut self.sessions,
            &mut self.commits,
            &mut self.releases,
            &mut self.flows,
            &mut self.shut,
        ] {
            set.read(from, partitions, |_| true)?;
        }
        let slots = &self.slab.slots;
        let is = |states: &'static [State]| move |i: usize| states.contains(&slots[i].hot.state);
        let all = slots.len();
        let stopping = is(&[State::Stopping, State::Orphan]);
        self.cancels.read(from, all, stopping)?;
        self.abandons
            .read(from, all, is(&[State::Stopping, State::Orphan]))?;
        self.letters.read(from, all, is(&[State::Burying]))?;
        self.copies.read(from, all, is(&[State::Copied]))?;
        self.passes.read(from, all, is(&[State::Passed]))?;
        self.gaps.read(from, all, is(&[State::Ahead]))?;
        self.notices.read(from, partitions)
    }

    /// Each held message has an unfinished entry of its partition to itself. Returns how many
    /// messages hold the identity at each place.
    fn check_entries(&self) -> Result<Vec<u32>, Fault> {
        const WRONG: Fault = "a message is not where its window has it";
        let mut owners = vec![NONE; self.pool.blocks.len()];
        for (index, part) in self.partitions.iter().enumerate() {
            part.window.own(&self.pool, &mut owners, index as u32);
        }
        let mut seen: Vec<u64> = vec![0; self.pool.blocks.len()];
        for hot in self.slab.slots.iter().map(|s| &s.hot) {
            if matches!(hot.state, State::Free | State::Orphan) {
                continue;
            }
            let window = &self.partitions[usize::from(hot.partition)].window;
            let holds = window.holds(&self.pool, hot.entry, &owners, hot.partition.into());
            need(holds, WRONG)?;
            let (block, bit) = (hot.entry as usize / 64, 1 << (hot.entry % 64));
            need(seen[block] & bit == 0, WRONG)?;
            seen[block] |= bit;
        }
        let mut holds = vec![0; self.identities.capacity()];
        for hot in self.slab.slots.iter().map(|s| &s.hot) {
            let Some(place) = self.place_of(hot) else {
                continue;
            };
            *holds.get_mut(place as usize).ok_or(WRONG)? += 1;
        }
        Ok(holds)
    }

    /// What follows from the rest.
    fn sum_up(&mut self) {
        for (index, part) in self.partitions.iter_mut().enumerate() {
            part.parked = self.parking.taken(index) > 0;
            part.gate();
            (part.used_messages, part.used_bytes) = (0, 0);
        }
        self.credit.used_bytes = 0;
        for slot in &self.slab.slots {
            let bytes = u64::from(slot.cold.bytes);
            if slot.hot.state == State::Free {
                continue;
            }
            // Of an orphan the bus is charged, and no partition.
            if slot.hot.state != State::Orphan {
                self.pool.tell_digest(slot.hot.entry, &self.identities);
                let part = &mut self.partitions[usize::from(slot.hot.partition)];
                part.used_messages += 1;
                part.used_bytes += bytes;
            }
            self.credit.used_bytes += bytes;
        }
        let parts = self.partitions.iter();
        self.blockless = parts.filter(|p| p.window.blocks() == 0).count() as u32;
    }
}

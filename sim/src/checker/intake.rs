//! Opening, sessions, and what becomes of offers.

use procession_core::{Admit, Arrival, NoticeKind, Order, Start};

use super::{Checked, Checker, Fact, Opening, State, Tenure};
use crate::log::{Entry, Log};
use crate::rule::{Rule, Rules};

impl Checker {
    pub(crate) fn opened(&mut self, member: usize, partition: u32, opening: Opening) {
        self.ended(member, partition);
        self.tally.opened += 1;
        // A map over a far hole takes more of the pool than a window does, and others go without.
        let reach = opening
            .ranges
            .last()
            .map_or(0, |r| r.1.saturating_sub(opening.floor));
        self.roomy &= reach <= u64::from(self.config.window.next_multiple_of(64));
        self.processes[member].tenures[partition as usize] = Some(Tenure::new(opening));
    }

    /// A tenure ends: nothing of its epoch may start or be committed any more (S5); handlers that
    /// still run are orphans, whose results change nothing (S6).
    pub(crate) fn ended(&mut self, member: usize, partition: u32) {
        let process = &mut self.processes[member];
        if let Some(tenure) = process.tenures[partition as usize].take() {
            process.epochs[partition as usize] = Some(tenure.epoch);
        }
        process.orphan_calls(partition);
        for run in process.runs.iter_mut().filter(|r| r.partition == partition) {
            run.orphan = true;
        }
    }

    /// The core asks for a session.
    pub(crate) fn session_asked(
        &mut self,
        member: usize,
        start: &Start,
        log: &Log,
        now: u64,
    ) -> Checked {
        self.tally.sessions += 1;
        let partition = start.partition.0;
        let at = &|| format!("partition={partition} epoch={} at={now}", start.epoch.0);
        let rules = &self.rules;
        let tenures = &mut self.processes[member].tenures;
        let Some(tenure) = tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::SessionAfterTheEnd, false, at);
        };
        rules.hold(Rule::SessionAfterTheEnd, true, at)?;
        let same = start.epoch.0 == tenure.epoch;
        rules.hold(Rule::SessionOfAnotherEpoch, same, at)?;
        rules.hold(Rule::StoppedGoesOn, tenure.stopped.is_none(), at)?;
        rules.hold(Rule::SessionWhileStopping, tenure.stopping.is_none(), at)?;
        let grows = start.session.0 > tenure.session;
        rules.hold(Rule::SessionDidNotGrow, grows, at)?;
        // Overlap by one: without it, what a rewritten log holds would be skipped in silence.
        let known =
            !tenure.untold && (tenure.received || (tenure.opening.anchored && !tenure.bumped));
        let overlaps = !known || start.expect.is_some();
        rules.hold(Rule::SessionWithoutOverlap, overlaps, at)?;
        tenure.blind = start.expect.is_none();
        if tenure.blind {
            // Nobody can tell what stood below.
            let blind = start.at.0.min(tenure.reach);
            tenure.opening.floor = tenure.opening.floor.max(blind);
            if log.rewrites > 0 {
                for e in log.between(0, blind) {
                    self.facts[e as usize].excused = true;
                }
            }
        }
        tenure.session = start.session.0;
        tenure.next_delivery = None;
        tenure.gap = false;
        Ok(())
    }

    /// What the log holds from a position that it does not, to its end, is not delivered: its owner
    /// wants it so.
    pub(crate) fn passed_over(
        &mut self,
        member: usize,
        partition: u32,
        (recorded, end): (u64, u64),
        log: &Log,
    ) {
        for e in log.between(recorded, end) {
            self.facts[e as usize].excused = true;
        }
        if let Some(tenure) = self.tenure(member, partition) {
            tenure.opening.floor = end;
            tenure.opening.recorded = end;
            tenure.opening.anchored = false;
            tenure.opening.ranges.clear();
            tenure.opening.digests.clear();
            tenure.reach = end;
            tenure.begun = end;
        }
    }

    /// Whether the core owns the partition and is not giving it up.
    pub(crate) fn goes_on(&mut self, member: usize, partition: u32) -> bool {
        self.tenure(member, partition)
            .is_some_and(|t| t.stopping.is_none())
    }

    /// The adapter reports that a session began.
    pub(crate) fn session_began(&mut self, member: usize, partition: u32, session: u64, log: &Log) {
        if let Some(tenure) = self
            .tenure(member, partition)
            .filter(|t| t.session == session)
        {
            tenure.next_delivery = Some(1);
            tenure.untold = false;
            // A session without overlap shows nothing until its messages arrive.
            if !tenure.blind {
                tenure.seen = log.rewrites;
                tenure.unshown = false;
                tenure.doubted = None;
            }
        }
    }

    /// The adapter reports that the anchor is gone. In a rewritten log nobody can tell what stands
    /// below the frontier.
    pub(crate) fn cannot_tell(&mut self, member: usize, partition: u32, frontier: u64, log: &Log) {
        if let Some(tenure) = self.tenure(member, partition) {
            tenure.untold = true;
            tenure.unshown = true;
            if tenure.delivered > frontier {
                tenure.doubts = true;
                tenure.doubted = Some(frontier);
            }
        }
        let tenures = &mut self.processes[member].tenures;
        if let Some(tenure) = tenures[partition as usize]
            .as_mut()
            .filter(|_| log.rewrites > 0)
        {
            tenure.opening.anchored = false;
            tenure.opening.floor = tenure.opening.floor.max(frontier);
            for e in log.between(0, frontier) {
                self.facts[e as usize].excused = true;
            }
        }
    }

    /// The adapter reports that the session ended; what still comes of it is void.
    pub(crate) fn session_broke(&mut self, member: usize, partition: u32, session: u64) {
        if let Some(tenure) = self
            .tenure(member, partition)
            .filter(|t| t.session == session)
        {
            tenure.next_delivery = None;
        }
    }

    /// The core begins a new epoch: what it held comes again, what runs changes nothing any more.
    pub(crate) fn rewritten(&mut self, member: usize, partition: u32, from: u64) {
        self.tally.rewrites += 1;
        self.processes[member].orphan_calls(partition);
        for run in &mut self.processes[member].runs {
            run.orphan |= run.partition == partition;
        }
        if let Some(tenure) = self.tenure(member, partition) {
            tenure.rewritten(from);
        }
    }

    /// Before an offer: whether it must be void, and whether it reveals a lost delivery.
    pub(crate) fn arrives(&mut self, member: usize, arrival: &Arrival<u32>) -> bool {
        let partition = arrival.partition.0;
        let Some(tenure) = self.tenure(member, partition) else {
            return true;
        };
        if arrival.epoch.0 != tenure.epoch || arrival.session.0 != tenure.session || tenure.gap {
            return true;
        }
        let (Some(expected), Some(number)) = (tenure.next_delivery, arrival.delivery) else {
            return tenure.next_delivery.is_none();
        };
        if number > expected && tenure.stopping.is_none() {
            tenure.gap = true;
            // A core that cannot tell may want another session already, which brings what is lost.
            if !tenure.untold {
                self.expect_notice(member, partition, &[NoticeKind::Gap]);
            }
        }
        number > expected
    }

    /// What became of an offer; `void` says that it had to be void.
    pub(crate) fn admitted(
        &mut self,
        member: usize,
        arrival: &Arrival<u32>,
        (void, admit): (bool, Admit),
        all: &[Entry],
        logs: &[Log],
        now: u64,
    ) -> Checked {
        let (e, partition) = (arrival.message, arrival.partition.0);
        let entry = &all[e as usize];
        let at = &|| {
            format!(
                "key={:?} msg={e} partition={partition} position={} at={now}",
                entry.key, entry.position
            )
        };
        let rules = &self.rules;
        let stays = !void || admit == Admit::Void;
        rules.hold(Rule::StaleArrival, stays, || format!("{}: {admit:?}", at()))?;
        if admit == Admit::Void {
            // A core that cannot tell may want another session already, which brings this again.
            let tenure = self.processes[member].tenures[partition as usize].as_mut();
            if let Some(tenure) = tenure.filter(|t| t.untold) {
                tenure.gap |= !void;
            }
            return Ok(());
        }
        let process = &mut self.processes[member];
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::ArrivalWithoutTenure, false, at);
        };
        rules.hold(Rule::ArrivalWithoutTenure, true, at)?;
        if let (Some(number), Some(next)) = (arrival.delivery, tenure.next_delivery.as_mut()) {
            *next = number + 1;
        }
        let rewritten = logs[partition as usize].rewrites > 0;
        // Its position may be that of something finished; the message is not.
        let another = tenure.names_another(entry.position, arrival.identity);
        let told = !another || !self.roomy || admit == Admit::Replayed;
        rules.hold(Rule::RewriteNotTold, told, at)?;
        tenure.received = true;
        tenure.reach = tenure.reach.max(entry.position + 1);
        tenure.came_to(entry.position + 1);
        tenure.delivered = tenure.delivered.max(entry.position + 1);
        match admit {
            Admit::Void => {}
            Admit::Queued => {
                let again = tenure.state(e) == State::Finished && tenure.bumped;
                let new = tenure.state(e) == State::Unseen || again;
                rules.hold(Rule::TakenInTwice, new, at)?;
                let covered = !rewritten && tenure.covers(entry.position, self.roomy);
                rules.hold(Rule::CoveredByCommit, !covered, at)?;
                tenure.set(e, State::Held);
                if self.config.sequence.is_some() {
                    tenure.sequences.taken_in(e, now);
                }
                let alone = tenure.held == 1;
                let counted = self.config.key_messages < u32::MAX;
                let within = alone
                    || !counted
                    || self.held_of_lane(member, entry.lane, all) <= self.config.key_messages;
                rules.hold(Rule::MoreOfAKey, within, at)?;
            }
            Admit::Duplicate => {
                let age = self.config.dedupe.age.as_nanos();
                let mut recent = process.successes.iter().rev();
                let copy =
                    recent.any(|&(i, t)| i == entry.identity && now.saturating_sub(t) <= age);
                rules.hold(Rule::CalledACopy, copy, at)?;
                self.tally.duplicates += 1;
                tenure.set(e, State::Finished);
                self.facts[e as usize].resolved = true;
            }
            Admit::Replayed if tenure.state(e) == State::Finished => {
                tenure.seen_finished(entry, all);
            }
            Admit::Replayed if tenure.state(e) != State::Unseen => {}
            Admit::Replayed => {
                // Where nothing tells what the log is, a position is known by what stood there; holes
                // that an earlier session told of are not known any more.
                let told = (tenure.inherited(entry.position) && !another)
                    || (rewritten
                        && (entry.position < tenure.begun
                            || (tenure.blind && tenure.knew(entry, all))));
                rules.hold(Rule::CalledFinished, told, at)?;
                tenure.set(e, State::Finished);
                tenure.seen_finished(entry, all);
                excuse(rules, &mut self.facts, e, rewritten, at)?;
            }
        }
        Ok(())
    }

    /// Messages of a key's lane that a process holds; those without a key are not counted.
    fn held_of_lane(&self, member: usize, lane: u64, all: &[Entry]) -> u32 {
        let ordered = self.config.order == Order::Key;
        let tenures = self.processes[member].tenures.iter().flatten();
        let held = tenures.flat_map(|t| {
            all.iter()
                .zip(0..)
                .filter(|(_, e)| t.state(*e) == State::Held)
        });
        let of = held.filter(|(m, _)| ordered && m.key.is_some() && m.lane == lane);
        of.count() as u32
    }

    /// A copy that was recognised when its turn came.
    #[inline(never)]
    pub(crate) fn duplicate(
        &mut self,
        member: usize,
        partition: u32,
        e: u32,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let entry = &all[e as usize];
        let at = &|| format!("key={:?} msg={e} partition={partition} at={now}", entry.key);
        self.tally.duplicates += 1;
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::DuplicateAfterTheEnd, false, at);
        };
        rules.hold(Rule::DuplicateAfterTheEnd, true, at)?;
        let copy = process.successes.iter().any(|&(i, _)| i == entry.identity);
        let held = tenure.state(e) == State::Held;
        rules.hold(Rule::CalledACopy, copy && held, at)?;
        tenure.set(e, State::Finished);
        tenure.sequences.pass(entry);
        self.facts[e as usize].resolved = true;
        Ok(())
    }
}

/// A message that is covered only by its position must have been resolved, unless its log was
/// rewritten where nobody could tell.
pub(super) fn excuse(
    rules: &Rules,
    facts: &mut [Fact],
    e: u32,
    rewritten: bool,
    at: impl FnOnce() -> String,
) -> Checked {
    let fact = &mut facts[e as usize];
    let told = fact.resolved || fact.excused || rewritten;
    rules.hold(Rule::SkippedByProgress, told, at)?;
    fact.excused |= !fact.resolved;
    Ok(())
}

//! From the core to the world: everything that it asks for, after every event.

use procession_core::{Flow, NoticeKind, PartitionId, Position, ProgressMap, Time};

use super::World;
use super::commits::letter_parts;
use crate::checker::Checked;
use crate::event::Event;
use crate::plan::Flavour;
use crate::rule::Rule;
use crate::site::Site;
use crate::verdict::Verdict;

/// Polls of one event; more means that the core asks for the same again and again.
const ROUNDS_MAX: u32 = 64;

/// Events from one question about the core's own invariants to the next.
const AUDIT_EVERY: u64 = 32;

impl World {
    /// After an event of a process: asks its core for everything, and holds it to its promises.
    pub(super) fn after(&mut self, member: u32) -> Checked {
        self.look_after(member, false)
    }

    /// As [`after`](Self::after); `poked`: this is what a lazy one before has left.
    pub(super) fn look_after(&mut self, member: u32, poked: bool) -> Checked {
        let m = member as usize;
        // Neither died nor was told anything since the last look: it is as it was.
        if self.members[m].core.as_ref().is_none_or(|c| !c.is_fresh()) {
            return Ok(());
        }
        let n = self.now;
        // A poke is itself never lazy, so that what was left lying is asked for in the end.
        let lazy = !poked && self.fate.decide(Site::LazyPoll, n, u64::from(member));
        if lazy {
            let life = self.members[m].life;
            let late = self.latency(Site::LazyPoll, n, u64::from(member));
            self.push_in(late, Event::Poke { member, life });
        }
        for round in 0.. {
            let ends = round <= ROUNDS_MAX;
            self.checker
                .rules
                .hold(Rule::OutputsWithoutEnd, ends, || format!("at={}", self.now))?;
            if !ends {
                break;
            }
            let process = &self.members[m];
            let full = process.running >= self.plan.concurrency;
            let Some(core) = &process.core else { break };
            let quiet = core.is_quiet(full);
            if quiet && !self.events.is_multiple_of(AUDIT_EVERY) {
                break;
            }
            let any = self.ask(member, lazy, quiet)?;
            if let (true, Some(core)) = (any, &self.members[m].core) {
                core.turn();
            }
            if any && quiet {
                let what = "L6: a core that says that it is quiet has something to say";
                return Err(Verdict::invariant(what, format!("at={}", self.now)).into());
            }
            if !any || self.members[m].core.is_none() {
                break;
            }
        }
        if let Some(core) = &self.members[m].core {
            core.refresh(lazy);
        }
        self.ask_grants(member)?;
        self.audit(member)
    }

    /// Asks for everything once; whether there was anything. A core that says that it is `quiet` is held to
    /// it; of another it is believed.
    fn ask(&mut self, member: u32, lazy: bool, quiet: bool) -> Checked<bool> {
        let m = member as usize;
        let time = self.time();
        let mut any = false;
        macro_rules! core {
            () => {
                match &mut self.members[m].core {
                    Some(core) => core,
                    None => return Ok(false),
                }
            };
        }
        while let Some(token) = core!().poll_cancel() {
            any = true;
            self.cancel(member, token)?;
        }
        while let Some(token) = core!().poll_abandon() {
            any = true;
            self.forget_handler(member, token)?;
        }
        if !lazy {
            while let Some(start) = core!().poll_session(time) {
                any = true;
                self.session_asked(member, start)?;
            }
            while self.members[m].running < self.plan.concurrency
                && let Some(dispatch) = core!().poll_dispatch(time)
            {
                any = true;
                let token = dispatch.token;
                self.started(member, dispatch, None)?;
                while self.plan.config.batch_key > 1
                    && let Some(dispatch) = core!().poll_follow(time, token)
                {
                    self.started(member, dispatch, Some(token))?;
                }
            }
            while let Some(letter) = core!().poll_dead_letter() {
                any = true;
                let parts = letter_parts(&letter);
                self.burial_sent(member, parts)?;
            }
        }
        // Mostly there was a message to start, and nothing else.
        if !quiet && core!().is_quiet(true) {
            return Ok(any);
        }
        if self.plan.config.sequence.is_some() {
            while let Some(gap) = core!().poll_gap(time) {
                any = true;
                self.gap_told(member, &gap)?;
            }
        }
        while let Some(copy) = core!().poll_duplicate(time) {
            any = true;
            let (partition, e) = (copy.partition.0, copy.message);
            if copy.by_sequence {
                self.checker
                    .behind(m, partition, e, &self.entries, self.now)?;
                continue;
            }
            self.checker
                .duplicate(m, partition, e, &self.entries, self.now)?;
        }
        while let Some(passed) = core!().poll_passed(time) {
            any = true;
            let (partition, e) = (passed.partition.0, passed.message);
            let entry = self.entries[e as usize];
            self.checker
                .passed(m, partition, (e, passed.why), &entry, self.now)?;
        }
        if !lazy {
            let mut buffer = std::mem::take(&mut self.map_buffer);
            while let Some(commit) = core!().poll_commit(time, &mut buffer) {
                any = true;
                let map = buffer[..commit.map_len].to_vec();
                self.commit(member, commit, map)?;
            }
            self.map_buffer = buffer;
        }
        // Before releases: they name the handlers that were left behind.
        while let Some(notice) = core!().poll_notice() {
            any = true;
            self.note(|_, out| out.push_str(&format!("             m{member} {notice:?}\n")));
            self.noticed(member, notice.partition, notice.kind, notice.position)?;
        }
        while let Some(release) = core!().poll_release() {
            any = true;
            self.note(|_, out| out.push_str(&format!("             m{member} {release:?}\n")));
            self.mark(release.frontier.0, 54, u64::from(release.handed_back));
            self.checker.released(m, &release, self.now)?;
            self.give_up(member, release.partition.0);
        }
        while let Some(flow) = core!().poll_flow() {
            any = true;
            self.checker.flow(m, flow, self.now)?;
            let (partition, paused) = match flow {
                Flow::Pause(p) => (p.0, true),
                Flow::Resume(p) => (p.0, false),
            };
            self.members[m].feeds[partition as usize].paused = paused;
        }
        if let Some(drained) = core!().poll_drained() {
            self.checker.drained(m, drained, self.now)?;
            self.exit(member)?;
            return Ok(false);
        }
        Ok(any)
    }

    /// Asks for grants, when all else was asked for: what follows of them is up to the feeds. Feeds that
    /// push need none.
    fn ask_grants(&mut self, member: u32) -> Checked {
        if self.plan.flavour == Flavour::Kafka {
            return Ok(());
        }
        let m = member as usize;
        while let Some(core) = &mut self.members[m].core
            && let Some(grant) = core.poll_grant()
        {
            core.turn();
            self.mark(grant.messages, 56, grant.bytes);
            self.granted(member, grant)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn noticed(
        &mut self,
        member: u32,
        partition: PartitionId,
        kind: NoticeKind,
        at: Position,
    ) -> Checked {
        self.mark(kind as u64, 55, at.0);
        self.checker
            .noticed(member as usize, partition.0, kind, self.now)?;
        if kind == NoticeKind::OutOfRange {
            self.call_operator(member, partition.0, at.0);
        }
        if kind == NoticeKind::Abandoned {
            self.checker
                .left_behind(member as usize, partition.0, self.now)?;
        }
        Ok(())
    }

    #[inline(never)]
    fn commit(&mut self, member: u32, commit: procession_core::Commit, map: Vec<u8>) -> Checked {
        let p = commit.partition.0 as usize;
        let read = ProgressMap::read(&map, commit.frontier);
        if !map.is_empty() {
            let story = || format!("{commit:?} at={}", self.now);
            let rules = &self.checker.rules;
            rules.hold(Rule::MapUnreadable, read.is_some(), story)?;
        }
        let ranges = read.as_ref().map_or_else(Vec::new, ProgressMap::ranges);
        let ranges = ranges.into_iter().map(|(from, to)| (from.0, to.0));
        let ranges: Vec<(u64, u64)> = ranges.collect();
        self.mark(commit.frontier.0, 53, commit.write);
        self.note(|_, out| {
            out.push_str(&format!("             m{member} {commit:?} {ranges:?}\n"))
        });
        let (entries, log) = (&self.entries, &self.logs[p]);
        self.checker
            .commit_asked(member as usize, &commit, &ranges, entries, log, self.now)?;
        let keys: Vec<_> = read.iter().flat_map(ProgressMap::parked).collect();
        self.checker
            .parked_told(member as usize, commit.partition.0, &keys, self.now)?;
        self.commit_sent(member, commit, map);
        Ok(())
    }

    /// The adapter gives a partition up.
    #[inline(never)]
    fn give_up(&mut self, member: u32, partition: u32) {
        let m = member as usize;
        self.strand(member, partition);
        let epoch = self.members[m].feeds[partition as usize].epoch;
        self.members[m].feeds[partition as usize].close();
        let seat = &mut self.seats[partition as usize];
        if seat.is_some_and(|s| s.member == member && Some(s.epoch) == epoch) {
            *seat = None;
            let n = epoch.unwrap_or_default();
            let wait = self.latency(Site::Revoke, u64::from(partition), n);
            self.push_in(wait, Event::Assign { partition });
        }
    }

    /// The core is told the time, on time or not; then nothing may be overdue (L5).
    pub(super) fn tell_time(&mut self, member: u32) -> Checked {
        let m = member as usize;
        let time = self.time();
        if let Some(core) = &mut self.members[m].core {
            // It was asked for everything, and says that time alone changes nothing before then: what
            // it does all the same is seen with the next event.
            let wake = core.due().filter(|w| w.at > time && !core.is_fresh());
            core.handle_timeout(time);
            match wake {
                Some(wake) => {
                    core.refresh(false);
                    self.set_timer(member, wake.at);
                }
                None => self.look_after(member, true)?,
            }
        }
        // What was polled may have made something due at once; then it is told again, and that is
        // the end of it.
        for again in 0..4 {
            self.checker.rules.asks(Rule::TimerStandsStill);
            let Some(core) = &mut self.members[m].core else {
                return Ok(());
            };
            let Some(wake) = core.poll_timeout().filter(|w| w.at <= time) else {
                break;
            };
            if again == 3 {
                self.checker.rules.broken(Rule::TimerStandsStill, || {
                    format!("member={member} at={}: {wake:?}", self.now)
                })?;
            }
            core.handle_timeout(time);
            self.look_after(member, true)?;
        }
        if self.members[m].core.is_some() {
            self.checker.deadlines_kept(m, self.now)?;
            self.checker.gaps_are_told(m, &self.entries, self.now)?;
            self.checker.stalls_told(m, &self.plan.config, self.now)?;
        }
        Ok(())
    }

    /// Whether a timer for `at` could be set for sooner than the one that is set, be it early.
    fn is_sooner(&self, member: u32, at: u64) -> bool {
        let left = at.saturating_sub(self.now);
        let soonest = if left > 1_000_000 {
            self.now + left / 2
        } else {
            at
        };
        soonest.max(self.now + 1) < self.members[member as usize].wake
    }

    /// Holds the core to its bounds, and sets its timer.
    fn audit(&mut self, member: u32) -> Checked {
        let m = member as usize;
        let Some(core) = &mut self.members[m].core else {
            return Ok(());
        };
        // What is broken inside stays broken: now and then is often enough, and a fifth faster. Where
        // a report is written, it is asked at once.
        let asks = self.events.is_multiple_of(AUDIT_EVERY) || self.recorder.is_some();
        if self.plan.audit && asks {
            self.checker.rules.asks(Rule::Invariant);
            core.check_invariants().map_err(|what| {
                Verdict::invariant(what, format!("member={member} at={}", self.now))
            })?;
        }
        let wake = core.poll_timeout();
        let (rules, process) = (&self.checker.rules, &mut self.checker.processes[m]);
        for partition in 0..self.plan.config.partitions {
            let stall = core.stall(Time::from_nanos(self.now), PartitionId(partition));
            process.stall_seen(rules, (member, partition), stall, self.now)?;
        }
        process.notices_came(rules, self.now)?;
        process.check_stats(rules, &self.plan.config, core, self.now)?;
        if let Some(wake) = wake {
            self.set_timer(member, wake.at);
        }
        for partition in 0..self.plan.config.partitions {
            let feed = &self.members[m].feeds[partition as usize];
            if feed.wants_pump(self.logs[partition as usize].end) {
                self.may_pump(member, partition);
            }
        }
        Ok(())
    }

    /// Sets the timer of a process for when its core is due, unless it is set for sooner.
    fn set_timer(&mut self, member: u32, at: Time) {
        let at = at.as_nanos();
        if !self.is_sooner(member, at) {
            return;
        }
        let entity = u64::from(member);
        let left = at.saturating_sub(self.now);
        let early = left > 1_000_000 && self.fate.decide(Site::EarlyTimer, at, entity);
        let late = self.fate.decide(Site::LateTimer, at, entity);
        let set = if early {
            self.now + left / 2
        } else if late {
            at.saturating_add(self.latency(Site::LateTimer, at, entity) * 4)
        } else {
            at
        };
        let set = set.max(self.now + 1);
        let process = &mut self.members[member as usize];
        if set < process.wake && at < u64::MAX {
            process.wake = set;
            let life = process.life;
            self.push_at(set, Event::Timer { member, life });
        }
    }
}

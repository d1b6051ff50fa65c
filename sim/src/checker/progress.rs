//! Commits, releases, drains: S3, S5, L5.

use procession_core::{Commit, Drained, Flow, OnHung, Release};

use super::intake::excuse;
use super::{Checked, Checker, State};
use crate::log::{Entry, Log};
use crate::rule::Rule;

impl Checker {
    /// The core wants progress written; `ranges` is what its map says, decoded.
    pub(crate) fn commit_asked(
        &mut self,
        member: usize,
        commit: &Commit,
        ranges: &[(u64, u64)],
        all: &[Entry],
        log: &Log,
        now: u64,
    ) -> Checked {
        self.tally.commits += 1;
        let (partition, frontier) = (commit.partition.0, commit.frontier.0);
        let at = &|| {
            format!(
                "partition={partition} epoch={} write={} frontier={frontier} at={now}",
                commit.epoch.0, commit.write
            )
        };
        let rules = &self.rules;
        let Some(tenure) = self.processes[member].tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::CommitAfterTheEnd, false, at);
        };
        rules.hold(Rule::CommitAfterTheEnd, true, at)?;
        let same = commit.epoch.0 == tenure.epoch;
        rules.hold(Rule::CommitOfAnotherEpoch, same, at)?;
        rules.hold(Rule::StoppedGoesOn, tenure.stopped.is_none(), at)?;
        rules.hold(Rule::TwoCommits, tenure.outstanding.is_none(), at)?;
        tenure.outstanding = Some((commit.epoch.0, commit.write));
        rules.hold(Rule::CommitWentBack, frontier >= tenure.committed, at)?;
        tenure.committed = frontier;
        let stands = tenure
            .doubted
            .is_none_or(|f| frontier <= f && ranges.is_empty());
        rules.hold(Rule::CommitInDoubt, stands, || {
            format!("{}: {:?} {ranges:?}", at(), tenure.doubted)
        })?;
        let missed = tenure.unfinished_below(frontier, all, log);
        rules.hold(Rule::CommitCovers, missed.is_none(), || {
            let entry = missed.map(|e| &all[e as usize]);
            let (key, position) = (entry.map(|e| e.key), entry.map(|e| e.position));
            format!("{}: key={key:?} msg={missed:?} position={position:?}", at())
        })?;
        for &(from, to) in ranges {
            let mut inside = log.between(from, to);
            let missed = inside.find(|&e| !tenure.finished(e, all, log));
            rules.hold(Rule::MapCovers, missed.is_none(), || {
                let position = missed.map(|e| all[e as usize].position);
                format!(
                    "{}: msg={missed:?} position={position:?} in {from}..{to}",
                    at()
                )
            })?;
        }
        let below = commit.anchor.is_none_or(|a| a.position.0 < frontier);
        rules.hold(Rule::AnchorNotBelow, below, at)?;
        // Where all that came is finished, the last of it is known.
        let ended = tenure.delivered > 0 && tenure.delivered <= frontier && !tenure.doubts;
        let near = commit.anchor.map(|a| a.position.0 + 1) >= Some(tenure.delivered);
        rules.hold(Rule::AnchorFar, near || !ended, at)?;
        let ends = !commit.last || tenure.stopping.is_some();
        rules.hold(Rule::LastCommitGoesOn, ends, at)?;
        // What an earlier owner finished needs no second look, unless the log was rewritten.
        let checked = tenure.checked;
        tenure.checked = checked.max(frontier);
        for e in log.between(checked, frontier) {
            excuse(rules, &mut self.facts, e, log.rewrites > 0, at)?;
        }
        Ok(())
    }

    /// The answer to a commit was given to the core.
    pub(crate) fn commit_answered(&mut self, member: usize, commit: &Commit, stored: bool) {
        if let Some(tenure) = self.tenure(member, commit.partition.0)
            && tenure.outstanding == Some((commit.epoch.0, commit.write))
        {
            tenure.outstanding = None;
            if stored && tenure.epoch == commit.epoch.0 {
                tenure.confirmed = tenure.confirmed.max(Some(commit.frontier.0));
            }
        }
    }

    /// The core leaves handlers of a partition behind, because the hand-over cannot wait.
    pub(crate) fn left_behind(&mut self, member: usize, partition: u32, now: u64) -> Checked {
        let process = &mut self.processes[member];
        process.orphan_calls(partition);
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return Ok(());
        };
        for run in process
            .runs
            .iter_mut()
            .filter(|r| r.partition == partition && !r.orphan)
        {
            let due = now >= tenure.abandon_at;
            self.rules.hold(Rule::LeftBehindTooEarly, due, || {
                format!("msg={} partition={partition} at={now}", run.entry)
            })?;
            run.orphan = true;
            tenure.abandoned += 1;
            tenure.set(run.entry, State::Unseen);
        }
        Ok(())
    }

    /// The core gives a partition up.
    #[inline(never)]
    pub(crate) fn released(&mut self, member: usize, release: &Release, now: u64) -> Checked {
        self.tally.released += 1;
        let partition = release.partition.0;
        let at = &|| format!("partition={partition} at={now}: {release:?}");
        let (rules, process) = (&self.rules, &self.processes[member]);
        let Some(tenure) = &process.tenures[partition as usize] else {
            return rules.hold(Rule::ReleasedTwice, false, at);
        };
        rules.hold(Rule::ReleasedTwice, true, at)?;
        let same = release.epoch.0 == tenure.epoch;
        rules.hold(Rule::ReleaseOfAnotherEpoch, same, at)?;
        rules.hold(Rule::ReleasedUnasked, tenure.stopping.is_some(), at)?;
        let running = process
            .runs
            .iter()
            .any(|r| r.partition == partition && !r.orphan);
        let left = !running && release.abandoned == tenure.abandoned;
        rules.hold(Rule::ReleaseWhileRunning, left, at)?;
        let counted = release.handed_back == tenure.held;
        rules.hold(Rule::ReleaseMiscounts, counted, || {
            format!("{}: held={}", at(), tenure.held)
        })?;
        // With nothing confirmed, "committed" can only mean that there was nothing to write.
        let floor = tenure.confirmed.unwrap_or(tenure.opening.floor);
        let stored = !release.committed || tenure.committed <= floor;
        rules.hold(Rule::ReleaseClaims, stored, at)?;
        self.ended(member, partition);
        Ok(())
    }

    /// After the core was told the time: nothing is overdue.
    pub(crate) fn deadlines_kept(&self, member: usize, now: u64) -> Checked {
        let process = &self.processes[member];
        for (partition, tenure) in process.tenures.iter().enumerate() {
            if let Some(deadline) = tenure.as_ref().and_then(|t| t.stopping) {
                self.rules.hold(Rule::NotReleased, now < deadline, || {
                    format!("partition={partition} deadline={deadline} at={now}")
                })?;
            }
        }
        // One that was left behind is beyond the core's reach; a partition that is given up asks all.
        for run in process
            .runs
            .iter()
            .filter(|r| !r.orphan && r.deadline <= now)
        {
            self.rules.hold(Rule::NotAskedToStop, run.cancelled, || {
                format!("msg={} deadline={} at={now}", run.entry, run.deadline)
            })?;
        }
        // Those whose time was up, not those that a hand-over stopped.
        let grace = self.config.cancel_grace.as_nanos();
        let timed_out = |r: &&super::process::Run| !r.orphan && r.deadline <= r.cancelled_at;
        for run in process.runs.iter().filter(timed_out) {
            let waits = self.config.on_hung == OnHung::Wait;
            let early = now < run.cancelled_at.saturating_add(grace);
            self.rules.hold(Rule::NotGivenUp, waits || early, || {
                format!("msg={} at={now}: {run:?}", run.entry)
            })?;
        }
        match process.draining {
            Some(deadline) => self.rules.hold(Rule::NotDrained, now < deadline, || {
                format!("deadline={deadline} at={now}")
            }),
            None => Ok(()),
        }
    }

    /// The core says that its drain is over.
    #[inline(never)]
    pub(crate) fn drained(&mut self, member: usize, drained: Drained, now: u64) -> Checked {
        self.tally.drained += 1;
        let process = &mut self.processes[member];
        let asked = process.draining.take().is_some();
        let over = asked && process.tenures.iter().all(Option::is_none);
        self.rules.hold(Rule::DrainedOutOfTurn, over, || {
            format!("at={now}: {drained:?}")
        })
    }

    /// Pause and Resume alternate, beginning with Pause.
    pub(crate) fn flow(&mut self, member: usize, flow: Flow, now: u64) -> Checked {
        let (partition, pause) = match flow {
            Flow::Pause(p) => (p.0, true),
            Flow::Resume(p) => (p.0, false),
        };
        let paused = &mut self.processes[member].paused[partition as usize];
        let alternates = *paused != pause;
        *paused = pause;
        self.rules.hold(Rule::FlowDoesNotAlternate, alternates, || {
            format!("{flow:?} at={now}")
        })
    }
}

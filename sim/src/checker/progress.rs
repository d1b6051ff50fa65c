//! Commits, releases, drains: S3, S5, L5.

use procession_core::{Commit, Drained, Flow, Release};

use super::{Checked, Checker, State};
use crate::log::{Entry, Log};
use crate::verdict::Verdict;

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
        let at = format!(
            "partition={partition} epoch={} write={} frontier={frontier} at={now}",
            commit.epoch.0, commit.write
        );
        let verdict = |id, shape| Err(Verdict::new(id, shape, at.clone()));
        let Some(tenure) = self.processes[member].tenures[partition as usize].as_mut() else {
            return verdict("S5", "commit after the end");
        };
        if commit.epoch.0 != tenure.epoch {
            return verdict("S5", "commit of another epoch");
        }
        if tenure.outstanding.is_some() {
            return verdict("S3b", "two commits outstanding");
        }
        tenure.outstanding = Some((commit.epoch.0, commit.write));
        if frontier < tenure.committed {
            return verdict("S3b", "commit went back");
        }
        tenure.committed = frontier;
        if let Some(e) = tenure.unfinished_below(frontier, all, log) {
            let entry = &all[e as usize];
            return Err(Verdict::new(
                "S3",
                "commit covers an unfinished message",
                format!(
                    "{at}: key={:?} msg={e} position={}",
                    entry.key, entry.position
                ),
            ));
        }
        for &(from, to) in ranges {
            let first = log.seek(all, from);
            let inside = log.entries[first..]
                .iter()
                .take_while(|&&e| all[e as usize].position < to);
            if let Some(&e) = inside.clone().find(|&&e| !tenure.finished(e, all, log)) {
                let position = all[e as usize].position;
                return Err(Verdict::new(
                    "S3",
                    "map covers an unfinished message",
                    format!("{at}: msg={e} position={position} in {from}..{to}"),
                ));
            }
        }
        if commit.anchor.is_some_and(|a| a.position.0 >= frontier) {
            return verdict("S9", "anchor that is not below the frontier");
        }
        if commit.last && tenure.stopping.is_none() {
            return verdict("S5", "last commit of a partition that goes on");
        }
        // What an earlier owner finished needs no second look, unless the log was rewritten.
        let covered: Vec<u32> = log.entries[log.seek(all, tenure.checked)..]
            .iter()
            .copied()
            .take_while(|&e| all[e as usize].position < frontier)
            .collect();
        tenure.checked = tenure.checked.max(frontier);
        for e in covered {
            self.excuse(e, log.rewrites > 0, &at)?;
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
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return Ok(());
        };
        for run in process
            .runs
            .iter_mut()
            .filter(|r| r.partition == partition && !r.orphan)
        {
            if now < tenure.abandon_at {
                let story = format!("msg={} partition={partition} at={now}", run.entry);
                return Err(Verdict::new("S1", "handler left behind too early", story));
            }
            run.orphan = true;
            tenure.abandoned += 1;
            tenure.set(run.entry, State::Unseen);
        }
        Ok(())
    }

    /// The core gives a partition up.
    pub(crate) fn released(&mut self, member: usize, release: &Release, now: u64) -> Checked {
        self.tally.released += 1;
        let partition = release.partition.0;
        let at = format!("partition={partition} at={now}: {release:?}");
        let verdict = |id, shape| Err(Verdict::new(id, shape, at.clone()));
        let process = &self.processes[member];
        let Some(tenure) = &process.tenures[partition as usize] else {
            return verdict("S5", "released twice");
        };
        if release.epoch.0 != tenure.epoch {
            return verdict("S6", "release of another epoch");
        }
        if tenure.stopping.is_none() {
            return verdict("S5", "released without being asked");
        }
        let running = process
            .runs
            .iter()
            .any(|r| r.partition == partition && !r.orphan);
        if running || release.abandoned != tenure.abandoned {
            return verdict("S1", "release while handlers run");
        }
        if release.handed_back != tenure.held {
            let story = format!("{at}: held={}", tenure.held);
            return Err(Verdict::new(
                "S9",
                "release miscounts what it hands back",
                story,
            ));
        }
        // With nothing confirmed, "committed" can only mean that there was nothing to write.
        let floor = tenure.confirmed.unwrap_or(tenure.opening.floor);
        if release.committed && tenure.committed > floor {
            return verdict("S3", "release claims a commit that was not confirmed");
        }
        self.ended(member, partition);
        Ok(())
    }

    /// After the core was told the time: nothing is overdue.
    pub(crate) fn deadlines_kept(&self, member: usize, now: u64) -> Checked {
        let process = &self.processes[member];
        for (partition, tenure) in process.tenures.iter().enumerate() {
            if let Some(deadline) = tenure.as_ref().and_then(|t| t.stopping)
                && now >= deadline
            {
                let story = format!("partition={partition} deadline={deadline} at={now}");
                return Err(Verdict::new("L5", "not released by the deadline", story));
            }
        }
        // One that was left behind is beyond the core's reach; a partition that is given up asks all.
        let late = |r: &&super::process::Run| !r.cancelled && !r.orphan && r.deadline <= now;
        if let Some(run) = process.runs.iter().find(late) {
            let story = format!("msg={} deadline={} at={now}", run.entry, run.deadline);
            return Err(Verdict::new("L3", "handler not asked to stop", story));
        }
        match process.draining {
            Some(deadline) if now >= deadline => Err(Verdict::new(
                "L5",
                "not drained by the deadline",
                format!("deadline={deadline} at={now}"),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// The core says that its drain is over.
    pub(crate) fn drained(&mut self, member: usize, drained: Drained, now: u64) -> Checked {
        self.tally.drained += 1;
        let process = &mut self.processes[member];
        let asked = process.draining.take().is_some();
        if !asked || process.tenures.iter().any(Option::is_some) {
            return Err(Verdict::new(
                "L5",
                "drained out of turn",
                format!("at={now}: {drained:?}"),
            ));
        }
        Ok(())
    }

    /// Pause and Resume alternate, beginning with Pause.
    pub(crate) fn flow(&mut self, member: usize, flow: Flow, now: u64) -> Checked {
        let (partition, pause) = match flow {
            Flow::Pause(p) => (p.0, true),
            Flow::Resume(p) => (p.0, false),
        };
        let paused = &mut self.processes[member].paused[partition as usize];
        if *paused == pause {
            return Err(Verdict::new(
                "S7",
                "flow does not alternate",
                format!("{flow:?} at={now}"),
            ));
        }
        *paused = pause;
        Ok(())
    }
}

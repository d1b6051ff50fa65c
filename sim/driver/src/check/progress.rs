//! S3, S5, S6: what may be committed, and where a tenure begins.

use std::collections::BTreeSet;

use super::{Asked, Checker, Found, Progress, Resumes, State, Tenure, breach};
use crate::event::Incident;
use crate::history::Reset;

impl Checker<'_> {
    pub(super) fn assigned(
        &mut self,
        life: u32,
        partition: u32,
        epoch: u64,
        position: u64,
    ) -> Found {
        let newest = self.newest.get(&partition).copied().unwrap_or(0);
        let given = self.given.get(&(life, partition)).copied().unwrap_or(0);
        let before = self.tenures.get(&(life, partition)).cloned();
        if before.as_ref().is_some_and(|before| epoch <= before.epoch) || epoch < given {
            return breach(
                "S6",
                format!("epoch {epoch} of {partition} begins, and the feed said {given}"),
            );
        }
        let bumped = before.filter(|before| before.opened == given);
        let fresh = bumped.is_none();
        if let Some(before) = &bumped {
            self.begins_anew(life, partition, before)?;
            if let Some((losses, looks)) = before.rewritten.zip(before.looks)
                && looks.blind
            {
                // The log ended before where it was to go on, and there was nothing to recognise it by: what
                // was written between the loss and the look is like what stood there before.
                let unknown = self.below(partition, 0..position, losses);
                self.excused.extend(unknown);
            }
        }
        let mut covered = self.committed.get(&partition).cloned().unwrap_or_default();
        let resumes = self.resumes.get(&(life, partition, given)).copied();
        let end = resumes.map_or(u64::MAX, |resumes| resumes.end);
        let named = self.named.get(&partition).copied().unwrap_or(0);
        if bumped.is_some() || end < named {
            // What was finished ahead of the frontier is forgotten then: it comes again. So is a map as a whole
            // that names what the log does not hold.
            covered.beyond.clear();
        }
        if bumped.is_none()
            && let Some(resumes) = resumes
            && resumes.frontier.is_some_and(|frontier| end < frontier)
        {
            self.owes((life, partition), Incident::Reset);
            if !resumes.anchored {
                // Void as a whole: nothing can tell where the log was cut.
                covered = Progress::default();
                self.committed.remove(&partition);
            }
        }
        // An assignment that came too late to be true tells of the past; its lease is over, too.
        if given == newest && position < covered.frontier {
            return breach(
                "S4",
                format!(
                    "{partition} begins at {position}, and {} was committed",
                    covered.frontier
                ),
            );
        }
        let known = match &bumped {
            Some(before) => before.rewritten.unwrap_or(before.known),
            None => self.committed_known.get(&partition).copied().unwrap_or(0),
        };
        if let Some(resumes) = resumes.filter(|_| fresh && self.story.reset == Reset::Latest)
            && resumes.is_out_of_range()
        {
            self.pass_over(partition, resumes.end, self.log.losses(partition));
        }
        let begins = Progress {
            frontier: position,
            beyond: Vec::new(),
        };
        self.covered_is_finished(partition, &begins, known)?;
        let leases = (life, partition, given)..=(life, partition, epoch);
        let leases = self.leases.range(leases).map(|(_, until)| *until);
        let drain = self.lives.get(&life).and_then(|life| life.drain);
        let tenure = Tenure {
            opened: given,
            epoch,
            state: State::Open,
            until: leases.max().unwrap_or(0),
            deadline: bumped
                .as_ref()
                .map_or_else(|| drain.unwrap_or(u64::MAX), |before| before.deadline),
            begin: position.min(end),
            asked: Progress {
                frontier: position.min(end),
                beyond: Vec::new(),
            },
            done: BTreeSet::new(),
            // What succeeded is remembered beyond the rewriting.
            succeeded: bumped.map(|before| before.succeeded).unwrap_or_default(),
            covered,
            known,
            looks: None,
            rewritten: None,
            unsure: false,
            stopped: false,
            latest: None,
        };
        self.tenures.insert((life, partition), tenure);
        if let Some(resumes) = resumes.filter(|_| fresh) {
            self.out_of_range((life, partition), resumes);
        }
        Ok(())
    }

    /// S9: where retention took what was not delivered, that is told, and the owner decides.
    fn out_of_range(&mut self, whose: (u32, u32), resumes: Resumes) {
        let before = self.decided.remove(&whose);
        if !resumes.is_out_of_range() {
            return;
        }
        self.owes(whose, Incident::Reset);
        let Some(tenure) = self.tenures.get_mut(&whose) else {
            return;
        };
        match (self.story.reset, before) {
            (Reset::Stop, Some(true)) => tenure.latest = Some(resumes.end),
            (Reset::Stop, None) => tenure.stopped = true,
            (Reset::Stop, Some(false)) | (Reset::Earliest | Reset::Latest, _) => {}
        }
    }

    /// The core counts its epoch up by itself: only where the log was rewritten.
    fn begins_anew(&mut self, life: u32, partition: u32, before: &Tenure) -> Found {
        if before.state != State::Open {
            return breach("S5", format!("{partition} begins anew after its end"));
        }
        if self.log.losses(partition) == 0 {
            return breach("S4", format!("{partition} begins anew, and lost nothing"));
        }
        self.owes((life, partition), Incident::Rewritten);
        Ok(())
    }

    pub(super) fn released(&mut self, at: u64, life: u32, partition: u32, epoch: u64) -> Found {
        let drain = self.lives.get(&life).and_then(|life| life.drain);
        let Some(tenure) = self.tenures.get_mut(&(life, partition)) else {
            return breach("S5", format!("{partition} is released by a stranger"));
        };
        if epoch < tenure.epoch {
            // Its last commit gave it up, and it came back before the driver was told of both.
            return Ok(());
        }
        if tenure.epoch != epoch {
            return breach(
                "S5",
                format!("epoch {epoch} of {partition} is released, and was not ours"),
            );
        }
        if tenure.state != State::Open {
            return breach("S5", format!("{partition} is released twice"));
        }
        let deadline = tenure
            .deadline
            .min(drain.unwrap_or(u64::MAX))
            .min(tenure.until);
        let planned = at + 1_000_000 < deadline;
        tenure.state = State::Released { planned };
        Ok(())
    }

    /// S3: nothing that is covered is unfinished, of what whoever knows of so many losses can know.
    fn covered_is_finished(&self, partition: u32, progress: &Progress, known: u32) -> Found {
        let losses = self.log.losses(partition);
        for there in self.log.of_partition(partition) {
            // Not what comes only after a loss that is still ahead.
            let seen = there.iter().filter(|entry| entry.born <= losses);
            let mut seen = seen.filter(|entry| known < entry.gone).peekable();
            let Some(first) = seen.peek() else { continue };
            let position = first.place.1;
            if progress.covers(position) && !seen.any(|entry| self.is_over(entry)) {
                return breach(
                    "S3",
                    format!(
                        "{partition}/{} is covered, {position} is not finished",
                        progress.frontier
                    ),
                );
            }
        }
        Ok(())
    }

    pub(super) fn commit(
        &mut self,
        life: u32,
        partition: u32,
        epoch: u64,
        progress: &Progress,
    ) -> Found {
        let lived = self.lives.get(&life).cloned().unwrap_or_default();
        if lived.ended || lived.drained || lived.crashed || lived.paused {
            return breach(
                "S5",
                format!("{partition} is committed after its process's end"),
            );
        }
        let tenure = self.tenures.get(&(life, partition));
        if tenure.is_some_and(|tenure| tenure.stopped) {
            let text = format!("{partition} is committed, and has stopped");
            return breach("S9", text);
        }
        let known = tenure.map_or(0, |tenure| tenure.known);
        // It may be written down before anything is delivered from there.
        let frontier = progress.frontier;
        if tenure.is_some_and(|tenure| tenure.latest == Some(frontier)) {
            self.pass_over(partition, frontier, known);
        }
        self.covered_is_finished(partition, progress, known)?;
        match self.tenures.get_mut(&(life, partition)) {
            // The last commit of an epoch follows the line that gives it up.
            Some(tenure) if tenure.epoch == epoch && tenure.state != State::Lost => {
                if progress.frontier < tenure.asked.frontier {
                    let asked = tenure.asked.frontier;
                    return breach(
                        "S3",
                        format!("{partition}: {asked}, then {}", progress.frontier),
                    );
                }
                tenure.asked = progress.clone();
                let asked = Asked {
                    progress: progress.clone(),
                    opened: tenure.opened,
                    known,
                };
                self.asked.insert((life, partition, epoch), asked);
                Ok(())
            }
            _ => breach("S5", format!("{partition} is committed without ownership")),
        }
    }

    /// The broker holds a commit.
    pub(super) fn recorded(
        &mut self,
        life: u32,
        partition: u32,
        epoch: u64,
        frontier: u64,
    ) -> Found {
        let asked = self.asked.get(&(life, partition, epoch)).cloned();
        let Some(asked) = asked.filter(|asked| asked.progress.frontier == frontier) else {
            return breach(
                "S3",
                format!("{partition}: {frontier} is recorded and nobody asked for it"),
            );
        };
        if self.newest.get(&partition) != Some(&asked.opened) {
            return breach(
                "S6",
                format!("{partition}: epoch {epoch} commits after its end"),
            );
        }
        self.recorded.insert((life, partition, epoch), frontier);
        let mut progress = asked.progress;
        let named = progress.beyond.last().map_or(frontier, |(_, to)| *to);
        self.named.insert(partition, named);
        self.cut_behind(partition, &mut progress, asked.known);
        self.committed_known.insert(partition, asked.known);
        let before = self.committed.entry(partition).or_default();
        if progress.frontier < before.frontier {
            let before = before.frontier;
            return breach(
                "S3",
                format!("{partition}: {before} recorded, then {frontier}"),
            );
        }
        *before = progress;
        Ok(())
    }

    /// The driver was told so.
    pub(super) fn committed(&self, whose: (u32, u32, u64), frontier: u64) -> Found {
        let held = self.recorded.get(&whose).copied().unwrap_or(0);
        if held < frontier {
            let partition = whose.1;
            return breach(
                "S3",
                format!("{partition}: {frontier} is confirmed, and {held} recorded"),
            );
        }
        Ok(())
    }
}

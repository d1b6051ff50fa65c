//! Exclusion, order and duplicates: S1, S2, S4, S5, and what results change (S6).

use procession_core::{Dispatch, Stats, Why};

use super::process::Run;
use super::{Checked, Checker, State};
use crate::log::{Entry, Log};
use crate::verdict::Verdict;

/// How an attempt ended, without the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Done,
    Retry,
    Reject,
    Cancelled,
}

impl Checker {
    /// The core hands a message to a handler.
    pub(crate) fn dispatched(
        &mut self,
        member: usize,
        dispatch: &Dispatch<u32>,
        all: &[Entry],
        logs: &[Log],
        now: u64,
    ) -> Checked {
        let (e, partition) = (dispatch.message, dispatch.partition.0);
        let entry = &all[e as usize];
        let lane = self.lane_of(entry);
        let at = format!(
            "key={:?} msg={e} partition={partition} position={} epoch={} at={now}",
            entry.key, entry.position, dispatch.epoch.0
        );
        let verdict = |id, shape| Err(Verdict::new(id, shape, at.clone()));
        self.tally.started += 1;
        self.facts[e as usize].starts += 1;
        let (ids, age) = (self.config.dedupe.ids, self.config.dedupe.age.as_nanos());
        let process = &self.processes[member];
        if process
            .runs
            .iter()
            .any(|r| lane.is_some() && r.lane == lane)
        {
            return verdict("S1", "two of a key");
        }
        if process
            .runs
            .iter()
            .any(|r| ids > 0 && all[r.entry as usize].identity == entry.identity)
        {
            return verdict("S4", "two of an identity");
        }
        let Some(tenure) = &process.tenures[partition as usize] else {
            return verdict("S5", "start after the end");
        };
        if dispatch.epoch.0 != tenure.epoch {
            return verdict("S5", "start of another epoch");
        }
        if tenure.stopping.is_some() {
            return verdict("S5", "start while stopping");
        }
        if now >= tenure.until {
            return verdict("S5", "start after the lease");
        }
        if dispatch.position.0 != entry.position || tenure.state(e) != State::Held {
            return verdict("S2", "start of what is not held");
        }
        let covered = if self.roomy {
            tenure.inherited(entry.position)
        } else {
            entry.position < tenure.opening.floor
        };
        if covered && logs[partition as usize].rewrites == 0 {
            return verdict("S4", "covered by the last commit");
        }
        if dispatch.attempt != tenure.failures(e) + 1 {
            return verdict("L3", "attempts miscounted");
        }
        if dispatch.attempt > self.config.retry.attempts {
            return verdict("L3", "more attempts than there may be");
        }
        if now < tenure.not_before(e) {
            return verdict("L3", "tried again too early");
        }
        if entry.malformed {
            return verdict("S9", "malformed message handed out");
        }
        let recent = process.successes.iter().rev().take(ids as usize);
        if recent
            .take_while(|&&(_, t)| now.saturating_sub(t) < age)
            .any(|&(i, _)| i == entry.identity)
        {
            return verdict("S4", "succeeded before");
        }
        if lane.is_some() {
            let log = &logs[partition as usize];
            let before = &log.entries[..log.seek(all, entry.position)];
            if let Some(&earlier) = before
                .iter()
                .find(|&&b| self.lane_of(&all[b as usize]) == lane && !tenure.finished(b, all, log))
            {
                return Err(Verdict::new(
                    "S2",
                    "start before its predecessor is finished",
                    format!(
                        "{at}: msg={earlier} at position={} is not",
                        all[earlier as usize].position
                    ),
                ));
            }
        }
        if !self.processes[member]
            .tokens
            .insert(dispatch.token.to_bits())
        {
            return verdict("S6", "one token for two attempts");
        }
        self.processes[member].runs.push(Run {
            token: dispatch.token.to_bits(),
            entry: e,
            partition,
            epoch: dispatch.epoch.0,
            lane,
            deadline: dispatch.deadline.as_nanos(),
            cancelled: false,
            orphan: false,
        });
        Ok(())
    }

    /// The core asks a handler to stop.
    pub(crate) fn cancelled(&mut self, member: usize, token: u64, now: u64) -> Checked {
        self.tally.cancels += 1;
        match self.processes[member]
            .runs
            .iter_mut()
            .find(|r| r.token == token)
        {
            Some(run) => {
                run.cancelled = true;
                Ok(())
            }
            None => Err(Verdict::new(
                "S6",
                "cancel of nothing",
                format!("token={token:#x} at={now}"),
            )),
        }
    }

    /// A handler ended well: the effect is in the world, whatever becomes of its result.
    pub(crate) fn effect(&mut self, e: u32) {
        self.tally.effective += 1;
        self.facts[e as usize].effects += 1;
    }

    /// A result was given to the core. `before` and `after` are its counters around the call.
    pub(crate) fn settled(
        &mut self,
        member: usize,
        token: u64,
        (ending, accepted): (Ending, bool),
        (before, after): (&Stats, &Stats),
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let process = &mut self.processes[member];
        let Some(index) = process.runs.iter().position(|r| r.token == token) else {
            let same = before == after;
            return if accepted || !same {
                let story = format!(
                    "token={token:#x} at={now}: accepted={accepted} changed={}",
                    !same
                );
                Err(Verdict::new("S6", "settled twice", story))
            } else {
                Ok(())
            };
        };
        let run = process.runs.swap_remove(index);
        let at = format!(
            "key={:?} msg={} partition={} epoch={} at={now}",
            all[run.entry as usize].key, run.entry, run.partition, run.epoch
        );
        if !accepted {
            return Err(Verdict::new("S6", "live token called stale", at));
        }
        let counted = after.done > before.done;
        if run.orphan {
            if ending == Ending::Done {
                // Its success is a fact of this process, whoever owns the partition now (S4).
                process
                    .successes
                    .push((all[run.entry as usize].identity, now));
            }
            return if counted || after.failed > before.failed {
                Err(Verdict::new("S6", "result of an old epoch counted", at))
            } else {
                Ok(())
            };
        }
        let Some(tenure) = process.tenures[run.partition as usize].as_mut() else {
            return Err(Verdict::new("S6", "run without a tenure", at));
        };
        match ending {
            Ending::Done if counted => {
                tenure.set(run.entry, State::Finished);
                process
                    .successes
                    .push((all[run.entry as usize].identity, now));
                self.facts[run.entry as usize].resolved = true;
            }
            Ending::Done => return Err(Verdict::new("S6", "success was not counted", at)),
            Ending::Retry | Ending::Reject => tenure.failed(run.entry, now, &self.config.retry),
            Ending::Cancelled if after.failed > before.failed => {
                tenure.failed(run.entry, now, &self.config.retry);
            }
            Ending::Cancelled => {}
        }
        if counted && ending != Ending::Done {
            return Err(Verdict::new("S2", "failure counted as success", at));
        }
        Ok(())
    }

    /// The core asks for a dead letter.
    pub(crate) fn burial_asked(
        &mut self,
        member: usize,
        partition: u32,
        e: u32,
        (why, attempts): (Why, u32),
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let entry = all[e as usize];
        let most = self.config.retry.attempts;
        let at = format!(
            "key={:?} msg={e} partition={partition} at={now}: {why:?}",
            entry.key
        );
        let Some(tenure) = self.tenure(member, partition) else {
            return Err(Verdict::new("S5", "dead letter after the end", at));
        };
        if tenure.state(e) != State::Held {
            return Err(Verdict::new("S9", "dead letter of what is not held", at));
        }
        let due = match why {
            Why::Exhausted => tenure.failures(e) >= most && attempts >= most,
            Why::Rejected => attempts >= 1,
            Why::Malformed => entry.malformed,
            Why::TooLarge => true,
            Why::Keyless => entry.key.is_none(),
        };
        if !due || attempts != tenure.failures(e) {
            let failures = tenure.failures(e);
            let story = format!("{at}: attempts={attempts} failures={failures}");
            return Err(Verdict::new("L3", "dead letter out of turn", story));
        }
        Ok(())
    }

    /// The broker confirmed a dead letter, and the core was told in time.
    pub(crate) fn buried(&mut self, member: usize, partition: u32, e: u32) {
        if let Some(tenure) = self.tenure(member, partition)
            && tenure.state(e) == State::Held
        {
            tenure.set(e, State::Finished);
            self.tally.dead += 1;
            self.facts[e as usize].resolved = true;
        }
    }
}

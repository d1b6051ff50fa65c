//! Exclusion, order and duplicates: S1, S2, S4, S5, and what results change (S6).

use procession_core::{Dispatch, Expired, OnHung, Why};

use super::calls::Counted;
use super::process::Run;
use super::{Checked, Checker, State};
use crate::log::{Entry, Log};
use crate::rule::Rule;

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
        (dispatch, follows): (&Dispatch<u32>, Option<u64>),
        all: &[Entry],
        logs: &[Log],
        now: u64,
    ) -> Checked {
        let (e, partition) = (dispatch.message, dispatch.partition.0);
        let entry = &all[e as usize];
        let lane = self.lane_of(entry);
        let at = &|| {
            format!(
                "key={:?} msg={e} partition={partition} position={} epoch={} at={now}",
                entry.key, entry.position, dispatch.epoch.0
            )
        };
        self.tally.started += 1;
        self.facts[e as usize].starts += 1;
        let (ids, age) = (self.config.dedupe.ids, self.config.dedupe.age.as_nanos());
        let (rules, process) = (&self.rules, &self.processes[member]);
        let call = follows.unwrap_or_else(|| dispatch.token.to_bits());
        let mut others = process.runs.iter().filter(|r| r.call != call || r.orphan);
        let alone = lane.is_none() || others.all(|r| r.lane != lane);
        rules.hold(Rule::TwoOfAKey, alone, at)?;
        let mut others = process.runs.iter().filter(|r| r.call == call);
        let same = others.all(|r| all[r.entry as usize].key == entry.key);
        rules.hold(Rule::CallOfTwoKeys, same, at)?;
        let identity = entry.identity;
        let mut runs = process.runs.iter();
        let alone = ids == 0 || runs.all(|r| all[r.entry as usize].identity != identity);
        rules.hold(Rule::TwoOfAnIdentity, alone, at)?;
        let Some(tenure) = &process.tenures[partition as usize] else {
            return rules.hold(Rule::StartAfterTheEnd, false, at);
        };
        rules.hold(Rule::StartAfterTheEnd, true, at)?;
        let same = dispatch.epoch.0 == tenure.epoch;
        rules.hold(Rule::StartOfAnotherEpoch, same, at)?;
        rules.hold(Rule::StartWhileStopping, tenure.stopping.is_none(), at)?;
        rules.hold(Rule::StartAfterTheLease, now < tenure.until, at)?;
        let held = dispatch.position.0 == entry.position && tenure.state(e) == State::Held;
        rules.hold(Rule::StartOfNothing, held, at)?;
        let log = &logs[partition as usize];
        let covered = log.rewrites == 0 && tenure.covers(entry.position, self.roomy);
        rules.hold(Rule::CoveredByCommit, !covered, at)?;
        let counted = dispatch.attempt == tenure.failures(e) + 1;
        rules.hold(Rule::AttemptsMiscounted, counted, at)?;
        let may = dispatch.attempt <= self.config.retry.attempts;
        rules.hold(Rule::TooManyAttempts, may, at)?;
        let key = entry.key_hash();
        let parked = key.is_some_and(|k| tenure.parked.holds(k, entry.position));
        rules.hold(Rule::ParkedKeyRuns, !parked, at)?;
        rules.hold(Rule::TriedTooEarly, now >= tenure.not_before(e), at)?;
        rules.hold(Rule::MalformedHandedOut, !entry.malformed, at)?;
        let over = self.config.expired != Expired::Run && entry.has_expired(now);
        rules.hold(Rule::ExpiredRuns, !over, at)?;
        let recent = process.successes.iter().rev().take(ids as usize);
        let fresh = recent
            .take_while(|&&(_, t)| now.saturating_sub(t) < age)
            .all(|&(i, _)| i != identity);
        rules.hold(Rule::SucceededBefore, fresh, at)?;
        if let Some(lane) = lane {
            // A lane is that of a key, or of all messages without one.
            let earlier = log.of_key(lane, entry.position).find(|&b| {
                let together = follows.is_some() && process.is_in_call(call, b);
                !tenure.finished(b, all, log)
                    && !together
                    && !self.overtakes(entry, &all[b as usize])
            });
            rules.hold(Rule::StartOutOfOrder, earlier.is_none(), || {
                let position = earlier.map(|b| all[b as usize].position);
                format!("{}: msg={earlier:?} at position={position:?} is not", at())
            })?;
        }
        self.starts_in_sequence(member, (e, call), all, now)?;
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let token = dispatch.token.to_bits();
        rules.hold(Rule::TokenTwice, process.hands_out(token), at)?;
        let run = Run {
            token: dispatch.token.to_bits(),
            entry: e,
            partition,
            epoch: dispatch.epoch.0,
            lane,
            deadline: dispatch.deadline.as_nanos(),
            cancelled: false,
            cancelled_at: u64::MAX,
            orphan: false,
            remembered: true,
            call,
        };
        let process = &mut self.processes[member];
        process.runs.push(run);
        let most = self.config.batch_key;
        let fits = most == 1 && follows.is_none() || process.joins(call, &run, most);
        self.rules.hold(Rule::CallTooLarge, fits, || {
            format!("msg={e} partition={partition} at={now}: more than {most}")
        })
    }

    /// The core asks a handler to stop.
    pub(crate) fn cancelled(&mut self, member: usize, token: u64, now: u64) -> Checked {
        self.tally.cancels += 1;
        let mut runs = self.processes[member].runs.iter_mut();
        let run = runs.find(|r| r.token == token);
        self.rules.hold(Rule::CancelOfNothing, run.is_some(), || {
            format!("token={token:#x} at={now}")
        })?;
        if let Some(run) = run {
            run.cancelled = true;
            run.cancelled_at = run.cancelled_at.min(now);
        }
        Ok(())
    }

    /// The core gives an attempt up: its handler was asked to stop, and has had its grace.
    pub(crate) fn given_up(&mut self, member: usize, token: u64, now: u64) -> Checked {
        let grace = self.config.cancel_grace.as_nanos();
        let mut runs = self.processes[member].runs.iter();
        let run = runs.find(|r| r.token == token && !r.orphan);
        let due = run.is_some_and(|r| now >= r.cancelled_at.saturating_add(grace));
        let may = self.config.on_hung == OnHung::Abandon && due;
        self.rules.hold(Rule::GivenUpTooEarly, may, || {
            format!("token={token:#x} at={now}: {run:?}")
        })
    }

    /// A handler ended well: the effect is in the world, whatever becomes of its result.
    pub(crate) fn effect(&mut self, e: u32) {
        self.tally.effective += 1;
        self.facts[e as usize].effects += 1;
    }

    /// A result was given to the core, which has counted so much by it.
    pub(crate) fn settled(
        &mut self,
        member: usize,
        token: u64,
        (ending, accepted): (Ending, bool),
        by_it: Counted,
        all: &[Entry],
        now: u64,
    ) -> Checked {
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(index) = process.runs.iter().position(|r| r.token == token) else {
            let changed = by_it.changed;
            return rules.hold(Rule::SettledTwice, !accepted && !changed, || {
                format!("token={token:#x} at={now}: accepted={accepted} changed={changed}")
            });
        };
        let run = process.runs.swap_remove(index);
        let at = &|| {
            format!(
                "key={:?} msg={} partition={} epoch={} at={now}",
                all[run.entry as usize].key, run.entry, run.partition, run.epoch
            )
        };
        rules.hold(Rule::LiveTokenStale, accepted, at)?;
        let counted = by_it.done > 0;
        let success = (all[run.entry as usize].identity, now);
        if run.orphan {
            if ending == Ending::Done && run.remembered {
                // Its success is a fact of this process, whoever owns the partition now (S4).
                process.successes.push(success);
            }
            let nothing = !counted && by_it.failed == 0;
            return rules.hold(Rule::OldResultCounted, nothing, at);
        }
        if self.config.batch_key > 1 {
            return self.said(member, &run, ending, by_it, all, now);
        }
        let Some(tenure) = process.tenures[run.partition as usize].as_mut() else {
            return rules.hold(Rule::RunWithoutTenure, false, at);
        };
        rules.hold(Rule::RunWithoutTenure, true, at)?;
        match ending {
            Ending::Done => {
                rules.hold(Rule::SuccessNotCounted, counted, at)?;
                tenure.set(run.entry, State::Finished);
                tenure.sequences.pass(&all[run.entry as usize]);
                process.successes.push(success);
                self.facts[run.entry as usize].resolved = true;
                return Ok(());
            }
            Ending::Retry | Ending::Reject => tenure.failed(run.entry, now, &self.config.retry),
            Ending::Cancelled if by_it.failed > 0 => {
                tenure.failed(run.entry, now, &self.config.retry);
            }
            Ending::Cancelled => {}
        }
        rules.hold(Rule::FailureCounted, !counted, at)
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
        let at = &|| {
            format!(
                "key={:?} msg={e} partition={partition} at={now}: {why:?}",
                entry.key
            )
        };
        let (rules, process) = (&self.rules, &mut self.processes[member]);
        let Some(tenure) = process.tenures[partition as usize].as_mut() else {
            return rules.hold(Rule::LetterAfterTheEnd, false, at);
        };
        rules.hold(Rule::LetterAfterTheEnd, true, at)?;
        rules.hold(Rule::LetterOfNothing, tenure.state(e) == State::Held, at)?;
        let failures = tenure.failures(e);
        let key = entry.key_hash();
        let followed = key.is_some_and(|k| tenure.parked.letter(e, k, why));
        let due = match why {
            Why::Exhausted => failures >= most && attempts >= most,
            Why::Rejected => attempts >= 1,
            Why::Malformed => entry.malformed,
            Why::TooLarge => true,
            Why::Keyless => entry.key.is_none(),
            Why::Parked => followed,
            Why::Expired => {
                rules.hold(Rule::CalledExpired, entry.has_expired(now), at)?;
                self.config.expired == Expired::DeadLetter
            }
            Why::Gap => Self::is_told(tenure, e),
            Why::Discarded => false,
            Why::Suspect => {
                let blamed = self.suspects.blamed(partition, entry.position);
                let most = self.config.suspects;
                rules.hold(Rule::CalledSuspect, most > 0 && blamed >= most, at)?;
                true
            }
        };
        rules.hold(Rule::LetterOutOfTurn, due && attempts == failures, || {
            format!("{}: attempts={attempts} failures={failures}", at())
        })
    }

    /// The broker confirmed a dead letter, and the core was told in time.
    pub(crate) fn buried(
        &mut self,
        member: usize,
        partition: u32,
        (e, why): (u32, Why),
        entry: &Entry,
    ) {
        self.parks(member, partition, (e, why), entry);
        if let Some(tenure) = self.tenure(member, partition)
            && tenure.state(e) == State::Held
        {
            tenure.set(e, State::Finished);
            tenure.sequences.pass(entry);
            self.tally.dead += 1;
            self.facts[e as usize].resolved = true;
        }
    }
}

//! S2, S9: what counts of a call of several messages; what is given up without being handled.

use super::logs::Place;
use super::{Checker, Found, Run, breach};
use crate::event::{Outcome, Reason};

/// A call that got several messages of one key.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// In the order of the log, each with how it ended.
    members: Vec<(u64, Run, Option<Outcome>)>,
    /// So many of them are over, and count.
    counted: usize,
}

impl Call {
    /// Those that count by now, and did not before.
    fn count(&mut self) -> Vec<Run> {
        let rest = self.members.iter().skip(self.counted);
        let done: Vec<_> = rest
            .take_while(|member| member.2 == Some(Outcome::Done))
            .map(|member| member.1)
            .collect();
        self.counted += done.len();
        done
    }

    pub(super) fn members(&self) -> impl Iterator<Item = &Run> {
        self.members.iter().map(|(_, run, _)| run)
    }
}

impl Checker<'_> {
    /// The first run of the call that a run belongs to.
    pub(super) fn call_of(&mut self, life: u32, run: u64, (index, of): (u32, u32)) -> u64 {
        if index == 0 {
            self.last_call.insert(life, run);
            if 1 < of {
                let call = Call {
                    members: Vec::new(),
                    counted: 0,
                };
                self.calls.insert(run, call);
            }
        }
        self.last_call.get(&life).copied().unwrap_or(run)
    }

    /// It is one of its call, if that has several.
    pub(super) fn joins(&mut self, number: u64, run: Run) {
        if let Some(call) = self.calls.get_mut(&run.call) {
            call.members.push((number, run, None));
        }
    }

    /// A run ended: which ones have succeeded by that. Of a call, those before the first that has not.
    pub(super) fn counts(&mut self, number: u64, run: Run, outcome: Outcome) -> Vec<Run> {
        let Some(call) = self.calls.get_mut(&run.call) else {
            let done = outcome == Outcome::Done;
            return done.then_some(run).into_iter().collect();
        };
        for member in call.members.iter_mut().filter(|m| m.0 == number) {
            member.2 = Some(outcome);
        }
        call.count()
    }

    /// A dead letter is stored: what was said of those behind it in its call counts, unless its key is parked.
    pub(super) fn counts_behind(&mut self, place: Place) -> Vec<Run> {
        let parks = self.story.parks;
        let rejected = |call: &&mut Call| {
            let first = call.members.get(call.counted);
            first.is_some_and(|(_, run, outcome)| {
                run.place() == place && *outcome == Some(Outcome::Rejected)
            })
        };
        let call = self.calls.values_mut().rev().find(rejected);
        let Some(call) = call.filter(|_| !parks) else {
            return Vec::new();
        };
        call.counted += 1;
        call.count()
    }

    /// Whether it is not to be handled any more.
    pub(super) fn has_expired(&self, message: u32, at: u64) -> bool {
        let expires = self.story.expires.get(message as usize).copied().flatten();
        expires.is_some_and(|expires| expires <= at)
    }

    /// S9: only what has expired is passed without being handled.
    pub(super) fn passed(&mut self, at: u64, place: Place) -> Found {
        let entry = self.log.find(place);
        if !entry.is_some_and(|entry| self.has_expired(entry.message, at)) {
            let (partition, position, _) = place;
            let text = format!("{partition}/{position} is passed, and has not expired");
            return breach("S9", text);
        }
        self.finished.insert(place);
        Ok(())
    }

    /// S9, L3: what is given up as expired has, and nobody is suspected before enough owners have ended without
    /// a word. Which ones the record could name, it cannot tell: a handler may have ended since.
    pub(super) fn given_up(&self, at: u64, message: u32, why: Reason) -> Found {
        let unclean = self.lives.values().filter(|life| life.disturbed).count();
        match why {
            Reason::Expired if !self.has_expired(message, at) => {
                breach("S9", format!("{message} is given up, and has not expired"))
            }
            Reason::Suspect
                if self.story.suspects == 0 || unclean < self.story.suspects as usize =>
            {
                let text = format!("{message} is suspected, and {unclean} owners have died");
                breach("L3", text)
            }
            _ => Ok(()),
        }
    }
}

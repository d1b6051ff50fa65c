//! S1, S2, S4, S5: what may start.

use super::logs::{Entry, Place};
use super::{Checker, Found, Run, State, breach};
use crate::event::Outcome;

impl Checker<'_> {
    pub(super) fn begin(&mut self, at: u64, number: u64, run: Run) -> Found {
        let Run {
            life,
            partition,
            epoch,
            position,
            message,
            call,
            ..
        } = run;
        let place = run.place();
        let Some(entry) = self.log.find(place).filter(|e| e.message == message) else {
            return breach(
                "S2",
                format!("{message} is not what the log holds at {partition}/{position}"),
            );
        };
        if self.has_expired(message, at) {
            return breach("S9", format!("{message} starts after it has expired"));
        }
        let lived = self.lives.entry(life).or_default();
        if lived.ended || lived.drained || lived.crashed || lived.paused {
            return breach(
                "S5",
                format!("{partition}/{position} starts after its process's end"),
            );
        }
        match self.tenures.get(&(life, partition)) {
            Some(tenure) if tenure.epoch == epoch && tenure.state == State::Open => {
                if tenure.until < at {
                    return breach(
                        "S5",
                        format!("{partition}/{position} starts after its lease"),
                    );
                }
                if tenure.stopped {
                    let text =
                        format!("{partition}/{position} starts, and the partition has stopped");
                    return breach("S9", text);
                }
                if entry.gone <= tenure.known && !tenure.unsure {
                    let text = format!(
                        "{partition}/{position} starts, and its log was shown to have lost it"
                    );
                    return breach("S9", text);
                }
                if tenure.done.contains(&place) {
                    return breach(
                        "S4",
                        format!("{partition}/{position} runs again in one tenure"),
                    );
                }
                if self.story.remembers && tenure.succeeded.contains(&message) {
                    return breach("S4", format!("a copy of {message} runs in one tenure"));
                }
                if tenure.covered.covers(position) {
                    return breach(
                        "S4",
                        format!("{partition}/{position} runs, and was committed"),
                    );
                }
            }
            _ => {
                return breach(
                    "S5",
                    format!("{partition}/{position} starts without ownership"),
                );
            }
        }
        if let Some(key) = self.key(message) {
            let beside = self.runs.values().find(|other| {
                self.key(other.message) == Some(key)
                    && other.call != call
                    && !self.may_run_on(other, life)
            });
            if let Some(other) = beside {
                return breach(
                    "S1",
                    format!(
                        "{partition}/{position} starts beside {}, of life {}",
                        other.position, other.life
                    ),
                );
            }
            self.in_order(key, entry, call)?;
        }
        self.runs.insert(number, run);
        self.joins(number, run);
        Ok(())
    }

    /// Whether a handler that runs may still do so when another life has the key.
    fn may_run_on(&self, other: &Run, life: u32) -> bool {
        if other.life == life {
            return false;
        }
        let lived = self.lives.get(&other.life);
        match self.tenures.get(&(other.life, other.partition)) {
            Some(tenure) if tenure.epoch == other.epoch => match tenure.state {
                State::Open => lived.is_some_and(|life| life.disturbed),
                State::Released { planned } => !planned,
                State::Lost => true,
            },
            // It has the partition again: that it was lost in between was seen.
            _ => true,
        }
    }

    /// S2: everything of the key that stood before it is finished, or handed out with it.
    fn in_order(&self, key: u32, entry: Entry, call: u64) -> Found {
        let (partition, position, _) = entry.place;
        let positions = self.of_key.get(&(partition, key)).into_iter().flatten();
        let positions = positions.take_while(|before| **before < position);
        let before = positions.filter_map(|before| self.log.beside(entry, *before));
        let mut before = before.filter(|before| self.key(before.message) == Some(key));
        let with = self.calls.get(&call).into_iter();
        let with: Vec<_> = with.flat_map(super::Call::members).collect();
        let beside = |before: &Entry| with.iter().any(|run| run.place() == before.place);
        match before.find(|before| !self.is_over(before) && !beside(before)) {
            Some(before) => breach(
                "S2",
                format!(
                    "{partition}/{position} before {} of its key",
                    before.place.1
                ),
            ),
            None => Ok(()),
        }
    }

    pub(super) fn ended(&mut self, at: u64, number: u64, outcome: Outcome) -> Found {
        let Some(run) = self.runs.remove(&number) else {
            return breach("S1", format!("run {number} ends twice"));
        };
        for run in self.counts(number, run, outcome) {
            self.succeeds(at, run);
        }
        Ok(())
    }

    fn succeeds(&mut self, at: u64, run: Run) {
        self.finished.insert(run.place());
        self.succeeded.insert(run.message);
        if let Some(tenure) = self.tenures.get_mut(&(run.life, run.partition))
            && tenure.epoch == run.epoch
            && at <= tenure.until
        {
            tenure.done.insert(run.place());
            tenure.succeeded.insert(run.message);
        }
    }

    /// S4: only what succeeded makes a copy.
    pub(super) fn duplicate(&mut self, place: Place) -> Found {
        let entry = self.log.find(place);
        if !entry.is_some_and(|entry| self.succeeded.contains(&entry.message)) {
            let (partition, position, _) = place;
            return breach(
                "S4",
                format!("{partition}/{position} is taken for a copy of nothing"),
            );
        }
        self.finished.insert(place);
        Ok(())
    }

    /// S9: a dead letter that is confirmed is stored.
    pub(super) fn buried(&mut self, at: u64, place: Place, message: u32) -> Found {
        let (partition, position, _) = place;
        let entry = self.log.find(place);
        if entry.is_none_or(|entry| entry.message != message) {
            return breach(
                "S9",
                format!("{message} is buried for {partition}/{position}"),
            );
        }
        if !self.buried.contains(&(partition, message)) {
            return breach(
                "S9",
                format!("the dead letter of {partition}/{position} is nowhere"),
            );
        }
        self.finished.insert(place);
        for run in self.counts_behind(place) {
            self.succeeds(at, run);
        }
        Ok(())
    }
}

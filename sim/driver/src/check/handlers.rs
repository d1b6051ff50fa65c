//! S1, S2, S4, S5: what may start.

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
        } = run;
        if self.log.get(&(partition, position)) != Some(&message) {
            return breach(
                "S2",
                format!("{message} is not what the log holds at {partition}/{position}"),
            );
        }
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
                if tenure.done.contains(&position) {
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
            self.in_order(partition, key, (position, call))?;
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

    /// S2: everything of the key before it is finished, or handed out with it.
    fn in_order(&self, partition: u32, key: u32, (position, call): (u64, u64)) -> Found {
        let positions = self.of_key.get(&(partition, key)).into_iter().flatten();
        let mut before = positions.take_while(|before| **before < position);
        let with = self.calls.get(&call).into_iter();
        let with: Vec<_> = with.flat_map(super::Call::members).collect();
        let beside = |before: u64| {
            let mut with = with.iter();
            with.any(|run| (run.partition, run.position) == (partition, before))
        };
        let over = |before: u64| self.finished.contains(&(partition, before)) || beside(before);
        match before.find(|before| !over(**before)) {
            Some(before) => breach(
                "S2",
                format!("{partition}/{position} before {before} of its key"),
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
        self.finished.insert((run.partition, run.position));
        self.succeeded.insert(run.message);
        if let Some(tenure) = self.tenures.get_mut(&(run.life, run.partition))
            && tenure.epoch == run.epoch
            && at <= tenure.until
        {
            tenure.done.insert(run.position);
            tenure.succeeded.insert(run.message);
        }
    }

    /// S4: only what succeeded makes a copy.
    pub(super) fn duplicate(&mut self, partition: u32, position: u64) -> Found {
        let message = self.log.get(&(partition, position));
        if !message.is_some_and(|message| self.succeeded.contains(message)) {
            return breach(
                "S4",
                format!("{partition}/{position} is taken for a copy of nothing"),
            );
        }
        self.finished.insert((partition, position));
        Ok(())
    }

    /// S9: a dead letter that is confirmed is stored.
    pub(super) fn buried(&mut self, at: u64, partition: u32, position: u64, message: u32) -> Found {
        if self.log.get(&(partition, position)) != Some(&message) {
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
        self.finished.insert((partition, position));
        for run in self.counts_behind(partition, position) {
            self.succeeds(at, run);
        }
        Ok(())
    }
}

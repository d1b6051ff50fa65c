//! L1, L2, L5: everything comes to its end, and nothing is left.

use super::{Checker, Found, State, breach};
use crate::event::What;

impl Checker<'_> {
    /// What happens to a process.
    pub(super) fn life(&mut self, at: u64, number: u32, what: &What) -> Found {
        if matches!(what, What::Harmed { .. } | What::Healed | What::Full { .. }) {
            // Of the world.
            return Ok(());
        }
        let life = self.lives.entry(number).or_default();
        match what {
            What::Crashed => {
                (life.crashed, life.disturbed) = (true, true);
                self.runs.retain(|_, run| run.life != number);
                let dead = |call: &super::Call| call.members().any(|run| run.life == number);
                self.calls.retain(|_, call| !dead(call));
            }
            What::Paused => {
                (life.paused, life.disturbed, life.stood) = (true, true, true);
            }
            What::Resumed => life.paused = false,
            // The others may take over from a port that hangs.
            What::Hangs { .. } => life.disturbed = true,
            What::Aborted => life.disturbed = true,
            What::Drain { deadline } => {
                life.drain = Some(*deadline);
                for ((owner, _), tenure) in &mut self.tenures {
                    if *owner == number && tenure.state == State::Open {
                        tenure.deadline = tenure.deadline.min(*deadline);
                    }
                }
            }
            What::Drained { .. } => life.drained = true,
            What::Ended { .. } => {
                life.ended = true;
                if let Some(deadline) = life.drain
                    && !life.stood
                    && deadline + self.story.slack < at
                {
                    return breach("L5", format!("life {number} was to end by {deadline}"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn end(&self) -> Found {
        if let Some(entity) = self.story.spins {
            return breach("L3", format!("a task of {entity} wakes itself for ever"));
        }
        if let Some(entry) = self.log.left().find(|entry| !self.is_over(entry)) {
            let (partition, position, _) = entry.place;
            return breach(
                "L1",
                format!(
                    "{} at {partition}/{position} was never finished",
                    entry.message
                ),
            );
        }
        self.everything_is_told()?;
        for entry in self.log.left() {
            let (partition, position, _) = entry.place;
            let committed = self.committed.get(&partition);
            if committed.is_none_or(|progress| progress.frontier <= position) {
                return breach("L1", format!("{partition}/{position} was never committed"));
            }
        }
        if let Some((life, _)) = self.lives.iter().find(|(_, l)| !l.ended && !l.crashed) {
            return breach("L5", format!("life {life} never ended"));
        }
        if let Some(run) = self.runs.values().next() {
            return breach(
                "L5",
                format!("{}/{} still runs", run.partition, run.position),
            );
        }
        if self.story.tasks_left != 0 {
            return breach("L5", format!("{} tasks are left", self.story.tasks_left));
        }
        Ok(())
    }
}

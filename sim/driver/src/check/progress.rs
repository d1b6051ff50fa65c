//! S3, S5, S6: what may be committed, and where a tenure begins.

use std::collections::BTreeSet;

use super::{Checker, Found, Progress, State, Tenure, breach};

impl Checker<'_> {
    pub(super) fn assigned(
        &mut self,
        life: u32,
        partition: u32,
        epoch: u64,
        position: u64,
    ) -> Found {
        let newest = self.newest.get(&partition).copied().unwrap_or(0);
        if self
            .tenures
            .get(&(life, partition))
            .is_some_and(|tenure| epoch <= tenure.epoch)
            || newest < epoch
        {
            return breach(
                "S6",
                format!("epoch {epoch} of {partition} begins, and the feed said {newest}"),
            );
        }
        let covered = self.committed.get(&partition).cloned().unwrap_or_default();
        // An assignment that came too late to be true tells of the past; its lease is over, too.
        if epoch == newest && position < covered.frontier {
            return breach(
                "S4",
                format!(
                    "{partition} begins at {position}, and {} was committed",
                    covered.frontier
                ),
            );
        }
        self.covered_is_finished(
            partition,
            &Progress {
                frontier: position,
                beyond: Vec::new(),
            },
        )?;
        let lease = self.leases.get(&(life, partition, epoch));
        let drain = self.lives.get(&life).and_then(|life| life.drain);
        self.tenures.insert(
            (life, partition),
            Tenure {
                epoch,
                state: State::Open,
                until: lease.copied().unwrap_or(0),
                deadline: drain.unwrap_or(u64::MAX),
                asked: Progress {
                    frontier: position,
                    beyond: Vec::new(),
                },
                done: BTreeSet::new(),
                succeeded: BTreeSet::new(),
                covered,
            },
        );
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

    /// S3: nothing that is covered is unfinished.
    fn covered_is_finished(&self, partition: u32, progress: &Progress) -> Found {
        let held = self.log.range((partition, 0)..=(partition, u64::MAX));
        let mut covered = held.map(|((_, position), _)| *position);
        match covered.find(|p| progress.covers(*p) && !self.finished.contains(&(partition, *p))) {
            Some(position) => breach(
                "S3",
                format!(
                    "{partition}/{} is covered, {position} is not finished",
                    progress.frontier
                ),
            ),
            None => Ok(()),
        }
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
        self.covered_is_finished(partition, progress)?;
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
        if self.newest.get(&partition) != Some(&epoch) {
            return breach(
                "S6",
                format!("{partition}: epoch {epoch} commits after its end"),
            );
        }
        let asked = match self.tenures.get(&(life, partition)) {
            Some(tenure) if tenure.epoch == epoch && tenure.asked.frontier == frontier => {
                tenure.asked.clone()
            }
            _ => {
                return breach(
                    "S3",
                    format!("{partition}: {frontier} is recorded and nobody asked for it"),
                );
            }
        };
        let before = self.committed.entry(partition).or_default();
        if frontier < before.frontier {
            let before = before.frontier;
            return breach(
                "S3",
                format!("{partition}: {before} recorded, then {frontier}"),
            );
        }
        *before = asked;
        Ok(())
    }

    /// The driver was told so.
    pub(super) fn committed(&self, partition: u32, progress: &Progress) -> Found {
        let held = self
            .committed
            .get(&partition)
            .map_or(0, |held| held.frontier);
        if held < progress.frontier {
            return breach(
                "S3",
                format!(
                    "{partition}: {} is confirmed, and {held} recorded",
                    progress.frontier
                ),
            );
        }
        Ok(())
    }
}

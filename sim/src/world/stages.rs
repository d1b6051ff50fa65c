//! From the end of the storm to the end of the run: when is everything over?

use std::fmt::Write as _;

use procession_core::PartitionId;

use super::{LAST_DRAIN, Stage, World};
use crate::checker::Checked;
use crate::rule::Rule;

impl World {
    /// Everything is committed: let the members drain. All have drained: the end.
    pub(super) fn advance_stage(&mut self) -> Checked {
        match self.stage {
            Stage::Storm | Stage::Over => {}
            Stage::Calm => {
                if self.everything_committed() {
                    self.credit_came_back()?;
                    self.stage = Stage::Draining;
                    for member in 0..self.plan.members {
                        self.drain_member(member, LAST_DRAIN)?;
                    }
                }
            }
            Stage::Draining => {
                if self.members.iter().all(|m| m.core.is_none()) {
                    self.stage = Stage::Over;
                    self.checker.rules.asks(Rule::NoProgress);
                }
            }
        }
        Ok(())
    }

    /// Whoever holds nothing has its credit back: at least the half that is for whoever comes first.
    fn credit_came_back(&self) -> Checked {
        // Where the window pool is short, the window may say less than the credit.
        if !self.checker.roomy {
            return Ok(());
        }
        for (m, member) in self.members.iter().enumerate() {
            let Some(core) = member.core.as_ref().filter(|c| c.stats().held == 0) else {
                continue;
            };
            let limits = member.limits.unwrap_or(self.plan.config.limits);
            let half = (limits.messages / 2).min(limits.partition_messages);
            for p in 0..self.plan.config.partitions {
                let credit = core.credit(PartitionId(p)).messages;
                let tenure = self.checker.processes[m].tenures[p as usize].as_ref();
                let open = tenure.is_some_and(|t| t.stopping.is_none() && t.until > self.now);
                if open {
                    let rules = &self.checker.rules;
                    rules.hold(Rule::CreditLeaked, credit >= half, || {
                        format!("member={m} partition={p} credit={credit} of {limits:?}")
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Every message that is stored is covered by the frontier of its partition (L1).
    fn everything_committed(&mut self) -> bool {
        if self.waiting.is_some() && !self.all_over() {
            return false;
        }
        let stored = self.logs.iter().zip(&self.records).all(|(log, record)| {
            log.entries().last().is_none_or(|&e| {
                record.incarnation.is_some_and(|i| i.0 == log.incarnation)
                    && record
                        .frontier
                        .is_some_and(|f| f > self.entries[e as usize].position)
            })
        });
        if !stored || !(self.silent || self.made.len() >= self.plan.messages as usize) {
            return false;
        }
        // A rewrite that no session has noticed yet may have put messages below a frontier.
        let noticed = (0..self.plan.config.partitions).all(|p| {
            let rewrites = self.logs[p as usize].rewrites;
            let owner = self.seats[p as usize].map(|s| s.member as usize);
            rewrites == 0
                || owner
                    .and_then(|m| self.checker.tenure(m, p))
                    .is_some_and(|t| (t.seen == rewrites || t.blind) && t.next_delivery.is_some())
        });
        noticed && self.members.iter().all(|m| m.core.is_some() && !m.draining) && self.all_over()
    }

    /// Every stored message was resolved or is excused. Begins with the one that was not when it was
    /// last asked.
    fn all_over(&mut self) -> bool {
        let waits = |e: u32| {
            let fact = &self.checker.facts[e as usize];
            self.entries[e as usize].stored && !fact.resolved && !fact.excused
        };
        if self.waiting.is_some_and(waits) {
            return false;
        }
        self.waiting = (0..self.entries.len() as u32).find(|&e| waits(e));
        self.waiting.is_none()
    }

    pub(super) fn stuck(&self, rule: Rule) -> String {
        let mut story = format!("at={}: {};", self.now, rule.shape());
        for (p, (log, record)) in self.logs.iter().zip(&self.records).enumerate() {
            let last = log
                .entries()
                .last()
                .map(|&e| self.entries[e as usize].position);
            let _ = write!(
                story,
                " partition={p} committed={:?} of {last:?} seat={:?}",
                record.frontier,
                self.seats[p].map(|s| (s.member, s.epoch))
            );
        }
        for (m, member) in self.members.iter().enumerate() {
            if let Some(core) = &member.core {
                let _ = write!(
                    story,
                    " member={m} {:?} wake={:?}",
                    core.stats(),
                    core.poll_timeout()
                );
            }
        }
        story
    }

    /// Faults stopped a while ago, and something is still unfinished.
    #[inline(never)]
    pub(super) fn watchdog(&mut self) -> Checked {
        self.stage = Stage::Over;
        self.checker
            .rules
            .hold(Rule::NoProgress, false, || self.stuck(Rule::NoProgress))
    }
}

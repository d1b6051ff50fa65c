//! Stalls: each rises once when it is due, and clears once when the frontier has moved (L3).

use procession_core::{Config, NoticeKind, Stall, StallState};

use super::{Checked, Checker};
use crate::rule::Rule;

impl Checker {
    /// A verdict about a stall comes in its turn: first that there is one, then that it is over.
    pub(super) fn stall_noticed(
        &mut self,
        member: usize,
        partition: u32,
        kind: NoticeKind,
        now: u64,
    ) -> Checked {
        let told = &mut self.processes[member].stalls[partition as usize].1;
        let rises = kind == NoticeKind::Stalled;
        if !rises && kind != NoticeKind::StallOver {
            return Ok(());
        }
        let once = *told != rises;
        *told = rises;
        self.rules.hold(Rule::StallToldTwice, once, || {
            format!("member={member} partition={partition} at={now}: {kind:?}")
        })
    }

    /// Whether something held the frontier when it was last looked at.
    pub(crate) fn knows_stall(&self, member: usize, partition: u32) -> bool {
        self.processes[member].stalls[partition as usize]
            .0
            .is_some()
    }

    /// After every event: what the core says of a frontier is what the books of its tenure say, and a
    /// stall that was told and has passed was called over.
    pub(crate) fn stall_seen(
        &mut self,
        member: usize,
        partition: u32,
        stall: Option<Stall>,
        now: u64,
    ) -> Checked {
        let process = &mut self.processes[member];
        let rules = &self.rules;
        let at = || format!("member={member} partition={partition} at={now}: {stall:?}");
        let holds = process.tenures[partition as usize].as_ref();
        let doubts = stall.is_some_and(|s| s.state == StallState::Doubted);
        let nothing =
            stall.is_some() && holds.is_some_and(|t| t.held == 0 && !(doubts && t.doubts));
        rules.hold(Rule::StallOfNothing, !nothing, at)?;
        // A handler that is left behind while its partition is given up holds nothing any more; the
        // release says that the stall is over.
        let leaves = holds.is_some_and(|t| t.stopping.is_some());
        let (known, told) = &mut process.stalls[partition as usize];
        let position = stall.map(|s| s.position.0);
        if known.map(|k| k.0) != position {
            *known = position.map(|p| (p, now));
            // A notice about what holds it now can only come later.
            rules.hold(Rule::StallNotCalledOver, leaves || !*told, at)?;
        }
        match (stall, known) {
            (Some(stall), Some((_, since))) => {
                let right = stall.since.as_nanos() == *since;
                rules.hold(Rule::StallDatedWrongly, right, at)
            }
            _ => Ok(()),
        }
    }

    /// The core was told the time: every stall that is due was told.
    pub(crate) fn stalls_told(&self, member: usize, config: &Config, now: u64) -> Checked {
        let after = config.stall_after.as_nanos();
        let process = &self.processes[member];
        for (partition, (known, told)) in process.stalls.iter().enumerate() {
            let open = process.tenures[partition].as_ref();
            let open = open.is_some_and(|t| t.stopping.is_none());
            let due = known.is_some_and(|(_, since)| since.saturating_add(after) <= now);
            if open && due && after != u64::MAX {
                self.rules.hold(Rule::StallNotTold, *told, || {
                    format!("member={member} partition={partition} at={now}: {known:?}")
                })?;
            }
        }
        Ok(())
    }
}

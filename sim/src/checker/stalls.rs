//! Stalls: each rises once when it is due, and clears once when the frontier has moved (L3).

use procession_core::{Config, NoticeKind, Stall, StallState};

use super::{Checked, Checker, Process};
use crate::rule::{Rule, Rules};

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

impl Process {
    /// After every event: what the core says of a frontier is what the books of its tenure say, and a
    /// stall that was told and has passed was called over.
    #[inline]
    pub(crate) fn stall_seen(
        &mut self,
        rules: &Rules,
        (member, partition): (u32, u32),
        stall: Option<Stall>,
        now: u64,
    ) -> Checked {
        let (known, told) = &mut self.stalls[partition as usize];
        if stall.is_none() && known.is_none() {
            return Ok(());
        }
        let at = &|| format!("member={member} partition={partition} at={now}: {stall:?}");
        let holds = self.tenures[partition as usize].as_ref();
        let doubts = stall.is_some_and(|s| s.state == StallState::Doubted);
        let nothing =
            stall.is_some() && holds.is_some_and(|t| t.held == 0 && !(doubts && t.doubts));
        rules.hold(Rule::StallOfNothing, !nothing, at)?;
        // A handler that is left behind while its partition is given up holds nothing any more; the
        // release says that the stall is over.
        let leaves = holds.is_some_and(|t| t.stopping.is_some());
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
}

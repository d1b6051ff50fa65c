//! Gaps in the sequences of keys, and what operators do about them.

use procession_core::{OnGap, PartitionId, SequenceGap};

use super::World;
use crate::checker::Checked;
use crate::event::Event;
use crate::site::Site;

impl World {
    /// The core tells of a gap. If it stopped the key, somebody reads that some time later.
    pub(super) fn gap_told(&mut self, member: u32, gap: &SequenceGap) -> Checked {
        let p = gap.partition.0;
        self.mark(gap.found, 57, gap.expected);
        self.note(|_, out| out.push_str(&format!("             m{member} {gap:?}\n")));
        let m = member as usize;
        // A position can have been used again since.
        let e = (0..self.entries.len() as u32).find(|e| {
            let entry = &self.entries[*e as usize];
            let here = (entry.partition, entry.position) == (p, gap.position.0);
            here && self.checker.holds(m, p, *e)
        });
        self.checker.gap_told(m, gap, e, &self.entries, self.now)?;
        let stops = self
            .plan
            .config
            .sequence
            .is_some_and(|s| s.on_gap == OnGap::Stop);
        if stops {
            let life = self.members[m].life;
            let wait = self.latency(Site::Revoke, u64::from(p), gap.found) * 8;
            let number = self.gaps.len() as u32;
            self.gaps.push((p, gap.key));
            let gap = number;
            self.push_in(wait, Event::PassGap { member, life, gap });
        }
        Ok(())
    }

    /// The operator passes it.
    #[inline(never)]
    pub(super) fn pass_gap(&mut self, member: u32, gap: u32) {
        let m = member as usize;
        let (partition, key) = self.gaps[gap as usize];
        let time = self.time();
        let Some(core) = &mut self.members[m].core else {
            return;
        };
        if core.pass_gap(time, PartitionId(partition), key) {
            self.checker.gap_passed(m, partition, key, &self.entries);
        }
    }
}

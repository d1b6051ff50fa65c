//! Records that are out of range, and what operators do about them.

use procession_core::{NoticeKind, OnReset, PartitionId};

use super::World;
use crate::event::Event;
use crate::site::Site;

impl World {
    /// A partition was opened with a record that the log does not hold.
    pub(super) fn out_of_range(
        &mut self,
        m: usize,
        partition: u32,
        recorded: u64,
        range: (u64, u64),
    ) {
        match self.plan.config.on_reset {
            OnReset::Stop => {
                let kinds = &[NoticeKind::OutOfRange];
                self.checker.expect_notice(m, partition, kinds);
                if let Some(tenure) = self.checker.tenure(m, partition) {
                    tenure.stopped = Some((recorded, range.1));
                }
            }
            OnReset::Latest => {
                let log = &self.logs[partition as usize];
                self.checker
                    .passed_over(m, partition, (recorded, range.1), log);
            }
            OnReset::Earliest => {}
        }
    }

    /// Somebody reads the notice, some time later.
    pub(super) fn call_operator(&mut self, member: u32, partition: u32, at: u64) {
        let life = self.members[member as usize].life;
        let wait = self.latency(Site::Revoke, u64::from(partition), at) * 8;
        self.push_in(
            wait,
            Event::Reset {
                member,
                life,
                partition,
            },
        );
    }

    /// The operator says where the partition goes on.
    #[inline(never)]
    pub(super) fn reset(&mut self, member: u32, partition: u32) {
        let m = member as usize;
        let to = if self.fate.bits(Site::Revoke, u64::from(partition), self.now) & 1 == 0 {
            OnReset::Earliest
        } else {
            OnReset::Latest
        };
        let time = self.time();
        let Some(core) = &mut self.members[m].core else {
            return;
        };
        if !core.reset(time, PartitionId(partition), to) {
            return;
        }
        self.note(|_, out| {
            out.push_str(&format!("             m{member} {partition} on: {to:?}\n"))
        });
        let stopped = self.checker.tenure(m, partition);
        let Some(range) = stopped.and_then(|tenure| tenure.stopped.take()) else {
            return;
        };
        if to == OnReset::Latest {
            let log = &self.logs[partition as usize];
            self.checker.passed_over(m, partition, range, log);
        }
    }
}

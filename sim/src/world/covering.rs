//! What a run has been to, and in which states of a core.

use procession_core::PartitionId;

use super::World;
use crate::coverage::{Coverage, Mark, State};
use crate::event::Event;

impl World {
    /// A place in the models was reached.
    pub(super) fn hit(&mut self, mark: Mark) {
        self.marks[mark as usize] += 1;
    }

    /// What is decided from here on concerns a member; `None`: all of them.
    pub(super) fn concerns(&self, member: Option<u32>) {
        if !self.coverage {
            return;
        }
        let states = match member {
            Some(member) => self.states(member),
            None => (0..self.plan.members).fold(0, |all, m| all | self.states(m)),
        };
        self.fate.concerns(states);
    }

    /// What is decided from here on concerns the owner of a partition, if it has one.
    pub(super) fn concerns_owner(&self, partition: u32) {
        self.concerns(self.seats[partition as usize].map(|s| s.member));
    }

    /// The member that an event is about.
    pub(super) fn member_of(&self, event: Event) -> Option<u32> {
        if let Event::CommitLands { write } = event {
            return Some(self.writes[write as usize].member);
        }
        if let Event::LeaseCheck { partition, .. } | Event::Assign { partition } = event {
            return self.seats[partition as usize].map(|s| s.member);
        }
        if let Event::Restart { member } = event {
            return Some(member);
        }
        event.process().map(|p| p.0)
    }

    /// The states that a core is in, one bit each.
    fn states(&self, member: u32) -> u16 {
        let m = member as usize;
        let mut states = 0;
        let mut set = |state: State, holds: bool| states |= u16::from(holds) << state as u8;
        let Some(core) = &self.members[m].core else {
            return 1 << State::Dead as u8;
        };
        let process = &self.checker.processes[m];
        let (held, running) = (process.held(), process.runs.len() as u32);
        let orphans = process.runs.iter().filter(|r| r.orphan).count() as u32;
        let tenures = || process.tenures.iter().flatten();
        let owns = tenures().next().is_some();
        set(State::Free, !owns);
        set(State::Empty, owns && held == 0);
        set(State::Waiting, held > running - orphans);
        set(State::Running, running > orphans);
        set(State::Orphans, orphans > 0);
        let partitions = process.tenures.iter().enumerate();
        let full = |p: usize| core.credit(PartitionId(p as u32)).messages == 0;
        let takes_nothing = partitions
            .filter(|(_, t)| t.is_some())
            .any(|(p, _)| full(p));
        set(State::Full, takes_nothing);
        set(State::Apart, tenures().any(|t| t.next_delivery.is_none()));
        set(State::Writing, tenures().any(|t| t.outstanding.is_some()));
        set(State::Stopping, tenures().any(|t| t.stopping.is_some()));
        set(State::Draining, process.draining.is_some());
        states
    }

    /// Everything that was counted.
    pub(super) fn covered(&self) -> Box<Coverage> {
        Box::new(Coverage {
            rules: self.checker.rules.asked().map(u64::from),
            marks: self.marks,
            table: self.fate.struck(),
        })
    }
}

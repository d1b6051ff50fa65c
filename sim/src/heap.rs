//! The event queue: a total order over (time, tie, sequence).

use crate::event::Event;

/// Events to come, earliest first.
///
/// Events of one time are ordered by a keyed hash of their class and entity, so that seeds explore
/// both orders; events of one class and entity keep the order in which they were pushed.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// Time, tie and sequence in one number each, the latest first: a run has some dozens of events
    /// to come, and most of what is pushed is soon. Moving a few numbers is cheaper than a heap, whose
    /// comparisons nobody can predict.
    events: Vec<u128>,
    /// Payloads by sequence number.
    payloads: Vec<Event>,
}

impl Heap {
    pub(crate) fn push(&mut self, at: u64, tie: u32, event: Event) {
        let sequence = u32::try_from(self.payloads.len()).expect("invariant: runs are short");
        self.payloads.push(event);
        let key = u128::from(at) << 64 | u128::from(tie) << 32 | u128::from(sequence);
        let place = self.events.partition_point(|&other| other > key);
        self.events.insert(place, key);
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let key = self.events.pop()?;
        let (at, sequence) = ((key >> 64) as u64, key as u32);
        Some((at, self.payloads[sequence as usize]))
    }
}

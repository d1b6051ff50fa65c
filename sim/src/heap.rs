//! The event queue: a total order over (time, tie, sequence).

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::Event;

/// Events to come, earliest first.
///
/// Events of one time are ordered by a keyed hash of their class and entity, so that seeds explore
/// both orders; events of one class and entity keep the order in which they were pushed.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    events: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// Payloads by sequence number; taken out when they are popped.
    payloads: Vec<Event>,
}

impl Heap {
    pub(crate) fn push(&mut self, at: u64, tie: u32, event: Event) {
        let sequence = u32::try_from(self.payloads.len()).expect("invariant: runs are short");
        self.payloads.push(event);
        self.events.push(Reverse((at, tie, sequence)));
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event)> {
        let Reverse((at, _, sequence)) = self.events.pop()?;
        Some((at, self.payloads[sequence as usize]))
    }
}

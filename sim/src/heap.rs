//! The event queue: a total order over (time, tie, sequence).

use crate::event::Event;

/// Events to come, earliest first.
///
/// Events of one time are ordered by a keyed hash of their class and entity, so that seeds explore
/// both orders; events of one class and entity keep the order in which they were pushed.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// The latest first: a run has some dozens of events to come, and most of what is pushed is soon. Moving
    /// a few is cheaper than a heap, whose comparisons nobody can predict.
    events: Vec<(u128, Event)>,
    pushed: u32,
}

/// Events that are looked at one by one.
const NEAR: usize = 6;

impl Heap {
    pub(crate) fn push(&mut self, at: u64, tie: u32, event: Event) {
        let key = u128::from(at) << 64 | u128::from(tie) << 32 | u128::from(self.pushed);
        self.pushed = self
            .pushed
            .checked_add(1)
            .expect("invariant: runs are short");
        // Half of all events are among the next three: one step after the other, unless it is later than
        // the next few.
        let near = self.events.len().saturating_sub(NEAR);
        if near > 0 && self.events[near].0 < key {
            let index = self.events[..near].partition_point(|other| other.0 > key);
            self.events.insert(index, (key, event));
            return;
        }
        self.events.push((key, event));
        let events = &mut self.events[near..];
        let mut index = events.len() - 1;
        while index > 0 && events[index - 1].0 < key {
            events[index] = events[index - 1];
            index -= 1;
        }
        events[index] = (key, event);
    }

    /// The time of the next event, what breaks the tie among those of this time, and itself; then
    /// [`pass`](Self::pass) it. In two steps, so that it is copied once.
    #[inline(always)]
    pub(crate) fn next(&self) -> Option<(u64, u32, &Event)> {
        let (key, event) = self.events.last()?;
        Some(((key >> 64) as u64, (key >> 32) as u32, event))
    }

    #[inline(always)]
    pub(crate) fn pass(&mut self) {
        self.events.truncate(self.events.len().saturating_sub(1));
    }
}

//! The event queue: a total order over (time, tie, sequence).

use crate::event::Event;

/// Events to come, earliest first.
///
/// Events of one time are ordered by a keyed hash of their class and entity, so that seeds explore
/// both orders; events of one class and entity keep the order in which they were pushed.
#[derive(Debug, Default)]
pub(crate) struct Heap {
    /// Time, tie, sequence and place of the payload in one number each, the latest first: a run has some
    /// dozens of events to come, and most of what is pushed is soon. Moving a few numbers is cheaper than
    /// a heap, whose comparisons nobody can predict.
    events: Vec<u128>,
    /// Payloads by place.
    payloads: Vec<Event>,
    /// Places whose events have come: used again while they are still near the processor.
    free: Vec<u16>,
    pushed: u32,
}

/// Events that are looked at one by one.
const NEAR: usize = 8;

/// Three days: no run comes that far, and what is later keeps its order well enough.
const LATEST: u64 = (1 << 48) - 1;

impl Heap {
    pub(crate) fn push(&mut self, at: u64, tie: u32, event: Event) {
        let place = match self.free.pop() {
            Some(place) => {
                self.payloads[usize::from(place)] = event;
                place
            }
            None => {
                let place = u16::try_from(self.payloads.len());
                self.payloads.push(event);
                place.expect("invariant: few events are to come at once")
            }
        };
        let at = u128::from(at.min(LATEST)) << 80;
        let key = at | u128::from(tie) << 48 | u128::from(self.pushed) << 16 | u128::from(place);
        self.pushed = self
            .pushed
            .checked_add(1)
            .expect("invariant: runs are short");
        // Half of all events are among the next three: one step after the other, unless it is later than
        // the next eight.
        let near = self.events.len().saturating_sub(NEAR);
        if near > 0 && self.events[near] < key {
            let index = self.events[..near].partition_point(|&other| other > key);
            self.events.insert(index, key);
            return;
        }
        self.events.push(key);
        let events = &mut self.events[near..];
        let mut index = events.len() - 1;
        while index > 0 && events[index - 1] < key {
            events[index] = events[index - 1];
            index -= 1;
        }
        events[index] = key;
    }

    /// The next event: its time, what breaks the tie among those of this time, and itself.
    pub(crate) fn pop(&mut self) -> Option<(u64, u32, Event)> {
        let key = self.events.pop()?;
        let (at, tie, place) = ((key >> 80) as u64, (key >> 48) as u32, key as u16);
        self.free.push(place);
        Some((at, tie, self.payloads[usize::from(place)]))
    }
}

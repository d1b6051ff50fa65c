//! The event queue: a total order over (time, tie, sequence).

use crate::event::Event;

/// Events to come, earliest first.
///
/// Events of one time are ordered by a keyed hash of their class and entity, so that seeds explore
/// both orders; events of one class and entity keep the order in which they were pushed.
#[derive(Debug)]
pub(crate) struct Heap {
    /// The latest first: a run has some dozens of events to come, and most of what is pushed is soon. Moving
    /// a few is cheaper than a heap, whose comparisons nobody can predict.
    events: Vec<(u128, Event)>,
    pushed: u32,
}

/// The next events are looked at one by one, those behind them by as many at once.
const NEAR: usize = 3;

impl Heap {
    pub(crate) fn new() -> Self {
        Self {
            events: Vec::with_capacity(64),
            pushed: 0,
        }
    }

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
            // Group by group, and no question within one: the answers could not be predicted.
            let mut index = near;
            while index >= NEAR && self.events[index - NEAR].0 < key {
                index -= NEAR;
            }
            let group = &self.events[index.saturating_sub(NEAR)..index];
            index -= group
                .iter()
                .map(|other| usize::from(other.0 < key))
                .sum::<usize>();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fate::mix;

    #[test]
    fn events_come_by_time_tie_and_turn() {
        for round in 0..200_u64 {
            let mut heap = Heap::new();
            let mut expected = Vec::new();
            let mut came = Vec::new();
            // It grows to some dozens and is empty in the end; many are of one time, or of one tie, too.
            for n in 0..300_u32 {
                let draw = mix(round << 32 | u64::from(n));
                let (at, tie) = (draw % 40, (draw >> 32) as u32 % 3);
                heap.push(at, tie, Event::Publish { number: n });
                expected.push((at, tie, n));
                if n > 260 || draw >> 60 < round % 16 {
                    for _ in 0..=(draw >> 58) % 4 {
                        let Some((at, tie, &Event::Publish { number })) = heap.next() else {
                            break;
                        };
                        came.push((at, tie, number));
                        heap.pass();
                        let first = expected.iter().min().copied();
                        assert_eq!(came.last().copied(), first, "round {round}");
                        expected.retain(|&e| Some(e) != first);
                    }
                }
            }
            assert!(!came.is_empty());
        }
    }
}

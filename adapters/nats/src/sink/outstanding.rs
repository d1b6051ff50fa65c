//! Publishes without an answer: a slab, found by the last token of the reply subject.

use std::collections::VecDeque;

use procession_runtime::port::SinkTicket;
use tokio::time::Instant;

use super::expecting::Expecting;

/// Most publishes without an answer; a limit behind the core's own window.
pub(super) const OUTSTANDING_MAX: usize = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 18;

/// What is known of a publish until its answer comes.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) ticket: SinkTicket,
    pub(super) partition: u32,
    /// What it expects of its place.
    pub(super) expecting: Option<Box<Expecting>>,
    /// Of a batch, the tickets of all in it; `ticket` is its last.
    pub(super) together: Vec<SinkTicket>,
}

impl Sent {
    /// What an answer is for.
    pub(super) fn tickets(&self) -> &[SinkTicket] {
        match &*self.together {
            [] => core::slice::from_ref(&self.ticket),
            together => together,
        }
    }
}

/// The slab.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// In the order of their deadlines, which is the order in which they were sent.
    deadlines: VecDeque<(Instant, u64)>,
    held: usize,
}

#[derive(Debug)]
struct Slot {
    /// Counts the uses, so that a late answer does not settle a newer publish.
    generation: u64,
    sent: Option<Sent>,
}

impl Outstanding {
    /// Takes a publish; the number for its reply subject. `None` when all slots are used.
    pub(super) fn insert(&mut self, deadline: Instant, sent: Sent) -> Option<u64> {
        let at = match self.free.pop() {
            Some(at) => at,
            None if self.slots.len() < OUTSTANDING_MAX => {
                self.slots.push(Slot {
                    generation: 0,
                    sent: None,
                });
                u32::try_from(self.slots.len() - 1).ok()?
            }
            None => return None,
        };
        let slot = self.slots.get_mut(at as usize)?;
        slot.sent = Some(sent);
        self.held += 1;
        let number = (slot.generation << SLOT_BITS) | u64::from(at);
        self.deadlines.push_back((deadline, number));
        Some(number)
    }

    /// Gives up the publish with this number.
    pub(super) fn remove(&mut self, number: u64) -> Option<Sent> {
        let at = number & (OUTSTANDING_MAX as u64 - 1);
        let slot = self.slots.get_mut(usize::try_from(at).ok()?)?;
        if slot.generation != number >> SLOT_BITS {
            return None;
        }
        let sent = slot.sent.take()?;
        slot.generation += 1;
        self.held -= 1;
        self.free.push(u32::try_from(at).ok()?);
        // Settled ones at the front are of no more use; at most what was sent within a deadline stays.
        while let Some((_, front)) = self.deadlines.front()
            && !self.holds(*front)
        {
            self.deadlines.pop_front();
        }
        Some(sent)
    }

    /// The next publish whose deadline has passed.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Sent> {
        while let Some(&(deadline, number)) = self.deadlines.front() {
            if now < deadline {
                return None;
            }
            self.deadlines.pop_front();
            if let Some(sent) = self.remove(number) {
                return Some(sent);
            }
        }
        None
    }

    /// The earliest deadline.
    pub(super) fn due(&self) -> Option<Instant> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    /// Forgets all: answers that still come find nobody.
    pub(super) fn clear(&mut self) {
        for (at, slot) in self.slots.iter_mut().enumerate() {
            if slot.sent.take().is_some() {
                slot.generation += 1;
                self.free.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        self.deadlines.clear();
        self.held = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.held
    }

    fn holds(&self, number: u64) -> bool {
        let at = usize::try_from(number & (OUTSTANDING_MAX as u64 - 1)).unwrap_or(usize::MAX);
        self.slots
            .get(at)
            .is_some_and(|slot| slot.generation == number >> SLOT_BITS && slot.sent.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn sent(token: u64) -> Sent {
        Sent {
            ticket: SinkTicket { token, attempt: 1 },
            partition: 0,
            expecting: None,
            together: Vec::new(),
        }
    }

    #[test]
    fn late_answers_find_nobody() {
        let (mut out, now) = (Outstanding::default(), Instant::now());
        let one = out.insert(now, sent(1)).unwrap();
        assert_eq!(out.remove(one).unwrap().ticket.token, 1);
        assert!(out.remove(one).is_none());
        let two = out.insert(now, sent(2)).unwrap();
        assert_ne!(one, two);
        assert!(
            out.remove(one).is_none(),
            "the slot is used again, the number is not"
        );
        assert_eq!(out.len(), 1);
        out.clear();
        assert!(out.remove(two).is_none());
        assert_eq!((out.len(), out.due()), (0, None));
    }

    #[test]
    fn deadlines_run_out_in_order() {
        let (mut out, now) = (Outstanding::default(), Instant::now());
        let second = Duration::from_secs(1);
        let numbers: Vec<u64> = (0u32..4)
            .map(|n| out.insert(now + second * n, sent(n.into())).unwrap())
            .collect();
        out.remove(numbers[0]);
        assert_eq!(out.due(), Some(now + second));
        assert!(out.expire(now).is_none());
        assert_eq!(out.expire(now + second * 2).unwrap().ticket.token, 1);
        assert_eq!(out.expire(now + second * 2).unwrap().ticket.token, 2);
        assert!(out.expire(now + second * 2).is_none());
    }

    #[test]
    fn bounded() {
        let (mut out, now) = (Outstanding::default(), Instant::now());
        for n in 0..OUTSTANDING_MAX as u64 {
            out.insert(now, sent(n)).unwrap();
        }
        assert!(out.insert(now, sent(0)).is_none());
    }
}

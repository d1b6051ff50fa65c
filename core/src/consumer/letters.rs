//! Dead letters: the key and the position wait until the broker has confirmed them (S9).

use super::slab::{QUARANTINED, SHORTEN_SHIFT, State, WHY_SHIFT};
use super::{Consumer, DeadLetter, NoticeKind, Receipt, Why};
use crate::marks::mark;
use crate::{PartitionId, Time, Token, mutants};

/// Those that a slot can name by itself; a gap is named beside it. What is discarded is never a dead
/// letter, so there its number stands for a suspect.
const WHYS: [Why; 8] = [
    Why::Exhausted,
    Why::Rejected,
    Why::Malformed,
    Why::TooLarge,
    Why::Keyless,
    Why::Parked,
    Why::Discarded,
    Why::Expired,
];
/// The shortest form: a reference with a digest.
const SHORTEN_MAX: u8 = 2;

/// Why, from the lowest bits of a number.
pub(super) const fn why(bits: u8) -> Why {
    WHYS[(bits & 7) as usize % WHYS.len()]
}

/// Whether a dead letter for this reason parks its key, where keys are parked.
pub(super) const fn parks(why: Why) -> bool {
    match why {
        Why::Exhausted
        | Why::Rejected
        | Why::Malformed
        | Why::TooLarge
        | Why::Gap
        | Why::Suspect => true,
        Why::Keyless | Why::Parked | Why::Discarded | Why::Expired => false,
    }
}

impl<M> Consumer<M> {
    pub(super) fn set_why(&mut self, index: u32, why: Why) {
        let slot = &mut self.slab.slots[index as usize].hot;
        slot.flags &= !(7 << WHY_SHIFT);
        // A gap has no number here: `why_of` knows it.
        let number = if why == Why::Suspect {
            Why::Discarded as u8
        } else {
            why as u8 & 7
        };
        slot.flags |= number << WHY_SHIFT;
    }

    /// The message in this slot ends as a dead letter.
    pub(super) fn bury(&mut self, index: u32, why: Why) {
        self.set_why(index, why);
        if mutants::is(8) {
            // Its credit is never given back.
            self.credit.leak();
        }
        self.stage(index);
    }

    /// A dead letter is to be handed out.
    pub(super) fn stage(&mut self, index: u32) {
        if self.parking.is_on() && !self.take_place(index) {
            return;
        }
        let partition = usize::from(self.slab.slots[index as usize].hot.partition);
        self.partitions[partition].busy += 1;
        self.restage(index);
    }

    pub(super) fn restage(&mut self, index: u32) {
        self.slab.slots[index as usize].hot.state = State::Burying;
        self.letters.insert(index);
    }

    /// Store this message at the dead-letter destination. It is lent, and kept until
    /// [`dead_letter_result`](Self::dead_letter_result) says that it is stored.
    pub fn poll_dead_letter(&mut self) -> Option<DeadLetter<'_, M>> {
        let index = self.letters.pop()?;
        let why = self.why_of(index);
        let slot = &mut self.slab.slots[index as usize];
        slot.hot.state = State::Buried;
        Some(DeadLetter {
            token: slot.hot.token(index),
            partition: PartitionId(slot.hot.partition.into()),
            position: self.pool.position(slot.hot.entry),
            why,
            attempts: slot.cold.attempts(),
            shorten: slot.hot.flags >> SHORTEN_SHIFT,
            message: slot
                .message
                .as_ref()
                .expect("invariant: a dead letter is in its slot until it is confirmed"),
        })
    }

    /// How the storing of a dead letter ended. Anything but `Stored` is tried again: the key and the
    /// position wait. A stale token changes nothing.
    pub fn dead_letter_result(&mut self, now: Time, token: Token, result: Receipt) {
        let now = self.tick(now);
        let Some(index) = self.slab.resolve(token) else {
            return;
        };
        let slot = self.slab.slots[index as usize].hot;
        if slot.state != State::Buried {
            return;
        }
        let partition = usize::from(slot.partition);
        let shorten = slot.flags >> SHORTEN_SHIFT;
        match result {
            Receipt::TooLarge if shorten < SHORTEN_MAX => {
                mark!(LetterShortened);
                self.slab.slots[index as usize].hot.flags += 1 << SHORTEN_SHIFT;
                self.restage(index);
            }
            Receipt::NotStored | Receipt::Unknown | Receipt::TooLarge
                if !(mutants::is(10) || mutants::is(43) && result == Receipt::Unknown) =>
            {
                let position = self.pool.position(slot.entry);
                mark!(LetterAgain);
                self.notice(partition, NoticeKind::DeadLetterRetried, position);
                let tries = self.slab.slots[index as usize].cold.count_burial();
                let backoff = self.config.dead_letter_backoff;
                let wait = backoff.after(tries, self.config.seed, position.0);
                self.slab.slots[index as usize].hot.state = State::Reburying;
                self.timers.arm(&mut self.slab, index, now + wait);
            }
            Receipt::Stored | Receipt::NotStored | Receipt::Unknown | Receipt::TooLarge => {
                mark!(LetterStored);
                // Zero already when the hand-over has left it behind.
                let part = &mut self.partitions[partition];
                part.busy = part.busy.saturating_sub(1);
                self.slab.slots[index as usize].hot.flags &= !QUARANTINED;
                self.stats.dead += 1;
                self.park(index);
                self.finish(index, false, false);
                self.close_when_idle(now, partition);
            }
        }
    }
}

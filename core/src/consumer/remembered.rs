//! What was remembered of successes, as bytes: for a process that starts anew (S4).
//!
//! Ages are kept, not times: a clock may begin anew with the process. Layout, all numbers little endian:
//! ```text
//!  0      version (1)
//!  1      kind (2: identities)
//!  2..6   count
//!  6..10  checksum over everything else
//! 10..    for each identity, the last success first: the identity (16), its age in nanoseconds (8)
//! ```
//! It is read back as an untrusted input: whatever is not whole and sound is refused as a whole.

use core::fmt;

use super::Consumer;
use super::map::checksum;
use crate::{Span, Time, mutants};

const VERSION: u8 = 1;
const IDENTITIES: u8 = 2;
const HEADER: usize = 10;
const ENTRY: usize = 24;

/// Why identities or sequences were not restored. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotRestored {
    /// The bytes are foreign, truncated, corrupt, or of a later version.
    Unsound,
    /// Something is remembered already; what comes in would not be older.
    TooLate,
}

impl fmt::Display for NotRestored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsound => "what was remembered is not whole and sound",
            Self::TooLate => "something is remembered already",
        })
    }
}

impl core::error::Error for NotRestored {}

impl<M> Consumer<M> {
    /// Bytes that [`export_identities`](Self::export_identities) needs for all that is remembered.
    #[must_use]
    pub const fn identities_bytes(&self) -> usize {
        HEADER + ENTRY * self.identities.done() as usize
    }

    /// Writes the identities that succeeded inside the dedupe window, for
    /// [`import_identities`](Self::import_identities) in the next process: copies across a restart are
    /// then recognised, and what succeeded but is not covered by a commit does not run again (S4).
    /// What does not fit is forgotten, the oldest first. Returns how many bytes were written; 0 when
    /// there is not even room for the head. O(identities).
    pub fn export_identities(&self, now: Time, out: &mut [u8]) -> usize {
        let now = self.now.max(now);
        if out.len() < HEADER {
            return 0;
        }
        let age = self.config.dedupe.age;
        let (header, body) = out.split_at_mut(HEADER);
        let mut count = 0_u32;
        let fresh = self.identities.newest().take_while(|e| now <= e.1);
        for (place, (identity, until)) in body.chunks_exact_mut(ENTRY).zip(fresh) {
            let old = age.as_nanos().saturating_sub(until.since(now).as_nanos());
            place[..16].copy_from_slice(&identity.to_le_bytes());
            place[16..].copy_from_slice(&old.to_le_bytes());
            count += 1;
        }
        let used = ENTRY * count as usize;
        header[0] = VERSION;
        header[1] = IDENTITIES;
        header[2..6].copy_from_slice(&count.to_le_bytes());
        let sum = checksum(&header[..6], &body[..used]);
        header[6..10].copy_from_slice(&sum.to_le_bytes());
        HEADER + used
    }

    /// Remembers what another process had remembered, `elapsed` after it was written. What has become
    /// too old meanwhile, or is more than this configuration remembers, is forgotten: never a reason
    /// to drop a message. To be called before the first success; held messages of these identities are
    /// copies from then on. Returns how many are remembered. O(identities).
    ///
    /// # Errors
    /// [`NotRestored`]; nothing was changed.
    pub fn import_identities(
        &mut self,
        now: Time,
        elapsed: Span,
        bytes: &[u8],
    ) -> Result<u32, NotRestored> {
        let now = self.tick(now);
        let body = decode(bytes).ok_or(NotRestored::Unsound)?;
        if self.identities.done() > 0 {
            return Err(NotRestored::TooLate);
        }
        let age = self.config.dedupe.age;
        let most = self.config.dedupe.ids as usize;
        for entry in body.chunks_exact(ENTRY).take(most).rev() {
            let (identity, old) = read(entry);
            let old = if mutants::is(28) {
                Span::ZERO
            } else {
                old + elapsed
            };
            if old <= age && !mutants::is(27) {
                let left = age.as_nanos() - old.as_nanos();
                self.identities
                    .restore(now + Span::from_nanos(left), identity);
            }
        }
        Ok(self.identities.done())
    }
}

fn read(entry: &[u8]) -> (u128, Span) {
    let (mut identity, mut age) = ([0; 16], [0; 8]);
    identity.copy_from_slice(&entry[..16]);
    age.copy_from_slice(&entry[16..]);
    let age = Span::from_nanos(u64::from_le_bytes(age));
    (u128::from_le_bytes(identity), age)
}

/// The entries, if they are whole and sound: counted, and none younger than the one before it.
fn decode(bytes: &[u8]) -> Option<&[u8]> {
    let (header, body) = bytes.split_at_checked(HEADER)?;
    let number = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let whole = ENTRY.checked_mul(number(2)? as usize)? == body.len();
    let ours = header[0] == VERSION && header[1] == IDENTITIES;
    if !ours || !whole || number(6)? != checksum(&header[..6], body) {
        return None;
    }
    let ages = body.chunks_exact(ENTRY).map(|e| read(e).1);
    ages.is_sorted().then_some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Dedupe};
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn consumer(ids: u32, age: u64) -> Consumer<()> {
        let age = Span::from_nanos(age);
        let dedupe = Dedupe { ids, age };
        Consumer::new(&Config {
            dedupe,
            ..Config::default()
        })
        .unwrap()
    }

    fn export(bus: &Consumer<()>, now: u64, room: usize) -> Vec<u8> {
        let mut bytes = vec![0; room];
        let len = bus.export_identities(Time::from_nanos(now), &mut bytes);
        bytes.truncate(len);
        bytes
    }

    /// What these identities and ages are as bytes.
    fn bytes(entries: &[(u128, u64)]) -> Vec<u8> {
        let mut bus = consumer(1_000, 1_000_000);
        for &(identity, age) in entries.iter().rev() {
            let until = Time::from_nanos(2_000_000 - age);
            bus.identities.restore(until, identity);
        }
        let room = bus.identities_bytes();
        export(&bus, 1_000_000, room)
    }

    #[test]
    fn s4_what_succeeded_is_remembered_for_the_rest_of_its_age() {
        let kept = bytes(&[(1, 10), (2, 50), (3, 90)]);
        let mut next = consumer(10, 100);
        let elapsed = Span::from_nanos(20);
        let import = |bus: &mut Consumer<()>, bytes: &[u8]| {
            bus.import_identities(Time::from_nanos(5), elapsed, bytes)
        };
        assert_eq!(import(&mut next, &kept), Ok(2), "the third is 110 old");
        assert_eq!(import(&mut next, &kept), Err(NotRestored::TooLate));
        let room = next.identities_bytes();
        let (one, two) = (bytes(&[(1, 30), (2, 70)]), bytes(&[(1, 100)]));
        assert_eq!(export(&next, 5, room), one);
        // The second is 101 old by then.
        assert_eq!(export(&next, 75, room), two);
        assert_eq!(
            export(&next, 5, room - 1),
            bytes(&[(1, 30)]),
            "the oldest goes"
        );
    }

    #[test]
    fn s7_no_more_is_restored_than_the_configuration_remembers() {
        let kept = bytes(&[(1, 10), (2, 50), (3, 90)]);
        let import = |ids| {
            let mut bus = consumer(ids, u64::MAX);
            bus.import_identities(Time::ZERO, Span::ZERO, &kept)
        };
        assert_eq!([import(0), import(2), import(3)], [Ok(0), Ok(2), Ok(3)]);
    }

    proptest! {
        #[test]
        fn anything_else_is_refused_as_a_whole(
            flip in 0usize..82, bit in 0u8..8, cut in 0usize..82, noise in any::<Vec<u8>>(),
        ) {
            let good = bytes(&[(1, 10), (2, 50), (3, 90)]);
            prop_assert_eq!(good.len(), 82);
            let mut bad = good.clone();
            bad[flip] ^= 1 << bit;
            for bytes in [&bad[..], &good[..cut], &noise[..]] {
                let mut bus = consumer(10, u64::MAX);
                let restored = bus.import_identities(Time::ZERO, Span::ZERO, bytes);
                prop_assert_eq!(restored, Err(NotRestored::Unsound));
                prop_assert_eq!(bus.stats().identities, 0);
            }
        }
    }
}

//! What is known of sequences, as bytes: for a process that starts anew.
//!
//! Layout, all numbers little endian:
//! ```text
//!  0      version (1)
//!  1      kind (4: sequences)
//!  2..6   count
//!  6..10  checksum over everything else
//! 10..    for each key: its hash (16), its partition (2), the sequence that comes next (8), the first one
//!         from which on all before that were passed (8)
//! ```
//! First the keys of which messages are held, by hash and partition, then the others, the one that was
//! heard of last first. It is read back as an untrusted input: whatever is not whole and sound is refused
//! as a whole.

use super::map::checksum;
use super::slab::NONE;
use super::{Consumer, NotRestored};
use crate::Time;

const VERSION: u8 = 1;
const SEQUENCES: u8 = 4;
const HEADER: usize = 10;
const ENTRY: usize = 34;

impl<M> Consumer<M> {
    /// Bytes that [`export_sequences`](Self::export_sequences) needs for all that is known.
    #[must_use]
    pub const fn sequences_bytes(&self) -> usize {
        HEADER + ENTRY * self.sequences.table.len() as usize
    }

    /// Writes which sequence comes next of each key, for
    /// [`import_sequences`](Self::import_sequences) in the next process: what is ahead or behind there is
    /// then recognised at once. What does not fit is forgotten, what was heard of longest ago first.
    /// Returns how many bytes were written; 0 when there is not even room for the head. O(keys log keys).
    pub fn export_sequences(&self, out: &mut [u8]) -> usize {
        let Some((header, body)) = out.split_at_mut_checked(HEADER) else {
            return 0;
        };
        let entries = &self.sequences.entries;
        let (places, _) = body.as_chunks_mut::<ENTRY>();
        let mut count = 0;
        let mut put = |index: usize| {
            let entry = &entries[index];
            if let (Some(next), Some(place)) = (entry.next, places.get_mut(count)) {
                *place = bytes(entry.key, entry.partition, (next, entry.first));
                count += 1;
            }
            count
        };
        let mut held = 0;
        (0..entries.len())
            .filter(|i| entries[*i].held > 0)
            .for_each(|i| held = put(i));
        let mut at = self.sequences.newest;
        while at != NONE {
            put(at as usize);
            at = entries[at as usize].earlier;
        }
        places[..held].sort_unstable_by_key(|place| {
            let (key, partition, ..) = read(place);
            (key, partition)
        });
        header[0] = VERSION;
        header[1] = SEQUENCES;
        header[2..6].copy_from_slice(&(count as u32).to_le_bytes());
        let used = ENTRY * count;
        let sum = checksum(&header[..6], &body[..used]);
        header[6..10].copy_from_slice(&sum.to_le_bytes());
        HEADER + used
    }

    /// Remembers what another process knew of sequences. What is more than this configuration remembers
    /// is forgotten. To be called before the first message, and only if nobody else has owned the
    /// partitions since: a key that went on elsewhere would seem to have a gap. Returns how many keys are
    /// known. O(keys).
    ///
    /// # Errors
    /// [`NotRestored`]; nothing was changed.
    pub fn import_sequences(&mut self, now: Time, bytes: &[u8]) -> Result<u32, NotRestored> {
        self.tick(now);
        let body = decode(bytes).ok_or(NotRestored::Unsound)?;
        if self.sequences.table.len() > 0 {
            return Err(NotRestored::TooLate);
        }
        let most = self.config.sequence.map_or(0, |s| s.keys as usize);
        for place in body.iter().take(most).rev() {
            let (key, partition, (next, first)) = read(place);
            if u32::from(partition) >= self.config.partitions {
                continue;
            }
            if self.sequences.find(key, partition).is_some() {
                // Told twice: nobody has written this.
                while self.sequences.oldest != NONE {
                    self.sequences.forget(self.sequences.oldest);
                }
                return Err(NotRestored::Unsound);
            }
            let entry = self.sequences.entry(key, partition);
            let entry = &mut self.sequences.entries[entry as usize];
            (entry.next, entry.first) = (Some(next), first);
        }
        Ok(self.sequences.table.len())
    }
}

fn bytes(key: u128, partition: u16, (next, first): (u64, u64)) -> [u8; ENTRY] {
    let mut place = [0; ENTRY];
    place[..16].copy_from_slice(&key.to_le_bytes());
    place[16..18].copy_from_slice(&partition.to_le_bytes());
    place[18..26].copy_from_slice(&next.to_le_bytes());
    place[26..].copy_from_slice(&first.to_le_bytes());
    place
}

fn read(place: &[u8; ENTRY]) -> (u128, u16, (u64, u64)) {
    let (mut key, mut partition) = ([0; 16], [0; 2]);
    let (mut next, mut first) = ([0; 8], [0; 8]);
    key.copy_from_slice(&place[..16]);
    partition.copy_from_slice(&place[16..18]);
    next.copy_from_slice(&place[18..26]);
    first.copy_from_slice(&place[26..]);
    (
        u128::from_le_bytes(key),
        u16::from_le_bytes(partition),
        (u64::from_le_bytes(next), u64::from_le_bytes(first)),
    )
}

/// The entries, if they are whole.
fn decode(bytes: &[u8]) -> Option<&[[u8; ENTRY]]> {
    let (header, body) = bytes.split_at_checked(HEADER)?;
    let number = |at: usize| header[at..at + 4].try_into().map(u32::from_le_bytes).ok();
    let whole = ENTRY.checked_mul(number(2)? as usize)? == body.len();
    let ours = header[0] == VERSION && header[1] == SEQUENCES;
    if !ours || !whole || number(6)? != checksum(&header[..6], body) {
        return None;
    }
    Some(body.as_chunks().0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, OnGap, SequenceOrder, Span};
    use alloc::vec;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    fn consumer(keys: u32) -> Consumer<()> {
        Consumer::new(&Config {
            sequence: Some(SequenceOrder {
                keys,
                hold_messages: 1,
                gap_timeout: Span::from_secs(1),
                on_gap: OnGap::GoOn,
            }),
            ..Config::default()
        })
        .unwrap()
    }

    fn export(bus: &Consumer<()>, room: usize) -> Vec<u8> {
        let mut bytes = vec![0; room];
        let len = bus.export_sequences(&mut bytes);
        bytes.truncate(len);
        bytes
    }

    fn known(keys: &[(u128, u16, u64)]) -> Vec<u8> {
        let mut bus = consumer(100);
        for &(key, partition, next) in keys.iter().rev() {
            let entry = bus.sequences.entry(key, partition);
            let entry = &mut bus.sequences.entries[entry as usize];
            (entry.next, entry.first) = (Some(next), next / 2);
        }
        export(&bus, bus.sequences_bytes())
    }

    /// A vector of the format: it must stay readable for ever.
    const VECTOR: &str = "010402000000c7fa1117010000000000000000000000000000000000\
        05000000000000000200000000000000000000000000000000000000000000010300ffffffff\
        ffffffffffffffffffffff7f";

    #[test]
    fn the_format_is_what_it_was() {
        let bytes = known(&[(1, 0, 5), (1 << 120, 3, u64::MAX)]);
        let hex: Vec<_> = bytes.iter().map(|b| std::format!("{b:02x}")).collect();
        assert_eq!(hex.concat(), VECTOR.replace(char::is_whitespace, ""));
    }

    #[test]
    fn what_was_heard_of_longest_ago_is_forgotten() {
        let all = [(1, 0, 5), (2, 1, 6), (3, 0, 7)];
        let bytes = known(&all);
        let mut next = consumer(2);
        assert_eq!(next.import_sequences(Time::ZERO, &bytes), Ok(2));
        assert_eq!(export(&next, 999), known(&all[..2]));
        assert_eq!(export(&next, HEADER + ENTRY + 3), known(&all[..1]));
        assert_eq!(export(&next, 3), []);
        let again = next.import_sequences(Time::ZERO, &bytes);
        assert_eq!(again, Err(NotRestored::TooLate));
    }

    #[test]
    fn what_is_told_twice_is_refused_as_a_whole() {
        let mut bytes = known(&[(1, 0, 5), (2, 1, 6)]);
        let (header, body) = bytes.split_at_mut(HEADER);
        body.copy_within(..18, ENTRY);
        let sum = checksum(&header[..6], body);
        header[6..].copy_from_slice(&sum.to_le_bytes());
        let mut bus = consumer(9);
        let restored = bus.import_sequences(Time::ZERO, &bytes);
        assert_eq!(restored, Err(NotRestored::Unsound));
        assert_eq!(bus.stats().sequences, 0);
        bus.check_invariants().unwrap();
    }

    proptest! {
        #[test]
        fn anything_else_is_refused_as_a_whole(
            flip in 0usize..78, bit in 0u8..8, cut in 0usize..78, noise in any::<Vec<u8>>(),
        ) {
            let good = known(&[(1, 0, 5), (2, 1, 6)]);
            prop_assert_eq!(good.len(), 78);
            let mut bad = good.clone();
            bad[flip] ^= 1 << bit;
            for bytes in [&bad[..], &good[..cut], &noise[..]] {
                let mut bus = consumer(10);
                let restored = bus.import_sequences(Time::ZERO, bytes);
                prop_assert_eq!(restored, Err(NotRestored::Unsound));
                prop_assert_eq!(bus.stats().sequences, 0);
            }
        }
    }
}

//! What travels in the metadata of a commit: epoch, anchor, incarnation, progress map.
//!
//! `p1:` and base64 (without padding) of: epoch, anchor's position, anchor's stamp, incarnation of the
//! log (8 bytes each, little-endian; an anchor of two times `u64::MAX` is none), a checksum of these
//! (4 bytes), then the map (`docs/wire.md`). The whole stays within the 4,096 bytes that brokers allow.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use procession_core::{Anchor, Epoch, Incarnation, Position, Stamp};

/// Bytes before the map.
const HEAD: usize = 8 * 4 + 4;
const PREFIX: &str = "p1:";
/// What a broker takes by default (`offset.metadata.max.bytes`).
const METADATA_MAX: usize = 4_096;
/// Most bytes of a map that fit.
pub(crate) const MAP_MAX: usize = (METADATA_MAX - PREFIX.len()) / 4 * 3 - HEAD;

/// What a commit says beside its offset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Metadata {
    pub(crate) epoch: Epoch,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) incarnation: Incarnation,
    pub(crate) map: Bytes,
}

/// What was found in the metadata of a group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// Nothing: a commit of another client.
    Nothing,
    /// Ours.
    Ours(Metadata),
    /// Something else, as it is: the core refuses it as a map, and says so.
    Foreign(Bytes),
}

impl Metadata {
    pub(crate) fn encode(&self) -> String {
        let mut head = Vec::with_capacity(HEAD + self.map.len());
        let none = Anchor {
            position: Position(u64::MAX),
            stamp: Stamp(u64::MAX),
        };
        let anchor = self.anchor.unwrap_or(none);
        for number in [
            self.epoch.0,
            anchor.position.0,
            anchor.stamp.0,
            self.incarnation.0,
        ] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(&head);
        head.extend_from_slice(&sum.to_le_bytes());
        head.extend_from_slice(&self.map);
        let mut text = String::with_capacity(PREFIX.len() + head.len().div_ceil(3) * 4);
        text.push_str(PREFIX);
        STANDARD_NO_PAD.encode_string(&head, &mut text);
        text
    }

    /// Reads what a group holds. It is untrusted: whatever is not whole is foreign.
    pub(crate) fn decode(metadata: &[u8]) -> Found {
        if metadata.is_empty() {
            return Found::Nothing;
        }
        Self::read(metadata).map_or_else(
            || Found::Foreign(Bytes::copy_from_slice(metadata)),
            Found::Ours,
        )
    }

    fn read(metadata: &[u8]) -> Option<Self> {
        if METADATA_MAX < metadata.len() {
            return None;
        }
        let text = metadata.strip_prefix(PREFIX.as_bytes())?;
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        let (head, rest) = bytes.split_at_checked(HEAD - 4)?;
        let (sum, map) = rest.split_first_chunk::<4>()?;
        if u32::from_le_bytes(*sum) != checksum(head) {
            return None;
        }
        let mut numbers = head
            .as_chunks::<8>()
            .0
            .iter()
            .map(|number| u64::from_le_bytes(*number));
        let epoch = Epoch(numbers.next()?);
        let (position, stamp) = (numbers.next()?, numbers.next()?);
        Some(Self {
            epoch,
            anchor: (position != u64::MAX).then_some(Anchor {
                position: Position(position),
                stamp: Stamp(stamp),
            }),
            incarnation: Incarnation(numbers.next()?),
            map: Bytes::copy_from_slice(map),
        })
    }
}

/// FNV-1a 32: enough against truncation and strangers, nobody defends against forgery here.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

/// The incarnation of a log: FNV-1a 64 of its topic id.
pub(crate) fn incarnation(topic_id: [u8; 16]) -> Incarnation {
    Incarnation(topic_id.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(map: usize) -> Metadata {
        Metadata {
            epoch: Epoch(7),
            anchor: Some(Anchor {
                position: Position(41),
                stamp: Stamp(1_767_323_045_000),
            }),
            incarnation: Incarnation(0x0123_4567_89ab_cdef),
            map: vec![0xa5; map].into(),
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for map in [0, 1, 2, 3, 100, MAP_MAX] {
            let written = full(map);
            let text = written.encode();
            assert!(text.len() <= METADATA_MAX, "{map}: {}", text.len());
            assert_eq!(Metadata::decode(text.as_bytes()), Found::Ours(written));
        }
        let bare = Metadata::default();
        assert_eq!(
            Metadata::decode(bare.encode().as_bytes()),
            Found::Ours(bare)
        );
        assert!(METADATA_MAX < full(MAP_MAX + 3).encode().len());
    }

    #[test]
    fn a_fixed_text_for_other_languages() {
        assert_eq!(
            full(2).encode(),
            "p1:BwAAAAAAAAApAAAAAAAAAIiMqXybAQAA782riWdFIwFWM7wvpaU"
        );
    }

    #[test]
    fn whatever_is_not_whole_is_foreign() {
        let text = full(9).encode();
        assert_eq!(Metadata::decode(b""), Found::Nothing);
        for cut in 1..PREFIX.len() + HEAD * 4 / 3 {
            let found = Metadata::decode(&text.as_bytes()[..cut]);
            assert!(matches!(found, Found::Foreign(_)), "{cut}: {found:?}");
        }
        for place in 0..PREFIX.len() + (HEAD - 4) * 4 / 3 {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let found = Metadata::decode(&bytes);
            assert!(matches!(found, Found::Foreign(_)), "{place}");
        }
        for foreign in [&b"\xff\xfe"[..], b"{}", b"p2:AAAA", b"p1:", b"p1:!!"] {
            assert!(matches!(Metadata::decode(foreign), Found::Foreign(_)));
        }
    }
}

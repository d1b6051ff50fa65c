//! What a payload of `compare` begins with.

use bytes::{BufMut, Bytes, BytesMut};

/// The first 16 bytes of a payload: which message it is, and when it was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    /// The aggregate.
    pub(crate) aggregate: u32,
    /// Its version, from 1.
    pub(crate) seq: u32,
    /// When it was published, in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) published: u64,
}

impl Stamp {
    /// A payload of `len` bytes (at least 16).
    pub(crate) fn payload(self, len: usize) -> Bytes {
        let mut payload = BytesMut::with_capacity(len.max(16));
        payload.put_u32_le(self.aggregate);
        payload.put_u32_le(self.seq);
        payload.put_u64_le(self.published);
        // Text that does not compress to nothing.
        let mut state = u64::from(self.aggregate) << 32 | u64::from(self.seq) | 1;
        while payload.len() < len {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let word = (state >> 8).to_le_bytes();
            let more = word.len().min(len - payload.len());
            payload.put_slice(&word[..more]);
        }
        payload.freeze()
    }

    /// Reads a payload.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (head, _) = payload.split_first_chunk::<16>()?;
        let (aggregate, rest) = head.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<4>()?;
        let (published, _) = rest.split_first_chunk::<8>()?;
        Some(Self {
            aggregate: u32::from_le_bytes(*aggregate),
            seq: u32::from_le_bytes(*seq),
            published: u64::from_le_bytes(*published),
        })
    }

    /// The key.
    pub(crate) fn key(self) -> String {
        format!("a{}", self.aggregate)
    }

    /// The id, `KEY-SEQ`.
    pub(crate) fn id(self) -> String {
        format!("a{}-{}", self.aggregate, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_tells_which_message_it_is() {
        let stamp = Stamp {
            aggregate: 9_999,
            seq: 100,
            published: 1 << 40,
        };
        for len in [16, 17, 40, 1_024] {
            let payload = stamp.payload(len);
            assert_eq!(payload.len(), len);
            assert_eq!(Stamp::read(&payload), Some(stamp));
        }
        assert_eq!(Stamp::read(&[0; 15]), None);
        assert_eq!(stamp.id(), "a9999-100");
    }
}

//! The hashes by which messages, keys and lanes are told apart; fixed in `docs/wire.md`.

use xxhash_rust::xxh3::{Xxh3Default, xxh3_64_with_seed, xxh3_128};

/// 128-bit identity of a message: XXH3-128 with seed 0 over topic, source and id, each behind its
/// length, and the replay number.
///
/// Two messages with one identity are copies of each other. The replay number is 0 until an
/// operator replays a message on purpose.
#[must_use]
pub fn identity(topic: &str, source: &str, id: &str, replay: u64) -> u128 {
    let parts = [topic.as_bytes(), source.as_bytes(), id.as_bytes()];
    with_prefixed(&parts, &replay.to_le_bytes(), xxh3_128, |state| {
        state.digest128()
    })
}

/// 128-bit hash of a key in its scope (topic, key).
#[must_use]
pub fn key_hash(topic: &str, key: &[u8]) -> u128 {
    with_prefixed(&[topic.as_bytes(), key], &[], xxh3_128, |state| {
        state.digest128()
    })
}

/// 64-bit hash that finds the lane of a key in its scope (topic, key). Never leaves the process:
/// the seed is drawn for each process unless a setting fixes it.
#[must_use]
pub fn lane_hash(topic: &str, key: &[u8], seed: u64) -> u64 {
    let parts = [topic.as_bytes(), key];
    let mut buffer = [0; INLINE];
    match prefixed(&parts, &[], &mut buffer) {
        Some(bytes) => xxh3_64_with_seed(bytes, seed),
        None => {
            let mut state = xxhash_rust::xxh3::Xxh3::with_seed(seed);
            stream(&parts, &[], |bytes| state.update(bytes));
            state.digest()
        }
    }
}

/// Both hashes of a key, from one look at it: every message received needs the two.
pub(crate) fn key_and_lane(topic: &str, key: &[u8], seed: u64) -> (u128, u64) {
    let mut buffer = [0; INLINE];
    match prefixed(&[topic.as_bytes(), key], &[], &mut buffer) {
        Some(bytes) => (xxh3_128(bytes), xxh3_64_with_seed(bytes, seed)),
        None => (key_hash(topic, key), lane_hash(topic, key, seed)),
    }
}

/// Inputs up to this length are hashed in one go, without a stream's state.
const INLINE: usize = 240;

fn with_prefixed<H>(
    parts: &[&[u8]],
    tail: &[u8],
    at_once: impl FnOnce(&[u8]) -> H,
    streamed: impl FnOnce(&Xxh3Default) -> H,
) -> H {
    let mut buffer = [0; INLINE];
    match prefixed(parts, tail, &mut buffer) {
        Some(bytes) => at_once(bytes),
        None => {
            let mut state = Xxh3Default::new();
            stream(parts, tail, |bytes| state.update(bytes));
            streamed(&state)
        }
    }
}

/// Writes each part behind its length (4 bytes, little-endian), then the tail; `None` when it does
/// not fit.
fn prefixed<'b>(parts: &[&[u8]], tail: &[u8], buffer: &'b mut [u8; INLINE]) -> Option<&'b [u8]> {
    let mut used = 0;
    let mut put = |bytes: &[u8]| {
        buffer
            .get_mut(used..used + bytes.len())?
            .copy_from_slice(bytes);
        used += bytes.len();
        Some(())
    };
    for part in parts {
        put(&length(part))?;
        put(part)?;
    }
    put(tail)?;
    buffer.get(..used)
}

fn stream(parts: &[&[u8]], tail: &[u8], mut update: impl FnMut(&[u8])) {
    for part in parts {
        update(&length(part));
        update(part);
    }
    update(tail);
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_keep_parts_apart() {
        assert_ne!(identity("ab", "c", "d", 0), identity("a", "bc", "d", 0));
        assert_ne!(identity("a", "b", "c", 0), identity("a", "b", "c", 1));
        assert_ne!(key_hash("ab", b"c"), key_hash("a", b"bc"));
        assert_ne!(lane_hash("a", b"b", 1), lane_hash("a", b"b", 2));
    }

    #[test]
    fn long_inputs_are_hashed_as_the_specification_says() {
        for len in [0, 1, 17, 200, 230, 231, 232, 500, 5_000] {
            let key = vec![b'k'; len];
            let mut flat = vec![1, 0, 0, 0, b't'];
            flat.extend(u32::try_from(len).unwrap().to_le_bytes());
            flat.extend(&key);
            assert_eq!(key_hash("t", &key), xxh3_128(&flat), "{len}");
            assert_eq!(
                lane_hash("t", &key, 9),
                xxh3_64_with_seed(&flat, 9),
                "{len}"
            );
        }
    }
}

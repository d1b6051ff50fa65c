//! What an entry is, by its first byte. All numbers are little endian; the length of an entry follows
//! from its first byte and its flags.
//!
//! What is as expected is not said: an offer that no answer follows was queued, a settlement was
//! taken, a poll gave nothing.

/// Below: a poll, by its place among [`Poll::LETTERS`](crate::Poll::LETTERS).
pub(super) const POLLS: u8 = 32;
/// So much time has passed: 2 bytes.
pub(super) const LATER: u8 = 32;
/// The time is: 8 bytes.
pub(super) const TIME: u8 = 33;
/// A partition that is followed from here on: place, partition, epoch, session.
pub(super) const TRACK: u8 = 34;
/// An offer after the last one of its partition: see [`OFFER_BYTES`].
pub(super) const OFFER: u8 = 35;
/// Any offer: see [`OFFER_WHOLE_BYTES`].
pub(super) const OFFER_WHOLE: u8 = 36;
/// `poll_dispatch`, so much later: 2 bytes.
pub(super) const DISPATCH: u8 = 37;
/// Attempts have until then from here on: 8 bytes; all ones: for ever.
pub(super) const DEADLINE: u8 = 38;
/// A first attempt: see [`DISPATCHED_BYTES`].
pub(super) const DISPATCHED: u8 = 39;
/// Any attempt: see [`DISPATCHED_WHOLE_BYTES`].
pub(super) const DISPATCHED_WHOLE: u8 = 40;
/// The attempt that began last succeeded, so much later: 2 bytes.
pub(super) const DONE: u8 = 41;
/// An attempt ended, so much later: 2 bytes, how, token.
pub(super) const SETTLE: u8 = 42;
/// The token was stale.
pub(super) const STALE: u8 = 43;
/// The next one of the calls that are kept beside the bytes.
pub(super) const CALL: u8 = 44;
/// An answer: how many words, and the words, seven bits a byte.
pub(super) const WORDS: u8 = 45;
/// What became of an offer; seven of them.
pub(super) const OFFERED: u8 = 46;

/// Place, flags; position and stamp after the last one: 2 and 4 bytes; bytes: 2; lane, identity. Then
/// key, end of life and sequence, 8 bytes each, as the flags say.
pub(super) const OFFER_BYTES: usize = 26;
/// Place, flags, reason for quarantine, position, stamp, delivery, lane, identity, bytes: 4. Then as
/// above.
pub(super) const OFFER_WHOLE_BYTES: usize = 47;
/// Place; slot: 2 bytes; generation; position before the last offered one: 4 bytes.
pub(super) const DISPATCHED_BYTES: usize = 11;
/// Token, partition, epoch, position, attempt, deadline.
pub(super) const DISPATCHED_WHOLE_BYTES: usize = 40;

/// Flags of an offer: it has a key; and the key is written, because the core keeps keys.
pub(super) const HAS_KEY: u8 = 1;
pub(super) const HAS_DELIVERY: u8 = 1 << 1;
pub(super) const HAS_EXPIRES: u8 = 1 << 2;
pub(super) const HAS_SEQUENCE: u8 = 1 << 3;
pub(super) const KEY_WRITTEN: u8 = 1 << 4;

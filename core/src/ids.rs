//! Names and numbers: partitions, positions, epochs, sessions, tokens.

use core::fmt;
use core::num::NonZeroU32;

/// A partition of a subscription: a small number that the adapter assigns, below
/// [`Config::partitions`](crate::Config::partitions).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PartitionId(pub u32);

/// A place in a partition's log: a Kafka offset or a JetStream stream sequence. It grows and may
/// have holes (compaction, transaction markers, subject filters, deleted messages).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

impl Position {
    /// The position right after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// The broker's own timestamp of a message, in its own unit (nanoseconds on JetStream). Only
/// compared for equality: it is how a log is recognised after a reconnect.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Stamp(pub u64);

/// One period of owning a partition. Grows; everything of an older epoch is void (S6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Epoch(pub u64);

/// One period of unbroken delivery inside an epoch (a connection, a consumer instance). Numbered by
/// the core; the adapter repeats the number with everything that session delivers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Session(pub u64);

/// What makes positions comparable: a digest of the stream's `created` time or the topic's id. A
/// frontier or progress map of another incarnation is void.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Incarnation(pub u64);

/// Names one dispatch: a slot and its generation. A stale token changes nothing (S6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    pub(crate) slot: u32,
    pub(crate) generation: NonZeroU32,
}

// Tokens travel through every mailbox: eight bytes, with or without `Option`.
const _: () = assert!(size_of::<Token>() == 8 && size_of::<Option<Token>>() == 8);

impl Token {
    /// The token as one number, for maps and logs outside of the core.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        ((self.generation.get() as u64) << 32) | self.slot as u64
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.generation)
    }
}

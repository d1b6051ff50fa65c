//! What producers do: the workload, written out.

/// One publish of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Item {
    /// When, in nanoseconds.
    pub at: u64,
    /// Names it: faults speak of messages by this number.
    pub number: u32,
    /// The publish that it is a copy of; its own number otherwise.
    pub identity: u32,
    /// Where it goes.
    pub partition: u32,
    /// `None`: without a key.
    pub key: Option<u32>,
    /// What the key hashes to.
    pub lane: u64,
    /// What it is charged.
    pub bytes: u32,
    /// From then on it is not to be handled any more.
    pub expires: Option<u64>,
    /// Its number among the messages of its key.
    pub sequence: Option<u64>,
    /// It cannot be decoded.
    pub malformed: bool,
    /// Its handler always fails.
    pub poison: bool,
    /// Positions before it that hold nothing.
    pub hole: u64,
    /// Positions behind it that hold nothing.
    pub trail: u64,
}

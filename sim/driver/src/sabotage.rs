//! Deliberate faults in the glue, to prove that the checker notices (positive controls).

/// What is broken on purpose. Each is a mistake that a driver, a port or an executor could make.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Sabotage {
    /// The seventh answer to a commit never arrives.
    SwallowCommit,
    /// Two neighbouring records of a batch change their places in the log.
    SwapRecords,
    /// A record of a batch is dropped and the ones behind it take its delivery number.
    DropRecord,
    /// From some wake-up on, the driver of a member hears no wake-up any more.
    DeafMember,
    /// As that, the driver of the publisher.
    DeafPublisher,
    /// A handler's failure is reported as success.
    FailureIsSuccess,
    /// The result of a handler is lost: its future never ends.
    LoseSettle,
    /// Commits carry the epoch after theirs.
    EpochOff,
    /// Commits carry a frontier one too far.
    FrontierAhead,
    /// The driver is told that its leases are longer than they are.
    LongLease,
    /// What the sink stored is reported as refused.
    StoredIsRefused,
    /// A send is reported as stored and never reaches the log.
    NeverSent,
    /// Dead letters are confirmed and not stored.
    BuryNothing,
    /// What a message says of its expiry is not told.
    ForgetExpiry,
    /// The messages of a call are handled as if they had nothing to do with each other.
    PartCalls,
    /// The map of a record is not told.
    LoseMap,
    /// A session that finds its log rewritten is said to continue.
    HideRewrite,
    /// Sessions begin right behind what was received last, and do not look whether that is still there.
    NoOverlap,
    /// What a log has lost at its start is not told.
    HideStart,
    /// Where a log's start has moved on, one more is said to be gone.
    AdvanceTooFar,
    /// What a full log refuses is reported as stored.
    FullIsStored,
    /// Dead letters that could not be stored are confirmed.
    LetterIsLost,
}

/// All of them.
pub const SABOTAGES: [Sabotage; 22] = [
    Sabotage::SwallowCommit,
    Sabotage::SwapRecords,
    Sabotage::DropRecord,
    Sabotage::DeafMember,
    Sabotage::DeafPublisher,
    Sabotage::FailureIsSuccess,
    Sabotage::LoseSettle,
    Sabotage::EpochOff,
    Sabotage::FrontierAhead,
    Sabotage::LongLease,
    Sabotage::StoredIsRefused,
    Sabotage::NeverSent,
    Sabotage::BuryNothing,
    Sabotage::ForgetExpiry,
    Sabotage::PartCalls,
    Sabotage::LoseMap,
    Sabotage::HideRewrite,
    Sabotage::NoOverlap,
    Sabotage::HideStart,
    Sabotage::AdvanceTooFar,
    Sabotage::FullIsStored,
    Sabotage::LetterIsLost,
];

//! What a [`Consumer`](super::Consumer) tells the adapter.

use super::{Anchor, Why};
use crate::{Epoch, PartitionId, Position, Session, Time, Token};

/// Start delivery: a new session of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Start {
    /// The partition.
    pub partition: PartitionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The number of the new session; everything that it delivers carries it.
    pub session: Session,
    /// Where delivery starts: the position itself when `expect` is set (overlap by one), else the
    /// first message at or after it.
    pub at: Position,
    /// What must be found at `at`. The adapter compares, drops that first message and reports with
    /// [`session`](super::Consumer::session).
    pub expect: Option<Anchor>,
}

/// Hand this message to a handler.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use = "a dispatch that is not settled blocks its key"]
pub struct Dispatch<M> {
    /// Names this attempt; give it back with `settle`.
    pub token: Token,
    /// The partition.
    pub partition: PartitionId,
    /// The epoch: together with partition and position the fence of the handler's effects.
    pub epoch: Epoch,
    /// The position.
    pub position: Position,
    /// The attempt, from 1.
    pub attempt: u32,
    /// When the handler will be asked to stop.
    pub deadline: Time,
    /// The message.
    pub message: M,
}

/// A queued message turned out to be a copy: of one that succeeded meanwhile, or of a sequence that was
/// passed. It is finished and was not run.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Copied<M> {
    /// The partition.
    pub partition: PartitionId,
    /// The position.
    pub position: Position,
    /// Its sequence is behind what its key has passed ([`Config::sequence`](crate::Config::sequence)):
    /// it was handled, or came too late, after a gap was passed or its key was adopted beyond it. Else
    /// its identity has succeeded.
    pub by_sequence: bool,
    /// The message.
    pub message: M,
}

/// Messages of a key are missing, and are not waited for any longer ([`OnGap`](crate::OnGap)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct SequenceGap {
    /// The partition.
    pub partition: PartitionId,
    /// The position of the message that is ahead.
    pub position: Position,
    /// The lane of the key.
    pub lane: u64,
    /// The key.
    pub key: u128,
    /// The sequence that would have been next.
    pub expected: u64,
    /// The sequence of the message that is ahead.
    pub found: u64,
}

/// A message that ended without a handler and without a dead letter.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Passed<M> {
    /// The partition.
    pub partition: PartitionId,
    /// The position.
    pub position: Position,
    /// Why.
    pub why: Why,
    /// The message.
    pub message: M,
}

/// Store this message at the dead-letter destination, and report with
/// [`dead_letter_result`](super::Consumer::dead_letter_result). The core keeps the message.
#[derive(Debug)]
#[must_use]
pub struct DeadLetter<'a, M> {
    /// Names it.
    pub token: Token,
    /// The partition.
    pub partition: PartitionId,
    /// The position.
    pub position: Position,
    /// Why it ended here.
    pub why: Why,
    /// Attempts that were made.
    pub attempts: u32,
    /// 0 = whole; 1 = without the error text; 2 = a reference with a digest only.
    pub shorten: u8,
    /// The message.
    pub message: &'a M,
}

/// Write progress. At most one of a partition is outstanding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Commit {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch.
    pub epoch: Epoch,
    /// Counts the writes of this epoch, from 1; repeat it with the result.
    pub write: u64,
    /// The first position that is not finished.
    pub frontier: Position,
    /// A finished message below the frontier, by which the log is recognised: the last that came where all
    /// that came is finished, else the one whose end has moved the frontier.
    pub anchor: Option<Anchor>,
    /// How many bytes of the caller's buffer hold the progress map (0: no map).
    pub map_len: usize,
    /// Messages finished since the last stored commit, for logs and metrics.
    pub finished: u64,
    /// The last one of the epoch: ownership may be given up in the same write.
    pub last: bool,
}

/// Give this partition up. Nothing of it starts and nothing of it is committed any more (S5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Release {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch that ends.
    pub epoch: Epoch,
    /// The frontier at the end.
    pub frontier: Position,
    /// Messages that were held and not finished; the next owner gets them again.
    pub handed_back: u32,
    /// Handlers that still ran at the deadline: the hand-over counts as unplanned.
    pub abandoned: u32,
    /// Whether the last commit was confirmed.
    pub committed: bool,
}

/// The end of a drain: all partitions are released.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use]
pub struct Drained {
    /// Messages that were held and not finished, over all partitions.
    pub handed_back: u32,
    /// Handlers that still ran at the deadline. A notice named each.
    pub abandoned: u32,
}

/// Back-pressure for feeds that push. Alternates per partition, beginning with `Pause`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Flow {
    /// Stop delivering this partition.
    Pause(PartitionId),
    /// Deliver it again.
    Resume(PartitionId),
}

/// How much more of a partition would be taken in now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Credit {
    /// Messages.
    pub messages: u32,
    /// Bytes.
    pub bytes: u64,
}

/// A feed that pulls may deliver this much in this session, in all since it began. Totals only grow,
/// so a grant can be neither lost nor counted twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Grant {
    /// The partition.
    pub partition: PartitionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The session that the totals belong to.
    pub session: Session,
    /// Messages, the overlapping first delivery aside.
    pub messages: u64,
    /// Bytes, as messages are charged.
    pub bytes: u64,
}

/// What holds the frontier of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stall {
    /// The partition.
    pub partition: PartitionId,
    /// The frontier: the position of the message that is waited for.
    pub position: Position,
    /// Since when it is the first unfinished one.
    pub since: Time,
    /// Where it stands.
    pub state: StallState,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Why it ends as a dead letter, while it waits for the confirmation.
    pub why: Option<Why>,
    /// When time alone changes its state: the handler is asked to stop, its grace ends, the next
    /// attempt or the next try to store the dead letter is due.
    pub until: Option<Time>,
    /// It has waited for `stall_after`, and a notice has said so.
    pub reported: bool,
}

/// Where the message at a frontier stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StallState {
    /// Behind another message of its key: one of another partition, or the handler of a lost one.
    Behind,
    /// It may start, and has not: no handler was free, the lease has lapsed, or the partition is
    /// being given up.
    Ready,
    /// With a handler.
    Running,
    /// With a handler that was asked to stop.
    Stopping,
    /// Failed; waits for its next attempt.
    Retrying,
    /// On its way to the dead-letter destination.
    DeadLetter,
    /// A copy of what has succeeded; waits to be reported.
    Copy,
    /// Given up; waits for a place among the parked keys.
    Crowded,
    /// Of a parked key that waits while its dead letters are replayed.
    Waits,
    /// Of a discarded key, or expired; waits to be reported.
    Passed,
    /// Ahead in the sequence of its key: waits for what is missing, or for its owner.
    Ahead,
    /// Finished, in a log that may be another one: the frontier waits until the session has passed
    /// the last message that an earlier one delivered.
    Doubted,
    /// The owner before did not end cleanly, or the record does not say yet that anything may start: it
    /// waits for a stored commit, or for its turn ([`Config::suspects`](crate::Config::suspects)).
    Suspected,
}

/// How the partitions of a subscription are, all in all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Partitions that are ours.
    pub open: u32,
    /// Of these: with a session that delivers.
    pub delivering: u32,
    /// Those whose intake is shut until the load has fallen.
    pub shut: u32,
    /// Those whose recorded progress was out of range, and which wait for a
    /// [`reset`](super::Consumer::reset).
    pub stopped: u32,
    /// Those whose lease ran out before it was renewed.
    pub lapsed: u32,
    /// Those whose last commits were not stored.
    pub uncommitted: u32,
    /// Those whose frontier has stood still for `stall_after`.
    pub stalled: u32,
    /// What has been waited for longest, over all partitions that are not being given up.
    pub oldest: Option<Stall>,
}

/// Something that an operator should know. One level per partition and kind, merged until polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct Notice {
    /// The partition.
    pub partition: PartitionId,
    /// What happened.
    pub kind: NoticeKind,
    /// How often since the last poll of this notice.
    pub count: u32,
    /// Where (the latest occurrence).
    pub position: Position,
}

/// What a notice is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum NoticeKind {
    /// Deliveries were lost on the way; a new session brings them again.
    Gap,
    /// The log was rewritten: other content at a known position. The messages there run.
    LogRewritten,
    /// The anchor is gone; the log could not be recognised. Delivery goes on at the frontier.
    CannotTell,
    /// The recorded progress is void as a whole: another incarnation of the log, or beyond its end.
    ResumeVoid,
    /// The recorded progress map was foreign, truncated or corrupt, and was ignored.
    MapIgnored,
    /// The log no longer holds messages at the frontier (retention); they were never delivered.
    Truncated,
    /// A handler was asked to stop and has not within `cancel_grace`; its key is blocked.
    HandlerStuck,
    /// A handler still ran when its partition was given up.
    Abandoned,
    /// A commit was not permitted.
    CommitDenied,
    /// The progress map did not fit and was left out of a commit.
    MapTooLarge,
    /// The window is full: the message at the frontier blocks intake.
    WindowFull,
    /// The lease ran out before it was renewed; nothing is handed out until it is.
    LeaseLapsed,
    /// A dead letter was not stored and is tried again.
    DeadLetterRetried,
    /// The frontier has stood still for `stall_after`: [`Consumer::stall`](super::Consumer::stall)
    /// says what holds it. Rises once; `StallOver` follows.
    Stalled,
    /// The frontier that stood still has moved, or the partition is not ours any more.
    StallOver,
    /// No place is left among the parked keys: a message that was given up waits for one, and its key
    /// with it; or parked keys of the recorded progress did not fit, and run again. Rises once, and
    /// again when a key was released and others still wait.
    ParkingFull,
    /// The recorded progress is out of range and [`OnReset::Stop`](crate::OnReset::Stop) is set: nothing
    /// of the partition is delivered until [`Consumer::reset`](super::Consumer::reset).
    OutOfRange,
    /// Messages of a key are missing, and are not waited for any longer:
    /// [`Consumer::poll_gap`](super::Consumer::poll_gap) said which.
    SequenceGap,
    /// A message was behind what its key has passed, and was finished without a handler: a copy.
    SequenceBehind,
    /// A message came after its key had gone on without it (a gap that was told, or a number from before
    /// the key was adopted): it is handled, out of order. Unless it turns out to be a copy by identity: then
    /// it is reported as one besides.
    SequenceLate,
    /// The owner before did not end cleanly: what it may have been running runs under suspicion
    /// ([`Config::suspects`](crate::Config::suspects)).
    UncleanEnd,
}

impl NoticeKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 21] = [
        Self::Gap,
        Self::LogRewritten,
        Self::CannotTell,
        Self::ResumeVoid,
        Self::MapIgnored,
        Self::Truncated,
        Self::HandlerStuck,
        Self::Abandoned,
        Self::CommitDenied,
        Self::MapTooLarge,
        Self::WindowFull,
        Self::LeaseLapsed,
        Self::DeadLetterRetried,
        Self::Stalled,
        Self::StallOver,
        Self::ParkingFull,
        Self::OutOfRange,
        Self::SequenceGap,
        Self::SequenceBehind,
        Self::SequenceLate,
        Self::UncleanEnd,
    ];
}

/// Counters since the start, and what is held now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Messages held (queued, running, waiting for a retry or for a dead letter's confirmation).
    pub held: u32,
    /// Their bytes.
    pub held_bytes: u64,
    /// Handlers that run, those of lost partitions included.
    pub running: u32,
    /// Messages finished by a handler.
    pub done: u64,
    /// Failed attempts.
    pub failed: u64,
    /// Messages finished as dead letters.
    pub dead: u64,
    /// Messages finished without a handler and without a dead letter.
    pub passed: u64,
    /// Messages that had expired when their turn came.
    pub expired: u64,
    /// Copies recognised by identity.
    pub duplicates: u64,
    /// Messages that were behind the sequence of their keys: copies.
    pub behind: u64,
    /// Messages that came after their keys had gone on without them, and are handled out of order.
    pub late: u64,
    /// Gaps in the sequences of keys that were told.
    pub gaps: u64,
    /// Messages in an order by sequence that have no sequence.
    pub unsequenced: u64,
    /// Keys whose sequences were forgotten to make room for others.
    pub forgotten: u64,
    /// Positions that came again.
    pub replayed: u64,
    /// Arrivals of older epochs and sessions.
    pub void: u64,
    /// Window entries in use, over all partitions.
    pub window: u32,
    /// Identities remembered, pending ones included.
    pub identities: u32,
    /// Live lanes.
    pub lanes: u32,
    /// Messages of keys that wait for a missing one.
    pub ahead: u32,
    /// Keys whose sequences are known, those with held messages included.
    pub sequences: u32,
    /// Keys that are parked, or about to be, over all partitions.
    pub parked_keys: u32,
}

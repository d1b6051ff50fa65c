//! What the adapter tells a [`Consumer`](super::Consumer).

use core::fmt;

use crate::{Epoch, Incarnation, PartitionId, Position, Session, Stamp, Time};

/// One message, as the broker delivered it. `M` is opaque: moved in, moved out, never looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arrival<M> {
    /// The partition that it came from.
    pub partition: PartitionId,
    /// The epoch in which it was delivered.
    pub epoch: Epoch,
    /// The session in which it was delivered.
    pub session: Session,
    /// Its number within the session, from 1, without holes, where the broker numbers deliveries
    /// (JetStream); the overlapping first delivery is not counted. A jump is a lost delivery.
    /// `None` where the client keeps order and completeness itself (Kafka).
    pub delivery: Option<u64>,
    /// Its place in the log.
    pub position: Position,
    /// The broker's timestamp.
    pub stamp: Stamp,
    /// 64-bit hash of (topic, key). A collision makes two keys share a lane, never more. Ignored
    /// for messages without a key.
    pub lane: u64,
    /// 128-bit hash of (topic, key); `None` for a message without a key.
    pub key: Option<u128>,
    /// 128-bit hash of (topic, source, id): what makes two messages copies of each other.
    pub identity: u128,
    /// What it is charged, in bytes.
    pub bytes: u32,
    /// From then on it is not to be handled any more, on the clock of `now`: the adapter turns what the
    /// message says into a time. Looked at where [`Config::expired`](crate::Config::expired) asks for
    /// it; an attempt that has begun goes on.
    pub expires: Option<Time>,
    /// Its number among the messages of its key, each one more than the one before. Looked at where
    /// [`Config::sequence`](crate::Config::sequence) asks for it; a message without one, without a key, or
    /// with `u64::MAX` takes its turn as it came.
    pub sequence: Option<u64>,
    /// Set when it cannot be decoded: it is dead-lettered in its turn, never handed to a handler.
    pub quarantine: Option<Why>,
    /// The message.
    pub message: M,
}

/// What became of an offered message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Admit {
    /// Taken in; it will be dispatched in its turn.
    Queued,
    /// A copy of an identity that succeeded inside the dedupe window. Finished without running.
    Duplicate,
    /// A position that is finished already, or held at this moment. Nothing to do.
    Replayed,
    /// It belongs to an older epoch or session, or follows a lost delivery that a new session will
    /// bring back. Dropped; it is not lost, the log still has it.
    Void,
}

/// A message that could not be taken in, given back. The core is as it was before the call, except
/// for the level that asks for a pause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused<M> {
    /// Why.
    pub why: Refusal,
    /// What was offered. Offer it again, before any later message of its partition.
    pub arrival: Arrival<M>,
}

/// Why a message was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The credit in messages or bytes is used up.
    Credit,
    /// The partition is too far ahead of its frontier.
    Window,
    /// Larger than `message_bytes_max`; offer it again, marked with [`Why::TooLarge`] for quarantine:
    /// it is then charged at the limit.
    TooLarge,
}

impl<M> fmt::Display for Refused<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "position {} of partition {} refused: {:?}",
            self.arrival.position.0, self.arrival.partition.0, self.why
        )
    }
}

impl<M: fmt::Debug> core::error::Error for Refused<M> {}

/// Where a partition stands when it is opened, as the broker remembers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resume<'a> {
    /// The committed frontier, or where a group without progress is to begin; `None`: at the start of the
    /// log. One that names no log (`recorded`) is committed at once.
    pub frontier: Option<Position>,
    /// The committed anchor.
    pub anchor: Option<Anchor>,
    /// The committed progress map, as bytes; untrusted.
    pub map: &'a [u8],
    /// The incarnation that the record was written for; `None` where there is no record, or where the
    /// broker fences it itself.
    pub recorded: Option<Incarnation>,
    /// The incarnation of the log as it is.
    pub incarnation: Incarnation,
    /// The first position that the log holds.
    pub log_start: Position,
    /// One past the last position that the log holds.
    pub log_end: Position,
}

/// A position and its broker timestamp, by which a log is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// The position.
    pub position: Position,
    /// The broker's timestamp of the message there.
    pub stamp: Stamp,
}

/// What a new session found at the place where it was told to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Continuity {
    /// The expected message was there, or none was expected.
    Continues,
    /// The log holds something else; `from` is the first message newer than the anchor.
    Rewritten {
        /// Where the new content begins.
        from: Position,
    },
    /// The expected message is gone (retention); nobody can tell.
    CannotTell,
}

/// How a commit ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CommitResult {
    /// Stored.
    Stored,
    /// Not stored, and ownership is not in question (a rebalance is running, the record moved by a
    /// late write of our own). Written again after the backoff.
    Refused,
    /// Not stored for a passing reason. Written again after the backoff.
    Retry,
    /// The partition is not ours any more: as [`lose`](super::Consumer::lose).
    Lost,
    /// The map does not fit: written again without it.
    TooLarge,
    /// Not permitted: written again after the longest backoff, and a notice says so.
    Denied,
    /// Nobody knows. Written again: the same or a later frontier voids it.
    Unknown,
}

/// How the storing of a dead letter ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Receipt {
    /// Confirmed by the broker.
    Stored,
    /// Not stored: tried again after the backoff.
    NotStored,
    /// Too large for its destination: asked for again with a higher `shorten`.
    TooLarge,
    /// Nobody knows: tried again; a second copy has the same identity.
    Unknown,
}

/// How an attempt ended. Who works on a message owns it; `Retry` and `Reject` hand it back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome<M> {
    /// Succeeded.
    Done,
    /// The same, with its message: for those of a call of several
    /// ([`poll_follow`](super::Consumer::poll_follow)), which are handed out again where one before them
    /// has not ended well.
    Handled(M),
    /// Failed; try again after the backoff, or dead-letter after the last attempt.
    Retry(M),
    /// Failed for good; dead-letter now.
    Reject(M),
    /// Did not end on its own: the future was dropped on the core's request, or never started. It
    /// counts as a failed attempt only when a timeout asked for it.
    Cancelled(M),
}

/// A token that names nothing any more (settled before). Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the token was settled before")
    }
}

impl core::error::Error for Stale {}

/// Why a partition was not given a weight. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotWeighed {
    /// It is beyond `Config::partitions`.
    Partition,
    /// The weight is not one of 1 to [`WEIGHT_MAX`](super::WEIGHT_MAX).
    Weight,
}

impl fmt::Display for NotWeighed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Partition => f.write_str("there is no such partition"),
            Self::Weight => write!(f, "a weight is 1 to {}", super::WEIGHT_MAX),
        }
    }
}

impl core::error::Error for NotWeighed {}

/// Why a message ended as a dead letter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// Its last attempt failed.
    Exhausted,
    /// Its handler rejected it.
    Rejected,
    /// It cannot be decoded.
    Malformed,
    /// It is larger than `message_bytes_max`.
    TooLarge,
    /// It has no key, and the owner refuses such messages.
    Keyless,
    /// An earlier message of its key was given up, and the key is parked.
    Parked,
    /// Its key is parked, and its messages are discarded. Never a dead letter.
    Discarded,
    /// Its time was over before it was handed out. A dead letter, or not, as configured.
    Expired,
    /// A message of its key before it is missing, and [`OnGap::Park`](crate::OnGap::Park) is set.
    Gap,
    /// So many processes died while it ran alone as [`Config::suspects`](crate::Config::suspects) says.
    Suspect,
}

/// When the next call of [`handle_timeout`](super::Consumer::handle_timeout) is due, and what for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wake {
    /// When.
    pub at: Time,
    /// What for.
    pub why: WakeReason,
}

/// What a wake is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WakeReason {
    /// A retry or a dead letter falls due, or a missing message has been waited for long enough.
    Retry,
    /// A handler reaches its timeout or the end of its grace.
    Handler,
    /// A commit falls due.
    Commit,
    /// A new session may be tried.
    Session,
    /// The deadline of a revoke or drain.
    Deadline,
    /// A frontier may have stood still for too long.
    Stall,
    /// There is no room to wait for a missing message in.
    Gap,
}

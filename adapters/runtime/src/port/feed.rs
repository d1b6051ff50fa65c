//! The consuming half of a broker, for one subscription.

use core::task::{Context, Poll};

use bytes::Bytes;
use procession_core::{
    Anchor, CommitResult, Continuity, Epoch, Incarnation, PartitionId, Position, Receipt, Session,
    Span, Start, Time, Token,
};

use super::{Outgoing, PortError, Record};

/// The consuming half of a broker, for one subscription (one topic, one group).
///
/// Commands are taken at once and never wait; whatever they lead to arrives as events. One task
/// polls a feed. After [`FeedEvent::Closed`] there is nothing more to come.
///
/// A command does not lead to a poll by itself: a feed that has an answer at once wakes whoever
/// polled it last, also when that is the task that commands.
pub trait Feed: Send + 'static {
    /// Takes a command. Never blocks. A command of an older epoch or session is ignored.
    fn submit(&mut self, command: FeedCommand);

    /// Appends what happened to `into`; pending when nothing did. Events of one partition keep
    /// their order.
    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()>;
}

impl Feed for Box<dyn Feed> {
    fn submit(&mut self, command: FeedCommand) {
        (**self).submit(command);
    }
    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        (**self).poll_events(cx, into)
    }
}

/// What a feed is told to do.
#[derive(Clone, Debug)]
pub enum FeedCommand {
    /// Start a session (`Consumer::poll_session`). Answered by [`FeedEvent::Session`] or
    /// [`FeedEvent::Broken`].
    Start(Start),
    /// The session may have delivered this much in all since it began; a total, so that grants can
    /// neither race nor be counted twice. Feeds that pull ask the broker for the difference between
    /// the total and what they have asked for.
    Grant {
        /// The partition.
        partition: PartitionId,
        /// The session that the totals belong to.
        session: Session,
        /// Total messages.
        messages: u64,
        /// Total bytes.
        bytes: u64,
    },
    /// Stop reading this partition (feeds that push).
    Pause(PartitionId),
    /// Read it again.
    Resume(PartitionId),
    /// Write progress. Answered by exactly one [`FeedEvent::Committed`].
    Commit(ProgressWrite),
    /// The partition is given up: end its session, forget it. (The last commit, if there was one,
    /// has been answered.)
    Release {
        /// The partition.
        partition: PartitionId,
        /// The epoch that ends.
        epoch: Epoch,
    },
    /// Store a dead letter. Answered by exactly one [`FeedEvent::Buried`].
    Bury {
        /// Names it.
        token: Token,
        /// The message, topic and partition set.
        message: Outgoing,
    },
    /// End everything. Answered by [`FeedEvent::Closed`]. Partitions that are still owned are left
    /// to their leases.
    Close,
}

/// A commit on its way to the broker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProgressWrite {
    /// The partition.
    pub partition: PartitionId,
    /// The epoch; a core that found its log rewritten counts it up by itself.
    pub epoch: Epoch,
    /// Counts the commits of this epoch.
    pub write: u64,
    /// First position that is not finished.
    pub frontier: Position,
    /// By what the log is recognised.
    pub anchor: Option<Anchor>,
    /// The progress map, raw bytes (empty: none).
    pub map: Bytes,
    /// The last one: ownership is given up in the same write.
    pub last: bool,
}

/// Where a partition stands, as the broker remembers it. Owned form of `procession_core::Resume`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResumeState {
    /// The committed frontier.
    pub frontier: Option<Position>,
    /// The committed anchor.
    pub anchor: Option<Anchor>,
    /// The committed map, untrusted.
    pub map: Bytes,
    /// The incarnation that the record was written for.
    pub recorded: Option<Incarnation>,
    /// The incarnation of the log as it is.
    pub incarnation: Incarnation,
    /// The first position that the log holds.
    pub log_start: Position,
    /// One past the last position that the log holds.
    pub log_end: Position,
}

/// What happened on the consuming half.
#[derive(Clone, Debug)]
pub enum FeedEvent {
    /// The partition is ours: `Consumer::open`.
    Assigned {
        /// The partition.
        partition: PartitionId,
        /// The new epoch.
        epoch: Epoch,
        /// Where it stands.
        resume: ResumeState,
        /// End of the lease (boot clock); `None` where the broker fences by itself.
        until: Option<Time>,
    },
    /// The lease was renewed: `Consumer::extend`.
    Extended {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
        /// The new end.
        until: Time,
    },
    /// Somebody else is to have the partition: `Consumer::revoke`.
    Revoked {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
        /// When it must be released at the latest.
        deadline: Time,
    },
    /// The partition is somebody else's already: `Consumer::lose`.
    Lost {
        /// The partition.
        partition: PartitionId,
        /// The epoch that ended.
        epoch: Epoch,
    },
    /// A session began: `Consumer::session`.
    Session {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
        /// The session.
        session: Session,
        /// What was found where it began.
        continuity: Continuity,
    },
    /// A session ended, or could not begin: `Consumer::broken`.
    Broken {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
        /// The session.
        session: Session,
        /// Why, for logs and histories.
        why: BreakReason,
    },
    /// Deliveries, in the order in which they came.
    Records {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
        /// The session.
        session: Session,
        /// The records.
        records: Vec<Record>,
    },
    /// Nothing below `position` is still to come: `Consumer::advance`.
    Advance {
        /// The partition.
        partition: PartitionId,
        /// Its epoch.
        epoch: Epoch,
        /// The session.
        session: Session,
        /// The position.
        position: Position,
    },
    /// The answer to a commit.
    Committed {
        /// The partition.
        partition: PartitionId,
        /// The epoch of the write.
        epoch: Epoch,
        /// Its number.
        write: u64,
        /// How it ended.
        result: CommitResult,
    },
    /// The answer to a dead letter.
    Buried {
        /// Names it.
        token: Token,
        /// How it ended.
        receipt: Receipt,
    },
    /// Another member owns this partition; we wait.
    Standby {
        /// The partition.
        partition: PartitionId,
        /// The owner's name, as far as it is known.
        owner: String,
    },
    /// The connection to the broker is there (again).
    Connected,
    /// The connection to the broker is gone. Sessions that it carried are reported as broken.
    Disconnected,
    /// The subscription cannot go on. [`FeedEvent::Closed`] follows.
    Failed(PortError),
    /// The end: no task, thread or socket of this feed is left.
    Closed,
}

/// Why a session ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BreakReason {
    /// The connection was lost.
    Disconnected,
    /// The broker said that the consumer, the stream or the server is gone.
    Gone,
    /// A heartbeat told of deliveries that never arrived.
    TailLost,
    /// Nothing was heard for too long.
    Silence,
    /// The session could not begin (no answer, an error).
    NotStarted,
}

/// How ownership is held on brokers without groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeaseSpec {
    /// How long an owner may go without renewing (default 15 s).
    pub lease: Span,
    /// Safety margin: an owner stops this long before its lease ends.
    pub margin: Span,
}

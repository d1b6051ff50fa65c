//! What an operator should know, and the bounded queue that carries it.

use core::fmt;
use std::sync::Arc;

use procession_core::{NoticeKind, PartitionId, Position, Span};

use crate::port::PortError;

/// Something that an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Notice {
    /// A judgement of the core.
    Core(procession_core::Notice),
    /// Another member owns this partition; this one waits.
    Standby {
        /// The partition.
        partition: PartitionId,
        /// The owner's name.
        owner: Arc<str>,
    },
    /// The topic has more partitions than when it was subscribed to, and this one came to this member.
    /// Keys may have moved to other partitions; order per key does not hold across that.
    Grown {
        /// The partition.
        partition: PartitionId,
        /// How many there were.
        known: u32,
    },
    /// The connection to the broker is there (again).
    Connected,
    /// The connection to the broker is gone.
    Disconnected,
    /// A handler kept the driver's thread busy without giving it back.
    HandlerBlocked {
        /// Its partition.
        partition: PartitionId,
        /// Its message's position.
        position: Position,
        /// For how long.
        busy: Span,
    },
    /// A handler asked for the end of the subscription.
    Stopped {
        /// The text of its error.
        error: Arc<str>,
    },
    /// The port cannot go on.
    Failed(PortError),
    /// A dead letter could not be made: `Work::bury` panicked. It is tried again.
    BuryPanicked {
        /// The partition.
        partition: PartitionId,
        /// The position.
        position: Position,
    },
    /// The flight recorder has written a report.
    FlightReport {
        /// The file.
        path: Arc<str>,
    },
    /// A report of the flight recorder could not be written.
    FlightReportFailed {
        /// The file.
        path: Arc<str>,
        /// Why.
        error: Arc<str>,
    },
    /// Notices that were dropped because nobody read them.
    Missed {
        /// How many.
        count: u64,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Core(n) => write!(
                f,
                "partition {} at {}: {} ({} times)",
                n.partition.0,
                n.position.0,
                describe(n.kind),
                n.count
            ),
            Self::Standby { partition, owner } => {
                write!(
                    f,
                    "partition {} is owned by `{owner}`; standing by",
                    partition.0
                )
            }
            Self::Grown { partition, known } => write!(
                f,
                "the topic has grown: partition {} is new (there were {known}); keys may have moved, and \
                 their order does not hold across that. Give its dead-letter topic as many partitions",
                partition.0
            ),
            Self::Connected => f.write_str("connected"),
            Self::Disconnected => f.write_str("the connection to the broker is lost"),
            Self::HandlerBlocked {
                partition,
                position,
                busy,
            } => write!(
                f,
                "the handler of partition {} position {} blocked its thread for {} ms; move blocking \
                 work to a thread of its own",
                partition.0,
                position.0,
                busy.as_nanos() / 1_000_000
            ),
            Self::Stopped { error } => write!(f, "a handler stopped the subscription: {error}"),
            Self::Failed(error) => write!(f, "the broker port failed: {error}"),
            Self::BuryPanicked {
                partition,
                position,
            } => write!(
                f,
                "making the dead letter of partition {} position {} panicked",
                partition.0, position.0
            ),
            Self::FlightReport { path } => write!(f, "a flight report was written to {path}"),
            Self::FlightReportFailed { path, error } => {
                write!(f, "the flight report {path} was not written: {error}")
            }
            Self::Missed { count } => write!(f, "{count} notices were dropped unread"),
        }
    }
}

/// What a judgement of the core means, and what to do about it where something can be done.
pub(super) const fn describe(kind: NoticeKind) -> &'static str {
    match kind {
        NoticeKind::Gap => "deliveries were lost on the way; they are fetched again",
        NoticeKind::LogRewritten => "the log was rewritten; the new content runs",
        NoticeKind::CannotTell => {
            "retention removed the last message that was known; whether the log was rewritten \
             cannot be told"
        }
        NoticeKind::ResumeVoid => "the recorded progress belongs to another log, and is void",
        NoticeKind::MapIgnored => "the recorded map of finished messages cannot be read",
        NoticeKind::Truncated => "retention removed messages that were never delivered",
        NoticeKind::HandlerStuck => "a handler was asked to stop and has not; its key is blocked",
        NoticeKind::Abandoned => "a handler still ran when its partition was given up",
        NoticeKind::CommitDenied => "writing progress is not permitted; check the credentials",
        NoticeKind::MapTooLarge => "the map of finished messages did not fit into a commit",
        NoticeKind::WindowFull => "the window is full: the oldest unfinished message blocks intake",
        NoticeKind::LeaseLapsed => "the lease ran out before it was renewed; nothing is handed out",
        NoticeKind::Stalled => "the oldest unfinished message has not ended for too long",
        NoticeKind::StallOver => "the oldest unfinished message has ended",
        NoticeKind::ParkingFull => {
            "too many keys are parked: a message that was given up waits until one is released"
        }
        NoticeKind::OutOfRange => {
            "the recorded progress is not in the log, and the partition has stopped: say where it goes on \
             (`Subscription::reset`), or set `on_reset`"
        }
        NoticeKind::SequenceGap => "messages are missing in the sequence of a key",
        NoticeKind::SequenceBehind => {
            "a message is behind in the sequence of its key: a copy of one that was handled"
        }
        NoticeKind::SequenceLate => {
            "a message came after its key had gone on without it, and is handled out of order"
        }
        NoticeKind::UncleanEnd => {
            "the owner before did not end cleanly: what it may have been running runs in small lots, each \
             recorded before it starts"
        }
        NoticeKind::DeadLetterRetried => "a dead letter was not stored, and is tried again",
    }
}

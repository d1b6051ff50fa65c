//! The calls of a core, as data.

use procession_core::{
    Anchor, Arrival, CommitResult, Continuity, Epoch, Incarnation, Limits, Mask, OnReset,
    ParkedMode, PartitionId, Position, Receipt, Session, Stamp, Time, Why,
};

use crate::text::{Fault, Fields, choice, maybe, small};

/// One call of a core. Partitions, epochs and sessions are those of the call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// The process starts: a new core.
    Start,
    /// A core goes on from a snapshot.
    Restore(Vec<u8>),
    /// `open`.
    Open(Box<Open>),
    /// `extend`.
    Extend(PartitionId, Epoch, u64),
    /// `session`.
    Session(PartitionId, Epoch, Session, Continuity),
    /// `broken`.
    Broken(PartitionId, Epoch, Session),
    /// `offer`.
    Offer(Box<Arrival<u32>>),
    /// `advance`.
    Advance(PartitionId, Epoch, Session, Position),
    /// `revoke`.
    Revoke(PartitionId, Epoch, u64),
    /// `lose`.
    Lose(PartitionId, Epoch),
    /// `commit_result`.
    CommitResult(PartitionId, Epoch, u64, CommitResult),
    /// `dead_letter_result`, by the token's bits.
    DeadLetterResult(u64, Receipt),
    /// `settle`: the token's bits, how it ended, the message.
    Settle(u64, Settled, u32),
    /// `poll_follow`, by the token's bits.
    Follow(u64),
    /// `import_identities`: how long after they were written, and what was.
    Import(u64, Vec<u8>),
    /// `release`: the key.
    Release(u128),
    /// `set_parked`: the key, and what becomes of its messages.
    SetParked(u128, ParkedMode),
    /// `reset`.
    Reset(PartitionId, OnReset),
    /// `pass_gap`: the key.
    PassGap(PartitionId, u128),
    /// `set_limits`.
    SetLimits(Limits),
    /// `set_weight`: the weight.
    SetWeight(PartitionId, u32),
    /// `drain`.
    Drain(u64),
    /// `handle_timeout`.
    Timeout,
    /// A row of polls.
    Polls(Vec<Poll>),
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It succeeded.
    Done,
    /// It failed.
    Retry,
    /// It failed for good.
    Reject,
    /// It was dropped.
    Cancelled,
    /// It succeeded, and its message came back.
    Handled,
}

/// What a partition is opened with; `Resume`, with a map of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Open {
    /// The partition.
    pub partition: PartitionId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The committed frontier.
    pub frontier: Option<u64>,
    /// The committed anchor.
    pub anchor: Option<(u64, u64)>,
    /// The committed map.
    pub map: Vec<u8>,
    /// The incarnation that the record is of.
    pub recorded: Option<u64>,
    /// The incarnation of the log.
    pub incarnation: Incarnation,
    /// The first position of the log.
    pub log_start: Position,
    /// One past its last.
    pub log_end: Position,
    /// When the lease ends.
    pub until: Option<u64>,
}

/// A question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poll {
    /// `poll_cancel`.
    Cancel,
    /// `poll_abandon`.
    Abandon,
    /// `poll_session`.
    Session,
    /// `poll_dispatch`.
    Dispatch,
    /// `poll_dead_letter`.
    Letter,
    /// `poll_duplicate`.
    Copy,
    /// `poll_passed`.
    Passed,
    /// `poll_commit`.
    Commit,
    /// `poll_notice`.
    Notice,
    /// `poll_release`.
    Release,
    /// `poll_flow`.
    Flow,
    /// `poll_grant`.
    Grant,
    /// `poll_drained`.
    Drained,
    /// `poll_timeout`.
    Timeout,
    /// `poll_gap`.
    Gap,
}

impl Poll {
    /// All of them, with the letter that stands for each in a row of polls.
    pub const LETTERS: [(char, Self); 15] = [
        ('c', Self::Cancel),
        ('a', Self::Abandon),
        ('s', Self::Session),
        ('d', Self::Dispatch),
        ('l', Self::Letter),
        ('k', Self::Copy),
        ('p', Self::Passed),
        ('w', Self::Commit),
        ('n', Self::Notice),
        ('r', Self::Release),
        ('f', Self::Flow),
        ('g', Self::Grant),
        ('x', Self::Drained),
        ('t', Self::Timeout),
        ('q', Self::Gap),
    ];
}

const SETTLED: [(&str, Settled); 5] = [
    ("done", Settled::Done),
    ("retry", Settled::Retry),
    ("reject", Settled::Reject),
    ("cancelled", Settled::Cancelled),
    ("handled", Settled::Handled),
];

const RESULTS: [(&str, CommitResult); 7] = [
    ("stored", CommitResult::Stored),
    ("refused", CommitResult::Refused),
    ("retry", CommitResult::Retry),
    ("lost", CommitResult::Lost),
    ("too-large", CommitResult::TooLarge),
    ("denied", CommitResult::Denied),
    ("unknown", CommitResult::Unknown),
];

const RECEIPTS: [(&str, Receipt); 4] = [
    ("stored", Receipt::Stored),
    ("not-stored", Receipt::NotStored),
    ("too-large", Receipt::TooLarge),
    ("unknown", Receipt::Unknown),
];

/// Also in the configuration.
pub(crate) const RESETS: [(&str, OnReset); 3] = [
    ("stop", OnReset::Stop),
    ("earliest", OnReset::Earliest),
    ("latest", OnReset::Latest),
];

const MODES: [(&str, ParkedMode); 3] = [
    ("follow", ParkedMode::Follow),
    ("wait", ParkedMode::Wait),
    ("discard", ParkedMode::Discard),
];

const WHYS: [(&str, Option<Why>); 6] = [
    ("-", None),
    ("exhausted", Some(Why::Exhausted)),
    ("rejected", Some(Why::Rejected)),
    ("malformed", Some(Why::Malformed)),
    ("too-large", Some(Why::TooLarge)),
    ("keyless", Some(Why::Keyless)),
];

impl Call {
    /// Its word in a report.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Restore(_) => "restore",
            Self::Open(_) => "open",
            Self::Extend(..) => "extend",
            Self::Session(..) => "session",
            Self::Broken(..) => "broken",
            Self::Offer(_) => "offer",
            Self::Advance(..) => "advance",
            Self::Revoke(..) => "revoke",
            Self::Lose(..) => "lose",
            Self::CommitResult(..) => "commit-result",
            Self::DeadLetterResult(..) => "dead-letter-result",
            Self::Settle(..) => "settle",
            Self::Follow(_) => "follow",
            Self::Import(..) => "import",
            Self::Release(_) => "release",
            Self::SetParked(..) => "set-parked",
            Self::Reset(..) => "reset",
            Self::PassGap(..) => "pass-gap",
            Self::SetLimits(_) => "set-limits",
            Self::SetWeight(..) => "set-weight",
            Self::Drain(_) => "drain",
            Self::Timeout => "timeout",
            Self::Polls(_) => "poll",
        }
    }

    /// Replaces keys and identities, except in what it is restored from.
    pub fn masked(&mut self, mask: &Mask<'_>) {
        match self {
            Self::Open(open) => open.map = mask.map(&open.map),
            Self::Offer(arrival) => {
                arrival.lane = mask.lane(arrival.lane);
                arrival.key = arrival.key.map(|key| mask.key(key));
                arrival.identity = mask.identity(arrival.identity);
            }
            Self::Release(key) | Self::SetParked(key, _) | Self::PassGap(_, key) => {
                *key = mask.key(*key);
            }
            // The runtime imports nothing; what others import is not told.
            Self::Import(_, identities) => identities.clear(),
            Self::Start
            | Self::Restore(_)
            | Self::Extend(..)
            | Self::Session(..)
            | Self::Broken(..)
            | Self::Advance(..)
            | Self::Revoke(..)
            | Self::Lose(..)
            | Self::CommitResult(..)
            | Self::DeadLetterResult(..)
            | Self::Settle(..)
            | Self::Follow(_)
            | Self::Reset(..)
            | Self::SetLimits(_)
            | Self::SetWeight(..)
            | Self::Drain(_)
            | Self::Timeout
            | Self::Polls(_) => {}
        }
    }

    /// About how many bytes it takes beside itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Open(open) => size_of::<Open>() + open.map.len(),
            Self::Offer(_) => size_of::<Arrival<u32>>(),
            Self::Restore(bytes) | Self::Import(_, bytes) => bytes.len(),
            Self::Polls(polls) => polls.len(),
            Self::Start
            | Self::Extend(..)
            | Self::Session(..)
            | Self::Broken(..)
            | Self::Advance(..)
            | Self::Revoke(..)
            | Self::Lose(..)
            | Self::CommitResult(..)
            | Self::DeadLetterResult(..)
            | Self::Settle(..)
            | Self::Follow(_)
            | Self::Release(_)
            | Self::SetParked(..)
            | Self::PassGap(..)
            | Self::Reset(..)
            | Self::SetLimits(_)
            | Self::SetWeight(..)
            | Self::Drain(_)
            | Self::Timeout => 0,
        }
    }

    /// A call of this word, with nothing in it yet.
    pub fn blank(word: &str) -> Option<Self> {
        let (p, e, s) = (PartitionId(0), Epoch(0), Session(0));
        Some(match word {
            "start" => Self::Start,
            "restore" => Self::Restore(Vec::new()),
            "open" => Self::Open(Box::default()),
            "extend" => Self::Extend(p, e, 0),
            "session" => Self::Session(p, e, s, Continuity::Continues),
            "broken" => Self::Broken(p, e, s),
            "offer" => Self::Offer(Box::new(Arrival {
                partition: p,
                epoch: e,
                session: s,
                delivery: None,
                position: Position(0),
                stamp: Stamp(0),
                lane: 0,
                key: None,
                identity: 0,
                bytes: 0,
                expires: None,
                sequence: None,
                quarantine: None,
                message: 0,
            })),
            "advance" => Self::Advance(p, e, s, Position(0)),
            "revoke" => Self::Revoke(p, e, 0),
            "lose" => Self::Lose(p, e),
            "commit-result" => Self::CommitResult(p, e, 0, CommitResult::Stored),
            "dead-letter-result" => Self::DeadLetterResult(0, Receipt::Stored),
            "settle" => Self::Settle(0, Settled::Done, 0),
            "follow" => Self::Follow(0),
            "import" => Self::Import(0, Vec::new()),
            "release" => Self::Release(0),
            "set-parked" => Self::SetParked(0, ParkedMode::Follow),
            "reset" => Self::Reset(p, OnReset::Stop),
            "pass-gap" => Self::PassGap(p, 0),
            "set-limits" => Self::SetLimits(Limits {
                messages: 0,
                bytes: 0,
                partition_messages: 0,
                partition_bytes: 0,
                low_water_percent: 0,
            }),
            "set-weight" => Self::SetWeight(p, 0),
            "drain" => Self::Drain(0),
            "timeout" => Self::Timeout,
            _ => return None,
        })
    }

    /// What it consists of. A row of polls is written by its letters, elsewhere.
    pub fn fields(&mut self, to: &mut impl Fields) -> Result<(), Fault> {
        match self {
            Self::Start | Self::Timeout | Self::Polls(_) => Ok(()),
            Self::Restore(snapshot) => to.bytes("snapshot", snapshot),
            Self::Open(open) => open.fields(to),
            Self::Offer(arrival) => arrival_fields(arrival, to),
            Self::Extend(p, e, until) => {
                tenure(p, e, to)?;
                to.number("until", until)
            }
            Self::Session(p, e, s, continuity) => {
                tenure(p, e, to)?;
                to.number("session", &mut s.0)?;
                found(continuity, to)
            }
            Self::Broken(p, e, s) => {
                tenure(p, e, to)?;
                to.number("session", &mut s.0)
            }
            Self::Advance(p, e, s, position) => {
                tenure(p, e, to)?;
                to.number("session", &mut s.0)?;
                to.number("position", &mut position.0)
            }
            Self::Revoke(p, e, deadline) => {
                tenure(p, e, to)?;
                to.number("deadline", deadline)
            }
            Self::Lose(p, e) => tenure(p, e, to),
            Self::CommitResult(p, e, write, result) => {
                tenure(p, e, to)?;
                to.number("write", write)?;
                choice(to, "result", result, &RESULTS)
            }
            Self::DeadLetterResult(token, receipt) => {
                to.number("token", token)?;
                choice(to, "result", receipt, &RECEIPTS)
            }
            Self::Settle(token, settled, message) => {
                to.number("token", token)?;
                choice(to, "outcome", settled, &SETTLED)?;
                small(to, "message", message)
            }
            Self::Follow(token) => to.number("token", token),
            Self::Import(elapsed, bytes) => {
                to.number("elapsed", elapsed)?;
                to.bytes("identities", bytes)
            }
            Self::Release(key) => to.wide("key", key),
            Self::SetParked(key, mode) => {
                to.wide("key", key)?;
                choice(to, "mode", mode, &MODES)
            }
            Self::Reset(p, reset_to) => {
                small(to, "partition", &mut p.0)?;
                choice(to, "to", reset_to, &RESETS)
            }
            Self::PassGap(p, key) => {
                small(to, "partition", &mut p.0)?;
                to.wide("key", key)
            }
            Self::SetLimits(limits) => crate::config::limits(limits, to),
            Self::SetWeight(p, weight) => {
                small(to, "partition", &mut p.0)?;
                small(to, "weight", weight)
            }
            Self::Drain(deadline) => to.number("deadline", deadline),
        }
    }
}

impl Open {
    fn fields(&mut self, to: &mut impl Fields) -> Result<(), Fault> {
        let Self {
            partition,
            epoch,
            frontier,
            anchor,
            map,
            recorded,
            incarnation,
            log_start,
            log_end,
            until,
        } = self;
        tenure(partition, epoch, to)?;
        maybe(to, "frontier", frontier)?;
        let (mut at, mut stamp) = anchor.map_or((None, None), |(p, s)| (Some(p), Some(s)));
        maybe(to, "anchor", &mut at)?;
        maybe(to, "stamp", &mut stamp)?;
        *anchor = at.zip(stamp);
        to.bytes("map", map)?;
        maybe(to, "recorded", recorded)?;
        to.number("incarnation", &mut incarnation.0)?;
        to.number("log-start", &mut log_start.0)?;
        to.number("log-end", &mut log_end.0)?;
        maybe(to, "until", until)
    }

    /// The anchor, as the core takes it.
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor.map(|(position, stamp)| Anchor {
            position: Position(position),
            stamp: Stamp(stamp),
        })
    }
}

fn tenure(
    partition: &mut PartitionId,
    epoch: &mut Epoch,
    to: &mut impl Fields,
) -> Result<(), Fault> {
    small(to, "partition", &mut partition.0)?;
    to.number("epoch", &mut epoch.0)
}

fn found(continuity: &mut Continuity, to: &mut impl Fields) -> Result<(), Fault> {
    let (mut index, mut from) = match continuity {
        Continuity::Continues => (0, None),
        Continuity::Rewritten { from } => (1, Some(from.0)),
        Continuity::CannotTell => (2, None),
    };
    to.word(
        "found",
        &mut index,
        &["continues", "rewritten", "cannot-tell"],
    )?;
    maybe(to, "from", &mut from)?;
    *continuity = match (index, from) {
        (0, None) => Continuity::Continues,
        (1, Some(from)) => Continuity::Rewritten {
            from: Position(from),
        },
        (2, None) => Continuity::CannotTell,
        _ => return Err("`from` belongs to rewritten, and only there".into()),
    };
    Ok(())
}

fn arrival_fields(arrival: &mut Arrival<u32>, to: &mut impl Fields) -> Result<(), Fault> {
    let Arrival {
        partition,
        epoch,
        session,
        delivery,
        position,
        stamp,
        lane,
        key,
        identity,
        bytes,
        expires,
        sequence,
        quarantine,
        message,
    } = arrival;
    tenure(partition, epoch, to)?;
    to.number("session", &mut session.0)?;
    maybe(to, "delivery", delivery)?;
    to.number("position", &mut position.0)?;
    to.number("stamp", &mut stamp.0)?;
    to.number("lane", lane)?;
    *key = if to.some("key", key.is_some())? {
        let mut wide = key.unwrap_or(0);
        to.wide("key", &mut wide)?;
        Some(wide)
    } else {
        None
    };
    to.wide("identity", identity)?;
    small(to, "bytes", bytes)?;
    let mut at = expires.map(Time::as_nanos);
    maybe(to, "expires", &mut at)?;
    *expires = at.map(Time::from_nanos);
    maybe(to, "sequence", sequence)?;
    choice(to, "quarantine", quarantine, &WHYS)?;
    small(to, "message", message)
}

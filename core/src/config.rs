//! What an owner may choose. Plain data, checked once by [`Consumer::new`](crate::Consumer::new).

use core::fmt;

use crate::Span;

/// What follows when messages of a key are missing, and are not waited for any longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnGap {
    /// The key goes on with what there is. The gap was told.
    #[default]
    GoOn,
    /// The key is parked: what is ahead goes to the dead-letter destination
    /// ([`Why::Gap`](crate::Why::Gap)), and what comes of the key follows it. Needs `parked_keys`.
    Park,
    /// The key waits until the missing message comes or
    /// [`Consumer::pass_gap`](crate::Consumer::pass_gap) is called. The frontier stands, and the
    /// partition with it when its window is full.
    Stop,
}

/// Order by sequence: key order, and messages of a key carry numbers that grow by one.
///
/// The first number seen of a key is adopted, and from then on each is judged when it is the turn of its
/// message: the one that comes next runs; one that is ahead is held until what is missing has come; one
/// that was passed is finished without a handler, and told; one that its key has gone on without (a gap
/// that was told, a number from before the adopted one) is late: told, and handled (S9). A number is
/// passed when its message ends in any way: success, dead letter, expiry, copy. A retry keeps it
/// pending. So the order of a key is that of its numbers and not of the log, as far as the hold reaches
/// (S2).
///
/// What is known of a partition's keys ends with its epoch, because whoever owned it in between may have
/// gone on: keys are adopted anew. Costs 64 + 12 to 24 bytes a key and 24 a message in flight.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SequenceOrder {
    /// Keys remembered of which nothing is held (1 to 16,000,000). Beyond, the one that was heard of
    /// longest ago is forgotten, and is adopted anew when it comes again.
    pub keys: u32,
    /// Messages of keys that wait, over all keys (1 to `limits.messages`). What would be one more is not
    /// waited for: its key's gap is decided at once. So it is where nothing else is left of a partition
    /// that takes nothing in, or where its window is full.
    pub hold_messages: u32,
    /// How long a message that is ahead waits, from its arrival on. More than 0, and not `Span::MAX`.
    pub gap_timeout: Span,
    /// What follows then.
    pub on_gap: OnGap,
}

/// Which messages wait for which.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Order {
    /// One lane a key: a message starts when its predecessor of the same key is settled for good.
    #[default]
    Key,
    /// No order. Copies of one identity still wait for each other, so that S4 holds.
    Unordered,
}

/// What happens to messages without a key under [`Order::Key`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Keyless {
    /// They run beside everything else.
    #[default]
    Unordered,
    /// They share one lane.
    Shared,
    /// They are dead-lettered at once, with [`Why::Keyless`](crate::Why::Keyless).
    Refuse,
}

/// What follows when the recorded progress is out of range: below the start of the log, because retention
/// removed what was never delivered. Progress of another incarnation of the log, or beyond its end, is void
/// in any case, and what the log holds runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnReset {
    /// The partition stops, with [`NoticeKind::OutOfRange`](crate::NoticeKind::OutOfRange), until
    /// [`Consumer::reset`](crate::Consumer::reset) says where it goes on. Its record stays as it is.
    #[default]
    Stop,
    /// On with the first message that the log holds.
    Earliest,
    /// On behind the last message that the log holds: what it holds is not delivered.
    Latest,
}

/// What happens to a message whose time is over before it is handed out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Expired {
    /// It runs: what a message says of its expiry is not looked at.
    #[default]
    Run,
    /// It is finished without running, and reported by
    /// [`poll_passed`](crate::Consumer::poll_passed). Costs 8 bytes a message in flight.
    Report,
    /// It is dead-lettered, with [`Why::Expired`](crate::Why::Expired). Costs the same.
    DeadLetter,
}

/// What happens when a handler that was asked to stop has not within `cancel_grace`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnHung {
    /// A notice names it, and its key waits until it has ended.
    #[default]
    Wait,
    /// A notice names it, and the attempt is given up
    /// ([`poll_abandon`](crate::Consumer::poll_abandon)): it counts as failed, and the key goes on.
    /// This gives up S1 for that key: its next attempt starts while the old handler may still run.
    Abandon,
}

/// How much may be taken in. May change at run time (`Consumer::set_limits`), up to the
/// figures given at construction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Messages held at once, over all partitions. At construction: 1 to 4,000,000.
    pub messages: u32,
    /// Bytes held at once, over all partitions. One message of the largest size may exceed it.
    pub bytes: u64,
    /// Messages held at once of one partition.
    pub partition_messages: u32,
    /// Bytes held at once of one partition.
    pub partition_bytes: u64,
    /// Intake stops at the limit and opens again when the load has fallen to this many percent of
    /// it (low water mark; 1 to 100).
    pub low_water_percent: u8,
}

/// Failed attempts and what follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Attempts before a message is dead-lettered: 1 to 1,000,000, or `u32::MAX` for no end.
    pub attempts: u32,
    /// Waiting time between attempts.
    pub backoff: Backoff,
}

/// A waiting time that doubles, with a seeded jitter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// The first waiting time.
    pub first: Span,
    /// The longest waiting time.
    pub max: Span,
    /// Each waiting time is changed by up to this many percent, either way (0 to 100).
    pub jitter_percent: u8,
}

/// When progress is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CommitCadence {
    /// A commit is due this long after the first unwritten progress.
    pub every: Span,
    /// A commit is due after this many finished messages.
    pub messages: u32,
    /// Waiting time after a commit that failed.
    pub backoff: Backoff,
}

/// The window in which a second copy of an identity is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dedupe {
    /// Identities remembered after success; 0 switches recognition by identity off.
    pub ids: u32,
    /// How long an identity is remembered.
    pub age: Span,
}

/// The whole configuration of a [`Consumer`](crate::Consumer).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Which messages wait for which.
    pub order: Order,
    /// Order by sequence within each key; `None`: the log says what comes first. Needs order by key.
    pub sequence: Option<SequenceOrder>,
    /// What happens to messages without a key.
    pub keyless: Keyless,
    /// Highest number of partitions (1 to 65,535).
    pub partitions: u32,
    /// How much may be taken in.
    pub limits: Limits,
    /// Messages of one key held at once (at least 1; `u32::MAX`: as many as the credit allows). Beyond,
    /// the intake of the partition is shut until the key has fallen to the low water mark; a partition
    /// that holds nothing may always take one. Keys are told apart by their lanes. Costs 4 bytes a
    /// message in flight.
    pub key_messages: u32,
    /// Messages of one key that one call of a handler may get
    /// ([`Consumer::poll_follow`](crate::Consumer::poll_follow); 1 to 256). More than 1 needs order by key;
    /// every message then is taken in the long way, and costs 16 bytes in flight.
    pub batch_key: u32,
    /// The largest single message, in bytes, as the adapter charges it.
    pub message_bytes_max: u32,
    /// Arrivals that a partition may run ahead of its frontier (64 to 4,194,304; rounded up to 64).
    pub window: u32,
    /// Arrivals that all partitions together may run ahead of their frontiers; at least 64 times
    /// `partitions`, so that every partition can have a block of its own.
    pub window_pool: u32,
    /// Failed attempts.
    pub retry: Retry,
    /// How long a handler may run before it is asked to stop; `Span::MAX` for no limit.
    pub handler_timeout: Span,
    /// How long a handler that was asked to stop may take before a notice names it.
    pub cancel_grace: Span,
    /// What happens then.
    pub on_hung: OnHung,
    /// How long a frontier may stand still, with something held beyond it, before a notice says so
    /// (`Span::MAX`: never). Longer than the longest chain of retries, or it tells of those.
    pub stall_after: Span,
    /// Keys of a partition that may be parked at once (0: a key goes on after a dead letter). A key is
    /// parked when a message of it is given up: what comes of it follows to the dead-letter
    /// destination until it is released. Needs order by key and room in the progress map (25 bytes a
    /// key and 24 more), and costs 16 bytes a message in flight. Where no place is left, a message
    /// that is given up waits, and its key with it, until a key is released.
    pub parked_keys: u32,
    /// A message that kills its process is dead-lettered ([`Why::Suspect`](crate::Why::Suspect)) when so
    /// many processes have died while it ran alone (0: nobody looks, and it kills every next owner; at most
    /// 100). Then the record of a partition says what may be running, and is stored before it runs: one
    /// more commit when a partition is taken over, and nothing starts before. Where an owner did not end
    /// cleanly, the next one starts what may have been running in small lots, each recorded before, and
    /// the messages of a lot that ended a process one by one (L3). Needs room in the progress map: 42
    /// bytes, and 2 and 25 for each parked key; up to 321 make lots larger.
    pub suspects: u32,
    /// What follows when the recorded progress is out of range.
    pub on_reset: OnReset,
    /// What happens to a message whose time is over.
    pub expired: Expired,
    /// When progress is written.
    pub commit: CommitCadence,
    /// Most bytes of a progress map (0 switches maps off; at most 65,535).
    pub map_bytes: u32,
    /// Progress maps say what was finished and not only where, for logs that may be rewritten beyond what an
    /// anchor can tell: 16 bits of each identity. A message that stands where the map names another one
    /// runs, and the log counts as rewritten ([`NoticeKind::LogRewritten`](crate::NoticeKind::LogRewritten)).
    /// Costs 2 bytes of `map_bytes` a position: what does not fit is forgotten, and runs again after a
    /// hand-over without its dedupe window. Maps of either kind are understood whatever is set here.
    pub map_digests: bool,
    /// Recognition of copies.
    pub dedupe: Dedupe,
    /// Waiting time after a dead letter that was not stored.
    pub dead_letter_backoff: Backoff,
    /// Waiting time before a new session when the one before was broken without delivering.
    pub session_backoff: Backoff,
    /// Seed of all jitter. Equal seeds and inputs give equal outputs (S11).
    pub seed: u64,
}

impl Default for Config {
    /// The defaults of a subscription: credit 10,000 messages and 64 MiB; commit every 100 ms or
    /// 1,000 messages; 5 attempts, 100 ms doubling to 30 s, jitter 20 %; handler timeout 30 s;
    /// `cancel_grace` 5 s; a frontier may stand still for 60 s; progress that is out of range stops its
    /// partition; 65,536 ids for 10 minutes.
    fn default() -> Self {
        Self {
            order: Order::Key,
            sequence: None,
            keyless: Keyless::Unordered,
            partitions: 64,
            limits: Limits {
                messages: 10_000,
                bytes: 64 << 20,
                partition_messages: 10_000,
                partition_bytes: 64 << 20,
                low_water_percent: 75,
            },
            key_messages: u32::MAX,
            batch_key: 1,
            message_bytes_max: 1 << 20,
            window: 65_536,
            window_pool: 262_144,
            retry: Retry {
                attempts: 5,
                backoff: Backoff {
                    first: Span::from_millis(100),
                    max: Span::from_secs(30),
                    jitter_percent: 20,
                },
            },
            handler_timeout: Span::from_secs(30),
            cancel_grace: Span::from_secs(5),
            on_hung: OnHung::Wait,
            stall_after: Span::from_secs(60),
            parked_keys: 0,
            suspects: 0,
            on_reset: OnReset::Stop,
            expired: Expired::Run,
            commit: CommitCadence {
                every: Span::from_millis(100),
                messages: 1_000,
                backoff: Backoff {
                    first: Span::from_millis(50),
                    max: Span::from_secs(5),
                    jitter_percent: 20,
                },
            },
            map_bytes: 3_072,
            map_digests: false,
            dedupe: Dedupe {
                ids: 65_536,
                age: Span::from_secs(600),
            },
            dead_letter_backoff: Backoff {
                first: Span::from_millis(100),
                max: Span::from_secs(10),
                jitter_percent: 20,
            },
            session_backoff: Backoff {
                first: Span::from_millis(50),
                max: Span::from_secs(2),
                jitter_percent: 20,
            },
            seed: 0,
        }
    }
}

/// A configuration that cannot work: which field, what was given, what is allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ConfigError {
    /// The field, as a path (`limits.messages`).
    pub field: &'static str,
    /// The value that was given.
    pub value: u64,
    /// What is allowed.
    pub allowed: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is {}: allowed is {}",
            self.field, self.value, self.allowed
        )
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let check = |ok: bool, field, value: u64, allowed| {
            if ok {
                Ok(())
            } else {
                Err(ConfigError {
                    field,
                    value,
                    allowed,
                })
            }
        };
        let l = &self.limits;
        check(
            (1..=65_535).contains(&self.partitions),
            "partitions",
            self.partitions.into(),
            "1 to 65535",
        )?;
        check(
            (1..=4_000_000).contains(&l.messages),
            "limits.messages",
            l.messages.into(),
            "1 to 4000000",
        )?;
        check(l.bytes > 0, "limits.bytes", l.bytes, "at least 1")?;
        check(
            l.partition_messages > 0,
            "limits.partition_messages",
            l.partition_messages.into(),
            "at least 1",
        )?;
        check(
            l.partition_bytes > 0,
            "limits.partition_bytes",
            l.partition_bytes,
            "at least 1",
        )?;
        check(
            (1..=100).contains(&l.low_water_percent),
            "limits.low_water_percent",
            l.low_water_percent.into(),
            "1 to 100",
        )?;
        check(self.key_messages > 0, "key_messages", 0, "at least 1")?;
        let lanes = self.order == Order::Key;
        check(
            self.batch_key == 1 || ((1..=256).contains(&self.batch_key) && lanes),
            "batch_key",
            self.batch_key.into(),
            "1 to 256, and 1 without order by key",
        )?;
        check(
            self.message_bytes_max > 0,
            "message_bytes_max",
            0,
            "at least 1",
        )?;
        check(
            (64..=4_194_304).contains(&self.window),
            "window",
            self.window.into(),
            "64 to 4194304",
        )?;
        check(
            u64::from(self.window_pool) >= 64 * u64::from(self.partitions)
                && self.window_pool <= 67_108_864,
            "window_pool",
            self.window_pool.into(),
            "64 times `partitions` to 67108864",
        )?;
        check(
            (1..=1_000_000).contains(&self.retry.attempts) || self.retry.attempts == u32::MAX,
            "retry.attempts",
            self.retry.attempts.into(),
            "1 to 1000000, or u32::MAX for no end",
        )?;
        check(
            self.stall_after > Span::ZERO,
            "stall_after",
            0,
            "more than 0 (Span::MAX for never)",
        )?;
        check(self.commit.messages > 0, "commit.messages", 0, "at least 1")?;
        check(
            self.map_bytes <= 65_535,
            "map_bytes",
            self.map_bytes.into(),
            "0 to 65535",
        )?;
        let map_bytes = 25 * u64::from(self.parked_keys) + 24;
        check(
            self.parked_keys == 0
                || (self.order == Order::Key && map_bytes <= u64::from(self.map_bytes)),
            "parked_keys",
            self.parked_keys.into(),
            "0 (off); with order by key, up to (map_bytes - 24) / 25",
        )?;
        let keys = u64::from(self.parked_keys > 0) * 2 + 25 * u64::from(self.parked_keys);
        check(
            self.suspects == 0 || (self.suspects <= 100 && 42 + keys <= u64::from(self.map_bytes)),
            "suspects",
            self.suspects.into(),
            "0 (off) to 100, with 42 bytes of `map_bytes` beside the parked keys",
        )?;
        if let Some(sequence) = &self.sequence {
            check(
                self.order == Order::Key && (1..=16_000_000).contains(&sequence.keys),
                "sequence.keys",
                sequence.keys.into(),
                "with order by key, 1 to 16000000",
            )?;
            check(
                (1..=l.messages).contains(&sequence.hold_messages),
                "sequence.hold_messages",
                sequence.hold_messages.into(),
                "1 to limits.messages",
            )?;
            check(
                sequence.gap_timeout > Span::ZERO && sequence.gap_timeout < Span::MAX,
                "sequence.gap_timeout",
                sequence.gap_timeout.as_nanos(),
                "more than 0, and an end",
            )?;
            check(
                sequence.on_gap != OnGap::Park || self.parked_keys > 0,
                "sequence.on_gap",
                0,
                "to park a key, `parked_keys` must be at least 1",
            )?;
        }
        check(
            self.dedupe.ids <= 16_000_000,
            "dedupe.ids",
            self.dedupe.ids.into(),
            "0 (off) to 16000000",
        )?;
        check(
            self.handler_timeout > Span::ZERO,
            "handler_timeout",
            0,
            "more than 0 (Span::MAX for no limit)",
        )?;
        for (field, backoff) in [
            ("retry.backoff", &self.retry.backoff),
            ("commit.backoff", &self.commit.backoff),
            ("dead_letter_backoff", &self.dead_letter_backoff),
            ("session_backoff", &self.session_backoff),
        ] {
            check(
                backoff.first <= backoff.max && backoff.jitter_percent <= 100,
                field,
                backoff.first.as_nanos(),
                "first at most max, jitter 0 to 100 percent",
            )?;
        }
        Ok(())
    }
}

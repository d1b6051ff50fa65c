//! Tables `[subscribe]` and `[subscribe.NAME]`.

use std::path::PathBuf;
use std::time::Duration;

use procession_core::{
    Backoff, CommitCadence, Config, Dedupe, Expired, Keyless, Limits, OnGap, OnHung, OnReset,
    Order, Retry, SequenceOrder, Span,
};
use procession_runtime::port::{LeaseSpec, StartAt};

use super::SettingsError;
use super::reader::Reader;

/// What follows when a message was given up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum OnGiveUp {
    /// A dead letter; its key goes on.
    #[default]
    DeadLetter,
    /// A dead letter; its key is parked.
    Park,
}

/// Settings of subscriptions: table `[subscribe]`, and `[subscribe.NAME]` for one of them.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct SubscribeSettings {
    /// `key` (default): messages of one key run one after the other; `sequence`: the same, in the order of
    /// their `sequence` ([`EnvelopeBuilder::sequence`](crate::EnvelopeBuilder::sequence)); `unordered`.
    pub order: Order,
    /// `order = "sequence"`: order by key, and by sequence within a key. What is ahead waits, what was
    /// passed is finished as a copy, what is missing is told, and handled late if it comes after all (the
    /// notices `SequenceGap`, `SequenceBehind`, `SequenceLate`). A message without a sequence takes its
    /// turn as it came. The first sequence of a key is adopted, after every change of owner anew.
    pub sequence: bool,
    /// How long a message that is ahead in its sequence waits for those before it. Default 30 s.
    pub gap_timeout: Duration,
    /// What follows then: the key goes on with what there is (`go_on`, default), it is parked (`park`;
    /// needs `on_give_up = "park"`), or the subscription ends with an error (`stop`).
    pub on_gap: OnGap,
    /// Messages that may wait so, over all keys; beyond, what is missing is not waited for. Default 1,000;
    /// never more than `credit_messages`.
    pub hold_messages: u32,
    /// Keys whose sequence is remembered while nothing of them is held. Default 65,536.
    pub sequence_keys: u32,
    /// Messages without a key: `unordered` (default), `shared` (one lane), `refuse` (dead letter).
    pub keyless: Keyless,
    /// Handlers that may run at the same time. Default 1,000.
    pub concurrency: usize,
    /// Messages held at once. Default 10,000; the bus-wide credit applies, too.
    pub credit_messages: u32,
    /// The same in bytes. Default 64 MiB.
    pub credit_bytes: u64,
    /// Messages held at once of one partition. Default 10,000.
    pub partition_credit_messages: u32,
    /// The same in bytes. Default 64 MiB.
    pub partition_credit_bytes: u64,
    /// Messages held at once of one key, so that a hot key cannot take all credit. Default: as many as the
    /// credit allows.
    pub key_credit_messages: Option<u32>,
    /// Intake that stopped at the credit goes on when this many percent of it are held. Default 75.
    pub low_water_percent: u8,
    /// The largest message, header fields included; larger ones are dead-lettered. Default 1 MiB.
    pub message_bytes_max: u64,
    /// Arrivals that a partition may run ahead of its oldest unfinished message. Default 65,536.
    pub window: u32,
    /// The same for all partitions together. Default 262,144.
    pub window_pool: u32,
    /// Attempts before a message is dead-lettered; `forever` for no end. Default 5.
    pub attempts: u32,
    /// What follows a dead letter: its key goes on (`dead-letter`, default), or it is parked
    /// (`park`): its later messages follow to the dead-letter topic, in order, until it is released.
    pub on_give_up: OnGiveUp,
    /// Keys of a partition that may be parked at once; beyond, a message that is given up waits, and
    /// its key with it. Default 64, at most 120: parked keys travel with the commit.
    pub parked_keys: u32,
    /// A message that kills its process is dead-lettered (`suspect`) when so many processes have died while
    /// it ran alone; 0, the default: nobody looks, and it kills every next owner. At most 100; 2 or 3 forgive
    /// a process that died of something else. See `docs/retries-and-dead-letters.md`.
    pub suspects: u32,
    /// Progress says what was finished and not only where (16 bits of each identity), so that a log that was
    /// rewritten beyond what its anchor can tell is noticed by the next owner, and what stands there runs.
    /// Fewer finished messages fit into a commit then. Default off: a broker that acknowledges what it may
    /// lose is what it is for.
    pub map_digests: bool,
    /// Waiting time before the second attempt; doubles with each one. Default 100 ms.
    pub backoff_first: Duration,
    /// The longest waiting time between attempts. Default 30 s.
    pub backoff_max: Duration,
    /// Waiting times vary by up to this many percent. Default 20.
    pub jitter_percent: u8,
    /// How long a handler may run before it is cancelled; `never` for no limit. Default 30 s.
    pub handler_timeout: Duration,
    /// How long a cancelled handler may take before a notice names it. Default 5 s.
    pub cancel_grace: Duration,
    /// What follows when a cancelled handler has not ended within `cancel_grace`: its key waits until it has
    /// (`wait`, default), or the attempt counts as failed and the key goes on (`abandon`). That gives up
    /// for this key that one handler runs at a time: the old one may still be at work.
    pub on_hung: OnHung,
    /// What becomes of a message that says until when it is worth handling
    /// ([`EnvelopeBuilder::expires_at`](crate::EnvelopeBuilder::expires_at)) once that has passed: it runs
    /// (`run`, default), it ends without a handler and is counted (`report`), or it is dead-lettered
    /// (`dead-letter`).
    pub on_expired: Expired,
    /// Progress is written this long after it was made. Default 100 ms.
    pub commit_every: Duration,
    /// Progress is written after this many messages. Default 1,000.
    pub commit_messages: u32,
    /// Identities remembered to recognise copies; 0 switches it off. Default 65,536.
    pub dedupe_ids: u32,
    /// How long an identity is remembered. Default 10 minutes.
    pub dedupe_age: Duration,
    /// Where a group without progress begins: `earliest` (default) or `latest`.
    pub start: StartAt,
    /// What follows when retention removed what was never delivered: the partition stops (`stop`, default) until
    /// [`Subscription::reset`](crate::Subscription::reset), or goes on at the `earliest` or `latest`
    /// message. Reported in any case.
    pub on_reset: OnReset,
    /// How long this member may go without renewing before another one takes over. Default 15 s.
    pub lease: Duration,
    /// An owner stops this long before its lease ends. Default: a fifth of the lease.
    pub lease_margin: Option<Duration>,
    /// How long the drain may take that a handler's stop leads to. Default 10 s.
    pub stop_deadline: Duration,
    /// Bytes of core inputs that the flight recorder keeps, to be read with `procession replay`; 0
    /// switches it off. Default 0; at most 16 MiB.
    pub flight_recorder: u64,
    /// A directory where the flight recorder writes its reports to when something is wrong. Default:
    /// none; reports are then made when they are asked for.
    pub flight_directory: Option<PathBuf>,
    /// Negative control of the command line.
    #[doc(hidden)]
    pub hold_commits: bool,
}

impl Default for SubscribeSettings {
    fn default() -> Self {
        Self {
            order: Order::Key,
            sequence: false,
            gap_timeout: Duration::from_secs(30),
            on_gap: OnGap::GoOn,
            hold_messages: 1_000,
            sequence_keys: 65_536,
            keyless: Keyless::Unordered,
            concurrency: 1_000,
            credit_messages: 10_000,
            credit_bytes: 64 << 20,
            partition_credit_messages: 10_000,
            partition_credit_bytes: 64 << 20,
            key_credit_messages: None,
            low_water_percent: 75,
            message_bytes_max: 1 << 20,
            window: 65_536,
            window_pool: 262_144,
            attempts: 5,
            on_give_up: OnGiveUp::DeadLetter,
            parked_keys: 64,
            suspects: 0,
            map_digests: false,
            backoff_first: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            jitter_percent: 20,
            handler_timeout: Duration::from_secs(30),
            cancel_grace: Duration::from_secs(5),
            on_hung: OnHung::Wait,
            on_expired: Expired::Run,
            commit_every: Duration::from_millis(100),
            commit_messages: 1_000,
            dedupe_ids: 65_536,
            dedupe_age: Duration::from_secs(600),
            start: StartAt::Earliest,
            on_reset: OnReset::Stop,
            lease: Duration::from_secs(15),
            lease_margin: None,
            stop_deadline: Duration::from_secs(10),
            flight_recorder: 0,
            flight_directory: None,
            hold_commits: false,
        }
    }
}

impl SubscribeSettings {
    pub(super) fn apply(&mut self, mut r: Reader<'_>) -> Result<(), SettingsError> {
        const ORDERS: &[(&str, (Order, bool))] = &[
            ("key", (Order::Key, false)),
            ("sequence", (Order::Key, true)),
            ("unordered", (Order::Unordered, false)),
        ];
        const GAPS: &[(&str, OnGap)] = &[
            ("go_on", OnGap::GoOn),
            ("park", OnGap::Park),
            ("stop", OnGap::Stop),
        ];
        const KEYLESS: &[(&str, Keyless)] = &[
            ("unordered", Keyless::Unordered),
            ("shared", Keyless::Shared),
            ("refuse", Keyless::Refuse),
        ];
        const STARTS: &[(&str, StartAt)] =
            &[("earliest", StartAt::Earliest), ("latest", StartAt::Latest)];
        const HUNG: &[(&str, OnHung)] = &[("wait", OnHung::Wait), ("abandon", OnHung::Abandon)];
        const EXPIRED: &[(&str, Expired)] = &[
            ("run", Expired::Run),
            ("report", Expired::Report),
            ("dead-letter", Expired::DeadLetter),
        ];
        const RESETS: &[(&str, OnReset)] = &[
            ("stop", OnReset::Stop),
            ("earliest", OnReset::Earliest),
            ("latest", OnReset::Latest),
        ];
        const GIVE_UP: &[(&str, OnGiveUp)] = &[
            ("dead-letter", OnGiveUp::DeadLetter),
            ("park", OnGiveUp::Park),
        ];
        r.word("order", ORDERS, |(order, sequence)| {
            self.order = order;
            self.sequence = sequence;
        })?;
        r.duration("gap_timeout", &mut self.gap_timeout)?;
        r.word("on_gap", GAPS, |then| self.on_gap = then)?;
        r.number("hold_messages", &mut self.hold_messages)?;
        r.number("sequence_keys", &mut self.sequence_keys)?;
        r.word("keyless", KEYLESS, |keyless| self.keyless = keyless)?;
        r.number("concurrency", &mut self.concurrency)?;
        r.number("credit_messages", &mut self.credit_messages)?;
        r.bytes("credit_bytes", &mut self.credit_bytes)?;
        r.number(
            "partition_credit_messages",
            &mut self.partition_credit_messages,
        )?;
        r.bytes("partition_credit_bytes", &mut self.partition_credit_bytes)?;
        let mut most = self.key_credit_messages;
        let small = |v: &super::value::Value| {
            let most = u32::try_from(super::value::number(v)?);
            most.map_err(|_| ("too large", "write a smaller number"))
        };
        r.some("key_credit_messages", &mut most, small)?;
        self.key_credit_messages = most;
        r.number("low_water_percent", &mut self.low_water_percent)?;
        r.bytes("message_bytes_max", &mut self.message_bytes_max)?;
        r.number("window", &mut self.window)?;
        r.number("window_pool", &mut self.window_pool)?;
        r.attempts("attempts", &mut self.attempts)?;
        r.word("on_give_up", GIVE_UP, |then| self.on_give_up = then)?;
        r.number("parked_keys", &mut self.parked_keys)?;
        r.number("suspects", &mut self.suspects)?;
        r.flag("map_digests", &mut self.map_digests)?;
        r.duration("backoff_first", &mut self.backoff_first)?;
        r.duration("backoff_max", &mut self.backoff_max)?;
        r.number("jitter_percent", &mut self.jitter_percent)?;
        r.duration("handler_timeout", &mut self.handler_timeout)?;
        r.duration("cancel_grace", &mut self.cancel_grace)?;
        r.word("on_hung", HUNG, |then| self.on_hung = then)?;
        r.word("on_expired", EXPIRED, |then| self.on_expired = then)?;
        r.duration("commit_every", &mut self.commit_every)?;
        r.number("commit_messages", &mut self.commit_messages)?;
        r.number("dedupe_ids", &mut self.dedupe_ids)?;
        r.duration("dedupe_age", &mut self.dedupe_age)?;
        r.word("start", STARTS, |start| self.start = start)?;
        r.word("on_reset", RESETS, |to| self.on_reset = to)?;
        r.duration("lease", &mut self.lease)?;
        let mut margin = self.lease_margin;
        r.some("lease_margin", &mut margin, super::value::duration)?;
        self.lease_margin = margin;
        r.duration("stop_deadline", &mut self.stop_deadline)?;
        r.bytes("flight_recorder", &mut self.flight_recorder)?;
        let directory = super::value::path;
        r.some("flight_directory", &mut self.flight_directory, directory)?;
        r.finish()
    }

    /// Checks every range; `table` names the table in errors.
    pub(crate) fn validate(&self, table: &str) -> Result<(), SettingsError> {
        let bad = |field: &str, value: String, fix: &str| {
            let field = format!("{table}.{field}");
            Err(SettingsError::new(field, value, "", "out of range", fix))
        };
        if !(1..=1_000_000).contains(&self.concurrency) {
            let value = self.concurrency.to_string();
            return bad("concurrency", value, "allowed is 1 to 1000000");
        }
        if u32::try_from(self.message_bytes_max).is_err() {
            let value = self.message_bytes_max.to_string();
            return bad("message_bytes_max", value, "allowed is 1 byte to 4GiB");
        }
        if self.on_give_up == OnGiveUp::Park && !(1..=120).contains(&self.parked_keys) {
            let value = self.parked_keys.to_string();
            return bad("parked_keys", value, "allowed is 1 to 120");
        }
        if self.suspects > 100 {
            let value = self.suspects.to_string();
            return bad("suspects", value, "allowed is 0 (off) to 100");
        }
        if self.on_give_up == OnGiveUp::Park && self.order == Order::Unordered {
            let fix = "needs `order = \"key\"`: without order nothing follows anything";
            return bad("on_give_up", "park".into(), fix);
        }
        let parks = self.sequence && self.on_gap == OnGap::Park;
        if parks && self.on_give_up != OnGiveUp::Park {
            let fix = "needs `on_give_up = \"park\"`: keys are parked by one rule";
            return bad("on_gap", "park".into(), fix);
        }
        if self.lease < Duration::from_secs(1) || self.lease > Duration::from_secs(3_600) {
            return bad("lease", format!("{:?}", self.lease), "allowed is 1s to 1h");
        }
        let margin = self.lease_margin();
        if margin.is_zero() || self.lease.checked_div(2) < Some(margin) {
            let fix = "allowed is more than 0, at most half of `lease`";
            return bad("lease_margin", format!("{margin:?}"), fix);
        }
        let recorder = self.flight_recorder;
        if recorder != 0 && !(64 << 10..=16 << 20).contains(&recorder) {
            let fix = "allowed is 0 (off), or 64KiB to 16MiB";
            return bad("flight_recorder", recorder.to_string(), fix);
        }
        if let (0, Some(path)) = (recorder, &self.flight_directory) {
            let fix = "needs `flight_recorder`, for instance \"4MiB\"";
            return bad("flight_directory", path.display().to_string(), fix);
        }
        let core = self.to_core(1, 1, 0).validate();
        core.map_err(|error| SettingsError::from_core(table, error))
    }

    /// Room for as many partitions as a topic of `partitions` may have after it was made larger, once or
    /// twice, without a new subscription.
    pub(crate) fn room_to_grow(&self, partitions: u32) -> u32 {
        let most = (self.window_pool / 64).min(65_535);
        let more = partitions.saturating_mul(2).saturating_add(16);
        more.min(most).max(partitions)
    }

    /// What the core's consumer is configured with, for a topic of so many partitions, with room for
    /// `room` of them.
    pub(crate) fn to_core(&self, partitions: u32, room: u32, seed: u64) -> Config {
        // More than all partitions can use would be allocated for nothing.
        let blocks = self.window.div_ceil(64).saturating_mul(partitions);
        let usable = blocks.saturating_mul(64).max(64 * room);
        Config {
            order: self.order,
            sequence: self.sequence.then(|| SequenceOrder {
                keys: self.sequence_keys,
                hold_messages: self.hold_messages.min(self.credit_messages),
                gap_timeout: Span::from(self.gap_timeout),
                on_gap: self.on_gap,
            }),
            keyless: self.keyless,
            partitions: room.max(partitions),
            limits: self.limits(),
            key_messages: self.key_credit_messages.unwrap_or(u32::MAX),
            // Up to the handler.
            batch_key: 1,
            message_bytes_max: u32::try_from(self.message_bytes_max).unwrap_or(u32::MAX),
            window: self.window,
            window_pool: self.window_pool.min(usable),
            retry: Retry {
                attempts: self.attempts,
                backoff: Backoff {
                    first: Span::from(self.backoff_first),
                    max: Span::from(self.backoff_max),
                    jitter_percent: self.jitter_percent,
                },
            },
            parked_keys: match self.on_give_up {
                OnGiveUp::DeadLetter => 0,
                OnGiveUp::Park => self.parked_keys,
            },
            suspects: self.suspects,
            map_digests: self.map_digests,
            on_reset: self.on_reset,
            handler_timeout: Span::from(self.handler_timeout),
            cancel_grace: Span::from(self.cancel_grace),
            on_hung: self.on_hung,
            expired: self.on_expired,
            commit: CommitCadence {
                every: Span::from(self.commit_every),
                messages: self.commit_messages,
                ..Config::default().commit
            },
            dedupe: Dedupe {
                ids: self.dedupe_ids,
                age: Span::from(self.dedupe_age),
            },
            seed,
            ..Config::default()
        }
    }

    /// The credit of this subscription on its own.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            messages: self.credit_messages,
            bytes: self.credit_bytes,
            partition_messages: self.partition_credit_messages,
            partition_bytes: self.partition_credit_bytes,
            low_water_percent: self.low_water_percent,
        }
    }

    pub(crate) fn lease_spec(&self) -> LeaseSpec {
        LeaseSpec {
            lease: Span::from(self.lease),
            margin: Span::from(self.lease_margin()),
        }
    }

    fn lease_margin(&self) -> Duration {
        self.lease_margin.unwrap_or(self.lease / 5)
    }
}

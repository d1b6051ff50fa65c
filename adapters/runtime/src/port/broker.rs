//! A broker as a whole: topics, feeds, sinks.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::sync::Arc;

use procession_core::Span;

use super::{Feed, LeaseSpec, Record, Sink};

/// A future that owns what it needs.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connected broker.
///
/// Its methods may be awaited on any runtime: the broker's I/O happens on threads of its own.
pub trait Broker: Send + Sync + 'static {
    /// What this broker is.
    fn info(&self) -> BrokerInfo;

    /// Creates, updates or checks a topic, and reads it back.
    fn topic(&self, spec: TopicSpec) -> BoxFuture<'_, Result<TopicInfo, PortError>>;

    /// Begins to consume: membership, claims, deliveries.
    fn feed(&self, spec: FeedSpec) -> BoxFuture<'_, Result<Box<dyn Feed>, PortError>>;

    /// Begins to publish.
    fn sink(&self) -> BoxFuture<'_, Result<Box<dyn Sink>, PortError>>;

    /// Reads the whole log of a topic, for audits: (partition, record) in log order per partition.
    fn audit(&self, topic: Arc<str>) -> BoxFuture<'_, Result<Vec<(u32, Record)>, PortError>>;

    /// Ends everything; when it returns, no task, thread or socket of this broker is left, or
    /// `within` has passed.
    fn close(&self, within: Span) -> BoxFuture<'_, Result<(), PortError>>;
}

/// What a broker is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BrokerInfo {
    /// `memory`, `nats` or `kafka`.
    pub kind: &'static str,
    /// The server's version.
    pub version: String,
    /// The largest message that it takes, in bytes (headers included).
    pub message_bytes_max: usize,
    /// The largest progress map that fits beside a commit, in bytes.
    pub map_bytes_max: u32,
    /// Whether several publishes of one key may be under way at once: the broker keeps their order
    /// whatever is sent again (S8).
    pub pipelining: bool,
    /// Whether a topic may get more partitions while it is subscribed to.
    pub topics_grow: bool,
}

/// Where the log of a topic is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Storage {
    /// On disk.
    #[default]
    File,
    /// In the broker's memory.
    Memory,
}

/// What to do about a topic that is missing or different.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TopicMode {
    /// Fail, and name the command that creates it.
    #[default]
    Validate,
    /// Create it when it is missing.
    Create,
    /// Create it, or bring its settings in line.
    CreateOrUpdate,
    /// Do not look.
    Skip,
}

/// A topic as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicSpec {
    /// Its name: `[A-Za-z0-9._-]{1,200}` without empty tokens.
    pub name: Arc<str>,
    /// Number of partitions when it is created; `None` takes what is there (3 when created).
    pub partitions: Option<u32>,
    /// Where it is kept when it is created.
    pub storage: Storage,
    /// What to do when it is missing or different.
    pub mode: TopicMode,
    /// Window of the broker's own dedupe; at least twice the publish deadline.
    pub duplicate_window: Span,
    /// How its messages lie on the broker; `None` takes what is there (`Partitioned` when created).
    pub layout: Option<Layout>,
    /// Whether publishes to it may come together (`ProducerConfig::batch`): it is created so, or brought in
    /// line with [`TopicMode::CreateOrUpdate`]; else [`TopicInfo::no_batches`] tells.
    pub batches: bool,
}

/// How the messages of a topic lie on a broker that gives a choice (JetStream, `docs/wire.md`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Layout {
    /// A partition is one subject: `T.P`.
    #[default]
    Partitioned,
    /// A key is a subject: `T.P.KEY`. The server then knows the last message of each key, and can compare
    /// what a publish expects ([`Expect`](super::Expect)); it also keeps each key in memory.
    Keyed,
}

/// A topic as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// Number of partitions.
    pub partitions: u32,
    /// Where it is kept.
    pub storage: Storage,
    /// Whether the broker can compare what a publish to it expects ([`Expect`](super::Expect)).
    pub compares: bool,
    /// Why publishes to it cannot come together (`ProducerConfig::batch`), and what to do; `None`: they can,
    /// or need not, because the broker keeps the order of a key whatever is on its way.
    pub no_batches: Option<PortError>,
    /// What an operator should know (`persist_mode: async`, a shorter dedupe window, ...).
    pub warnings: Vec<String>,
}

/// Where a group without progress begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum StartAt {
    /// At the first message that the log holds.
    #[default]
    Earliest,
    /// After the last.
    Latest,
}

/// What is consumed, by whom.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeedSpec {
    /// The topic. Topic partition `p` becomes `PartitionId(p)`.
    pub topic: Arc<str>,
    /// The group: `[A-Za-z0-9._-]{1,128}` without empty tokens.
    pub group: Arc<str>,
    /// This member's name, unique in the group.
    pub member: Arc<str>,
    /// Where a group without progress begins.
    pub start: StartAt,
    /// How ownership is held.
    pub lease: LeaseSpec,
    /// Largest message, in bytes: one delivery never exceeds it.
    pub message_bytes_max: u32,
}

/// An error of a broker or of its client, in words that name what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PortError {
    /// What kind of error.
    pub kind: PortErrorKind,
    /// What happened, and the fix.
    pub message: Arc<str>,
}

/// Kinds of [`PortError`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PortErrorKind {
    /// The broker cannot be reached.
    Unreachable,
    /// A topic, stream or subject is missing.
    Missing,
    /// A topic exists and is not what was asked for, or cannot be used by Procession.
    Unsuitable,
    /// The message is larger than the broker takes.
    TooLarge,
    /// Not permitted.
    Denied,
    /// A setting, name or address is invalid.
    Invalid,
    /// The broker refused for another reason.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The connection was lost, or the port is closed.
    Disconnected,
}

impl PortError {
    /// An error with its text.
    pub fn new(kind: PortErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into().into(),
        }
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for PortError {}

//! `produce` and `consume`.

use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;

use super::{HandlerTime, On, Output, Share, duration};

/// `produce`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Keys are PREFIX-0, PREFIX-1, ...; ids are KEY-SEQ; sequences begin at 1 for each key.\n\
    Ends when every publish has its result.\n\n\
    Examples:\n  \
    procession produce --on nats://127.0.0.1:4222 --topic orders --count 100000 --keys 1000\n  \
    procession produce --on nats://127.0.0.1:4222 --topic orders --rate 500 --audit --history p.hist"
)]
pub struct ProduceArgs {
    /// The broker's URL.
    #[arg(long, value_name = "URL")]
    pub on: On,
    /// The topic; created when missing.
    #[arg(long)]
    pub topic: String,
    /// Partitions; another number than the existing topic's is an error [default: the topic's, 3
    /// for a new one].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=64))]
    pub partitions: Option<u32>,
    /// Messages.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = value_parser!(u64).range(1..=1_000_000_000))]
    pub count: u64,
    /// Keys.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub keys: u32,
    /// Bytes of each payload.
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = value_parser!(u32).range(0..=67_108_864))]
    pub payload: u32,
    /// Messages a second [default: as fast as the broker takes them].
    #[arg(long, value_name = "PER_S")]
    pub rate: Option<f64>,
    /// What keys begin with [default: a random run name].
    #[arg(long, value_name = "S")]
    pub key_prefix: Option<String>,
    /// Fills payloads.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Read the log back at the end and write what it holds into the history.
    #[arg(long)]
    pub audit: bool,
    /// Write the history of everything that happened, for `procession check`.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// How the members of a Kafka group agree.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupProtocol {
    /// Classic, cooperative: partitions that stay are not touched.
    #[default]
    Cooperative,
    /// Classic, eager: all partitions are given up at every rebalance.
    Eager,
    /// KIP-848: the broker decides (Kafka 4.0 and newer).
    Consumer,
}

/// `consume`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Ends after --count effective messages, after --idle-exit of silence while it owns a\n\
    partition, or on Ctrl-C or SIGTERM, which drain.\n\n\
    Examples:\n  \
    procession consume --on nats://127.0.0.1:4222 --topic orders --group billing --idle-exit 2s\n  \
    procession consume --on nats://127.0.0.1:4222 --topic orders --group billing --count 1000 --history c.hist"
)]
pub struct ConsumeArgs {
    /// The broker's URL.
    #[arg(long, value_name = "URL")]
    pub on: On,
    /// The topic; waited for up to 30 s, then created with 3 partitions.
    #[arg(long)]
    pub topic: String,
    /// The group.
    #[arg(long)]
    pub group: String,
    /// This member's name [default: a random one].
    #[arg(long)]
    pub member: Option<String>,
    /// Most handlers at once [default: as many as credit allows].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4_000_000))]
    pub concurrency: Option<u32>,
    /// How long handlers take: 0.5 to 1.5 of it by message; `5ms!` is exact.
    #[arg(long, value_name = "DURATION")]
    pub handler_time: Option<HandlerTime>,
    /// Share of messages whose first attempt fails.
    #[arg(long, value_name = "P", default_value = "0")]
    pub fail_rate: Share,
    /// Share of messages that always fail.
    #[arg(long, value_name = "P", default_value = "0")]
    pub poison_rate: Share,
    /// Picks the messages that fail or are slow.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How long an owner may go without renewing its lease [default: 15s]; on Kafka its session
    /// [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub lease: Option<Duration>,
    /// How the members of a Kafka group agree.
    #[arg(long, value_name = "PROTOCOL", value_enum, default_value_t)]
    pub group_protocol: GroupProtocol,
    /// End after so many effective messages.
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// End after this much silence.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub idle_exit: Option<Duration>,
    /// Write the history of everything that happened, for `procession check`.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

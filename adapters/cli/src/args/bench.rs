//! `bench`.

use clap::{ValueEnum, value_parser};

use super::{On, Output};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum What {
    /// Receiving.
    Consume,
    /// Publishing.
    Publish,
}

impl What {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Consume => "consume",
            Self::Publish => "publish",
        }
    }
}

/// `bench`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "Ours is the bus with a handler that does nothing. raw-equal is the raw client doing the same\n\
    job the way its users write it: header fields decoded into an owned envelope, the same handler,\n\
    commits at the same cadence or an ack each; to publish, the same header fields and a result for\n\
    each message, awaited. tuned (Kafka) is the same as an expert makes it faster: fetching goes on as\n\
    soon as there is room (fetch.queue.backoff.ms=10), results are counted and not awaited. bare is\n\
    raw-equal without the header fields. They run in turns on one broker; a ratio is the median over the\n\
    pairs, with its 95 % interval.\n\n\
    Examples:\n  \
    procession bench\n  \
    procession bench --on nats --pairs 20 --json bench.json\n  \
    procession bench --core"
)]
pub struct BenchArgs {
    /// Broker by kind (it is started and stopped) or URL (the one there is used); repeatable
    /// [default: nats, kafka].
    #[arg(long, value_name = "KIND|URL", num_args = 1.., conflicts_with = "core")]
    pub on: Vec<On>,
    /// Bytes of each payload.
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = value_parser!(u32).range(0..=900_000))]
    pub payload: u32,
    /// Keys.
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=10_000_000))]
    pub keys: u32,
    /// Messages of one key that ours puts into one request where it sends one of a key at a time (NATS).
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=256), conflicts_with = "core")]
    pub batch: u32,
    /// Topics in the broker's memory, where it has a choice (NATS).
    #[arg(long, conflicts_with = "core")]
    pub memory: bool,
    /// Pairs of ours and raw-equal, in turns; one more is run before them and not counted.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(10..=1_000))]
    pub pairs: u32,
    /// Messages of a run [default: 200000 on NATS, 500000 on Kafka].
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(100..=100_000_000))]
    pub messages: Option<u32>,
    /// This and nothing else.
    #[arg(long, value_enum, conflicts_with = "core")]
    pub only: Option<What>,
    /// The core alone: no broker, no threads.
    #[arg(long)]
    pub core: bool,
    /// Do not fetch brokers.
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

//! `compare`.

use std::path::PathBuf;
use std::time::Duration;

use clap::value_parser;

use super::{HandlerTime, Load, On, Output, Preset, Senders, Share, duration};

/// `compare`.
#[derive(clap::Args, Clone, Debug)]
#[command(
    after_help = "The clock starts when all subscriptions have their partitions and stops at the last\n\
    first effective processing. Distinct ids are counted; delivery, loss and duplication apart.\n\n\
    Examples:\n  \
    procession compare --on memory --on nats --load extreme\n  \
    procession compare --on nats --load 1000000x10000 --payload 1024 --fail-rate 0.01\n  \
    procession compare --on nats --load low --without acks --restart-at 0.5   (ends with status 1)\n  \
    procession compare --html report.html   (with the negative controls)\n  \
    procession compare --on memory --load low --history run.hist && procession check run.hist"
)]
pub struct CompareArgs {
    /// Broker by kind (it is started and stopped) or URL (the one there is used); repeatable
    /// [default: memory, nats, kafka].
    #[arg(long, value_name = "KIND|URL", num_args = 1..)]
    pub on: Vec<On>,
    /// low, medium, high, extreme, MESSAGES or MESSAGESxAGGREGATES; repeatable [default: all four].
    #[arg(long, value_name = "LOAD", num_args = 1.., conflicts_with = "preset")]
    pub load: Vec<Load>,
    /// A list of loads.
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,
    /// Bytes of each payload.
    #[arg(long, value_name = "BYTES", default_value_t = 256, value_parser = value_parser!(u32).range(16..=67_108_864))]
    pub payload: u32,
    /// Topics that the aggregates are spread over.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u32).range(1..=100))]
    pub topics: u32,
    /// Partitions of each topic.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=64))]
    pub partitions: u32,
    /// How many publish at once: `aggregate` (one each) or a number.
    #[arg(long, value_name = "aggregate|N", default_value = "aggregate")]
    pub senders: Senders,
    /// How long handlers take: 0.5 to 1.5 of it by message; `5ms!` is exact.
    #[arg(long, value_name = "DURATION")]
    pub handler_time: Option<HandlerTime>,
    /// Share of messages whose first attempt fails.
    #[arg(long, value_name = "P", default_value = "0")]
    pub fail_rate: Share,
    /// Share of messages that always fail.
    #[arg(long, value_name = "P", default_value = "0")]
    pub poison_rate: Share,
    /// Share of messages that are published twice under one identity. Recognised identities live in
    /// memory: with --restart-at a copy that comes after the restart runs.
    #[arg(long, value_name = "P", default_value = "0")]
    pub republish_rate: Share,
    /// Stop and start the consuming side at this share of the messages.
    #[arg(long, value_name = "FRACTION")]
    pub restart_at: Option<Share>,
    /// Picks the messages that fail, are slow or are published twice.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// What goes over the wire.
    #[arg(long, value_enum, default_value_t = Form::Envelope)]
    pub form: Form,
    /// Where brokers keep the log.
    #[arg(long, value_enum, default_value_t = StorageArg::File)]
    pub storage: StorageArg,
    /// Run everything so often. A broker that was started here is replaced by a fresh one now and
    /// then; on one given by URL the topics of all runs stay.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Repeat until this much time has passed, on each broker; the round that was begun is finished.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// A negative control: switch a part of the bus off and see the fault reported.
    #[arg(long, value_enum)]
    pub without: Option<Without>,
    /// Run the negative controls too: each --without, and the same with everything on, at load low.
    /// With --html they always run.
    #[arg(long, conflicts_with = "without")]
    pub controls: bool,
    /// Do not fetch brokers.
    #[arg(long)]
    pub offline: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
    /// Write the report as one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write the history of everything that happened, for `procession check`.
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
}

/// A parser of these arguments alone, for their defaults.
#[derive(clap::Parser)]
struct Alone {
    #[command(flatten)]
    compare: CompareArgs,
}

impl Default for CompareArgs {
    /// What `compare` without any option means.
    fn default() -> Self {
        let alone: Alone = clap::Parser::parse_from(["procession"]);
        alone.compare
    }
}

impl CompareArgs {
    /// The loads to run.
    #[must_use]
    pub fn loads(&self) -> Vec<Load> {
        match (self.preset, self.load.is_empty()) {
            (Some(preset), _) => preset.loads(),
            (None, true) => Load::all_named(),
            (None, false) => self.load.clone(),
        }
    }
}

/// What goes over the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Form {
    /// An envelope in header fields.
    Envelope,
    /// The payload alone: id and sequence are its first bytes.
    Raw,
}

/// Where brokers keep the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum StorageArg {
    /// On disk.
    File,
    /// In the broker's memory.
    Memory,
}

/// What to switch off.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Without {
    /// Commits say nothing new. With --restart-at this must show as duplicates.
    Acks,
    /// No order by key. With --handler-time this must show as inversions.
    Lanes,
    /// No recognition of copies. With --republish-rate this must show as duplicates.
    Dedupe,
}

macro_rules! value_names {
    ($($type:ty),*) => {$(
        impl $type {
            /// As it is written on the command line.
            #[must_use]
            pub fn name(self) -> String {
                clap::ValueEnum::to_possible_value(&self)
                    .map_or_else(String::new, |v| v.get_name().to_owned())
            }
        }
    )*};
}
value_names!(Form, StorageArg, Without);

//! The arguments of the command line.

#[cfg(feature = "bench")]
mod bench;
mod brokers;
mod compare;
mod duration;
mod load;
mod on;
mod report;
mod shell;
mod sim;
mod values;
mod work;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

#[cfg(feature = "bench")]
pub use bench::{BenchArgs, What};
pub use brokers::{Action, BrokerKind, BrokersArgs};
pub use compare::{CompareArgs, Form, StorageArg, Without};
pub use duration::{HandlerTime, duration};
pub use load::{Load, Preset};
pub use on::On;
pub use report::ReportArgs;
pub use shell::{CompletionsArgs, ManArgs, Shell};
pub use sim::{
    CoverageArgs, Level, Model, MutantsArgs, ProfileArg, ReplayArgs, RunArgs, Seeds, SeedsArgs,
    ShrinkArgs, SimAction, SimArgs,
};
pub use values::{Senders, Share};
pub use work::{ConsumeArgs, GroupProtocol, ProduceArgs};

/// An event bus that keeps aggregates in order, on Kafka or NATS JetStream.
#[derive(Parser, Debug)]
#[command(
    name = "procession",
    version,
    about,
    after_help = "Without a command it runs `compare` with its defaults, in under a minute.\n\n\
        Exit status: 0 fine; 1 a promise was broken or a fault was found (named on the last line);\n\
        2 wrong use or configuration; 3 a broker that was asked for cannot be had.\n\n\
        Examples:\n  \
        procession\n  \
        procession compare --on nats --load high --json -\n  \
        procession brokers up nats\n  \
        procession produce --on nats://127.0.0.1:4222 --topic orders --count 1000 --history p.hist\n  \
        procession consume --on nats://127.0.0.1:4222 --topic orders --group billing --idle-exit 2s --history c.hist\n  \
        procession check p.hist c.hist"
)]
pub struct Arguments {
    /// What to do; nothing is `compare`.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The commands.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run the same loads on several brokers and say what arrived, how often, in which order.
    Compare(CompareArgs),
    /// Make the page of comparisons that were written down with --json.
    Report(ReportArgs),
    /// Publish messages with per-key sequences.
    Produce(ProduceArgs),
    /// Consume a topic as one member of a group.
    Consume(ConsumeArgs),
    /// Measure the bus against the raw clients, in turns on one broker.
    #[cfg(feature = "bench")]
    Bench(BenchArgs),
    /// Start, find and stop real brokers as child processes.
    Brokers(BrokersArgs),
    /// Read histories and say which promises they keep.
    Check(CheckArgs),
    /// Run the core through schedules of faults, in virtual time.
    Sim(SimArgs),
    /// Play a failure report again, and see what happened.
    Replay(ReplayArgs),
    /// Make a failure report small.
    Shrink(ShrinkArgs),
    /// Print what a shell needs to complete these commands.
    Completions(CompletionsArgs),
    /// Print or write the manual.
    Man(ManArgs),
}

/// `check`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:\n  \
    procession compare --on nats --history run.hist; procession check run.hist\n  \
    procession check producer.hist first.hist second.hist --json -")]
pub struct CheckArgs {
    /// The histories: of one run, or of several processes of one boot.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// Where the machine-readable result goes.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Output {
    /// Write the result as JSON to FILE; `-` is standard output, then nothing else goes there.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

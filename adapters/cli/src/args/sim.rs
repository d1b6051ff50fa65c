//! `sim`, `replay` and `shrink`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Subcommand, ValueEnum, value_parser};

use super::Output;

/// `sim`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "One seed is one run: configuration, workload and every fault follow from it, and the same\n\
    seed gives the same run on every machine. A broken promise becomes a failure report, for\n\
    `procession replay` and `procession shrink`.\n\n\
    Examples:\n  \
    procession sim run --model kafka --seeds 0..1000000\n  \
    procession sim run --profile one-fault --seeds 0..20000 --json -\n  \
    procession sim coverage\n  \
    procession sim determinism --seeds 0..2000"
)]
pub struct SimArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: SimAction,
}

/// What the simulator is to do.
#[derive(Subcommand, Debug)]
pub enum SimAction {
    /// Run seeds and hold every promise against what happens.
    Run(RunArgs),
    /// Say how often everything was reached: faults, rules of the checker, marked places in the models
    /// and the core (counted in builds with the feature `marks`), and each fault in each state.
    Coverage(CoverageArgs),
    /// Run seeds again, on other threads and in another process: nothing may differ.
    Determinism(SeedsArgs),
    /// Switch deliberate faults on, one at a time: each must be noticed, written down, made small,
    /// and come again.
    Mutants(MutantsArgs),
}

/// Which seeds.
#[derive(clap::Args, Clone, Debug)]
pub struct SeedsArgs {
    /// The broker that the world is like [default: both, by seed].
    #[arg(long, value_enum)]
    pub model: Option<Model>,
    /// Seeds from A up to B.
    #[arg(long, value_name = "A..B", default_value = "0..20000")]
    pub seeds: Seeds,
    /// How faults are chosen.
    #[arg(long, value_enum, default_value_t = ProfileArg::Mixed)]
    pub profile: ProfileArg,
    /// Threads [default: one for each core].
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `sim run`.
#[derive(clap::Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub seeds: SeedsArgs,
    /// What is simulated: the core alone, or the driver around it too.
    #[arg(long, value_enum, default_value_t = Level::Core)]
    pub level: Level,
    /// Switch this deliberate fault on first, to see what a violation looks like; in builds with
    /// the feature `mutants`.
    #[cfg(feature = "mutants")]
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub mutant: u8,
    /// Where failure reports go [default: `failures` in the build directory, `target`].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// `sim coverage`.
#[derive(clap::Args, Clone, Debug)]
pub struct CoverageArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub seeds: SeedsArgs,
    /// How often each must have been reached; less is a failure.
    #[arg(long, value_name = "N", default_value_t = procession_sim::COVERAGE_LEAST)]
    pub least: u64,
}

/// `sim mutants`.
#[derive(clap::Args, Clone, Debug)]
pub struct MutantsArgs {
    /// Only this one.
    #[arg(long, value_name = "N")]
    pub only: Option<u8>,
    /// Keep the shrunk reports here.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A broker to be like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Model {
    /// Apache Kafka.
    Kafka,
    /// NATS JetStream, in log mode.
    Jetstream,
}

/// How much is simulated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Level {
    /// The core.
    Core,
    /// The driver over simulated ports.
    Driver,
}

/// How faults are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum ProfileArg {
    /// 85 % swarm, 10 % all-on, 5 % clean.
    Mixed,
    /// Each fault on with probability one half, each with a chance of its own.
    Swarm,
    /// Every fault on.
    AllOn,
    /// No faults; every message must be handled exactly once.
    Clean,
    /// One fault on, often.
    OneFault,
}

/// Seeds from one up to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeds {
    /// The first.
    pub from: u64,
    /// One past the last.
    pub to: u64,
}

impl FromStr for Seeds {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.strip_prefix("0x").map_or_else(
                || text.parse().ok(),
                |hex| u64::from_str_radix(hex, 16).ok(),
            )
        };
        text.split_once("..")
            .and_then(|(from, to)| Some((number(from)?, number(to)?)))
            .filter(|(from, to)| from < to)
            .map(|(from, to)| Self { from, to })
            .ok_or_else(|| "seeds are FROM..TO, the first lower than the second: 0..1000".into())
    }
}

/// `replay`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Feeds the inputs of the report to cores of their own and compares what they answer; then lets\n\
    the world of the report happen again.\n\n\
    Exit status: 0 the recorded verdict came again (or all was well, as recorded); 1 it did not;\n\
    2 not a failure report; 3 the core answers differently now (the first difference is shown);\n\
    4 a report of another version.\n\n\
    Examples:\n  \
    procession replay target/failures/S2-17.procfail --explain\n  \
    procession replay x.procfail --until 120 --trace\n  \
    procession replay x.procfail --emit-test > sim/tests/found.rs\n  \
    procession replay x.procfail --html x.html"
)]
pub struct ReplayArgs {
    /// The failure report.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Stop after so many inputs.
    #[arg(long, value_name = "N")]
    pub until: Option<usize>,
    /// Show every input and what the core answered.
    #[arg(long)]
    pub trace: bool,
    /// Tell what happened, key by key.
    #[arg(long)]
    pub explain: bool,
    /// Draw what happened, as a page of its own.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print a Rust test that fails while the promise is broken, and nothing else.
    #[arg(long, conflicts_with_all = ["trace", "explain"])]
    pub emit_test: bool,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// `shrink`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The verdict stays the same; messages, faults, members, keys, times and limits that it does not\n\
    need go.\n\n\
    Examples:\n  \
    procession shrink target/failures/S2-17.procfail\n  \
    procession shrink big.procfail -o small.procfail"
)]
pub struct ShrinkArgs {
    /// The failure report.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Where the small one goes [default: FILE with `.small` before its ending].
    #[arg(short, long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Stop looking after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = value_parser!(u64).range(1..=86_400))]
    pub budget: u64,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

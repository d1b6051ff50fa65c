//! Brokers to run on: started here, or there already.

use crate::args::On;
use crate::brokers::{CannotBeHad, Kafka, KafkaOptions, Nats, NatsOptions, RunningServer};

/// A broker to run on.
pub(crate) struct Site {
    pub(crate) kind: &'static str,
    /// `memory://NAME` is made up for each run.
    pub(crate) url: String,
    /// What a server that was started here says of itself; some cannot be asked.
    pub(crate) version: Option<String>,
    /// Stops with the site.
    server: Option<RunningServer>,
}

impl Site {
    /// Whether it is a server that was started here.
    pub(crate) fn is_own(&self) -> bool {
        self.server.is_some()
    }
}

/// A broker that runs.
///
/// # Errors
/// It cannot be had.
pub(crate) fn open(on: &On, offline: bool) -> Result<Site, CannotBeHad> {
    let (url, server) = match on {
        On::Memory => ("memory://".to_owned(), None),
        On::Nats(Some(url)) | On::Kafka(Some(url)) => (url.clone(), None),
        On::Nats(None) => started(Nats::start(NatsOptions {
            offline,
            ..NatsOptions::default()
        })?),
        On::Kafka(None) => started(Kafka::start(KafkaOptions {
            offline,
            ..KafkaOptions::default()
        })?),
        On::MockKafka => ("mock-kafka://".to_owned(), None),
    };
    Ok(Site {
        kind: on.kind(),
        url,
        version: server.as_ref().map(|server| server.version.clone()),
        server,
    })
}

fn started(server: RunningServer) -> (String, Option<RunningServer>) {
    (server.url.clone(), Some(server))
}

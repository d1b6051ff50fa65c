//! How an Apache Kafka is to be started.

use std::path::PathBuf;

use super::RunningKafka;
use super::recipe::KafkaRecipe;
use crate::brokers::server::Place;
use crate::brokers::{CannotBeHad, RunningServer, default_dir};

/// Starts Apache Kafka.
#[derive(Clone, Copy, Debug)]
pub struct Kafka;

impl Kafka {
    /// Starts a single node (broker and controller in one process, KRaft) and waits until it
    /// answers.
    ///
    /// # Errors
    /// Java or the jars cannot be had, the directory cannot be written, or the server does not
    /// answer.
    pub fn start(options: KafkaOptions) -> Result<RunningKafka, CannotBeHad> {
        let brokers_dir = options.brokers_dir.clone().unwrap_or_else(default_dir);
        let place = Place {
            dir: options.dir.clone(),
            port: options.port,
            brokers_dir,
        };
        let recipe = KafkaRecipe::new(&place.brokers_dir, options)?;
        RunningServer::start(Box::new(recipe), place)
    }
}

/// How an Apache Kafka is to be started. The default: a fresh directory under
/// [`default_dir`](crate::brokers::default_dir) that is removed in the end, a free port, and the
/// memory and threads of a small server.
#[derive(Clone, Default, Debug)]
pub struct KafkaOptions {
    /// The brokers directory, where fetched jars and new server directories go.
    pub brokers_dir: Option<PathBuf>,
    /// The server's own directory, kept in the end; `None` makes a fresh one and removes it.
    pub dir: Option<PathBuf>,
    /// The port; `None` takes a free one.
    pub port: Option<u16>,
    /// Do not fetch anything.
    pub offline: bool,
    /// For tests: sessions of consumers end after 6 s (allowed down to 1 s), heartbeats are sent
    /// each second, and the server takes little memory and starts fast at the price of its speed.
    pub for_tests: bool,
    /// More lines of `server.properties`; one with a key that is set already replaces it.
    pub settings: Vec<(String, String)>,
}

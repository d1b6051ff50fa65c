//! How a NATS server is to be started.

use std::path::PathBuf;

use super::RunningNats;
use super::recipe::NatsRecipe;
use crate::brokers::server::Place;
use crate::brokers::{CannotBeHad, RunningServer, default_dir};

/// Starts NATS servers.
#[derive(Clone, Copy, Debug)]
pub struct Nats;

impl Nats {
    /// Starts a server with JetStream on file storage and waits until it answers.
    ///
    /// # Errors
    /// The binary cannot be had, the directory cannot be written, or the server does not answer.
    pub fn start(options: NatsOptions) -> Result<RunningNats, CannotBeHad> {
        let brokers_dir = options.brokers_dir.unwrap_or_else(default_dir);
        let recipe = NatsRecipe::new(&brokers_dir, options.offline, options.arguments)?;
        let place = Place {
            brokers_dir,
            dir: options.dir,
            port: options.port,
        };
        RunningServer::start(Box::new(recipe), place)
    }
}

/// How a NATS server is to be started. The default: a fresh directory under
/// [`default_dir`](crate::brokers::default_dir) that is removed in the end, and a free port.
#[derive(Clone, Default, Debug)]
pub struct NatsOptions {
    /// The brokers directory, where fetched binaries and new server directories go.
    pub brokers_dir: Option<PathBuf>,
    /// The server's own directory, kept in the end; `None` makes a fresh one and removes it.
    pub dir: Option<PathBuf>,
    /// The port; `None` takes a free one.
    pub port: Option<u16>,
    /// Do not fetch anything.
    pub offline: bool,
    /// More arguments for the server.
    pub arguments: Vec<String>,
}

//! How nats-server is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::have::{ensure_nats_in, version_of};
use super::probe::answers;
use crate::brokers::CannotBeHad;
use crate::brokers::dirs::unwritable;
use crate::brokers::recipe::Recipe;

/// nats-server with JetStream on file storage.
#[derive(Debug)]
pub(super) struct NatsRecipe {
    binary: PathBuf,
    arguments: Vec<String>,
}

impl NatsRecipe {
    pub(super) fn new(
        brokers_dir: &Path,
        offline: bool,
        arguments: Vec<String>,
    ) -> Result<Self, CannotBeHad> {
        let binary = ensure_nats_in(brokers_dir, offline)?;
        Ok(Self { binary, arguments })
    }
}

impl Recipe for NatsRecipe {
    fn kind(&self) -> &'static str {
        "nats"
    }

    fn program(&self) -> &'static str {
        "nats-server"
    }

    fn version(&self) -> String {
        version_of(&self.binary).unwrap_or_default()
    }

    fn command(&self, dir: &Path, port: u16) -> Result<Command, CannotBeHad> {
        let data = dir.join("data");
        fs::create_dir_all(&data).map_err(|e| unwritable(&data, &e))?;
        let mut command = Command::new(&self.binary);
        command
            .args(["-js", "-a", "127.0.0.1", "-p", &port.to_string(), "-sd"])
            .arg(&data)
            .args(&self.arguments);
        Ok(command)
    }

    fn answers(&self, port: u16) -> Option<Option<String>> {
        answers(port).map(Some)
    }

    fn start_within(&self) -> Duration {
        // Recovering a large store takes its time.
        Duration::from_secs(30)
    }
}

//! What differs from one kind of server to the next.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::CannotBeHad;

/// How a server of one kind is started and asked whether it is there. What one such server does in
/// its life, [`RunningServer`](super::RunningServer) knows.
pub(super) trait Recipe: fmt::Debug + Send + Sync {
    /// `nats` or `kafka`: the name of the kind, and the scheme of its URLs.
    fn kind(&self) -> &'static str;

    /// What the server is called in messages.
    fn program(&self) -> &'static str;

    /// Its version, as far as it is known before it runs.
    fn version(&self) -> String;

    /// The command that runs it in the foreground with its data under `dir`. Everything that it
    /// needs in `dir` is put there first. The command line holds `dir`, by which other processes
    /// know the server.
    ///
    /// # Errors
    /// `dir` cannot be written or not be prepared.
    fn command(&self, dir: &Path, port: u16) -> Result<Command, CannotBeHad>;

    /// Whether the server at this port answers its protocol, and its version if it tells.
    fn answers(&self, port: u16) -> Option<Option<String>>;

    /// How long it may take until it answers.
    fn start_within(&self) -> Duration;
}

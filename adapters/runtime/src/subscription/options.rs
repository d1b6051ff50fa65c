//! What an owner may choose about the driver itself.

use std::path::PathBuf;

use procession_core::{Config, Span};

/// Settings of a subscription's driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DriverOptions {
    /// The core's configuration.
    pub core: Config,
    /// How many partitions the topic had when it was subscribed to. One beyond is reported and served,
    /// as far as `core.partitions` allows. 0: that is the number.
    pub partitions: u32,
    /// Handlers that may run at the same time (0 counts as 1).
    pub concurrency: usize,
    /// How long the drain may take that a handler's `Stop` or a failing port leads to.
    pub stop_deadline: Span,
    /// How long the driver waits, after a drain's deadline or an abort, for the tasks of cancelled
    /// handlers to end, and for the feed to close.
    pub close_grace: Span,
    /// Bytes of core inputs that the flight recorder keeps; 0: it is off.
    pub flight_recorder: usize,
    /// Where it writes its reports to when something is wrong; `None`: reports are only made when the
    /// owner asks for one.
    pub flight_directory: Option<PathBuf>,
    /// Negative control of the command line (`--without acks`): every commit carries the frontier at
    /// which the partition was opened, and no map. Claims and releases work.
    #[doc(hidden)]
    pub hold_commits: bool,
}

impl Default for DriverOptions {
    fn default() -> Self {
        Self {
            core: Config::default(),
            partitions: 0,
            concurrency: 1_000,
            stop_deadline: Span::from_secs(10),
            close_grace: Span::from_secs(1),
            flight_recorder: 0,
            flight_directory: None,
            hold_commits: false,
        }
    }
}

//! The runtime that the bus and the harness run on.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::failure::Failure;

/// A runtime with a thread for each core. Threads for blocking work end soon after it: they are
/// counted, and would look like a leak.
pub(crate) fn build() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(Duration::from_millis(200))
        .build()
        .map_err(|e| {
            Failure::usage(format!(
                "no runtime can be started: {e}; allow more threads"
            ))
        })
}

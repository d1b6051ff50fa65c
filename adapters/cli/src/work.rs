//! What the commands that use the bus share.

use std::fmt;

use procession::{Error, PortErrorKind};

use crate::failure::Failure;

/// The error of a handler that was picked to fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PickedToFail;

impl fmt::Display for PickedToFail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("picked to fail")
    }
}

impl std::error::Error for PickedToFail {}

/// What an error of the bus means to the command line: a broker that cannot be had, or wrong use.
pub(crate) fn failure_of(url: &str, error: &Error) -> Failure {
    let gone = |kind| {
        matches!(
            kind,
            PortErrorKind::Unreachable | PortErrorKind::TimedOut | PortErrorKind::Disconnected
        )
    };
    let unavailable = matches!(error, Error::NotBuilt { .. })
        || matches!(error, Error::Broker(port) if gone(port.kind));
    let text = error.to_string();
    if !unavailable {
        return Failure::usage(text);
    }
    let address = if text.contains(url) {
        String::new()
    } else {
        format!("{url}: ")
    };
    Failure::unavailable(format!("{address}{text}"))
}

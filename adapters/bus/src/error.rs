//! What can go wrong with a bus, a topic or a subscription.

use procession_runtime::NameError;
use procession_runtime::port::PortError;

use crate::SettingsError;

/// Why a bus, a topic or a subscription cannot be had. Its text names the thing, its value and the
/// fix.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An address that names no broker that Procession knows.
    #[error(
        "the address \"{url}\" {problem}; use memory://, nats://HOST:PORT or kafka://HOST:PORT"
    )]
    Address {
        /// The address, without credentials.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A broker that this build does not speak to.
    #[error("the address \"{url}\": {kind} is not built yet; {fix}")]
    NotBuilt {
        /// The address, without credentials.
        url: String,
        /// The kind of broker.
        kind: &'static str,
        /// What to do.
        fix: &'static str,
    },
    /// A setting that cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The name of a topic or group that cannot be used.
    #[error("{0}")]
    Name(NameError),
    /// What the broker, or its client, says.
    #[error("{0}")]
    Broker(PortError),
    /// It was called outside of a tokio runtime.
    #[error(
        "there is no tokio runtime here: call it in an async fn under #[tokio::main], with time \
         enabled"
    )]
    NoRuntime,
    /// The bus is closed.
    #[error("the bus is closed: connect a new one")]
    Closed,
    /// Closing did not end in time.
    #[error("closing the bus did not end within {within:?}; what was left: {left}")]
    CloseTimedOut {
        /// The time that was given.
        within: core::time::Duration,
        /// What was left.
        left: String,
    },
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        Self::Broker(error)
    }
}

impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

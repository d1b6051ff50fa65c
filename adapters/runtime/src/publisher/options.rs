//! What an owner may choose about publishing.

use procession_core::{ProducerConfig, Span};

/// Settings of a publisher's driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublisherOptions {
    /// The core's configuration: window, sends without an answer, backoff.
    pub core: ProducerConfig,
    /// How long the driver waits, after the last result, for the sink to close.
    pub close_grace: Span,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            core: ProducerConfig::default(),
            close_grace: Span::from_secs(1),
        }
    }
}

//! The driver of a publisher.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use procession_core::{ConfigError, Span};

use super::{PublishObserver, PublisherHandle};
use crate::Shell;
use crate::port::Sink;

/// Settings of a publisher's driver.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublisherOptions {
    /// Publishes that may wait for the driver (the core's own limits come on top).
    pub intake: usize,
    /// How long the driver waits for the sink to close.
    pub close_grace: Span,
}

impl Default for PublisherOptions {
    fn default() -> Self {
        Self {
            intake: 4_096,
            close_grace: Span::from_secs(1),
        }
    }
}

/// A publisher at work: a future that ends when the publisher is closed. Dropping it resolves every
/// accepted publish as unknown.
#[must_use = "a driver does nothing until it is polled"]
pub struct PublisherDriver<K, S, O> {
    _parts: (K, S, O),
}

/// Makes a driver and the handle that publishes through it.
///
/// # Errors
/// A configuration of the core that cannot work.
pub fn publisher<K, S, O>(
    sink: K,
    shell: S,
    observer: O,
    _options: PublisherOptions,
) -> Result<(PublisherHandle, PublisherDriver<K, S, O>), ConfigError>
where
    K: Sink,
    S: Shell,
    O: PublishObserver,
{
    Ok((
        PublisherHandle {},
        PublisherDriver {
            _parts: (sink, shell, observer),
        },
    ))
}

impl<K: Sink, S: Shell, O: PublishObserver> Future for PublisherDriver<K, S, O> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

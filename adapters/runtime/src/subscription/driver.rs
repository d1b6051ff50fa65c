//! The driver of a subscription.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::ConfigError;

use super::shared::Shared;
use super::{DriverOptions, Observer, SubscriptionHandle, Work};
use crate::Shell;
use crate::port::Feed;

/// A subscription at work: a future that ends when the subscription does. Spawn it; its
/// [`SubscriptionHandle`] steers it. Dropping it cancels what runs and commits nothing further.
#[must_use = "a driver does nothing until it is polled"]
pub struct SubscriptionDriver<F, W, S, O> {
    _parts: (F, W, S, O),
    _shared: Arc<Shared>,
}

/// Makes a driver and the handle that steers it.
///
/// # Errors
/// A configuration of the core that cannot work.
pub fn subscribe<F, W, S, O>(
    feed: F,
    work: W,
    shell: S,
    observer: O,
    options: DriverOptions,
) -> Result<(SubscriptionHandle, SubscriptionDriver<F, W, S, O>), ConfigError>
where
    F: Feed,
    W: Work,
    S: Shell,
    O: Observer<W::Message>,
{
    options.core.validate()?;
    let shared = Arc::new(Shared::new());
    Ok((
        SubscriptionHandle::new(Arc::clone(&shared)),
        SubscriptionDriver {
            _parts: (feed, work, shell, observer),
            _shared: shared,
        },
    ))
}

impl<F: Feed, W: Work, S: Shell, O: Observer<W::Message>> Future
    for SubscriptionDriver<F, W, S, O>
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

//! Handlers behind layers of [`tower`](https://docs.rs/tower) (feature `tower`).
//!
//! [`service`] makes a `tower` service of a handler, layers go around it, and [`handler`] makes a
//! handler of the whole:
//! ```
//! # use procession::{Bus, raw, tower};
//! # use std::time::Duration;
//! # async fn example(bus: Bus) -> Result<(), procession::Error> {
//! let bill = raw(|order, _cx| async move {
//!     println!("{order:?}");
//!     Ok(())
//! });
//! let stack = ::tower::ServiceBuilder::new()
//!     .concurrency_limit(8)
//!     .timeout(Duration::from_secs(2))
//!     .service(tower::service(bill));
//! let subscription = bus.subscribe("orders", "billing", tower::handler(stack)).await?;
//! # drop(subscription);
//! # Ok(())
//! # }
//! ```
//! Layers see one attempt at a time: what they refuse (a timeout, a shed load) is a failed attempt and
//! made again as the settings say. A layer that calls the service again by itself, such as `Retry`,
//! is not needed, and its calls are not counted as attempts. The order of a key holds whatever the
//! layers do: its next message waits for the end of the whole stack (S1).

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{self, Poll};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use tower_service::Service;

use super::error::with_sources;
use super::{Context, Handler, HandlerError};
use crate::Envelope;

/// What layers usually make of errors.
type BoxError = Box<dyn Error + Send + Sync>;

/// What a service is called with: one attempt at a message.
#[derive(Clone, Debug)]
pub struct Message {
    /// The message.
    pub envelope: Envelope,
    /// What is to be known about the attempt.
    pub context: Context,
}

/// How a handler failed, as an error that layers can carry. [`handler`] finds it again, and with it
/// what is to follow: another attempt, a dead letter, the end of the subscription.
#[derive(Clone, Debug)]
pub struct Failure(HandlerError);

impl From<HandlerError> for Failure {
    fn from(error: HandlerError) -> Self {
        Self(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Failure {}

/// A `tower` service of a handler.
pub fn service<H: Handler>(handler: H) -> HandlerService<H> {
    HandlerService(Arc::new(handler))
}

/// A handler of a `tower` service. It is cloned for each attempt, made ready, and called.
pub fn handler<S>(service: S) -> ServiceHandler<S>
where
    S: Service<Message> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    ServiceHandler(Mutex::new(service))
}

/// A handler as a service; made by [`service`].
#[derive(Debug)]
pub struct HandlerService<H>(Arc<H>);

impl<H> Clone for HandlerService<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H: Handler> Service<Message> for HandlerService<H> {
    type Response = ();
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut task::Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message) -> Self::Future {
        let work = self.0.handle(message.envelope, message.context);
        Box::pin(async move { work.await.map_err(Failure) })
    }
}

/// A service as a handler; made by [`handler`].
#[derive(Debug)]
pub struct ServiceHandler<S>(Mutex<S>);

impl<S> Handler for ServiceHandler<S>
where
    S: Service<Message> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    fn handle(
        &self,
        envelope: Envelope,
        context: Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send + 'static {
        let service = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut service = service.clone();
        async move {
            let ready = poll_fn(|cx| service.poll_ready(cx)).await;
            ready.map_err(|error| outcome(error.into()))?;
            let call = service.call(Message { envelope, context });
            // A clone that is kept would hold what `poll_ready` may have taken.
            drop(service);
            call.await.map_err(|error| outcome(error.into()))?;
            Ok(())
        }
    }
}

/// What is to follow an error, wherever layers have put the handler's own.
fn outcome(error: BoxError) -> HandlerError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&*error);
    while let Some(inner) = cause {
        if let Some(Failure(own)) = inner.downcast_ref() {
            return own.clone();
        }
        cause = inner.source();
    }
    HandlerError::new(with_sources(error.to_string(), error.source()))
}

//! Handlers: what a service does with a message.

mod batch;
mod context;
mod error;
#[cfg(feature = "tower")]
pub mod tower;
mod typed;

use core::future::Future;

pub use batch::{Batch, Outcomes, batch};
pub use context::Context;
pub(crate) use context::Scope;
pub use error::HandlerError;
pub use typed::{Json, json, raw};

use crate::Envelope;

/// Works on messages of type `T`.
///
/// Every `Fn(T, Context) -> Future<Output = Result<(), HandlerError>>` is one; captured state is
/// cloned into the `async move` block. A handler for typed payloads is wrapped by [`json`].
///
/// The future is dropped when its attempt is cancelled (timeout, end of the subscription). A panic
/// is a failed attempt.
pub trait Handler<T = Envelope>: Send + Sync + 'static {
    /// Works on one message. The next message of its key starts only when this has ended (S1).
    fn handle(
        &self,
        message: T,
        context: Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send + 'static;

    /// How many messages of one key may be handed out together. More than 1 is for handlers that make one
    /// call of them ([`Batch::of_one_key`]).
    #[doc(hidden)]
    fn of_one_key(&self) -> u32 {
        1
    }
}

impl<T, F, Fut> Handler<T> for F
where
    F: Fn(T, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    fn handle(
        &self,
        message: T,
        context: Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send + 'static {
        self(message, context)
    }
}

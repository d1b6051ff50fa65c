//! Handlers that get a payload of their own type.

use core::future::Future;
use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use futures_util::future::Either;
use serde::de::DeserializeOwned;

use super::{Context, Handler, HandlerError};
use crate::Envelope;

/// A handler behind a JSON decoder; made by [`json`].
#[derive(Clone, Debug)]
pub struct Json<T, H> {
    handler: H,
    payload: PhantomData<fn() -> T>,
}

/// A handler that gets the payload, read as JSON.
///
/// A payload that cannot be read as `T` is quarantined at once: it goes to the dead-letter topic,
/// whole, and its key goes on. [`Context::envelope`] has the rest of the message.
///
/// ```
/// # use procession::{Bus, json};
/// #[derive(serde::Deserialize)]
/// struct Order { total: u32 }
///
/// let handler = json(|order: Order, cx| async move {
///     println!("attempt {}: {}", cx.attempt(), order.total);
///     Ok(())
/// });
/// # let _: procession::Json<Order, _> = handler;
/// ```
pub fn json<T, F, Fut>(handler: F) -> Json<T, F>
where
    T: DeserializeOwned + Send + 'static,
    F: Fn(T, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    Json {
        handler,
        payload: PhantomData,
    }
}

/// A handler that gets the whole envelope. It does nothing but help the compiler to the types of a
/// closure's arguments.
pub fn raw<F, Fut>(handler: F) -> F
where
    F: Fn(Envelope, Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
{
    handler
}

impl<T, H> Handler<Envelope> for Json<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    fn handle(
        &self,
        envelope: Envelope,
        context: Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send + 'static {
        match envelope.json::<T>() {
            Ok(payload) => Either::Left(self.handler.handle(payload, context)),
            Err(error) => {
                // The dead letter of this message tells that it was never read.
                envelope.parts.undecodable.store(true, Ordering::Relaxed);
                let name = core::any::type_name::<T>();
                let text = format!("the payload is not JSON for `{name}`: {error}");
                Either::Right(core::future::ready(Err(HandlerError::new(text).reject())))
            }
        }
    }
}

//! Messages as a stream, for services that would rather ask than be called.

use core::fmt;
use core::future::IntoFuture;
use core::ops::Deref;
use core::pin::Pin;
use core::task::{self, Poll};

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::handler::{Context, Handler, HandlerError};
use crate::settings::SubscribeSettings;
use crate::subscribe::Subscribe;
use crate::subscription::Subscription;
use crate::{Envelope, Error};

/// Deliveries that may wait for their reader. The rest waits in the subscription's credit.
const WAITING_MAX: usize = 64;

/// A stream of deliveries that is about to begin: await it.
#[must_use = "a subscription begins when it is awaited"]
pub struct Consume {
    subscribe: Subscribe<Hand>,
    receiver: mpsc::Receiver<Delivery>,
}

/// Hands messages to the stream, and waits for what becomes of them.
pub(crate) struct Hand(mpsc::Sender<Delivery>);

impl Consume {
    pub(crate) fn new(begin: impl FnOnce(Hand) -> Subscribe<Hand>) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        Self {
            subscribe: begin(Hand(sender)),
            receiver,
        }
    }

    /// The name under which settings are looked up; see [`Subscribe::name`].
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.subscribe = self.subscribe.name(name);
        self
    }

    /// Changes settings of this subscription; see [`Subscribe::with`].
    pub fn with(mut self, change: impl FnOnce(&mut SubscribeSettings) + Send + 'static) -> Self {
        self.subscribe = self.subscribe.with(change);
        self
    }
}

impl IntoFuture for Consume {
    type Output = Result<Deliveries, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self {
            subscribe,
            receiver,
        } = self;
        Box::pin(async move {
            let subscription = subscribe.await?;
            Ok(Deliveries {
                receiver,
                subscription,
            })
        })
    }
}

impl Handler for Hand {
    fn handle(
        &self,
        envelope: Envelope,
        context: Context,
    ) -> impl Future<Output = Result<(), HandlerError>> + Send + 'static {
        let sender = self.0.clone();
        async move {
            let (settle, settled) = oneshot::channel();
            let delivery = Delivery {
                envelope,
                context,
                settle: Some(settle),
            };
            if sender.send(delivery).await.is_err() {
                // The stream was dropped, and the subscription with it: this is cancelled at once.
                return core::future::pending().await;
            }
            drop(sender);
            match settled.await {
                Ok(result) => result,
                Err(_) => Err(HandlerError::new("the delivery was dropped unsettled")),
            }
        }
    }
}

/// A stream of deliveries. Dropping it ends the subscription, as dropping a [`Subscription`] does.
#[must_use = "dropping it ends the subscription"]
#[derive(Debug)]
pub struct Deliveries {
    receiver: mpsc::Receiver<Delivery>,
    subscription: Subscription,
}

impl Deliveries {
    /// The next delivery; `None` after the subscription has ended. Deliveries of one key come one
    /// after the other: the next one when this one is settled (S1).
    pub async fn next(&mut self) -> Option<Delivery> {
        self.receiver.recv().await
    }

    /// The subscription behind it: health, notices, drain.
    pub const fn subscription(&self) -> &Subscription {
        &self.subscription
    }
}

impl Stream for Deliveries {
    type Item = Delivery;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<Delivery>> {
        self.receiver.poll_recv(cx)
    }
}

/// One attempt at a message, to be settled by [`done`](Self::done) or [`fail`](Self::fail). One that
/// is dropped is tried again.
#[must_use = "a delivery that is dropped is tried again"]
#[derive(Debug)]
pub struct Delivery {
    envelope: Envelope,
    context: Context,
    settle: Option<oneshot::Sender<Result<(), HandlerError>>>,
}

/// The attempt was cancelled before it was settled (its timeout, or the end of the subscription):
/// the message is or will be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the attempt was cancelled before it was settled: settle within `handler_timeout`, or \
             raise it",
        )
    }
}

impl std::error::Error for Cancelled {}

impl Delivery {
    /// It succeeded.
    ///
    /// # Errors
    /// The attempt was cancelled before; nothing was changed (S6).
    pub fn done(self) -> Result<(), Cancelled> {
        self.settle(Ok(()))
    }

    /// It failed: tried again, rejected or stopped, as the error says.
    ///
    /// # Errors
    /// The attempt was cancelled before; nothing was changed (S6).
    pub fn fail(self, error: impl Into<HandlerError>) -> Result<(), Cancelled> {
        self.settle(Err(error.into()))
    }

    /// The message.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What is to be known about the attempt.
    #[must_use]
    pub const fn context(&self) -> &Context {
        &self.context
    }

    fn settle(mut self, result: Result<(), HandlerError>) -> Result<(), Cancelled> {
        match self.settle.take() {
            Some(settle) => settle.send(result).map_err(|_| Cancelled),
            None => Err(Cancelled),
        }
    }
}

impl Deref for Delivery {
    type Target = Envelope;

    fn deref(&self) -> &Envelope {
        &self.envelope
    }
}

//! What publishers hold.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use procession_core::Time;

use super::cell::{Cell, Request};
use super::shared::Shared;
use super::{PublishError, Stored};
use crate::port::Outgoing;

/// Publishes through one sink. Cheap to clone.
#[derive(Clone)]
pub struct PublisherHandle {
    shared: Arc<Shared>,
}

impl PublisherHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Publishes a message. The first poll hands it to the driver; publishes are accepted in the
    /// order of their first polls.
    ///
    /// `lane` is the 64-bit hash of (topic, key), `None` without a key. `deadline` is on the clock
    /// of the shell. With `wait_for_room` the publish waits for room until its deadline, else it
    /// fails with [`PublishError::Full`] as soon as the driver sees that there is none.
    ///
    /// Dropping the future before the driver has accepted it sends nothing; after that it changes
    /// nothing.
    #[must_use = "a publish does nothing until it is polled"]
    pub fn publish(
        &self,
        message: Outgoing,
        lane: Option<u64>,
        deadline: Time,
        wait_for_room: bool,
    ) -> Publish {
        self.make(message, lane, deadline, wait_for_room, false)
    }

    /// As [`publish`](Self::publish), but resolves once the driver has accepted the message, to the
    /// future of its result. Dropping that changes nothing.
    #[must_use = "a publish does nothing until it is polled"]
    pub fn enqueue(
        &self,
        message: Outgoing,
        lane: Option<u64>,
        deadline: Time,
        wait_for_room: bool,
    ) -> Enqueue {
        Enqueue(Some(self.make(
            message,
            lane,
            deadline,
            wait_for_room,
            true,
        )))
    }

    fn make(
        &self,
        message: Outgoing,
        lane: Option<u64>,
        deadline: Time,
        wait_for_room: bool,
        tell: bool,
    ) -> Publish {
        // Without a key it waits for nothing: its identity is a lane of its own.
        let lane = lane.unwrap_or_else(|| {
            let bytes = message.identity.to_le_bytes();
            bytes.chunks_exact(8).fold(0, |lane, half| {
                lane ^ half.try_into().map_or(0, u64::from_le_bytes)
            })
        });
        let request = Request {
            message: Arc::new(message),
            lane,
            deadline,
            wait_for_room,
            tell,
        };
        Publish {
            shared: Arc::clone(&self.shared),
            cell: Arc::new(Cell::new(request)),
            step: Step::New,
        }
    }

    /// Takes no further publishes, waits for the results of the accepted ones until `deadline`, and
    /// ends: what is without an answer then is unknown.
    pub fn close(&self, deadline: Time) {
        self.shared.close(deadline);
    }

    /// How many publishes are accepted and without a result.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.shared.outstanding.load(Ordering::Relaxed)
    }

    /// How many publishes lie in the intake, those of dropped futures included.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.shared.intake.len()
    }

    /// Whether the port says that the broker is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.connected.load(Ordering::Relaxed)
    }

    /// Resolves once the driver has ended: every accepted publish has its result, the sink is
    /// closed.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        core::future::poll_fn(move |cx| shared.poll_ended(cx))
    }
}

impl fmt::Debug for PublisherHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublisherHandle")
            .field("outstanding", &self.outstanding())
            .finish_non_exhaustive()
    }
}

/// A publish on its way.
pub struct Publish {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    New,
    Sent,
    Resolved,
}

impl Future for Publish {
    type Output = Result<Stored, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The waker is in place before the driver can see the cell.
        let polled = self.cell.poll(cx);
        if polled.is_ready() {
            self.step = Step::Resolved;
            return polled;
        }
        match self.hand_over() {
            Ok(()) => Poll::Pending,
            Err(closed) => Poll::Ready(Err(closed)),
        }
    }
}

impl Publish {
    /// Another deadline, before the first poll.
    pub fn set_deadline(&mut self, deadline: Time) {
        if self.step == Step::New {
            self.cell.set_deadline(deadline);
        }
    }

    /// Hands the message to the driver, the first time.
    fn hand_over(&mut self) -> Result<(), PublishError> {
        if self.step != Step::New {
            return Ok(());
        }
        self.step = Step::Sent;
        // Bounded by its senders: each entry belongs to a future that somebody holds, and what
        // dropped futures leave behind is swept out.
        if self.shared.intake.push(Arc::clone(&self.cell)).is_err() {
            self.step = Step::Resolved;
            return Err(PublishError::Closed);
        }
        Ok(())
    }
}

/// A publish that waits for its acceptance.
#[derive(Debug)]
pub struct Enqueue(Option<Publish>);

impl Future for Enqueue {
    type Output = Result<Publish, PublishError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(publish) = &mut self.0 else {
            // Polled again after its end.
            return Poll::Pending;
        };
        match publish.cell.poll_accepted(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(self.0.take().ok_or(PublishError::Closed)),
            Poll::Ready(Err(error)) => {
                publish.step = Step::Resolved;
                self.0 = None;
                Poll::Ready(Err(error))
            }
            Poll::Pending => match publish.hand_over() {
                Ok(()) => Poll::Pending,
                Err(closed) => {
                    self.0 = None;
                    Poll::Ready(Err(closed))
                }
            },
        }
    }
}

impl Drop for Publish {
    fn drop(&mut self) {
        if self.step == Step::Sent && self.cell.abandon() {
            self.shared.left_behind();
        }
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish")
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

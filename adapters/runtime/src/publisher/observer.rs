//! Hooks for histories of publishes.

use super::{PublishError, Stored};
use crate::port::Outgoing;

/// Sees what becomes of publishes. Called on the driver's task.
pub trait PublishObserver: Send + 'static {
    /// Whether the other methods do anything. Asked once, at the start.
    fn wants(&self) -> bool {
        true
    }
    /// A publish was accepted; exactly one [`resolved`](Self::resolved) follows (S10).
    fn accepted(&mut self, _message: &Outgoing) {}
    /// An accepted publish has its result; its caller does not know it yet.
    fn resolved(&mut self, _message: &Outgoing, _result: &Result<Stored, PublishError>) {}
}

/// Observes nothing, at no cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NoPublishObserver;

impl PublishObserver for NoPublishObserver {
    fn wants(&self) -> bool {
        false
    }
}

impl PublishObserver for Box<dyn PublishObserver> {
    fn wants(&self) -> bool {
        (**self).wants()
    }
    fn accepted(&mut self, message: &Outgoing) {
        (**self).accepted(message);
    }
    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        (**self).resolved(message, result);
    }
}

/// Several: each sees everything, in their order.
impl<T: PublishObserver> PublishObserver for Vec<T> {
    fn wants(&self) -> bool {
        self.iter().any(T::wants)
    }
    fn accepted(&mut self, message: &Outgoing) {
        self.iter_mut().for_each(|one| one.accepted(message));
    }
    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        self.iter_mut()
            .for_each(|one| one.resolved(message, result));
    }
}

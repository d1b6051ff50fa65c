//! What one publish shares with the driver: first the message, then the result.

use core::task::{Context, Poll, Waker};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procession_core::Time;

use super::{PublishError, Stored};
use crate::port::Outgoing;

/// What a caller asks for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) message: Arc<Outgoing>,
    pub(super) lane: u64,
    pub(super) deadline: Time,
    pub(super) wait_for_room: bool,
    /// Whether the caller wants to hear of the acceptance, apart from the result.
    pub(super) tell: bool,
}

/// One publish. The message is in it until the driver takes it out to have it accepted; whoever takes
/// it out first, the driver or the drop of the future, decides whether it is sent.
#[derive(Debug)]
pub(super) struct Cell(Mutex<State>);

#[derive(Debug)]
struct State {
    request: Option<Request>,
    abandoned: bool,
    /// Said only to callers that asked for it.
    accepted: bool,
    result: Option<Result<Stored, PublishError>>,
    caller: Option<Waker>,
}

impl Cell {
    pub(super) const fn new(request: Request) -> Self {
        Self(Mutex::new(State {
            request: Some(request),
            abandoned: false,
            accepted: false,
            result: None,
            caller: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The driver takes the message; `None` when the caller gave up.
    pub(super) fn take(&self) -> Option<Request> {
        self.lock().request.take()
    }

    /// The driver found no room: the message waits here. Dropped if the caller gave up meanwhile.
    pub(super) fn put_back(&self, request: Request) {
        let mut state = self.lock();
        if !state.abandoned {
            state.request = Some(request);
        }
    }

    /// The caller is gone. Returns whether the driver had not taken the message.
    pub(super) fn abandon(&self) -> bool {
        let mut state = self.lock();
        state.abandoned = true;
        state.caller = None;
        let request = state.request.take();
        drop(state);
        request.is_some()
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.lock().abandoned
    }

    /// Another deadline of a message that was not taken.
    pub(super) fn set_deadline(&self, deadline: Time) {
        if let Some(request) = &mut self.lock().request {
            request.deadline = deadline;
        }
    }

    /// When a message that waits for room gives up, if it still waits.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.lock().request.as_ref().map(|r| r.deadline)
    }

    /// Tells a caller that asked for it that its publish was accepted.
    pub(super) fn accept(&self) {
        let caller = {
            let mut state = self.lock();
            state.accepted = true;
            state.caller.take()
        };
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// The one result (S10).
    pub(super) fn resolve(&self, result: Result<Stored, PublishError>) {
        let caller = {
            let mut state = self.lock();
            debug_assert!(state.result.is_none(), "S10: a publish has one result");
            state.result = Some(result);
            state.caller.take()
        };
        if let Some(caller) = caller {
            caller.wake();
        }
    }

    /// Ready when it was accepted, or has failed before that.
    pub(super) fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<Result<(), PublishError>> {
        let mut state = self.lock();
        if state.accepted {
            return Poll::Ready(Ok(()));
        }
        state.poll(cx).map_ok(|_| ())
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Result<Stored, PublishError>> {
        self.lock().poll(cx)
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Stored, PublishError>> {
        if let Some(result) = &self.result {
            return Poll::Ready(result.clone());
        }
        match &mut self.caller {
            Some(caller) => caller.clone_from(cx.waker()),
            empty => *empty = Some(cx.waker().clone()),
        }
        Poll::Pending
    }
}

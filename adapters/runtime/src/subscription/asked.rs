//! One report that somebody waits for.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::sync::Arc;

use crate::sync::Mutex;

/// Why there is no report.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NotRecorded {
    /// The subscription has no flight recorder.
    Off,
    /// The subscription has ended.
    Ended,
    /// Reports are being made already, as many as may be at once.
    Busy,
}

impl fmt::Display for NotRecorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "the flight recorder is off; set `flight_recorder` to a size",
            Self::Ended => "the subscription has ended",
            Self::Busy => "reports are being made already; ask again when they are there",
        })
    }
}

impl std::error::Error for NotRecorded {}

type Answer = Result<String, NotRecorded>;

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    waker: Option<Waker>,
}

/// Who has to answer. One that is dropped has ended without an answer.
#[derive(Debug)]
pub(super) struct Asked(Arc<Mutex<State>>);

/// Resolves with the text of the report.
#[derive(Debug)]
#[must_use = "nobody else reads the report"]
pub struct Recording(Arc<Mutex<State>>);

/// A question and its answer to come.
pub(super) fn ask() -> (Asked, Recording) {
    let state = Arc::new(Mutex::new(State::default()));
    (Asked(Arc::clone(&state)), Recording(state))
}

impl Asked {
    /// The first answer counts.
    pub(super) fn answer(&self, answer: Answer) {
        let waker = {
            let mut state = self.0.lock();
            if state.answer.is_some() {
                return;
            }
            state.answer = Some(answer);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.answer(Err(NotRecorded::Ended));
    }
}

impl Future for Recording {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let mut state = self.0.lock();
        if let Some(answer) = &mut state.answer {
            // Polled again after the end, it would be empty.
            return Poll::Ready(core::mem::replace(answer, Err(NotRecorded::Ended)));
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

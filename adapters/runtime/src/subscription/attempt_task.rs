//! One attempt: polled inline first, a task of its own when pending.

use core::any::Any;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::panic::catch_unwind;
use std::sync::Arc;

use procession_core::{Span, Token};

use super::shared::Shared;
use super::{Fence, Notice, Verdict};
use crate::mailbox::Mailbox;
use crate::port::BoxFuture;
use crate::{Cancellation, Clock};

/// A handler that keeps its thread longer than this is named (L4).
const BLOCKED: Span = Span::from_millis(200);

/// How the future of an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Finish {
    /// By itself.
    Verdict(Verdict),
    /// By a panic, with its text.
    Panicked(Arc<str>),
    /// It was dropped before it ended.
    Dropped,
}

/// What a task tells the driver: one report per task, which bounds the mailbox by the concurrency.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) token: Token,
    pub(super) finish: Finish,
}

/// An attempt after its first poll.
pub(super) enum Begun {
    Finished(Finish),
    Pending(BoxFuture<'static, Verdict>),
}

/// Makes the future of an attempt and polls it once.
///
/// Its waker does nothing: a future that is pending becomes a task, which polls it again at once
/// with a waker of its own.
pub(super) fn begin(make: impl FnOnce() -> BoxFuture<'static, Verdict>) -> Begun {
    let mut future = match catch_unwind(AssertUnwindSafe(make)) {
        Ok(future) => future,
        Err(panic) => return Begun::Finished(Finish::Panicked(text_of(&*panic))),
    };
    match poll_caught(&mut future, &mut Context::from_waker(Waker::noop())) {
        Poll::Ready(finish) => {
            drop_caught(future);
            Begun::Finished(finish)
        }
        Poll::Pending => Begun::Pending(future),
    }
}

/// The rest of an attempt. Whatever happens to it, it drops its future first and then sends exactly
/// one report: the next attempt of a key starts only when nothing of this one is left (S1).
pub(super) struct AttemptTask<C> {
    pub(super) token: Token,
    pub(super) fence: Fence,
    pub(super) clock: C,
    pub(super) shared: Arc<Shared>,
    pub(super) cancellation: Cancellation,
    pub(super) reports: Arc<Mailbox<Report>>,
    pub(super) future: Option<BoxFuture<'static, Verdict>>,
}

impl<C> AttemptTask<C> {
    fn finish(&mut self, finish: Finish) {
        if let Some(future) = self.future.take() {
            drop_caught(future);
            // A driver that is gone needs no report.
            drop(self.reports.push(Report {
                token: self.token,
                finish,
            }));
        }
    }
}

// Nothing of it is pinned: the handler's future is boxed.
impl<C> Unpin for AttemptTask<C> {}

impl<C: Clock> Future for AttemptTask<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = &mut this.future else {
            return Poll::Ready(());
        };
        if this.cancellation.poll_raised(cx).is_ready() {
            this.finish(Finish::Dropped);
            return Poll::Ready(());
        }
        let since = this.clock.now();
        let polled = poll_caught(future, cx);
        notice_blocked(&this.shared, this.fence, this.clock.now().since(since));
        match polled {
            Poll::Ready(finish) => {
                this.finish(finish);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The runtime was shut down, or the task was never run.
impl<C> Drop for AttemptTask<C> {
    fn drop(&mut self) {
        self.finish(Finish::Dropped);
    }
}

/// Names a handler that did not give its thread back for too long.
pub(super) fn notice_blocked(shared: &Shared, fence: Fence, busy: Span) {
    if BLOCKED <= busy {
        shared.notice(Notice::HandlerBlocked {
            partition: fence.partition,
            position: fence.position,
            busy,
        });
    }
}

fn poll_caught(future: &mut BoxFuture<'static, Verdict>, cx: &mut Context<'_>) -> Poll<Finish> {
    match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Ready(verdict)) => Poll::Ready(Finish::Verdict(verdict)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Finish::Panicked(text_of(&*panic))),
    }
}

/// A destructor that panics must not take the driver with it; the attempt has its result already.
fn drop_caught(future: BoxFuture<'static, Verdict>) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(future))) {
        tracing::warn!(text = %text_of(&*panic), "the destructor of a handler panicked");
    }
}

fn text_of(panic: &(dyn Any + Send)) -> Arc<str> {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a value that is not text");
    format!("panicked: {text}").into()
}

//! The outermost module: clock, timers and tasks of tokio. No other module names it.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use ::tokio::runtime::Handle;
use ::tokio::time::{Instant, Sleep, sleep_until};
use procession_core::{Span, Time};

use crate::port::BoxFuture;
use crate::{BootClock, Clock, Shell, Spawner, Timer};

/// Runs drivers on a tokio runtime, with the boot clock of the machine.
#[derive(Clone, Debug)]
pub struct TokioShell {
    handle: Handle,
}

impl TokioShell {
    /// The runtime that this is called on.
    ///
    /// # Panics
    /// Outside of a tokio runtime, as `tokio::spawn` does.
    #[must_use]
    pub fn current() -> Self {
        Self::new(Handle::current())
    }

    /// A given runtime; its timers must be enabled.
    #[must_use]
    pub const fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

impl Clock for TokioShell {
    fn now(&self) -> Time {
        BootClock.now()
    }
}

impl Spawner for TokioShell {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        // The handle is given up: drivers and attempts end by themselves.
        drop(self.handle.spawn(task));
    }
}

impl Shell for TokioShell {
    type Timer = TokioTimer;

    fn timer(&self) -> TokioTimer {
        let entered = self.handle.enter();
        let sleep = Box::pin(sleep_until(Instant::now()));
        drop(entered);
        TokioTimer { at: None, sleep }
    }
}

/// An alarm of tokio's timer wheel. Its resolution is a millisecond.
#[derive(Debug)]
pub struct TokioTimer {
    at: Option<Time>,
    sleep: Pin<Box<Sleep>>,
}

impl Timer for TokioTimer {
    fn set(&mut self, at: Option<Time>) {
        if self.at == at {
            return;
        }
        self.at = at;
        if let Some(at) = at {
            // The wheel runs on the monotonic clock: only the distance carries over. A suspend makes
            // the alarm late, never early; leases are checked against the boot clock itself.
            // Early is harmless, so an instant that never comes is looked at once an hour.
            let wait = at.since(BootClock.now()).min(Span::from_secs(3_600));
            self.sleep
                .as_mut()
                .reset(Instant::now() + Duration::from(wait));
        }
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.at.is_none() {
            return Poll::Pending;
        }
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => {
                self.at = None;
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

//! Clock, timers and spawner of one simulated process.

use core::task::{Context, Poll};
use std::sync::Arc;

use procession_core::Time;
use procession_runtime::port::BoxFuture;
use procession_runtime::{Clock, Shell, Spawner, Timer};

use crate::executor::Core;

/// What a simulated process is run by. Copies belong to the same process.
#[derive(Clone)]
pub(crate) struct SimShell {
    pub(crate) core: Arc<Core>,
    /// The process: whatever it spawns is paused and dies with it.
    pub(crate) entity: u32,
}

impl Clock for SimShell {
    fn now(&self) -> Time {
        Time::from_nanos(self.core.lock().now)
    }
}

impl Spawner for SimShell {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.core.spawn(self.entity, task);
    }
}

impl Shell for SimShell {
    type Timer = SimTimer;

    fn timer(&self) -> SimTimer {
        SimTimer {
            core: Arc::clone(&self.core),
            id: self.core.timer_id(),
            at: None,
            rings: None,
            count: 0,
        }
    }
}

/// An alarm in virtual time.
pub(crate) struct SimTimer {
    core: Arc<Core>,
    id: u64,
    at: Option<u64>,
    /// When it rings, once somebody waits for it: about `at`.
    rings: Option<u64>,
    count: u64,
}

impl SimTimer {
    fn forget(&mut self) {
        if let Some(rings) = self.rings.take() {
            self.core.lock().timers.remove(&(rings, self.id));
        }
    }

    /// Resolves at `at`.
    pub(crate) async fn until(mut self, at: Time) {
        self.set(Some(at));
        core::future::poll_fn(|cx| self.poll_elapsed(cx)).await;
    }
}

impl Timer for SimTimer {
    fn set(&mut self, at: Option<Time>) {
        let at = at.map(Time::as_nanos);
        if self.at != at {
            self.at = at;
            self.forget();
        }
    }

    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else {
            return Poll::Pending;
        };
        let now = self.core.lock().now;
        if at <= now || self.rings.is_some_and(|rings| rings <= now) {
            self.at = None;
            self.forget();
            return Poll::Ready(());
        }
        let rings = match self.rings {
            Some(rings) => rings,
            None => {
                self.count += 1;
                self.core.rings(self.id, self.count, at, now)
            }
        };
        self.rings = Some(rings);
        let mut state = self.core.lock();
        state.timers.insert((rings, self.id), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for SimTimer {
    fn drop(&mut self) {
        self.forget();
    }
}

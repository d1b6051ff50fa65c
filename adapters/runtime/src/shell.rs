//! What a driver needs from its surroundings besides a clock: timers and tasks.

use core::task::{Context, Poll};

use procession_core::Time;

use crate::Clock;
use crate::port::BoxFuture;

/// One alarm that can be set again and again.
pub trait Timer: Send + 'static {
    /// Sets the alarm, or clears it with `None`. Setting the same instant again costs nothing.
    fn set(&mut self, at: Option<Time>);

    /// Ready once the instant has come (the alarm is cleared then); pending, with the waker
    /// registered, before. Never ready while no alarm is set. May be late, may be early.
    fn poll_elapsed(&mut self, cx: &mut Context<'_>) -> Poll<()>;
}

/// Runs futures to their end.
///
/// There is no handle and no abort: everything that the drivers spawn ends by itself when its
/// driver tells it to or is dropped.
pub trait Spawner {
    /// Runs a future beside its caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Clock, timers and tasks: everything that a driver is run by.
pub trait Shell: Clock + Spawner + Clone + Send + Sync + 'static {
    /// The kind of alarm.
    type Timer: Timer;

    /// A new alarm, not set.
    fn timer(&self) -> Self::Timer;
}

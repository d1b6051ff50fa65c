//! What is said takes time to arrive, and arrives in order.

use core::task::Context;
use std::collections::VecDeque;

use procession_core::Time;
use procession_runtime::{Clock, Shell, Timer};

use crate::dice::{Dice, Site};
use crate::shell::{SimShell, SimTimer};

/// A queue whose entries are due a while after they were put in.
pub(crate) struct Lag<T> {
    queue: VecDeque<(u64, T)>,
    shell: SimShell,
    timer: SimTimer,
    dice: Dice,
    /// The longest delay, in nanoseconds.
    most: u64,
    /// Tells queues apart.
    name: u64,
    count: u64,
}

impl<T> Lag<T> {
    pub(crate) fn new(shell: SimShell, dice: Dice, most: u64, name: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            timer: shell.timer(),
            shell,
            dice,
            most,
            name,
            count: 0,
        }
    }

    pub(crate) fn push(&mut self, entry: T) {
        self.count += 1;
        let late = self
            .dice
            .draw(Site::Lag, self.name, self.count, 0, self.most);
        let last = self.queue.back().map_or(0, |(at, _)| *at);
        let at = last.max(self.shell.now().as_nanos() + late);
        self.queue.push_back((at, entry));
    }

    /// Everything that has not arrived.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = T> {
        core::mem::take(&mut self.queue)
            .into_iter()
            .map(|(_, entry)| entry)
    }

    /// What has arrived; wakes for the rest.
    pub(crate) fn take(&mut self, cx: &mut Context<'_>, mut each: impl FnMut(T)) {
        loop {
            let now = self.shell.now().as_nanos();
            while self.queue.front().is_some_and(|(at, _)| *at <= now) {
                if let Some((_, entry)) = self.queue.pop_front() {
                    each(entry);
                }
            }
            let next = self.queue.front().map(|(at, _)| Time::from_nanos(*at));
            self.timer.set(next);
            if self.timer.poll_elapsed(cx).is_pending() {
                return;
            }
        }
    }
}

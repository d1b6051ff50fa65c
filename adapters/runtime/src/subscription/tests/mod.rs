//! The driver on a scripted feed, a clock that is moved by hand and an executor of its own.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tests pick out what they look for"
)]

mod attempts;
mod delivery;
mod endings;
mod flight;
mod random;

use procession_core::{Limits, Span, Time};

use super::{DriverOptions, End, Notice, SubscriptionHandle, subscribe};
use crate::testing::{Log, Recorder, ScriptFeed, TestShell, TestWork};
use crate::{Clock, Spawner};

struct World {
    shell: TestShell,
    feed: ScriptFeed,
    work: TestWork,
    log: Log,
    handle: SubscriptionHandle,
}

impl World {
    fn new() -> Self {
        Self::with(ScriptFeed::default(), DriverOptions::default())
    }

    fn with(feed: ScriptFeed, options: DriverOptions) -> Self {
        let shell = TestShell::new();
        let work = TestWork::default();
        let log = work.log.clone();
        let (handle, driver) = subscribe(
            feed.port(),
            work.clone(),
            shell.clone(),
            Recorder(log.clone()),
            options,
        )
        .unwrap();
        shell.spawn(Box::pin(driver));
        shell.run();
        Self {
            shell,
            feed,
            work,
            log,
            handle,
        }
    }

    /// A world that owns partition 0 from position 1 on, with a session that delivers.
    fn assigned(feed: ScriptFeed, options: DriverOptions) -> Self {
        let world = Self::with(feed, options);
        world.feed.assign(1, None);
        world.shell.run();
        world.log.take();
        world
    }

    fn deliver(&self, position: u64, plan: &str) {
        self.feed.deliver(position, plan);
        self.shell.run();
    }

    fn millis(&self, millis: u64) {
        self.shell.advance(Span::from_millis(millis));
    }

    fn end(&self) -> Option<End> {
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        match self.handle.poll_ended(&mut cx) {
            core::task::Poll::Ready(end) => Some(end),
            core::task::Poll::Pending => None,
        }
    }

    fn notices(&self) -> Vec<Notice> {
        let mut cx = core::task::Context::from_waker(core::task::Waker::noop());
        let mut all = Vec::new();
        while let core::task::Poll::Ready(Some(notice)) = self.handle.poll_notice(&mut cx) {
            all.push(notice);
        }
        all
    }

    fn in_millis(&self, millis: u64) -> Time {
        self.shell.now() + Span::from_millis(millis)
    }
}

fn small(messages: u32) -> DriverOptions {
    let mut options = DriverOptions::default();
    options.core.limits = Limits {
        messages,
        bytes: 1 << 30,
        partition_messages: messages,
        partition_bytes: 1 << 30,
        low_water_percent: 100,
    };
    options
}

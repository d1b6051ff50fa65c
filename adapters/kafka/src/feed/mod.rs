//! The consuming half: one thread with two clients of one group, and one that asks questions.
//!
//! [`engine`] is the loop; [`rebalance`] what the group decides; [`partition`] what is known of one
//! partition; [`reading`] its session, from the place where it begins to the records that it delivers;
//! [`sessions`] which of them are read;
//! [`commits`] progress on its way out; [`lookup`] questions that block.

mod commits;
mod dead_letters;
mod ending;
mod engine;
mod lookup;
mod partition;
pub(crate) mod reading;
mod rebalance;
mod sessions;

use core::task::{Context as TaskContext, Poll};
use std::sync::Arc;

use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{Feed, FeedCommand, FeedEvent, FeedSpec, PortError};

use crate::options::KafkaOptions;
use crate::sink::Known;
use crate::thread::{Bell, Ended, IoThread};
use engine::Engine;

/// A feed of one (topic, group).
#[derive(Debug)]
pub(crate) struct KafkaFeed {
    commands: Arc<Mailbox<FeedCommand>>,
    events: Arc<Mailbox<FeedEvent>>,
    batch: Vec<FeedEvent>,
    thread: IoThread,
}

impl KafkaFeed {
    /// Starts the thread and its clients. The topic is there and has `partitions` partitions.
    pub(crate) fn start(
        spec: FeedSpec,
        options: &KafkaOptions,
        partitions: u32,
        known: Known,
    ) -> Result<Self, PortError> {
        let commands = Arc::new(Mailbox::new());
        let events = Arc::new(Mailbox::new());
        let engine = Engine::new(
            spec,
            options,
            partitions,
            known,
            Arc::clone(&commands),
            Arc::clone(&events),
            Arc::new(Bell::default()),
        )?;
        let closed = Arc::clone(&events);
        let thread = IoThread::spawn(
            "procession-kafka-feed",
            move || engine.run(),
            move || {
                let _ = closed.push(FeedEvent::Closed);
                closed.close();
            },
        )?;
        Ok(Self {
            commands,
            events,
            batch: Vec::new(),
            thread,
        })
    }

    /// What ends this feed from outside.
    pub(crate) fn commands(&self) -> Arc<Mailbox<FeedCommand>> {
        Arc::clone(&self.commands)
    }

    /// Tells when the thread is gone.
    pub(crate) fn ended(&self) -> Ended {
        self.thread.ended()
    }
}

impl Feed for KafkaFeed {
    fn submit(&mut self, command: FeedCommand) {
        // Bounded by what the core has outstanding. After the end there is nobody to read.
        let _ = self.commands.push(command);
    }

    fn poll_events(&mut self, cx: &mut TaskContext<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
        core::task::ready!(self.events.poll_drain(cx, &mut self.batch));
        if matches!(self.batch.last(), Some(FeedEvent::Closed)) {
            // `Closed` says that no thread is left: it is at its very end.
            self.thread.join();
        }
        if self.batch.is_empty() {
            // Closed and told: nothing more comes.
            return Poll::Pending;
        }
        if into.is_empty() {
            core::mem::swap(into, &mut self.batch);
        } else {
            into.append(&mut self.batch);
        }
        Poll::Ready(())
    }
}

impl Drop for KafkaFeed {
    fn drop(&mut self) {
        self.commands.close();
        self.events.close();
    }
}

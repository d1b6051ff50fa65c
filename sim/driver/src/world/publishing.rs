//! The process that publishes: its lives, and what it still has to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use procession_memory::MemoryBroker;
use procession_runtime::Spawner;
use procession_runtime::port::Broker;
use procession_runtime::publisher::{PublisherHandle, PublisherOptions, publisher};

use super::{TOPIC, World, connect, now};
use crate::callers::Caller;
use crate::event::What;
use crate::observer::PublishHooks;
use crate::plan::CLOSE_GRACE;
use crate::recorder::Recorder;
use crate::sabotage::Sabotage;
use crate::shell::SimShell;
use crate::sink::Lying;

/// Lives of the publisher after the first are numbered from here.
pub(crate) const LATER_LIVES: u32 = 1_000_000;

/// One start of the publisher.
pub(super) struct Publishing {
    pub(super) life: u32,
    pub(super) handle: PublisherHandle,
    /// Its connection.
    broker: MemoryBroker<SimShell>,
}

impl World {
    /// Starts the publisher; what it has heard of is not published again.
    pub(super) fn start_publisher(&mut self) {
        if self.publisher.is_some() {
            return;
        }
        self.publishers += 1;
        // Whoever never dies is the world's own process.
        let life = if self.plan.faults.publisher_crashes {
            LATER_LIVES + self.publishers
        } else {
            0
        };
        let recorder = self.recorder(life);
        let broker = connect(&self.url, recorder.shell.clone());
        let Ok(inner) = now(broker.sink()) else {
            return;
        };
        let sink = Lying::new(
            inner,
            (self.line.clone(), self.refusing.clone()),
            self.sabotage,
            recorder.shell.clone(),
            self.plan.dice,
            self.plan.lag,
        );
        let options = PublisherOptions {
            core: self.plan.producer.clone(),
            close_grace: CLOSE_GRACE,
        };
        let shell = recorder.shell.clone();
        let hooks = PublishHooks(recorder.clone());
        let (handle, driver) = match publisher(sink, shell.clone(), hooks, options) {
            Ok(made) => made,
            Err(error) => unreachable!("the plan's producer: {error}"),
        };
        let task = shell.core.spawn(life, Box::pin(driver));
        if self.sabotage == Some(Sabotage::DeafPublisher) {
            self.executor.deafen(task, 40);
        }
        self.call(&recorder, &handle);
        let ended = handle.ended();
        shell.spawn(Box::pin(async move {
            ended.await;
            recorder.write(What::Ended { ok: true });
        }));
        self.publisher = Some(Publishing {
            life,
            handle,
            broker,
        });
    }

    /// Starts one caller a key, each with what it has to publish still.
    fn call(&self, recorder: &Recorder, handle: &PublisherHandle) {
        let callers = self.plan.callers.len();
        self.callers_left.store(callers as u32, Ordering::Relaxed);
        for number in 0..callers {
            let caller = Caller {
                plan: Arc::clone(&self.plan),
                topic: TOPIC.into(),
                handle: handle.clone(),
                recorder: recorder.clone(),
                next: Arc::clone(&self.next_publish),
                left: Arc::clone(&self.callers_left),
                todo: self.todo.clone(),
                number,
            };
            recorder.shell.spawn(Box::pin(caller.run()));
        }
    }

    /// The publisher's process dies.
    pub(super) fn kill_publisher(&mut self, lands: bool) {
        let Some(publisher) = self.publisher.take() else {
            return;
        };
        publisher.broker.hooks().cut_sinks(lands);
        self.write(publisher.life, What::Crashed);
        self.executor.kill(publisher.life);
    }
}

//! The consuming half: one thread, two connections (deliveries; records and dead letters).

mod deliveries;
mod pulls;
pub(crate) mod session;
#[cfg(test)]
mod session_tests;

use core::task::{Context, Poll};
use core::time::Duration;
use std::sync::Arc;

use procession_core::Span;
use procession_runtime::keeper::{Keeper, KeeperSpec};
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{Feed, FeedCommand, FeedEvent, FeedSpec, PortError};

use crate::jetstream::JetStream;
use crate::names::{self, stream_of};
use crate::publish::Burial;
use crate::records::Records;
use crate::requests::Requests;
use crate::shape::Shape;
use crate::thread::IoThread;
use crate::wire::{Servers, link};
use deliveries::Deliveries;

/// How long a partition that the claims give up may take to finish and commit.
const LEAVE_WITHIN: Span = Span::from_secs(5);

/// A feed of one (topic, group).
#[derive(Debug)]
pub(crate) struct NatsFeed {
    commands: Arc<Mailbox<FeedCommand>>,
    events: Arc<Mailbox<FeedEvent>>,
    batch: Vec<FeedEvent>,
    thread: IoThread,
}

/// What a feed needs to know beyond its spec.
pub(crate) struct FeedPlan {
    pub(crate) servers: Servers,
    pub(crate) name: String,
    pub(crate) bucket: String,
    pub(crate) shape: Shape,
    pub(crate) heartbeat: Duration,
}

impl NatsFeed {
    /// Starts the thread. The topic and the bucket are there.
    pub(crate) fn start(spec: &FeedSpec, plan: FeedPlan) -> Result<Self, PortError> {
        let commands = Arc::new(Mailbox::new());
        let events = Arc::new(Mailbox::new());
        let (requests, requests_handler) = Requests::new();
        let jetstream = JetStream {
            requests: requests.clone(),
            shown: Arc::clone(&plan.servers.shown),
        };
        let stream = stream_of(&spec.topic);
        let records = Records::new(
            jetstream,
            &plan.bucket,
            Arc::clone(&spec.group),
            Arc::clone(&spec.topic),
            &stream,
        );
        let keeper = Keeper::new(
            KeeperSpec {
                partitions: plan.shape.partitions,
                // A name of its own for every start: under one that an earlier start used, this
                // member would take that one's lease for its own.
                member: format!("{}#{}", spec.member, names::unique()).into(),
                start: spec.start,
                lease: spec.lease,
                leave_within: LEAVE_WITHIN,
                seed: names::random(),
            },
            records,
        )?;
        let mut deliveries = Deliveries::new(
            Arc::clone(&commands),
            Arc::clone(&events),
            keeper,
            requests.clone(),
            Burial::new(requests.clone()),
            stream.into(),
            plan.shape.filters(&spec.topic),
        );
        deliveries.heartbeat = plan.heartbeat;
        let closed = Arc::clone(&events);
        let thread = IoThread::spawn(
            "procession-nats-feed",
            async move {
                let control = format!("{} records", plan.name);
                let mut requests_handler = requests_handler;
                let records = link::run(&mut requests_handler, &plan.servers, &control);
                let name = format!("{} deliveries", plan.name);
                let deliveries = async {
                    link::run(&mut deliveries, &plan.servers, &name).await;
                    requests.close();
                };
                tokio::join!(records, deliveries);
            },
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
    pub(crate) fn ended(&self) -> crate::thread::Ended {
        self.thread.ended()
    }
}

impl Feed for NatsFeed {
    fn submit(&mut self, command: FeedCommand) {
        // Bounded by what the core has outstanding. After the end there is nobody to read.
        let _ = self.commands.push(command);
    }

    fn poll_events(&mut self, cx: &mut Context<'_>, into: &mut Vec<FeedEvent>) -> Poll<()> {
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

impl Drop for NatsFeed {
    fn drop(&mut self) {
        self.commands.close();
        self.events.close();
    }
}

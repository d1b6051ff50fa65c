//! The bus: one connection to a broker, its publisher and its subscriptions.

use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use procession_core::{Position, Span};
use procession_runtime::Clock as _;
use procession_runtime::port::{Broker, BrokerInfo, Expect, TopicInfo, TopicMode};
use procession_runtime::publisher::PublisherHandle;
use procession_runtime::tokio::TokioShell;

use crate::builder::BusBuilder;
use crate::consume::Consume;
use crate::credit::Credit;
use crate::handler::Handler;
use crate::observe::Observe;
use crate::publish::{PublishError, Receipt, Stored, Terms, enqueue, publish, publish_all};
use crate::settings::WhenFull;
use crate::subscribe::Subscribe;
use crate::subscription::Drained;
use crate::topics::{Topic, Topics};
use crate::wire::{self, Binding};
use crate::{Envelope, Error, Settings};

/// An event bus: publishes envelopes and hands them to handlers, in order per key, once.
///
/// Cloning is cheap; clones are the same bus. When the last one and all subscriptions are dropped,
/// everything ends at once; [`close`](Self::close) ends it in order.
#[derive(Clone)]
pub struct Bus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) broker: Arc<dyn Broker>,
    pub(crate) info: BrokerInfo,
    pub(crate) binding: Binding,
    pub(crate) settings: Settings,
    /// What is done about topics without a mode of their own.
    pub(crate) topic_mode: TopicMode,
    pub(crate) source: Arc<str>,
    pub(crate) member: Arc<str>,
    pub(crate) lane_seed: u64,
    pub(crate) jitter_seed: u64,
    pub(crate) shell: TokioShell,
    pub(crate) publisher: PublisherHandle,
    pub(crate) topics: Topics,
    pub(crate) credit: Arc<Credit>,
    pub(crate) observer: Option<Arc<dyn Observe>>,
    pub(crate) closed: AtomicBool,
}

impl Bus {
    /// Connects: `memory://` (in this process), `memory://NAME` (shared by all that name it in this
    /// process), `nats://HOST:PORT[,HOST:PORT]`. Settings come from the environment.
    ///
    /// # Errors
    /// An address or setting that cannot be, a broker that does not answer within
    /// `bus.connect_timeout`.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::builder(url).connect().await
    }

    /// Connects with settings of a file or of the program.
    pub fn builder(url: &str) -> BusBuilder {
        BusBuilder::new(url)
    }

    /// Publishes an envelope, and resolves to the broker's acknowledgement.
    ///
    /// The publishes of one key reach the log in the order in which they were accepted, that is,
    /// first polled, whatever fails or reconnects (S8). Each accepted one has exactly one result by
    /// `publish.deadline` (S10). Dropping the future before acceptance sends nothing; after that it
    /// changes nothing.
    ///
    /// # Errors
    /// See [`PublishError`]: all but `Unknown` mean that it is not in the log.
    pub fn publish(
        &self,
        topic: &str,
        envelope: Envelope,
    ) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
        publish(Arc::clone(&self.inner), topic, envelope, Terms::default())
    }

    /// Publishes as [`publish`](Self::publish) does, but never waits for room: it fails at once when
    /// there is none, whatever `publish.when_full` says.
    ///
    /// # Errors
    /// [`PublishError::Full`] without room; else as [`publish`](Self::publish).
    pub fn try_publish(
        &self,
        topic: &str,
        envelope: Envelope,
    ) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
        let terms = Terms {
            when_full: Some(WhenFull::Fail),
            ..Terms::default()
        };
        publish(Arc::clone(&self.inner), topic, envelope, terms)
    }

    /// Publishes without waiting for the broker: resolves as soon as the envelope is accepted, to a
    /// receipt that can be awaited later. While there is no room it waits for some, which is the
    /// back-pressure of a fast publisher.
    ///
    /// ```
    /// # use procession::{Bus, Envelope};
    /// # async fn example(bus: Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let order = Envelope::builder("OrderPlaced").key("order-42").json(&3)?;
    /// let receipt = bus.enqueue("orders", order).await?;
    /// // The message is on its way; something else can be done here.
    /// println!("{:?}", receipt.await?);
    /// # Ok(())
    /// # }
    /// ```
    /// Dropping the future before acceptance sends nothing; dropping the receipt changes nothing.
    ///
    /// # Errors
    /// What keeps it from being accepted; nothing was sent then.
    pub fn enqueue(
        &self,
        topic: &str,
        envelope: Envelope,
    ) -> impl Future<Output = Result<Receipt, PublishError>> + Send + 'static {
        enqueue(Arc::clone(&self.inner), topic, envelope, Terms::default())
    }

    /// Publishes several envelopes at once, and resolves to one result for each, in their order.
    /// They are accepted in that order, too, and each one succeeds or fails by itself.
    ///
    /// Dropping the future sends nothing more of what was not accepted yet.
    pub fn publish_all(
        &self,
        topic: &str,
        envelopes: impl IntoIterator<Item = Envelope>,
    ) -> impl Future<Output = Vec<Result<Stored, PublishError>>> + Send + 'static {
        let envelopes = envelopes.into_iter().collect();
        publish_all(Arc::clone(&self.inner), topic, envelopes)
    }

    /// Publishes only if the last message of the envelope's key is the expected one: optimistic
    /// concurrency for aggregates that are stored as events. Read the aggregate, note where its last
    /// event stands ([`Stored::position`], the position of its [`Context::fence`](crate::Context::fence)), decide, and
    /// append what follows from it; whoever was faster makes this one a conflict, and nothing is stored.
    ///
    /// ```
    /// # use procession::{Bus, Envelope, Expect, PublishError};
    /// # async fn example(bus: Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let placed = Envelope::builder("OrderPlaced").key("order-42").json(&3)?;
    /// let first = bus.publish_expecting("orders", placed, Expect::First).await?;
    /// let paid = Envelope::builder("OrderPaid").key("order-42").json(&3)?;
    /// match bus.publish_expecting("orders", paid, Expect::After(first.position)).await {
    ///     Err(PublishError::Conflict(_)) => println!("something else happened to the order"),
    ///     other => println!("{other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    /// The broker compares, so it holds between processes too: in process, and on JetStream where the
    /// topic's `layout` is `keyed`. A publish that is repeated because its answer was lost is not in
    /// conflict with itself. Retention that removes the last message of a key makes it a key without any.
    ///
    /// # Errors
    /// [`PublishError::Conflict`]; [`PublishError::Refused`] where the broker cannot compare (Kafka, a
    /// topic that is laid out by partition); [`PublishError::Invalid`] without a key; else as
    /// [`publish`](Self::publish).
    pub fn publish_expecting(
        &self,
        topic: &str,
        envelope: Envelope,
        expect: Expect,
    ) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
        let terms = Terms {
            expect: Some(expect),
            ..Terms::default()
        };
        publish(Arc::clone(&self.inner), topic, envelope, terms)
    }

    /// Publishes a copy past the broker's own dedupe, under the same identity: what a publisher
    /// does that was restored from a backup. For tests of the dedupe of subscriptions.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_copy(
        &self,
        topic: &str,
        envelope: Envelope,
        copy: u8,
    ) -> impl Future<Output = Result<Stored, PublishError>> + Send + 'static {
        let terms = Terms {
            copy,
            ..Terms::default()
        };
        publish(Arc::clone(&self.inner), topic, envelope, terms)
    }

    /// Subscribes a handler to a topic, as a member of a group: of all members, one handles each
    /// message. Await the result, or set options of this subscription first.
    pub fn subscribe<H: Handler>(&self, topic: &str, group: &str, handler: H) -> Subscribe<H> {
        Subscribe::new(self.clone(), topic, group, handler)
    }

    /// Subscribes to a topic as [`subscribe`](Self::subscribe) does, and gives its messages as a
    /// stream of deliveries that must be settled.
    ///
    /// ```
    /// # async fn example(bus: procession::Bus) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut deliveries = bus.consume("orders", "billing").await?;
    /// while let Some(delivery) = deliveries.next().await {
    ///     println!("{}", delivery.id());
    ///     delivery.done()?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn consume(&self, topic: &str, group: &str) -> Consume {
        Consume::new(|hand| self.subscribe(topic, group, hand))
    }

    /// Creates or checks a topic now, as its settings say, rather than at its first use.
    ///
    /// # Errors
    /// A topic that is missing or not as asked for, with the fix.
    pub async fn topic(&self, name: &str) -> Result<TopicInfo, Error> {
        let topic = self.inner.topics.entry(name)?;
        Ok(self.inner.ready(&topic).await?.clone())
    }

    /// Reads the whole log of a topic: partition, position and envelope, in log order per partition.
    /// For audits and tests: all of it is in memory at once.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn audit(&self, topic: &str) -> Result<Vec<(u32, Position, Envelope)>, Error> {
        let topic = self.inner.topics.entry(topic)?;
        let records = self.inner.broker.audit(Arc::clone(&topic.name)).await?;
        let read = records.into_iter().map(|(partition, record)| {
            let position = record.position;
            let envelope = wire::decode(&topic.name, partition, record);
            (partition, position, envelope)
        });
        Ok(read.collect())
    }

    /// What the broker is.
    #[must_use]
    pub fn info(&self) -> &BrokerInfo {
        &self.inner.info
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// How many publishes are accepted and without a result.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.inner.publisher.outstanding()
    }

    /// Ends in order: drains all subscriptions, waits for the results of publishes, and closes the
    /// connection, all of it within this time. When it returns, no task, thread or socket is left.
    ///
    /// # Errors
    /// What could not be ended in time.
    pub async fn close(&self, within: Duration) -> Result<Drained, Error> {
        let bus = &self.inner;
        if bus.closed.swap(true, Ordering::AcqRel) {
            return Err(Error::Closed);
        }
        let deadline = bus.shell.now() + Span::from(within);
        let open = bus.credit.open();
        for subscription in &open {
            subscription.drain(deadline);
        }
        // What the drivers may take to end on top of their deadline.
        let patience = within.saturating_add(Duration::from_secs(5));
        let orderly = async {
            let mut closed = Drained::default();
            for subscription in open {
                if let Ok(drained) = subscription.ended().await {
                    closed.add(drained);
                }
            }
            bus.publisher.close(deadline);
            bus.publisher.ended().await;
            closed
        };
        let closed = tokio::time::timeout(patience, orderly).await;
        let left = deadline.since(bus.shell.now());
        bus.broker.close(left + Span::from_secs(1)).await?;
        closed.map_err(|_| Error::CloseTimedOut {
            within,
            left: format!(
                "{} subscriptions, {} publishes",
                bus.credit.open().len(),
                bus.publisher.outstanding()
            ),
        })
    }
}

impl Inner {
    /// Creates or checks a topic, the first time.
    pub(crate) async fn ready<'t>(&self, topic: &'t Topic) -> Result<&'t TopicInfo, Error> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        topic
            .ready(&*self.broker, &self.settings, self.topic_mode)
            .await
    }
}

impl Drop for Inner {
    /// Nobody can ask for results any more: the publisher ends, and with it the connection.
    fn drop(&mut self) {
        self.publisher.close(self.shell.now());
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("broker", &self.inner.info)
            .field("member", &self.inner.member)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

//! Beginning a subscription.

use core::future::IntoFuture;
use core::pin::Pin;
use core::sync::atomic::Ordering;
use std::sync::Arc;

use procession_core::{Expired, Order};
use procession_runtime::port::{FeedSpec, TopicMode, TopicSpec};
use procession_runtime::subscription::{DriverOptions, NoObserver, Observer, subscribe};
use procession_runtime::{Spawner as _, check_group_name, check_topic_name};

use crate::bus::Bus;
use crate::dead_letter::{DeadLetters, dead_letter_topic};
use crate::handler::{Handler, Scope};
use crate::settings::SubscribeSettings;
use crate::subscription::Subscription;
use crate::work::BusWork;
use crate::{Envelope, Error, SettingsError};

/// A change that the program makes to the settings of one subscription.
type Change = Box<dyn FnOnce(&mut SubscribeSettings) + Send>;

/// A subscription that is about to begin: await it.
///
/// ```
/// # use procession::{Bus, Envelope, raw};
/// # async fn example(bus: Bus) -> Result<(), procession::Error> {
/// let subscription = bus
///     .subscribe("orders", "billing", raw(|order, _cx| async move {
///         println!("{order:?}");
///         Ok(())
///     }))
///     .with(|settings| settings.attempts = 3)
///     .await?;
/// # drop(subscription);
/// # Ok(())
/// # }
/// ```
#[must_use = "a subscription begins when it is awaited"]
pub struct Subscribe<H> {
    bus: Bus,
    topic: String,
    group: String,
    name: Option<String>,
    changes: Vec<Change>,
    handler: H,
}

impl<H: Handler> Subscribe<H> {
    pub(crate) fn new(bus: Bus, topic: &str, group: &str, handler: H) -> Self {
        Self {
            bus,
            topic: topic.to_owned(),
            group: group.to_owned(),
            name: None,
            changes: Vec::new(),
            handler,
        }
    }

    /// The name under which settings are looked up, `[subscribe.NAME]`; the group unless given.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Changes settings of this subscription; this overrides environment and file.
    pub fn with(mut self, change: impl FnOnce(&mut SubscribeSettings) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    async fn begin(self) -> Result<Subscription, Error> {
        let bus = Arc::clone(&self.bus.inner);
        check_group_name(&self.group)?;
        let name = self.name.as_deref().unwrap_or(&self.group);
        let mut settings = bus.settings.subscription(name)?;
        for change in self.changes {
            change(&mut settings);
        }
        let table = format!("subscribe.{name}");
        settings.validate(&table)?;
        let topic = bus.topics.entry(&self.topic)?;
        let info = bus.ready(&topic).await?.clone();
        // Dead letters keep partition and key, so their topic is checked against this one (S9).
        let dead_letters: Arc<str> = dead_letter_topic(&self.topic, &self.group).into();
        check_topic_name(&dead_letters)?;
        let own = bus.settings.topic(&dead_letters)?;
        let main = bus.settings.topic(&self.topic)?;
        let mode = own.mode.or(main.mode).unwrap_or(bus.topic_mode);
        if mode != TopicMode::Skip {
            let spec = TopicSpec {
                name: Arc::clone(&dead_letters),
                partitions: Some(info.partitions),
                storage: info.storage,
                mode,
                duplicate_window: bus.settings.publish.duplicate_window().into(),
                layout: None,
                batches: false,
            };
            bus.broker.topic(spec).await?;
        }
        let room = if bus.info.topics_grow {
            settings.room_to_grow(info.partitions)
        } else {
            info.partitions
        };
        let mut core = settings.to_core(info.partitions, room, bus.jitter_seed);
        core.map_bytes = core.map_bytes.min(bus.info.map_bytes_max);
        if core.order == Order::Key {
            core.batch_key = self.handler.of_one_key();
        }
        let limits = core.limits;
        let options = DriverOptions {
            core,
            partitions: info.partitions,
            concurrency: settings.concurrency,
            stop_deadline: settings.stop_deadline.into(),
            flight_recorder: usize::try_from(settings.flight_recorder).unwrap_or(0),
            flight_directory: settings.flight_directory.clone(),
            hold_commits: settings.hold_commits,
            ..DriverOptions::default()
        };
        let group: Arc<str> = self.group.into();
        let feed = bus
            .broker
            .feed(FeedSpec {
                topic: Arc::clone(&topic.name),
                group: Arc::clone(&group),
                member: Arc::clone(&bus.member),
                start: settings.start,
                lease: settings.lease_spec(),
                message_bytes_max: options.core.message_bytes_max,
            })
            .await?;
        let observer: Box<dyn Observer<Envelope>> = match &bus.observer {
            Some(observer) => observer.subscription(&topic.name, &group),
            None => Box::new(NoObserver),
        };
        let scope = Arc::new(Scope {
            bus: Arc::downgrade(&bus),
            topic: Arc::clone(&topic.name),
            group: Arc::clone(&group),
        });
        let work = BusWork {
            scope: Arc::clone(&scope),
            handler: self.handler,
            lane_seed: bus.lane_seed,
            sequenced: settings.sequence,
            clock: (settings.on_expired != Expired::Run).then(|| bus.shell.clone()),
            dead_letters: DeadLetters {
                topic: dead_letters,
                group,
            },
        };
        let (handle, driver) = subscribe(feed, work, bus.shell.clone(), observer, options)
            .map_err(|error| SettingsError::from_core(&table, error))?;
        let credit = Arc::clone(&bus.credit);
        let number = credit.join(handle.clone(), limits);
        bus.shell.spawn(Box::pin(async move {
            driver.await;
            credit.leave(number);
        }));
        if bus.closed.load(Ordering::Acquire) {
            // The bus was closed beside this call and may not have seen the subscription.
            handle.abort();
            return Err(Error::Closed);
        }
        Ok(Subscription::new(handle, self.bus, scope))
    }
}

impl<H: Handler> IntoFuture for Subscribe<H> {
    type Output = Result<Subscription, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.begin())
    }
}

//! The bus, through its public interface only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procession::settings::TopicSettings;
use procession::{Bus, Envelope, Settings, Storage, TopicMode, raw};
use tokio::sync::Notify;

use super::load::{CONTENT_TYPE, PARTITIONS, SOURCE, TYPE, publish_each};
use super::{Clock, Load, Run};
use crate::failure::Failure;
use crate::work::failure_of;

/// Longest time for a run, and for what comes before and after it.
const WITHIN: Duration = Duration::from_secs(300);
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// Publishes awaited at once: as many as the bus has room for, so that its own limits rule.
const PUBLISHES: usize = 10_000;

/// A bus that is connected.
pub(super) struct Ours {
    bus: Bus,
    url: String,
}

impl Ours {
    /// Connects. Those topics will be created when they are first used.
    pub(super) async fn connect(
        url: &str,
        payload: usize,
        (batch, memory): (u32, bool),
        topics: impl IntoIterator<Item = String>,
    ) -> Result<Self, Failure> {
        let mut settings = Settings::default();
        settings.bus.topics = Some(TopicMode::Create);
        settings.publish.batch = batch;
        settings.bus.source = Some(SOURCE.into());
        let largest = payload as u64 + 4_096;
        settings.publish.message_bytes_max = settings.publish.message_bytes_max.max(largest);
        settings.subscribe.message_bytes_max = settings.subscribe.message_bytes_max.max(largest);
        for topic in topics {
            let mut own = TopicSettings::default();
            own.partitions = Some(PARTITIONS);
            if memory {
                own.storage = Storage::Memory;
            }
            settings.topics.insert(topic, own);
        }
        let connected = Bus::builder(url).settings(settings).connect().await;
        let bus = connected.map_err(|e| failure_of(url, &e))?;
        let url = url.to_owned();
        Ok(Self { bus, url })
    }

    pub(super) fn broker_version(&self) -> String {
        self.bus.info().version.clone()
    }

    pub(super) async fn create(&self, topic: &str) -> Result<(), Failure> {
        let created = self.bus.topic(topic).await;
        created.map(drop).map_err(|e| failure_of(&self.url, &e))
    }

    pub(super) async fn publish(&self, topic: &str, load: &Load) -> Result<Run, Failure> {
        let id = Load::ids();
        let clock = Clock::start();
        let failed = |e: String| Failure::unavailable(format!("{}: publishing: {e}", self.url));
        let published = publish_each(load.count, PUBLISHES, |number| {
            let envelope = Envelope::builder(TYPE)
                .key(load.key(number))
                .id(id(number))
                .payload(load.payload.clone(), CONTENT_TYPE);
            async {
                let envelope = envelope.map_err(|e| e.to_string())?;
                let stored = self.bus.publish(topic, envelope).await;
                stored.map(drop).map_err(|e| e.to_string())
            }
        });
        published.await.map_err(failed)?;
        Ok(clock.stop(load.count))
    }

    /// From the first message to the last: how long it takes to own partitions is no rate.
    pub(super) async fn consume(
        &self,
        topic: &str,
        group: &str,
        load: &Load,
    ) -> Result<Run, Failure> {
        let handled = Arc::new(AtomicU64::new(0));
        let (first, last) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let handler = {
            let (handled, count) = (Arc::clone(&handled), load.count);
            let (first, last) = (Arc::clone(&first), Arc::clone(&last));
            raw(move |envelope: Envelope, _context| {
                super::load::handle(envelope);
                match handled.fetch_add(1, Ordering::Relaxed) + 1 {
                    1 => first.notify_one(),
                    n if n == count => last.notify_one(),
                    _ => {}
                }
                async { Ok(()) }
            })
        };
        let failed = |e: &procession::Error| failure_of(&self.url, e);
        let subscribed = self.bus.subscribe(topic, group, handler).await;
        let subscription = subscribed.map_err(|e| failed(&e))?;
        let measured = tokio::time::timeout(WITHIN, async {
            first.notified().await;
            let clock = Clock::start();
            let before = handled.load(Ordering::Relaxed);
            last.notified().await;
            clock.stop(load.count.saturating_sub(before))
        });
        let measured = measured.await;
        let drained = subscription.drain(CLOSE_WITHIN).await;
        let handled = handled.load(Ordering::Relaxed);
        if measured.is_err() || handled != load.count {
            return Err(Failure::fault(format!(
                "{}: of {} messages {handled} were handled",
                self.url, load.count
            )));
        }
        drained.map_err(|e| Failure::fault(format!("{}: draining: {e}", self.url)))?;
        measured.map_err(|e| Failure::fault(e.to_string()))
    }

    pub(super) async fn close(self) -> Result<(), Failure> {
        let closed = self.bus.close(CLOSE_WITHIN).await;
        closed.map(drop).map_err(|e| failure_of(&self.url, &e))
    }
}

//! A connection to an in-process broker.

use core::future::ready;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use procession_core::Span;
use procession_runtime::keeper::{Keeper, KeeperSpec};
use procession_runtime::port::{
    BoxFuture, Broker, BrokerInfo, Feed, FeedEvent, FeedSpec, PortError, PortErrorKind, Record,
    Sink, TopicInfo, TopicSpec,
};
use procession_runtime::{Shell, check_group_name};

use crate::feed::{self, MemoryFeed};
use crate::hub::Hub;
use crate::names;
use crate::records::MemoryRecords;
use crate::settings::Settings;
use crate::signal::Signal;
use crate::sink::MemorySink;

/// A connection to an in-process broker, on a shell's clock and timers.
pub struct MemoryBroker<S> {
    pub(crate) hub: Arc<Hub>,
    shell: S,
    /// Feeds and sinks of this connection; `close` ends them. Those that ended are dropped when the
    /// next one comes.
    ends: Mutex<Vec<Weak<Signal>>>,
    closed: AtomicBool,
}

impl<S: Shell> MemoryBroker<S> {
    /// Connects with the default limits. `memory://` is a broker of this connection's own,
    /// `memory://NAME` the one that every connection of this process to that name shares.
    ///
    /// # Errors
    /// An address that is not of this kind.
    pub fn connect(url: &str, shell: S) -> Result<Self, PortError> {
        Self::connect_with(url, shell, Settings::default())
    }

    /// Connects with limits of the caller's choice. A broker that exists keeps those of its first
    /// connection.
    ///
    /// # Errors
    /// An address that is not of this kind.
    pub fn connect_with(url: &str, shell: S, settings: Settings) -> Result<Self, PortError> {
        Ok(Self {
            hub: names::hub(url, settings, shell.now())?,
            shell,
            ends: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    /// Bytes that the logs of this broker use, bookkeeping included.
    #[must_use]
    pub fn log_bytes(&self) -> usize {
        self.hub.budget.used()
    }

    /// Signals of all feeds and sinks of this connection.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn ends(&self) -> Vec<Arc<Signal>> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.iter().filter_map(Weak::upgrade).collect()
    }

    /// A signal that `close` knows of.
    fn signal(&self) -> Result<Arc<Signal>, PortError> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock: a `close` that runs beside this either sees the signal or is seen.
        if self.closed.load(Ordering::Acquire) {
            return Err(PortError::new(
                PortErrorKind::Disconnected,
                "this connection to the in-process broker is closed",
            ));
        }
        ends.retain(|end| end.strong_count() > 0);
        let signal = Arc::new(Signal::default());
        ends.push(Arc::downgrade(&signal));
        Ok(signal)
    }

    fn open_feed(&self, spec: &FeedSpec) -> Result<Box<dyn Feed>, PortError> {
        check_group_name(&spec.group)
            .map_err(|error| PortError::new(PortErrorKind::Invalid, error.to_string()))?;
        let topic = self.hub.topic(&spec.topic)?;
        let records = MemoryRecords {
            hub: Arc::clone(&self.hub),
            topic: Arc::clone(&topic),
            group: Arc::clone(&spec.group),
        };
        let keeper_spec = KeeperSpec {
            partitions: topic.partitions,
            member: unique(&spec.member),
            start: spec.start,
            lease: spec.lease,
            leave_within: spec.lease.lease.div(2),
            // Members that start together must not claim in step for ever.
            seed: u64::from(procession_runtime::partition_of(
                spec.member.as_bytes(),
                u32::MAX,
            )),
        };
        let keeper = Keeper::new(keeper_spec, records)?;
        let signal = self.signal()?;
        let groups_max = self.hub.settings.groups_max;
        if !topic.lock().join(spec, &signal, groups_max) {
            return Err(PortError::new(
                PortErrorKind::Refused,
                format!(
                    "group `{}` would be one more than the {groups_max} of topic `{}`: raise \
                     `groups_max`",
                    spec.group, spec.topic
                ),
            ));
        }
        Ok(Box::new(MemoryFeed {
            hub: Arc::clone(&self.hub),
            owned: (0..topic.partitions).map(|_| None).collect(),
            topic,
            timer: self.shell.timer(),
            shell: self.shell.clone(),
            signal,
            keeper,
            events: vec![FeedEvent::Connected],
            turn: 0,
            fresh: true,
            keep: true,
            state: feed::State::Open,
        }))
    }

    fn open_sink(&self) -> Result<Box<dyn Sink>, PortError> {
        let signal = self.signal()?;
        let sink = MemorySink::new(Arc::clone(&self.hub), self.shell.clone(), signal);
        Ok(Box::new(sink))
    }

    fn read_all(&self, topic: &str) -> Result<Vec<(u32, Record)>, PortError> {
        let topic = self.hub.topic(topic)?;
        let state = topic.lock();
        let logs = (0..).zip(&state.logs);
        let records = logs.flat_map(|(partition, log)| {
            log.read(log.start())
                .map(move |record| (partition, record.clone()))
        });
        Ok(records.collect())
    }
}

impl<S: Shell> Broker for MemoryBroker<S> {
    fn info(&self) -> BrokerInfo {
        BrokerInfo {
            kind: "memory",
            version: env!("CARGO_PKG_VERSION").to_owned(),
            message_bytes_max: self.hub.settings.message_bytes_max,
            map_bytes_max: u32::MAX,
            pipelining: false,
            topics_grow: false,
        }
    }

    fn topic(&self, spec: TopicSpec) -> BoxFuture<'_, Result<TopicInfo, PortError>> {
        Box::pin(ready(self.hub.ensure(&spec)))
    }

    fn feed(&self, spec: FeedSpec) -> BoxFuture<'_, Result<Box<dyn Feed>, PortError>> {
        Box::pin(ready(self.open_feed(&spec)))
    }

    fn sink(&self) -> BoxFuture<'_, Result<Box<dyn Sink>, PortError>> {
        Box::pin(ready(self.open_sink()))
    }

    fn audit(&self, topic: Arc<str>) -> BoxFuture<'_, Result<Vec<(u32, Record)>, PortError>> {
        Box::pin(ready(self.read_all(&topic)))
    }

    /// There is no task, thread or socket to wait for: feeds and sinks end at their next poll.
    fn close(&self, _within: Span) -> BoxFuture<'_, Result<(), PortError>> {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        self.closed.store(true, Ordering::Release);
        for end in ends.drain(..).filter_map(|end| end.upgrade()) {
            end.close();
        }
        Box::pin(ready(Ok(())))
    }
}

/// A name that no earlier feed of this process has had: a member that comes back under its old name
/// must not take the lease of its former life for its own. The store is gone with the process, so
/// nothing outside of it can clash.
fn unique(member: &str) -> Arc<str> {
    static STARTS: AtomicU64 = AtomicU64::new(1);
    format!("{member}#{}", STARTS.fetch_add(1, Ordering::Relaxed)).into()
}

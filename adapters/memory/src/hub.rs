//! What all connections to one in-process broker share.

use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use procession_core::Time;
use procession_runtime::check_topic_name;
use procession_runtime::port::{PortError, PortErrorKind, TopicInfo, TopicMode, TopicSpec};

use crate::settings::Settings;
use crate::signal::Signal;
use crate::topic::Topic;

/// One in-process broker.
pub(crate) struct Hub {
    pub(crate) settings: Settings,
    pub(crate) budget: Budget,
    topics: RwLock<BTreeMap<Arc<str>, Arc<Topic>>>,
    waiting: Waiting,
    /// Nanoseconds since 1970 at the origin of the clock of whoever connected first.
    origin: u64,
}

/// Bytes that all logs of a broker use.
#[derive(Default)]
pub(crate) struct Budget {
    used: AtomicUsize,
    /// A test wants the logs to be full.
    #[cfg(feature = "test-hooks")]
    full: AtomicBool,
}

/// Sinks that wait for room.
#[derive(Default)]
struct Waiting {
    any: AtomicBool,
    sinks: Mutex<Vec<Weak<Signal>>>,
}

impl Budget {
    /// Takes `bytes`, unless that would exceed `ceiling`.
    pub(crate) fn take(&self, bytes: usize, ceiling: usize) -> bool {
        #[cfg(feature = "test-hooks")]
        if self.full.load(Ordering::Relaxed) {
            return false;
        }
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes <= ceiling {
            return true;
        }
        self.give(bytes);
        false
    }

    /// Gives `bytes` back.
    pub(crate) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes in use.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Hub {
    /// A broker without topics. `now` is the time of the first connection's clock: stamps are wall
    /// time at this moment, and follow that clock from here on.
    pub(crate) fn new(settings: Settings, now: Time) -> Self {
        Self {
            settings,
            origin: wall().saturating_sub(now.as_nanos()),
            budget: Budget::default(),
            topics: RwLock::default(),
            waiting: Waiting::default(),
        }
    }

    /// The broker's time, nanoseconds since 1970.
    pub(crate) const fn stamp(&self, now: Time) -> u64 {
        self.origin.saturating_add(now.as_nanos())
    }

    /// The topic `name`, or an error that says how to create it.
    pub(crate) fn topic(&self, name: &str) -> Result<Arc<Topic>, PortError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned().ok_or_else(|| {
            PortError::new(
                PortErrorKind::Missing,
                format!(
                    "topic `{name}` does not exist on this in-process broker: publish or \
                     subscribe with `topics = \"create\"`"
                ),
            )
        })
    }

    /// Every topic, by name.
    pub(crate) fn topics(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    /// Creates, updates or checks a topic.
    pub(crate) fn ensure(&self, spec: &TopicSpec) -> Result<TopicInfo, PortError> {
        check_topic_name(&spec.name)
            .map_err(|error| PortError::new(PortErrorKind::Invalid, error.to_string()))?;
        let topic = match (self.topic(&spec.name), spec.mode) {
            (Ok(topic), _) => topic,
            (Err(error), TopicMode::Validate | TopicMode::Skip) => return Err(error),
            (Err(_), TopicMode::Create | TopicMode::CreateOrUpdate) => self.create(spec)?,
        };
        let mut warnings = Vec::new();
        let wanted = spec.duplicate_window.as_nanos();
        let mut state = topic.lock();
        if state.duplicate_window == 0 || spec.mode == TopicMode::CreateOrUpdate {
            state.duplicate_window = wanted;
        } else if state.duplicate_window < wanted {
            warnings.push(format!(
                "topic `{}` recognises a second publish for {} s, less than the {} s asked for: \
                 use `topics = \"create_or_update\"`",
                topic.name,
                state.duplicate_window / 1_000_000_000,
                wanted / 1_000_000_000
            ));
        }
        drop(state);
        if let Some(partitions) = spec.partitions
            && partitions != topic.partitions
        {
            return Err(PortError::new(
                PortErrorKind::Unsuitable,
                format!(
                    "topic `{}` has {} partitions, not {partitions}: the number cannot change, \
                     ask for {} or use another topic",
                    topic.name, topic.partitions, topic.partitions
                ),
            ));
        }
        Ok(TopicInfo {
            name: Arc::clone(&topic.name),
            partitions: topic.partitions,
            storage: topic.storage,
            compares: true,
            no_batches: None,
            warnings,
        })
    }

    fn create(&self, spec: &TopicSpec) -> Result<Arc<Topic>, PortError> {
        let partitions = spec.partitions.unwrap_or(3);
        if !(1..=self.settings.partitions_max).contains(&partitions) {
            return Err(PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "topic `{}` cannot have {partitions} partitions: allowed is 1 to {}",
                    spec.name, self.settings.partitions_max
                ),
            ));
        }
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(topic) = topics.get(&spec.name) {
            return Ok(Arc::clone(topic));
        }
        if topics.len() >= self.settings.topics_max {
            return Err(PortError::new(
                PortErrorKind::Refused,
                format!(
                    "topic `{}` would be one more than the {} of this in-process broker: raise \
                     `topics_max`",
                    spec.name, self.settings.topics_max
                ),
            ));
        }
        let topic = Arc::new(Topic::new(
            Arc::clone(&spec.name),
            partitions,
            spec.storage,
            creation_mark(),
            self.settings.duplicate_ids,
        ));
        topics.insert(Arc::clone(&spec.name), Arc::clone(&topic));
        Ok(topic)
    }

    /// Frees what all known groups have committed, a sixteenth of the log at a time: late groups
    /// find as much history as there is room for, and no lock is held for long. Wakes the
    /// publishers that wait. False when there was nothing to free. Must be called without a topic's
    /// lock.
    pub(crate) fn make_room(&self) -> bool {
        let settings = &self.settings;
        let enough = settings.publish_ceiling() - settings.log_bytes / 16;
        let mut freed = 0;
        for topic in self.topics() {
            let Some(wanted @ 1..) = self.budget.used().checked_sub(enough) else {
                break;
            };
            let bytes = topic.lock().free_committed(wanted);
            self.budget.give(bytes);
            freed += bytes;
        }
        if freed > 0 {
            self.wake_waiting();
        }
        freed > 0
    }

    /// From now on there is no room, or there is again.
    #[cfg(feature = "test-hooks")]
    pub(crate) fn fill(&self, full: bool) {
        self.budget.full.store(full, Ordering::Relaxed);
        if !full {
            self.wake_waiting();
        }
    }

    /// Makes `sink` hear of the next room.
    pub(crate) fn wait_for_room(&self, sink: &Arc<Signal>) {
        let mut sinks = self.lock_waiting();
        sinks.retain(|waiting| waiting.strong_count() > 0);
        if !sinks
            .iter()
            .any(|waiting| waiting.as_ptr() == Arc::as_ptr(sink))
        {
            sinks.push(Arc::downgrade(sink));
        }
        self.waiting.any.store(true, Ordering::Release);
    }

    /// Whether a publisher waits for room. A commit asks this, so that it frees the log only when
    /// somebody needs it: late groups find as much history as the limit allows.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.any.load(Ordering::Acquire)
    }

    fn wake_waiting(&self) {
        let mut sinks = self.lock_waiting();
        self.waiting.any.store(false, Ordering::Release);
        for sink in sinks.drain(..).filter_map(|sink| sink.upgrade()) {
            sink.raise();
        }
    }

    fn lock_waiting(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Signal>>> {
        let sinks = &self.waiting.sinks;
        sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nanoseconds since 1970.
fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}

/// The creation time of a topic as text, made unique within the process.
fn creation_mark() -> String {
    static CREATED: AtomicU64 = AtomicU64::new(0);
    format!("{}.{}", wall(), CREATED.fetch_add(1, Ordering::Relaxed))
}

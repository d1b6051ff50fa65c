//! Counters and histograms through the [`metrics`](https://docs.rs/metrics) facade (feature
//! `metrics`). `docs/metrics.md` lists all of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metrics::{Counter, Gauge, Histogram, Unit};
use procession_core::{Epoch, PartitionId, Position, Time, Why};
use procession_runtime::{BootClock, Clock as _};

use crate::Envelope;
use crate::observe::{
    Ending, Fence, Incident, Observe, Observer, Outgoing, PublishError, PublishObserver, Stored,
};

/// Tells the recorder of this process everything that a bus does. Install a recorder first; without
/// one, nothing is counted.
///
/// ```
/// # async fn example() -> Result<(), procession::Error> {
/// use std::sync::Arc;
///
/// let metrics = Arc::new(procession::metrics::Metrics::new());
/// let bus = procession::Bus::builder("memory://").observer(metrics).connect().await?;
/// # drop(bus);
/// # Ok(())
/// # }
/// ```
/// Labels are topics, groups and a few fixed words: never keys, ids or texts of errors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Metrics(());

impl Metrics {
    /// Describes all metrics to the recorder that is installed.
    #[must_use]
    pub fn new() -> Self {
        for (name, unit, text) in COUNTERS {
            metrics::describe_counter!(name, unit, text);
        }
        for (name, unit, text) in GAUGES {
            metrics::describe_gauge!(name, unit, text);
        }
        for (name, unit, text) in HISTOGRAMS {
            metrics::describe_histogram!(name, unit, text);
        }
        Self(())
    }
}

impl Observe for Metrics {
    fn subscription(&self, topic: &str, group: &str) -> Box<dyn Observer<Envelope>> {
        Box::new(Subscription::new(topic, group))
    }

    fn publisher(&self) -> Box<dyn PublishObserver> {
        Box::new(Publisher::default())
    }
}

type Described = (&'static str, Unit, &'static str);

const COUNTERS: [Described; 8] = [
    (
        "procession_publish_accepted_total",
        Unit::Count,
        "Publishes that were accepted.",
    ),
    (
        "procession_publish_results_total",
        Unit::Count,
        "Results of accepted publishes: stored, duplicate, refused or unknown.",
    ),
    (
        "procession_handle_attempts_total",
        Unit::Count,
        "Attempts of handlers, by how they ended.",
    ),
    (
        "procession_duplicates_total",
        Unit::Count,
        "Copies that were recognised and not handled again.",
    ),
    (
        "procession_passed_total",
        Unit::Count,
        "Messages that ended without a handler and without a dead letter.",
    ),
    (
        "procession_dead_letters_total",
        Unit::Count,
        "Dead letters that the broker has confirmed, by their reason.",
    ),
    (
        "procession_commits_total",
        Unit::Count,
        "Commits that the broker has confirmed.",
    ),
    (
        "procession_incidents_total",
        Unit::Count,
        "What happened to a partition's log or delivery.",
    ),
];

const GAUGES: [Described; 3] = [
    (
        "procession_publish_outstanding",
        Unit::Count,
        "Publishes that were accepted and have no result yet.",
    ),
    (
        "procession_handlers_running",
        Unit::Count,
        "Handlers that run now.",
    ),
    (
        "procession_partitions_owned",
        Unit::Count,
        "Partitions that this member owns.",
    ),
];

const HISTOGRAMS: [Described; 3] = [
    (
        "procession_publish_duration_seconds",
        Unit::Seconds,
        "From the acceptance of a publish to its result.",
    ),
    (
        "procession_handle_duration_seconds",
        Unit::Seconds,
        "How long an attempt of a handler took.",
    ),
    (
        "procession_handle_delay_seconds",
        Unit::Seconds,
        "From the time of an event to its first attempt, by the clocks of publisher and member.",
    ),
];

/// One topic that is published to.
struct Topic {
    accepted: Counter,
    stored: Counter,
    duplicate: Counter,
    refused: Counter,
    unknown: Counter,
    outstanding: Gauge,
    duration: Histogram,
}

impl Topic {
    fn new(topic: &str) -> Self {
        let result = |result: &'static str| {
            let topic = topic.to_owned();
            metrics::counter!("procession_publish_results_total", "topic" => topic, "result" => result)
        };
        let topic = || topic.to_owned();
        Self {
            accepted: metrics::counter!("procession_publish_accepted_total", "topic" => topic()),
            stored: result("stored"),
            duplicate: result("duplicate"),
            refused: result("refused"),
            unknown: result("unknown"),
            outstanding: metrics::gauge!("procession_publish_outstanding", "topic" => topic()),
            duration: metrics::histogram!(
                "procession_publish_duration_seconds", "topic" => topic()
            ),
        }
    }
}

/// Counts what a publisher does. As many topics as a bus has, as many times as its window.
#[derive(Default)]
struct Publisher {
    topics: HashMap<Arc<str>, Topic>,
    since: HashMap<(u128, u8), Time>,
}

impl Publisher {
    fn topic(&mut self, name: &Arc<str>) -> &Topic {
        let name = Arc::clone(name);
        self.topics
            .entry(name)
            .or_insert_with_key(|name| Topic::new(name))
    }
}

impl PublishObserver for Publisher {
    fn accepted(&mut self, message: &Outgoing) {
        self.since
            .insert((message.identity, message.copy), BootClock.now());
        let topic = self.topic(&message.topic);
        topic.accepted.increment(1);
        topic.outstanding.increment(1.0);
    }

    fn resolved(&mut self, message: &Outgoing, result: &Result<Stored, PublishError>) {
        let since = self.since.remove(&(message.identity, message.copy));
        let topic = self.topic(&message.topic);
        topic.outstanding.decrement(1.0);
        let counter = match result {
            Ok(stored) if stored.duplicate => &topic.duplicate,
            Ok(_) => &topic.stored,
            Err(PublishError::Unknown(_)) => &topic.unknown,
            Err(_) => &topic.refused,
        };
        counter.increment(1);
        // Two publishes of one identity at a time are measured once.
        if let Some(since) = since {
            topic.duration.record(elapsed(since));
        }
    }
}

/// Counts what a subscription does. As many attempts as its concurrency.
struct Subscription {
    topic: String,
    group: String,
    endings: [Counter; 6],
    duration: Histogram,
    delay: Histogram,
    running: Gauge,
    duplicates: Counter,
    passed: Counter,
    commits: Counter,
    owned: Gauge,
    since: HashMap<Fence, Time>,
    partitions: Vec<PartitionId>,
}

const ENDINGS: [&str; 6] = ["done", "retry", "reject", "panic", "timeout", "cancelled"];

impl Subscription {
    fn new(topic: &str, group: &str) -> Self {
        let labels = [("topic", topic.to_owned()), ("group", group.to_owned())];
        let endings = ENDINGS.map(|ending| {
            metrics::counter!(
                "procession_handle_attempts_total",
                "topic" => topic.to_owned(), "group" => group.to_owned(), "ending" => ending
            )
        });
        Self {
            topic: topic.to_owned(),
            group: group.to_owned(),
            endings,
            duration: metrics::histogram!("procession_handle_duration_seconds", &labels),
            delay: metrics::histogram!("procession_handle_delay_seconds", &labels),
            running: metrics::gauge!("procession_handlers_running", &labels),
            duplicates: metrics::counter!("procession_duplicates_total", &labels),
            passed: metrics::counter!("procession_passed_total", &labels),
            commits: metrics::counter!("procession_commits_total", &labels),
            owned: metrics::gauge!("procession_partitions_owned", &labels),
            since: HashMap::new(),
            partitions: Vec::new(),
        }
    }

    fn gives_up(&mut self, partition: PartitionId) {
        let before = self.partitions.len();
        self.partitions.retain(|owned| *owned != partition);
        if self.partitions.len() < before {
            self.owned.decrement(1.0);
        }
    }
}

impl Observer<Envelope> for Subscription {
    fn assigned(&mut self, partition: PartitionId, _epoch: Epoch, _position: Position) {
        if !self.partitions.contains(&partition) {
            self.partitions.push(partition);
            self.owned.increment(1.0);
        }
    }

    fn lost(&mut self, partition: PartitionId, _epoch: Epoch) {
        self.gives_up(partition);
    }

    fn released(&mut self, partition: PartitionId, _epoch: Epoch) {
        self.gives_up(partition);
    }

    fn started(&mut self, fence: &Fence, attempt: u32, message: &Envelope) {
        self.since.insert(*fence, BootClock.now());
        self.running.increment(1.0);
        if attempt == 1
            && let Some(time) = message.time()
            && let Ok(delay) = SystemTime::now().duration_since(time)
        {
            self.delay.record(delay.as_secs_f64());
        }
    }

    fn ended(&mut self, fence: &Fence, _attempt: u32, _message: &Envelope, ending: Ending) {
        if let Some(since) = self.since.remove(fence) {
            self.running.decrement(1.0);
            self.duration.record(elapsed(since));
        }
        let number = match ending {
            Ending::Done => 0,
            Ending::Retry => 1,
            Ending::Reject => 2,
            Ending::Panic => 3,
            Ending::Timeout => 4,
            Ending::Cancelled => 5,
        };
        if let Some(counter) = self.endings.get(number) {
            counter.increment(1);
        }
    }

    fn duplicate(&mut self, _partition: PartitionId, _position: Position, _message: &Envelope) {
        self.duplicates.increment(1);
    }

    fn passed(&mut self, _partition: PartitionId, _at: Position, _message: &Envelope, _why: Why) {
        self.passed.increment(1);
    }

    fn buried(&mut self, _partition: PartitionId, _at: Position, _message: &Envelope, why: Why) {
        let why = match why {
            Why::Exhausted => "exhausted",
            Why::Rejected => "rejected",
            Why::Malformed => "malformed",
            Why::TooLarge => "too-large",
            Why::Keyless => "keyless",
            Why::Parked => "parked",
            Why::Discarded => "discarded",
            Why::Expired => "expired",
            Why::Gap => "gap",
            Why::Suspect => "suspect",
        };
        let (topic, group) = (self.topic.clone(), self.group.clone());
        metrics::counter!(
            "procession_dead_letters_total", "topic" => topic, "group" => group, "why" => why
        )
        .increment(1);
    }

    fn committed(
        &mut self,
        _partition: PartitionId,
        _epoch: Epoch,
        _frontier: Position,
        _beyond: &[(Position, Position)],
    ) {
        self.commits.increment(1);
    }

    fn incident(&mut self, _: PartitionId, _: Position, incident: Incident, _why: &str) {
        let incident = match incident {
            Incident::Gap => "gap",
            Incident::Session => "session",
            Incident::Reset => "reset",
            Incident::Rewritten => "rewritten",
            Incident::Notice => "notice",
        };
        let (topic, group) = (self.topic.clone(), self.group.clone());
        metrics::counter!(
            "procession_incidents_total",
            "topic" => topic, "group" => group, "incident" => incident
        )
        .increment(1);
    }
}

/// A subscription that is dropped leaves nothing on its gauges.
impl Drop for Subscription {
    fn drop(&mut self) {
        let count = |len: usize| f64::from(u32::try_from(len).unwrap_or(u32::MAX));
        self.running.decrement(count(self.since.len()));
        self.owned.decrement(count(self.partitions.len()));
    }
}

fn elapsed(since: Time) -> f64 {
    Duration::from(BootClock.now().since(since)).as_secs_f64()
}

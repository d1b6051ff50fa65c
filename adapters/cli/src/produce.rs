//! `produce`: publishes messages with per-key sequences, and says what became of each.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use procession::observe::{NoPublishObserver, Observe, PublishObserver};
use procession::settings::TopicSettings;
use procession::{Bus, Envelope, EnvelopeError, PublishError, Settings, TopicMode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::args::ProduceArgs;
use crate::compare::Latency;
use crate::failure::Failure;
use crate::history::{History, Line, Named, PublisherLines};
use crate::signals::Stop;
use crate::terminal;
use crate::work::failure_of;

/// Keys are dealt out to so many senders at most; each waits for one acknowledgement at a time.
const SENDERS_MAX: u32 = 4_096;
/// Closing may take this long.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What became of the messages.
#[derive(Debug)]
pub(crate) struct Produced {
    topic: String,
    partitions: u32,
    accepted: u64,
    stored: u64,
    duplicates: u64,
    refused: u64,
    unknown: u64,
    /// Records that the log holds, when it was read back.
    logged: Option<u64>,
    seconds: f64,
    latency: Latency,
    first_error: Option<String>,
}

struct Producing {
    bus: Bus,
    args: ProduceArgs,
    prefix: String,
    filler: Bytes,
    stop: Stop,
    begun: Instant,
    slots: AtomicU64,
    accepted: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    refused: AtomicU64,
    unknown: AtomicU64,
    latency: Mutex<Latency>,
    first_error: Mutex<Option<String>>,
    /// Messages that can never be published, whatever the broker does: wrong use.
    wrong: OnceLock<String>,
}

/// Publishes everything, or until the process is asked to end.
pub(crate) async fn produce(
    args: &ProduceArgs,
    url: &str,
    history: Option<&Arc<History>>,
    stop: Stop,
) -> Result<Produced, Failure> {
    let lines = history.map(Arc::clone);
    let bus = Bus::builder(url)
        .settings(settings(args))
        .observer(Arc::new(Lines(lines)))
        .connect()
        .await
        .map_err(|e| failure_of(url, &e))?;
    let topic = bus
        .topic(&args.topic)
        .await
        .map_err(|e| failure_of(url, &e))?;
    if let Some(asked) = args.partitions.filter(|p| *p != topic.partitions) {
        return Err(Failure::usage(format!(
            "--partitions {asked}: the topic {} exists with {} partitions; leave the option out, or \
             name another topic",
            args.topic, topic.partitions
        )));
    }
    let producing = Arc::new(Producing {
        bus,
        args: args.clone(),
        prefix: args
            .key_prefix
            .clone()
            .unwrap_or_else(|| terminal::random_name("run")),
        filler: filler(args),
        stop,
        begun: Instant::now(),
        slots: AtomicU64::default(),
        accepted: AtomicU64::default(),
        stored: AtomicU64::default(),
        duplicates: AtomicU64::default(),
        refused: AtomicU64::default(),
        unknown: AtomicU64::default(),
        latency: Mutex::default(),
        first_error: Mutex::default(),
        wrong: OnceLock::new(),
    });
    let bar = terminal::bar(&args.topic, args.count);
    let mut senders = JoinSet::new();
    let count = args.keys.min(SENDERS_MAX);
    for first in 0..count {
        let producing = Arc::clone(&producing);
        senders.spawn(async move { producing.send_all(first, count).await });
    }
    while let Some(ended) = senders.join_next().await {
        bar.set_position(producing.stored.load(Relaxed));
        if let Err(error) = ended {
            producing.note(format!("a sender: {error}"));
        }
    }
    bar.finish_and_clear();
    let seconds = producing.begun.elapsed().as_secs_f64();
    let logged = match args.audit {
        true => Some(producing.audit(history, url).await?),
        false => None,
    };
    let closed = producing.bus.close(CLOSE_WITHIN).await;
    if let Err(error) = closed {
        producing.note(error.to_string());
    }
    if let Some(wrong) = producing.wrong.get() {
        return Err(Failure::usage(wrong.clone()));
    }
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    Ok(Produced {
        topic: args.topic.clone(),
        partitions: topic.partitions,
        accepted: read(&producing.accepted),
        stored: read(&producing.stored),
        duplicates: read(&producing.duplicates),
        refused: read(&producing.refused),
        unknown: read(&producing.unknown),
        logged,
        seconds,
        latency: producing
            .latency
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone(),
        first_error: producing
            .first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(),
    })
}

impl Producing {
    /// Sends the keys `first`, `first + step`, ...: sequence by sequence, so that all keys grow
    /// alike. Message number n of all is sequence `n / keys + 1` of key `n % keys`.
    async fn send_all(&self, first: u32, step: u32) {
        let keys = u64::from(self.args.keys);
        for seq in 1.. {
            if (seq - 1) * keys + u64::from(first) >= self.args.count {
                return;
            }
            for key in (first..self.args.keys).step_by(step as usize) {
                if (seq - 1) * keys + u64::from(key) >= self.args.count {
                    return;
                }
                self.wait_for_slot().await;
                if self.stop.is_asked() || self.wrong.get().is_some() {
                    return;
                }
                self.send(key, seq).await;
            }
        }
    }

    /// With `--rate` every message has its time.
    async fn wait_for_slot(&self) {
        if let Some(rate) = self.args.rate {
            let slot = self.slots.fetch_add(1, Relaxed) as f64 / rate;
            let due = self.begun + Duration::from_secs_f64(slot);
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.stop.asked() => {}
            }
        }
    }

    async fn send(&self, key: u32, seq: u64) {
        let key = format!("{}-{key}", self.prefix);
        let envelope = Envelope::builder("Produced")
            .id(format!("{key}-{seq}"))
            .key(key)
            .sequence(seq)
            .payload(self.filler.clone(), "application/octet-stream");
        let envelope = match envelope {
            Ok(envelope) => envelope,
            Err(error) => return self.is_wrong(&error),
        };
        let begun = Instant::now();
        loop {
            let result = self.bus.publish(&self.args.topic, envelope.clone()).await;
            // Nothing was sent: the same message waits for room once more.
            if result == Err(PublishError::Full) && !self.stop.is_asked() {
                continue;
            }
            if let Err(PublishError::Invalid(error)) = &result {
                return self.is_wrong(error);
            }
            self.accepted.fetch_add(1, Relaxed);
            match result {
                Ok(stored) => {
                    self.stored.fetch_add(1, Relaxed);
                    self.duplicates
                        .fetch_add(u64::from(stored.duplicate), Relaxed);
                    let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    self.latency
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .record(nanos);
                }
                Err(error @ PublishError::Unknown(_)) => {
                    self.unknown.fetch_add(1, Relaxed);
                    self.note(error.to_string());
                }
                Err(error) => {
                    self.refused.fetch_add(1, Relaxed);
                    self.note(error.to_string());
                }
            }
            return;
        }
    }

    fn is_wrong(&self, error: &EnvelopeError) {
        let (payload, prefix) = (self.args.payload, &self.prefix);
        let text = format!("--payload {payload}, --key-prefix {prefix}: {error}");
        let _the_first_counts = self.wrong.set(text);
    }

    fn note(&self, error: String) {
        let mut first = self
            .first_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert(error);
    }

    /// Reads the log back: what it holds is what was stored, whatever was said.
    async fn audit(&self, history: Option<&Arc<History>>, url: &str) -> Result<u64, Failure> {
        let log = self
            .bus
            .audit(&self.args.topic)
            .await
            .map_err(|e| failure_of(url, &e))?;
        if let Some(history) = history {
            for (partition, position, envelope) in &log {
                let name = Named::of(envelope);
                history.write(
                    Line::new("logged")
                        .text("topic", &self.args.topic)
                        .maybe_text("key", name.key.as_deref())
                        .text("id", &name.id)
                        .maybe("seq", name.seq)
                        .num("partition", (*partition).into())
                        .num("position", position.0),
                );
            }
        }
        Ok(log.len() as u64)
    }
}

impl Produced {
    pub(crate) fn json(&self) -> Value {
        json!({
            "version": 1, "topic": self.topic, "partitions": self.partitions,
            "accepted": self.accepted, "stored": self.stored, "duplicates": self.duplicates,
            "refused": self.refused, "unknown": self.unknown, "logged": self.logged,
            "seconds": self.seconds, "throughput_per_s": self.throughput(),
            "publish_latency_us": self.latency.json(),
        })
    }

    pub(crate) fn say(&self) -> String {
        let logged = self
            .logged
            .map_or_else(String::new, |n| format!(", {n} in the log"));
        format!(
            "{} stored in {} ({} partitions){logged}, {} refused, {} unknown; {:.0} a second, \
             acknowledged in {} us (p50), {} us (p99)",
            self.stored,
            self.topic,
            self.partitions,
            self.refused,
            self.unknown,
            self.throughput(),
            self.latency.at(0.5),
            self.latency.at(0.99)
        )
    }

    /// Why not everything is stored.
    pub(crate) fn fault(&self) -> Option<String> {
        let missing = self.refused + self.unknown;
        let error = self.first_error.as_deref().unwrap_or("no reason was given");
        (missing > 0 || self.first_error.is_some()).then(|| {
            format!(
                "unresolved: {} refused and {} unknown of {}; the first: {error}",
                self.refused, self.unknown, self.accepted
            )
        })
    }

    fn throughput(&self) -> f64 {
        if self.seconds > 0.0 {
            self.stored as f64 / self.seconds
        } else {
            0.0
        }
    }
}

struct Lines(Option<Arc<History>>);

impl Observe for Lines {
    fn publisher(&self) -> Box<dyn PublishObserver> {
        match &self.0 {
            Some(history) => Box::new(PublisherLines {
                history: Arc::clone(history),
            }),
            None => Box::new(NoPublishObserver),
        }
    }
}

fn settings(args: &ProduceArgs) -> Settings {
    let mut settings = Settings::default();
    settings.bus.topics = Some(TopicMode::Create);
    settings.bus.source = Some("procession-produce".into());
    let mut topic = TopicSettings::default();
    topic.partitions = args.partitions;
    settings.topics.insert(args.topic.clone(), topic);
    settings
}

/// Bytes that do not compress to nothing, the same for every message of a run.
fn filler(args: &ProduceArgs) -> Bytes {
    let mut state = args.seed | 1;
    (0..args.payload)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            // The high bits are the good ones.
            (state >> 56) as u8
        })
        .collect::<Vec<_>>()
        .into()
}

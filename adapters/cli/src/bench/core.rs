//! The core alone: what a message costs from its arrival to its commit.

// The life of a message that the benches of the core drive, too.
#[path = "../../../../core/benches/life/mod.rs"]
mod life;

use life::{Bus, Life, Nothing, consumer};
use procession_core::{Config, Consumer};
use procession_counting::{Allocations, count};
use serde_json::{Value, json};

use super::Estimate;
use super::clock::thread_time;
use super::report::{cores, machine_load, thousandths};
use crate::terminal;

/// Batches of 64 messages of one sample.
const BATCHES: u32 = 1_000;
const SAMPLES: u32 = 41;
const IN_FLIGHT: usize = 64;
const PARTITIONS: u32 = 16;
const KEYS: u64 = 100_000;

/// What the core costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CoreReport {
    nanos: Estimate,
    /// `None` when this program does not count its allocations.
    allocations: Option<f64>,
    bytes: Option<f64>,
    keys: Estimate,
    partitions: Estimate,
}

/// Measures the core in processor time of this thread. Figures come from interleaved samples; what
/// driving it costs is measured beside each and subtracted.
pub(crate) fn run() -> CoreReport {
    let progress = terminal::spinner("the core alone");
    let mut usual = Sample::new(PARTITIONS, KEYS, IN_FLIGHT);
    let nanos = Estimate::of((0..SAMPLES).map(|_| usual.nanos()));
    // Of 10 keys only so many messages can run at once: the same for both.
    let keys = ratio(
        &mut Sample::new(PARTITIONS, 1_000_000, 5),
        &mut Sample::new(PARTITIONS, 10, 5),
    );
    let partitions = ratio(
        &mut Sample::new(1_000, KEYS, IN_FLIGHT),
        &mut Sample::new(1, KEYS, IN_FLIGHT),
    );
    let allocations = usual.allocations();
    progress.finish_and_clear();
    CoreReport {
        nanos,
        allocations,
        bytes: bytes_per_message(),
        keys,
        partitions,
    }
}

/// A core in its steady state, and the same without a core.
struct Sample {
    core: Life<Consumer<u64>>,
    nothing: Life<Nothing>,
    in_flight: usize,
}

impl Sample {
    fn new(partitions: u32, keys: u64, in_flight: usize) -> Self {
        let mut sample = Self {
            core: Life::new(consumer(partitions), partitions, keys, in_flight),
            nothing: Life::new(Nothing::default(), partitions, keys, in_flight),
            in_flight,
        };
        // Tables full, blocks of the window in rotation.
        for _ in 0..4 {
            sample.nanos();
        }
        sample
    }

    /// What the core takes for a message.
    fn nanos(&mut self) -> f64 {
        let driven = nanos(&mut self.core, self.in_flight);
        driven - nanos(&mut self.nothing, self.in_flight)
    }

    fn allocations(&mut self) -> Option<f64> {
        let before = self.core.finished;
        let (Allocations { calls, .. }, ()) = count(|| {
            for _ in 0..BATCHES {
                self.core.batch(self.in_flight);
            }
        })?;
        Some(calls as f64 / (self.core.finished - before).max(1) as f64)
    }
}

fn nanos<B: Bus>(life: &mut Life<B>, in_flight: usize) -> f64 {
    let before = life.finished;
    let begin = thread_time();
    for _ in 0..BATCHES {
        life.batch(in_flight);
    }
    let took = (thread_time() - begin).as_nanos() as f64;
    took / (life.finished - before).max(1) as f64
}

/// What `many` costs over what `few` costs.
fn ratio(many: &mut Sample, few: &mut Sample) -> Estimate {
    Estimate::of((0..SAMPLES).map(|_| many.nanos() / few.nanos()))
}

/// Memory for each message in flight, as its budget counts it: its slot, and its share of the
/// chains and bitmaps. The message itself and the tables of keys and of ids are apart, and so is its
/// place in the window (12 bytes: position, digest, place of the identity), which finished messages have as well.
fn bytes_per_message() -> Option<f64> {
    let held = |messages: u32, window_pool: u32| {
        let mut config = Config {
            window_pool,
            ..Config::default()
        };
        config.dedupe.ids = 0;
        config.limits.messages = messages;
        config.limits.partition_messages = messages;
        let (allocations, core) = count(|| Consumer::<u64>::new(&config))?;
        core.ok().map(|_| allocations.bytes as f64)
    };
    // Tables of keys come in powers of two: between these two numbers of slots it is the same one.
    let (few, many) = (45_000, 60_000);
    let pool = 1 << 18;
    let slot = (held(many, pool)? - held(few, pool)?) / f64::from(many - few);
    let window = (held(few, 2 * pool)? - held(few, pool)?) / f64::from(pool);
    let message = size_of::<Option<u64>>();
    Some(slot + window - message as f64 - 12.0)
}

impl CoreReport {
    pub(crate) fn json(&self) -> Value {
        json!({
            "version": 1,
            "procession": env!("CARGO_PKG_VERSION"),
            "conditions": {"cores": cores(), "load_average": machine_load()},
            "core": {
                "ns_per_message": thousandths(self.nanos.median),
                "ns_low": thousandths(self.nanos.low),
                "ns_high": thousandths(self.nanos.high),
                "allocations_per_message": self.allocations,
                "bytes_per_message": self.bytes.map(thousandths),
                "keys_ratio": thousandths(self.keys.median),
                "partitions_ratio": thousandths(self.partitions.median),
            },
        })
    }

    pub(crate) fn text(&self) -> String {
        let known =
            |value: Option<f64>| value.map_or_else(|| "unknown".into(), |v| format!("{v:.1}"));
        format!(
            "{:.1} ns a message ({:.1} to {:.1}), {KEYS} keys, {PARTITIONS} partitions, {IN_FLIGHT} in flight\n\
             {} allocations a message in the steady state\n\
             {} bytes for each message in flight, without the message and the tables of keys and ids\n\
             {:.2} ({:.2} to {:.2}) times the cost at 1,000,000 keys over 10\n\
             {:.2} ({:.2} to {:.2}) times the cost at 1,000 partitions over 1",
            self.nanos.median,
            self.nanos.low,
            self.nanos.high,
            known(self.allocations),
            known(self.bytes),
            self.keys.median,
            self.keys.low,
            self.keys.high,
            self.partitions.median,
            self.partitions.low,
            self.partitions.high,
        )
    }
}

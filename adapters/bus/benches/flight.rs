//! What the flight recorder costs: processor time of a subscription on `memory://` with a handler that
//! does nothing, with and without it. No broker is cheaper, so nowhere is the share of the recorder
//! larger.
//!
//! Two subscriptions, one with a recorder and one without, each on a runtime and a broker of its own.
//! They take turns, so that whatever else the machine does meets both; a runtime that is not being
//! polled stands still. The publishers' runtime runs in between, and is not measured. A turn is as many
//! messages as half of the ring holds, so that each has a snapshot in it; each is published right before it
//! is handled, or whoever has the fresher ones would win (2 percent). Told is the median of the ratios of
//! two turns, its 95 percent interval, and their quartiles. `off` measures no recorder
//! against none: what it tells beside 0 is wrong with the bench. With the allocator of the command line: how the C library's
//! goes on depends on what it was asked before, and that is more than what is to be measured.
//!
//! ```sh
//! cargo bench -p procession --bench flight               # all sizes
//! cargo bench -p procession --bench flight -- 4MiB 99    # one size, so many pairs of turns
//! cargo bench -p procession --bench flight -- off 99 46000    # turns of so many messages
//! cargo bench -p procession --bench flight -- 4MiB 60 46000 nats://127.0.0.1:4222    # on a real broker
//! ```
//!
//! On a real broker a subscription waits for messages now and then; the processor time is that of the client and
//! the bus together, without the broker's. The topics that it makes stay there, in the broker's
//! memory: 40 MB a pair of turns of 46,000.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mimalloc::MiMalloc;
use procession::settings::TopicSettings;
use procession::{Bus, Context, Envelope, Storage, Subscription, TopicMode, raw};
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const KEYS: u64 = 1_000;
/// Messages of each side, unless something else is asked for.
const MESSAGES: u64 = 3_000_000;
/// Bytes of the ring for a message that goes the usual way.
const EACH: u64 = 46;

/// Nanoseconds of processor time of this process.
fn spent() -> i64 {
    let at = clock_gettime(ClockId::ProcessCPUTime);
    at.tv_sec * 1_000_000_000 + at.tv_nsec
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

async fn connect(broker: &str, topic: &str) -> Bus {
    let mut own = TopicSettings::default();
    own.storage = Storage::Memory;
    let topic = topic.to_owned();
    Bus::builder(broker)
        .with(|settings| {
            settings.bus.memory_log_bytes = 512 << 20;
            settings.bus.topics = Some(TopicMode::Create);
            settings.topics.insert(topic, own);
        })
        .connect()
        .await
        .unwrap()
}

/// A subscription on a runtime of its own.
struct Side {
    runtime: Runtime,
    done: Arc<AtomicU64>,
    publisher: Bus,
    topic: String,
    /// The broker is another process.
    waits: bool,
    published: u64,
    _kept: (Bus, Subscription),
}

impl Side {
    fn new(publishers: &Runtime, broker: &str, topic: String, recorder: u64) -> Self {
        let publisher = publishers.block_on(connect(broker, &topic));
        let runtime = runtime();
        let done = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&done);
        let handler = raw(move |_envelope: Envelope, _cx: Context| {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        let kept = runtime.block_on(async {
            let bus = connect(broker, &topic).await;
            let subscribe = bus.subscribe(&topic, "crew", handler);
            let subscription = subscribe
                .with(move |settings| settings.flight_recorder = recorder)
                .await
                .unwrap();
            (bus, subscription)
        });
        Self {
            runtime,
            done,
            publisher,
            topic,
            waits: !broker.starts_with("memory:"),
            published: 0,
            _kept: kept,
        }
    }

    fn publish(&mut self, publishers: &Runtime, messages: u64) {
        let envelope = |number: u64| {
            Envelope::builder("Flown")
                .id(number.to_string())
                .key(format!("key-{}", number % KEYS))
                .sequence(number)
                .payload(vec![b'x'; 256], "text/plain")
                .unwrap()
        };
        let until = self.published + messages;
        publishers.block_on(async {
            while self.published < until {
                let all = (0..1_000).map(|n| envelope(self.published + n));
                for stored in self.publisher.publish_all(&self.topic, all).await {
                    stored.unwrap();
                }
                self.published += 1_000;
            }
        });
    }

    /// Handles what was published. Nanoseconds of processor time a message.
    fn turn(&self) -> f64 {
        let (begin, first) = (spent(), self.done.load(Ordering::Relaxed));
        self.runtime.block_on(async {
            while self.done.load(Ordering::Relaxed) < self.published {
                if self.waits {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
        });
        (spent() - begin) as f64 / (self.published - first) as f64
    }
}

/// Of so many hundredths of all values.
fn quantile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[(values.len() - 1) * percent / 100]
}

/// The 95 percent interval of the median: as many values are below the true one as heads come up in so many
/// throws of a coin, give or take two standard deviations. Of a few values it is all of them, and says less.
fn interval(values: &mut [f64]) -> (f64, f64) {
    values.sort_unstable_by(f64::total_cmp);
    let (half, off) = (values.len() as f64 / 2.0, (values.len() as f64).sqrt());
    let last = values.len().saturating_sub(1);
    let at = |place: f64| values[(place.max(0.0) as usize).min(last)];
    (at((half - off).floor()), at((half + off).ceil()))
}

fn measure(
    (name, recorder): (&str, u64),
    broker: Option<&str>,
    (pairs, turn): (Option<u64>, Option<u64>),
) {
    let publishers = runtime();
    let side = |which: &str, recorder| {
        let own = format!("memory://{name}-{which}");
        let topic = format!("flights-{}-{which}", std::process::id());
        Side::new(&publishers, broker.unwrap_or(&own), topic, recorder)
    };
    let (mut off, mut on) = (side("off", 0), side("on", recorder));
    let half = (recorder / 2 / EACH).max(10_000).next_multiple_of(1_000);
    let turn = turn.unwrap_or(half);
    let pairs = pairs.unwrap_or(MESSAGES / turn);
    // The first messages meet memory that was never touched.
    for side in [&mut off, &mut on] {
        side.publish(&publishers, turn.max(200_000));
        side.turn();
    }
    let (mut without, mut ratios) = (Vec::new(), Vec::new());
    let go = |side: &mut Side| {
        side.publish(&publishers, turn);
        side.turn()
    };
    for pair in 0..pairs {
        let (recorded, alone) = if pair % 2 == 0 {
            (go(&mut on), go(&mut off))
        } else {
            let alone = go(&mut off);
            (go(&mut on), alone)
        };
        without.push(alone);
        ratios.push(recorded / alone);
    }
    let percent = |ratio: f64| 100.0 * (ratio - 1.0);
    let (low, high) = interval(&mut ratios);
    println!(
        "{name:>6}: {:5.0} ns a message without; with it {:+.1} % (95 % interval {:+.1} to {:+.1}; \
         half of all pairs {:+.1} to {:+.1}); {pairs} pairs of {turn}",
        quantile(&mut without, 50),
        percent(quantile(&mut ratios, 50)),
        percent(low),
        percent(high),
        percent(quantile(&mut ratios, 25)),
        percent(quantile(&mut ratios, 75)),
    );
}

fn main() {
    let arguments = std::env::args().skip(1).filter(|a| !a.starts_with("--"));
    let (brokers, arguments): (Vec<_>, Vec<_>) = arguments.partition(|a| a.contains("://"));
    let mut arguments = arguments.into_iter();
    let only = arguments.next();
    let mut number = || arguments.next().map(|count| count.parse().unwrap());
    let (pairs, turn) = (number(), number());
    println!("{KEYS} keys, 256 bytes, processor time");
    for (name, recorder) in [
        ("off", 0),
        ("1MiB", 1 << 20),
        ("4MiB", 4 << 20),
        ("16MiB", 16 << 20),
    ] {
        if only.as_deref().is_none_or(|only| only == name) {
            let broker = brokers.first().map(String::as_str);
            measure((name, recorder), broker, (pairs, turn));
        }
    }
}

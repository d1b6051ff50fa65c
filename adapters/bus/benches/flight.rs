//! What the flight recorder costs: processor time of a subscription on `memory://` with a handler that
//! does nothing, with and without it, in interleaved pairs. No broker is cheaper, so nowhere is the
//! share of the recorder larger. The first messages, which meet memory that was never touched, are
//! not measured.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procession::{Bus, Context, Envelope, raw};
use rustix::time::{ClockId, clock_gettime};

const WARM: u64 = 140_000;
const MESSAGES: u64 = 80_000;
const KEYS: u64 = 1_000;
const PAIRS: usize = 9;

/// Nanoseconds of processor time of this process.
fn spent() -> i64 {
    let at = clock_gettime(ClockId::ProcessCPUTime);
    at.tv_sec * 1_000_000_000 + at.tv_nsec
}

/// Nanoseconds of processor time a message, publishing aside.
async fn run(recorder: u64) -> f64 {
    let bus = Bus::builder("memory://")
        .with(|settings| settings.bus.memory_log_bytes = 2 << 30)
        .connect()
        .await
        .unwrap();
    let envelope = |number: u64| {
        Envelope::builder("Flown")
            .id(number.to_string())
            .key(format!("key-{}", number % KEYS))
            .sequence(number)
            .payload(vec![b'x'; 256], "text/plain")
            .unwrap()
    };
    for chunk in 0..(WARM + MESSAGES) / 1_000 {
        let all = (0..1_000).map(|n| envelope(chunk * 1_000 + n));
        for stored in bus.publish_all("flights", all).await {
            stored.unwrap();
        }
    }
    let done = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&done);
    let handler = raw(move |_envelope: Envelope, _cx: Context| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    let subscription = bus
        .subscribe("flights", "crew", handler)
        .with(move |settings| settings.flight_recorder = recorder)
        .await
        .unwrap();
    let until = async |least| loop {
        let now = done.load(Ordering::Relaxed);
        if now >= least {
            return (spent(), now);
        }
        tokio::task::yield_now().await;
    };
    let (before, first) = until(WARM).await;
    let (after, last) = until(WARM + MESSAGES).await;
    subscription.drain(Duration::from_secs(5)).await.unwrap();
    (after - before) as f64 / (last - first) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    println!("{MESSAGES} messages of {KEYS} keys, {PAIRS} pairs, processor time a message");
    for (name, recorder) in [
        ("off", 0),
        ("1 MiB", 1 << 20),
        ("4 MiB", 4 << 20),
        ("16 MiB", 16 << 20),
    ] {
        let (mut without, mut ratios) = (Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let one = |bytes| runtime.block_on(run(bytes));
            let (off, on) = if pair % 2 == 0 {
                (one(0), one(recorder))
            } else {
                let on = one(recorder);
                (one(0), on)
            };
            without.push(off);
            ratios.push(on / off);
        }
        let (without, ratio) = (median(without), median(ratios));
        println!(
            "{name:>7}: {without:6.0} ns without, {:+.1} % with it",
            100.0 * (ratio - 1.0)
        );
    }
}

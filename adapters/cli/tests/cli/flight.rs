//! What the flight recorder of a running subscription writes, `replay` plays again in another process.

use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procession::settings::SubscribeSettings;
use procession::{Bus, Context, Envelope, HandlerError, raw};
use procession_cli::brokers::{Kafka, KafkaOptions, Nats, NatsOptions};
use procession_sim::{Call, Failure, parse};

use super::support::{
    brokers_dir, kafka_or_skip, nats_or_skip, procession, status, stderr, stdout,
};

/// A subscription with a recorder that has handled `messages` messages of 20 keys, a few of which
/// failed at first, and the report of it.
async fn flown(url: &str, messages: u64, change: fn(&mut SubscribeSettings)) -> String {
    let bus = Bus::builder(url)
        .with(|settings| {
            settings.bus.topics = Some(procession::TopicMode::Create);
        })
        .connect()
        .await
        .unwrap();
    let topic = format!("flights-{messages}");
    let done = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&done);
    let handler = raw(move |envelope: Envelope, cx: Context| {
        let counted = Arc::clone(&counted);
        async move {
            let number = envelope.sequence().unwrap_or(0);
            if number % 50 == 7 && cx.attempt() == 1 {
                return Err(HandlerError::new("at first"));
            }
            if number.is_multiple_of(3) {
                tokio::task::yield_now().await;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, "crew", handler)
        .with(move |settings| {
            settings.flight_recorder = 1 << 20;
            settings.backoff_first = Duration::from_millis(1);
            settings.dedupe_ids = 1_000;
            change(settings);
        })
        .await
        .unwrap();
    let envelopes = (0..messages).map(|number| {
        Envelope::builder("Flown")
            .id(format!("secret-id-{number}"))
            .key(format!("secret-key-{}", number % 20))
            .sequence(number)
            .payload("secret payload", "text/plain")
            .unwrap()
    });
    for stored in bus.publish_all(&topic, envelopes).await {
        stored.unwrap();
    }
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while done.load(Ordering::SeqCst) < messages {
        assert!(
            tokio::time::Instant::now() < patience,
            "{done:?} of {messages}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let text = subscription.record().await.unwrap();
    subscription.drain(Duration::from_secs(5)).await.unwrap();
    text
}

fn replay(file: &Path) -> Output {
    procession().arg("replay").arg(file).output().unwrap()
}

/// The report replays bit for bit in a process of its own, has what happened in it, and no names.
fn check(text: &str, least: usize) -> Failure {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("flight.procfail");
    std::fs::write(&file, text).unwrap();
    let output = replay(&file);
    assert_eq!(status(&output), 0, "{}{}", stdout(&output), stderr(&output));
    assert!(
        stdout(&output).contains("as recorded"),
        "{}",
        stdout(&output)
    );
    let (failure, right) = parse(text).unwrap();
    assert!(right && failure.origin == "recorder" && failure.world.is_none());
    let settles = failure.tape.steps.iter();
    let settles = settles
        .filter(|s| matches!(s.call, Call::Settle(..)))
        .count();
    assert!(settles >= least, "{settles} settles, at least {least}");
    assert!(!text.contains("secret"), "a name is in the report");
    failure
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_run_replays_bit_for_bit() {
    let text = flown("memory://", 500, |_| {}).await;
    let failure = check(&text, 500);
    assert_eq!(failure.tape.steps[0].call, Call::Start);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_run_replays_from_its_snapshot() {
    let small = |settings: &mut SubscribeSettings| {
        settings.flight_recorder = 64 << 10;
        settings.on_give_up = procession::OnGiveUp::Park;
    };
    let text = flown("memory://", 3_000, small).await;
    let failure = check(&text, 50);
    assert!(matches!(failure.tape.steps[0].call, Call::Restore(_)));
}

/// Done when 6 of the simulator: a forced report of a real server replays bit for bit.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_nats_replays_bit_for_bit() {
    if !nats_or_skip("a_run_on_nats_replays_bit_for_bit") {
        return;
    }
    let options = NatsOptions {
        brokers_dir: Some(brokers_dir()),
        ..NatsOptions::default()
    };
    let server = Nats::start(options).unwrap();
    check(&flown(&server.url, 1_000, |_| {}).await, 1_000);
    let text = flown(&server.url, 3_000, |s| s.flight_recorder = 64 << 10).await;
    let failure = check(&text, 50);
    assert!(matches!(failure.tape.steps[0].call, Call::Restore(_)));
}

/// Done when 6 of the simulator: the same on Kafka.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_kafka_replays_bit_for_bit() {
    if !kafka_or_skip("a_run_on_kafka_replays_bit_for_bit") {
        return;
    }
    let options = KafkaOptions {
        brokers_dir: Some(brokers_dir()),
        ..KafkaOptions::default()
    };
    let server = Kafka::start(options).unwrap();
    check(&flown(&server.url, 1_000, |_| {}).await, 1_000);
    let text = flown(&server.url, 3_000, |s| s.flight_recorder = 64 << 10).await;
    let failure = check(&text, 50);
    assert!(matches!(failure.tape.steps[0].call, Call::Restore(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_report_is_refused() {
    let text = flown("memory://", 3_000, |s| s.flight_recorder = 64 << 10).await;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("flight.procfail");
    for part in 0..16 {
        let mut bytes = text.clone().into_bytes();
        let at = bytes.len() * part / 16 + 30;
        bytes[at] = if bytes[at] == b'7' { b'8' } else { b'7' };
        std::fs::write(&file, &bytes).unwrap();
        let output = replay(&file);
        let (said, wrong) = (stdout(&output), stderr(&output));
        assert!(
            [2, 3].contains(&status(&output)),
            "byte {at}: {said}{wrong}"
        );
        let clear = [
            "not a failure report: line ",
            "was changed after it was written",
        ];
        assert!(
            clear.iter().any(|c| wrong.contains(c)),
            "byte {at}: {said}{wrong}"
        );
    }
}

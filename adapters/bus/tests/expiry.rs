//! Messages that are not worth handling any more, and handlers that do not stop.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use common::{PATIENCE, Seen, bus, order, quick, until};
use procession::{Bus, Context, Envelope, Expired, OnHung, raw};

fn expiring(key: &str, sequence: u64, at: SystemTime) -> Envelope {
    Envelope::builder("OrderPlaced")
        .key(key)
        .sequence(sequence)
        .expires_at(at)
        .json(&sequence)
        .unwrap()
}

/// One that expired long ago between two that are well, and one that will expire in an hour.
async fn publish_some(bus: &Bus) {
    let (past, hour) = (SystemTime::UNIX_EPOCH, Duration::from_secs(3_600));
    let envelopes = [
        order("a", 1),
        expiring("a", 2, past),
        order("a", 3),
        expiring("a", 4, SystemTime::now() + hour),
    ];
    for stored in bus.publish_all("orders", envelopes).await {
        stored.unwrap();
    }
}

async fn handled(on_expired: Expired, count: usize) -> (Bus, Vec<u64>, u64) {
    let bus = bus().await;
    publish_some(&bus).await;
    let (seen, mut arrived) = Seen::new();
    let subscription = bus
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .with(move |settings| settings.on_expired = on_expired)
        .await
        .unwrap();
    let all = arrived.take(count).await;
    let past = || {
        let health = subscription.health();
        let mut frontiers = health.partitions.iter().filter_map(|p| p.frontier);
        frontiers.any(|frontier| frontier.0 >= 5)
    };
    until(past).await;
    let expired = subscription.health().stats.expired;
    drop(subscription);
    (bus, all.into_iter().map(|(_, n)| n).collect(), expired)
}

#[tokio::test]
async fn unless_asked_for_a_message_runs_whatever_it_says_of_its_time() {
    let (_bus, all, expired) = handled(Expired::Run, 4).await;
    assert_eq!((all, expired), (vec![1, 2, 3, 4], 0));
}

#[tokio::test]
async fn an_expired_message_ends_in_its_turn_and_is_counted() {
    let (bus, all, expired) = handled(Expired::Report, 3).await;
    assert_eq!((all, expired), (vec![1, 3, 4], 1));
    assert!(bus.audit("orders-dlq-g").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_expired_message_is_dead_lettered_where_that_is_asked_for() {
    let (bus, all, expired) = handled(Expired::DeadLetter, 3).await;
    assert_eq!((all, expired), (vec![1, 3, 4], 1));
    let letters = bus.audit("orders-dlq-g").await.unwrap();
    let [(_, _, letter)] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert_eq!(letter.header("procession-dlq-why"), Some(&b"expired"[..]));
    // What it said of its time is still there.
    assert_eq!(letter.expires_at(), Some(SystemTime::UNIX_EPOCH));
}

/// A handler that blocks its thread cannot be cancelled; here its owner does not wait for it (S1 is given
/// up for its key).
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_does_not_stop_can_be_given_up() {
    let bus = bus().await;
    let (attempts, ended) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let handler = {
        let (attempts, ended) = (Arc::clone(&attempts), Arc::clone(&ended));
        raw(move |envelope: Envelope, context: Context| {
            attempts.fetch_add(1, Ordering::SeqCst);
            let ended = Arc::clone(&ended);
            async move {
                tokio::task::yield_now().await;
                if (envelope.sequence(), context.attempt()) == (Some(1), 1) {
                    std::thread::sleep(Duration::from_secs(3));
                }
                ended.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
    };
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .with(|settings| {
            settings.handler_timeout = Duration::from_millis(50);
            settings.cancel_grace = Duration::from_millis(50);
            settings.on_hung = OnHung::Abandon;
        })
        .await
        .unwrap();
    // Where a worker blocks, only another one that waits can notice that a time has come.
    let ticks = tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    bus.publish("orders", order("a", 1)).await.unwrap();
    bus.publish("orders", order("a", 2)).await.unwrap();
    until(|| subscription.health().stats.done == 2).await;
    // The first attempt still blocks its thread.
    assert_eq!(ended.load(Ordering::SeqCst), 2);
    assert_eq!(attempts.load(Ordering::SeqCst), 3);
    assert_eq!(subscription.health().stats.failed, 1);
    ticks.abort();
    let drained = subscription.drain(PATIENCE).await.unwrap();
    assert_eq!(drained.abandoned, 0, "{drained:?}");
    bus.close(PATIENCE).await.unwrap();
}

//! Handlers of batches.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{PATIENCE, Seen, bus, order, quick, until};
use procession::{Context, Envelope, HandlerError, batch};

const KEYS: u64 = 40;

/// While a call runs, what is ready gathers; keys stay in order, and no call has two of one key.
#[tokio::test]
async fn s1_s2_what_is_ready_goes_into_one_call_in_the_order_of_each_key() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&calls);
    let handler = batch(16, move |messages: Vec<(Envelope, Context)>| {
        assert_eq!(
            running.fetch_add(1, Ordering::SeqCst),
            0,
            "one call at a time"
        );
        let keys: Vec<_> = messages
            .iter()
            .map(|(e, _)| e.key().unwrap().to_owned())
            .collect();
        told.lock().unwrap().push(keys);
        let (seen, running) = (seen.clone(), Arc::clone(&running));
        async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            for (envelope, _) in &messages {
                seen.push(envelope.key().unwrap(), envelope.sequence().unwrap());
            }
            Ok(())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    let envelopes = (1..=5).flat_map(|n| (0..KEYS).map(move |key| order(&key.to_string(), n)));
    for stored in bus.publish_all("orders", envelopes).await {
        stored.unwrap();
    }
    let all = arrived.take(5 * KEYS as usize).await;
    for (key, sequences) in common::by_key(&all) {
        assert_eq!(sequences, [1, 2, 3, 4, 5], "{key}");
    }
    let calls = calls.lock().unwrap().clone();
    let largest = calls.iter().map(Vec::len).max().unwrap();
    assert!((8..=16).contains(&largest), "{calls:?}");
    for mut keys in calls {
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count, "a key twice in one call");
    }
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

/// One fails, one is rejected, one is forgotten by the handler, and a whole call panics.
#[tokio::test]
async fn each_message_has_its_own_outcome() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let panicked = Arc::new(AtomicUsize::new(0));
    let handler = batch(100, move |messages: Vec<(Envelope, Context)>| {
        if panicked.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("on purpose");
        }
        let (seen, short) = (seen.clone(), messages.len() == 3);
        async move {
            let mut outcomes = Vec::new();
            for (envelope, context) in messages {
                let key = envelope.key().unwrap().to_owned();
                outcomes.push(match (&key[..], context.attempt()) {
                    ("fails", ..=3) => Err(HandlerError::new("not yet")),
                    ("rejected", _) => Err(HandlerError::new("never").reject()),
                    _ => {
                        seen.push(&key, envelope.sequence().unwrap());
                        Ok(())
                    }
                });
            }
            if short {
                outcomes.pop();
            }
            outcomes
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    let keys = ["good", "fails", "rejected"].map(|key| order(key, 1));
    for stored in bus.publish_all("orders", keys).await {
        stored.unwrap();
    }
    arrived.take(2).await;
    until(|| subscription.health().stats.dead == 1).await;
    let stats = subscription.health().stats;
    assert_eq!(stats.done, 2, "{stats:?}");
    // The panic fails three of them, and `fails` fails on its own at least once.
    assert!(4 <= stats.failed, "{stats:?}");
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

/// Messages whose attempts time out while another call runs leave, and what follows is not stuck.
#[tokio::test]
async fn a_call_that_hangs_is_dropped_when_all_of_its_attempts_are_cancelled() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let first = Arc::new(AtomicUsize::new(0));
    let handler = batch(4, move |messages: Vec<(Envelope, Context)>| {
        let hangs = first.fetch_add(1, Ordering::SeqCst) == 0;
        let seen = seen.clone();
        async move {
            if hangs {
                core::future::pending::<()>().await;
            }
            for (envelope, _) in &messages {
                seen.push(envelope.key().unwrap(), envelope.sequence().unwrap());
            }
            Ok(())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(|settings| {
            quick(settings);
            settings.handler_timeout = Duration::from_millis(300);
        })
        .await
        .unwrap();
    let envelopes = (0..KEYS).map(|key| order(&key.to_string(), 1));
    for stored in bus.publish_all("orders", envelopes).await {
        stored.unwrap();
    }
    let all = arrived.take(KEYS as usize).await;
    assert_eq!(common::by_key(&all).len(), KEYS as usize);
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

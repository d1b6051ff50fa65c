//! Batches of several messages of one key, and weights, on a broker in the process.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Arrived, PATIENCE, Seen, bus, order, quick, until};
use procession::{Context, Envelope, HandlerError, NotWeighed, batch};

/// All 64 messages of the hot key came in order, up to 8 in a call; the sizes of the calls.
async fn came_in_order(arrived: &mut Arrived, calls: &Mutex<Vec<usize>>) -> Vec<usize> {
    let all = arrived.take(64).await;
    let expected: Vec<u64> = (1..=64).collect();
    assert_eq!(common::by_key(&all)["hot"], expected);
    let calls = calls.lock().unwrap().clone();
    let largest = *calls.iter().max().unwrap();
    assert!((2..=8).contains(&largest), "{calls:?}");
    calls
}

/// A hot key's messages come in few calls, one call at a time, in order.
#[tokio::test]
async fn s1_s2_a_call_gets_several_messages_of_one_key_in_the_order_of_the_log() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let running = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&calls);
    let handler = batch(16, move |messages: Vec<(Envelope, Context)>| {
        let before = running.fetch_add(1, Ordering::SeqCst);
        assert_eq!(before, 0, "one call of the key at a time");
        told.lock().unwrap().push(messages.len());
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
    // Several calls may run, but not of one key.
    let handler = handler.of_one_key(8).at_once(4);
    let subscription = bus.subscribe("orders", "g", handler).with(quick).await;
    let subscription = subscription.unwrap();
    let envelopes = (1..=64).map(|n| order("hot", n));
    for stored in bus.publish_all("orders", envelopes).await {
        stored.unwrap();
    }
    let calls = came_in_order(&mut arrived, &calls).await;
    assert!(calls.len() < 40, "{calls:?}");
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

/// The same by number: what publishers mixed up comes in order, several in a call.
#[tokio::test]
async fn s2_with_order_by_sequence_a_call_gets_the_next_numbers_of_a_key() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&calls);
    let handler = batch(16, move |messages: Vec<(Envelope, Context)>| {
        told.lock().unwrap().push(messages.len());
        let seen = seen.clone();
        async move {
            tokio::time::sleep(Duration::from_millis(3)).await;
            for (envelope, _) in &messages {
                seen.push(envelope.key().unwrap(), envelope.sequence().unwrap());
            }
            Ok(())
        }
    });
    let subscription = bus.subscribe("orders", "g", handler.of_one_key(8));
    let subscription = subscription.with(quick).with(|settings| {
        settings.sequence = true;
        settings.gap_timeout = PATIENCE;
    });
    let subscription = subscription.await.unwrap();
    // 1, then 3 2, 5 4 and so on.
    let numbers = (1..=64).map(|n| if n == 1 || n == 64 { n } else { n ^ 1 });
    for stored in bus
        .publish_all("orders", numbers.map(|n| order("hot", n)))
        .await
    {
        stored.unwrap();
    }
    came_in_order(&mut arrived, &calls).await;
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

/// What is done behind a failure is not done; behind a rejected one it is, when its dead letter is stored.
#[tokio::test]
async fn s2_what_is_behind_a_failure_comes_again() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = batch(100, move |messages: Vec<(Envelope, Context)>| {
        let seen = seen.clone();
        async move {
            // What comes meanwhile is in the next call together.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let outcome = |(envelope, context): &(Envelope, Context)| {
                let sequence = envelope.sequence().unwrap();
                seen.push(&context.attempt().to_string(), sequence);
                match (sequence, context.attempt()) {
                    (4, 1) => Err(HandlerError::new("not yet")),
                    (7, _) => Err(HandlerError::new("never").reject()),
                    _ => Ok(()),
                }
            };
            messages.iter().map(outcome).collect::<Vec<_>>()
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler.of_one_key(100))
        .with(quick)
        .await
        .unwrap();
    for stored in bus
        .publish_all("orders", (1..=9).map(|n| order("a", n)))
        .await
    {
        stored.unwrap();
    }
    until(|| subscription.health().stats.done == 8).await;
    let stats = subscription.health().stats;
    assert_eq!((stats.dead, stats.failed), (1, 2), "{stats:?}");
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
    let mut all = Vec::new();
    while let Some(next) = arrived.next_now() {
        all.push(next);
    }
    let second: Vec<u64> = all.iter().filter(|a| a.0 == "2").map(|a| a.1).collect();
    assert_eq!(second, [4], "no attempt of those behind it counts: {all:?}");
}

#[tokio::test]
async fn weights_are_taken_or_refused() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let subscription = bus
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    assert_eq!(subscription.set_weight(0, 0), Err(NotWeighed::Weight));
    assert_eq!(subscription.set_weight(0, 1_001), Err(NotWeighed::Weight));
    assert_eq!(subscription.set_weight(0, 1_000), Ok(()));
    // One that this topic does not have is nobody's; one that none can have is a mistake.
    assert_eq!(subscription.set_weight(999, 2), Ok(()));
    let none = subscription.set_weight(u32::MAX, 2);
    assert_eq!(none, Err(NotWeighed::Partition));
    bus.publish("orders", order("a", 1)).await.unwrap();
    arrived.take(1).await;
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

//! Beginning and ending: drain, drop, stop, hand over, close.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Seen, bus, order, quick, until};
use procession::settings::SubscribeSettings;
use procession::{Bus, Envelope, HandlerError, OnGiveUp, PublishError, State, raw};

#[tokio::test]
async fn a_handler_can_stop_its_subscription_and_the_message_comes_again() {
    let bus = bus().await;
    let stop = raw(|_, _| async { Err(HandlerError::new("the database is gone").stop()) });
    let subscription = bus
        .subscribe("orders", "g", stop)
        .with(quick)
        .await
        .unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    let error = subscription.await.unwrap_err();
    assert!(
        error.to_string().contains("the database is gone"),
        "{error}"
    );
    let (seen, mut arrived) = Seen::new();
    let again = bus
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    assert_eq!(arrived.take(1).await, [("a".to_owned(), 1)]);
    drop(again);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_parked_key_stays_parked_until_it_is_released() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = |seen: Seen| {
        raw(move |envelope: Envelope, _| {
            let (key, sequence) = (envelope.key().unwrap(), envelope.sequence().unwrap());
            seen.push(key, sequence);
            let bad = key == "a" && sequence == 1;
            async move {
                if bad {
                    return Err(HandlerError::new("never").reject());
                }
                Ok(())
            }
        })
    };
    let park = |settings: &mut SubscribeSettings| {
        quick(settings);
        settings.on_give_up = OnGiveUp::Park;
    };
    let subscribe = |seen| bus.subscribe("orders", "g", handler(seen)).with(park);
    let first = subscribe(seen.clone()).await.unwrap();
    for (key, sequence) in [("a", 1), ("a", 2), ("b", 1), ("a", 3)] {
        bus.publish("orders", order(key, sequence)).await.unwrap();
    }
    let mut ran = arrived.take(2).await;
    ran.sort();
    assert_eq!(ran, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    until(|| first.health().stats.dead == 3).await;
    first.drain(PATIENCE).await.unwrap();

    // The next member knows it from the commit.
    let second = subscribe(seen).await.unwrap();
    bus.publish("orders", order("a", 4)).await.unwrap();
    until(|| second.health().stats.dead == 1).await;
    second.release_key("a").unwrap();
    until(|| second.health().stats.parked_keys == 0).await;
    bus.publish("orders", order("a", 5)).await.unwrap();
    assert_eq!(arrived.take(1).await, [("a".to_owned(), 5)]);
    let letters = procession::dead_letter_topic("orders", "g");
    let (seen, mut arrived) = Seen::new();
    let read = bus.subscribe(&letters, "look", seen.handler());
    let read = read.with(quick).await.unwrap();
    let expected = [1, 2, 3, 4].map(|n| ("a".to_owned(), n));
    assert_eq!(arrived.take(4).await, expected, "in order");
    drop((read, second));
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn drained_and_dropped_subscriptions_run_nothing_more_and_the_next_one_goes_on() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let first = bus
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    arrived.take(1).await;
    first.drain(PATIENCE).await.unwrap();
    assert_eq!(first.health().state, State::Ended);
    bus.publish("orders", order("a", 2)).await.unwrap();
    let second = bus
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    // Only what the first one did not finish: its last commit covered the rest (S4).
    assert_eq!(arrived.take(1).await, [("a".to_owned(), 2)]);
    let running = Arc::new(tokio::sync::Notify::new());
    drop(second);
    let begun = running.clone();
    let hangs = raw(move |_, _| {
        let begun = begun.clone();
        async move {
            begun.notify_one();
            core::future::pending().await
        }
    });
    let third = bus
        .subscribe("orders", "other", hangs)
        .with(quick)
        .await
        .unwrap();
    running.notified().await;
    drop(third);
    let (seen, mut arrived) = Seen::new();
    let fourth = bus
        .subscribe("orders", "other", seen.handler())
        .with(quick)
        .await
        .unwrap();
    let all = arrived.take(2).await;
    assert_eq!(all, [("a".to_owned(), 1), ("a".to_owned(), 2)]);
    drop(fourth);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_publish_that_is_dropped_before_its_first_poll_sends_nothing() {
    let bus = bus().await;
    bus.topic("orders").await.unwrap();
    drop(bus.publish("orders", order("a", 1)));
    bus.publish("orders", order("a", 2)).await.unwrap();
    let log = bus.audit("orders").await.unwrap();
    let sequences: Vec<_> = log.iter().map(|(.., e)| e.sequence().unwrap()).collect();
    assert_eq!(sequences, [2]);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn the_context_tells_the_fence_the_deadline_and_of_the_end() {
    let bus = bus().await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let handler = raw(move |_, cx: procession::Context| {
        let sender = sender.clone();
        async move {
            let watch = cx.clone();
            sender.send(cx).unwrap();
            // A task of its own outlives the attempt, and hears of its end.
            tokio::spawn(async move { watch.cancelled().await }).await?;
            Ok(())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    let stored = bus.publish("orders", order("a", 1)).await.unwrap();
    let cx = receiver.recv().await.unwrap();
    let fence = cx.fence();
    assert_eq!(
        (fence.partition.0, fence.position),
        (stored.partition, stored.position)
    );
    assert!(0 < fence.epoch.0);
    assert_eq!((cx.attempt(), cx.topic(), cx.group()), (1, "orders", "g"));
    let left = cx.deadline().unwrap() - std::time::Instant::now();
    assert!(
        left <= Duration::from_secs(33) && Duration::from_secs(20) < left,
        "{left:?}"
    );
    assert!(!cx.is_cancelled());
    drop(subscription);
    tokio::time::timeout(PATIENCE, cx.cancelled())
        .await
        .unwrap();
    assert!(cx.is_cancelled());
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn two_buses_share_a_named_broker_and_one_group_works_once() {
    let name = "memory://two-buses";
    let (one, two) = (
        Bus::connect(name).await.unwrap(),
        Bus::connect(name).await.unwrap(),
    );
    let (seen, mut arrived) = Seen::new();
    let first = one
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    until(|| first.health().state == State::Running).await;
    let second = two
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    for sequence in 1..=20 {
        two.publish("orders", order("a", sequence)).await.unwrap();
    }
    arrived.take(20).await;
    until(|| second.health().state == State::Standby).await;
    first.drain(PATIENCE).await.unwrap();
    until(|| second.health().state == State::Running).await;
    one.publish("orders", order("a", 21)).await.unwrap();
    assert_eq!(arrived.take(1).await, [("a".to_owned(), 21)]);
    drop(second);
    one.close(PATIENCE).await.unwrap();
    two.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_closed_bus_takes_nothing_and_leaves_no_task() {
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let subscription = bus.subscribe("orders", "g", seen.handler()).await.unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    arrived.take(1).await;
    let report = bus.close(PATIENCE).await.unwrap();
    assert_eq!((report.handed_back, report.abandoned), (0, 0));
    let refused = bus.publish("orders", order("a", 2)).await.unwrap_err();
    assert_eq!(refused, PublishError::Closed);
    let error = bus
        .subscribe("orders", "g", seen.handler())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("closed"), "{error}");
    assert!(bus.close(PATIENCE).await.is_err());
    assert!(subscription.await.is_ok());
    until(|| {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            <= before
    })
    .await;
}

#[tokio::test]
async fn dropping_everything_leaves_no_task_either() {
    let before = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = seen.handler();
    let subscription = bus.subscribe("orders", "g", handler).await.unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    arrived.take(1).await;
    drop(subscription);
    drop(bus);
    until(|| {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
            <= before
    })
    .await;
}

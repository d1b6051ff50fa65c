//! Order by sequence, over a bus: what publishers mix up, leave out and say twice.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{PATIENCE, Seen, bus, order, quick, until};
use procession::settings::SubscribeSettings;
use procession::{Bus, Envelope, OnGap, OnGiveUp, Subscription};

async fn publish(bus: &Bus, numbers: &[u64]) {
    for &number in numbers {
        bus.publish("orders", order("a", number)).await.unwrap();
    }
}

async fn subscribe(bus: &Bus, seen: &Seen, on_gap: OnGap) -> Subscription {
    let sequenced = move |settings: &mut SubscribeSettings| {
        settings.sequence = true;
        settings.gap_timeout = Duration::from_millis(200);
        settings.on_gap = on_gap;
        if on_gap == OnGap::Park {
            settings.on_give_up = OnGiveUp::Park;
        }
    };
    let subscription = bus.subscribe("orders", "g", seen.handler());
    subscription.with(quick).with(sequenced).await.unwrap()
}

fn numbers(all: Vec<(String, u64)>) -> Vec<u64> {
    all.into_iter().map(|(_, number)| number).collect()
}

#[tokio::test]
async fn what_is_mixed_up_and_said_twice_is_handled_in_order_and_once() {
    let bus = bus().await;
    publish(&bus, &[1, 4, 3, 2, 5]).await;
    let again = Envelope::builder("OrderPlaced").id("a-3-again").key("a");
    let again = again.sequence(3).json(&3).unwrap();
    bus.publish("orders", again).await.unwrap();
    publish(&bus, &[6]).await;
    let (seen, mut arrived) = Seen::new();
    let subscription = subscribe(&bus, &seen, OnGap::GoOn).await;
    assert_eq!(numbers(arrived.take(6).await), [1, 2, 3, 4, 5, 6]);
    until(|| subscription.health().stats.behind == 1).await;
    assert_eq!(subscription.health().stats.gaps, 0);
}

#[tokio::test]
async fn what_is_missing_is_told_and_passed() {
    let bus = bus().await;
    publish(&bus, &[1, 3, 4]).await;
    let (seen, mut arrived) = Seen::new();
    let subscription = subscribe(&bus, &seen, OnGap::GoOn).await;
    assert_eq!(numbers(arrived.take(3).await), [1, 3, 4]);
    assert_eq!(subscription.health().stats.gaps, 1);
}

#[tokio::test]
async fn a_gap_parks_its_key() {
    let bus = bus().await;
    publish(&bus, &[1, 3, 4]).await;
    let (seen, mut arrived) = Seen::new();
    let subscription = subscribe(&bus, &seen, OnGap::Park).await;
    assert_eq!(numbers(arrived.take(1).await), [1]);
    until(|| subscription.health().stats.dead == 2).await;
    let letters = bus.audit("orders-dlq-g").await.unwrap();
    let whys = letters
        .iter()
        .map(|(_, _, l)| l.header("procession-dlq-why"));
    let whys: Vec<_> = whys.map(|w| w.unwrap().to_vec()).collect();
    assert_eq!(whys, [b"gap".to_vec(), b"parked".to_vec()]);
}

#[tokio::test]
async fn a_gap_ends_the_subscription_where_its_owner_wants_to_stop() {
    let bus = bus().await;
    publish(&bus, &[1, 3]).await;
    let (seen, mut arrived) = Seen::new();
    let subscription = subscribe(&bus, &seen, OnGap::Stop).await;
    assert_eq!(numbers(arrived.take(1).await), [1]);
    let end = tokio::time::timeout(PATIENCE, subscription).await.unwrap();
    let why = end.unwrap_err().to_string();
    assert!(why.contains("2 is missing"), "{why}");
}

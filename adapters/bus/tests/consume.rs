//! Messages as a stream.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{PATIENCE, bus, order, quick, until};
use procession::HandlerError;

#[tokio::test]
async fn a_dropped_delivery_is_tried_again_and_a_settled_one_is_not() {
    let bus = bus().await;
    let mut deliveries = bus.consume("orders", "g").with(quick).await.unwrap();
    for sequence in 1..=3 {
        bus.publish("orders", order("a", sequence)).await.unwrap();
    }
    let mut seen = Vec::new();
    while seen.len() < 6 {
        let delivery = deliveries.next().await.unwrap();
        let (sequence, attempt) = (delivery.sequence().unwrap(), delivery.context().attempt());
        seen.push((sequence, attempt));
        match (sequence, attempt) {
            (1, 1) => drop(delivery),
            (2, 1) => delivery.fail(HandlerError::new("once more")).unwrap(),
            (2, 2) => delivery.fail("x".parse::<u32>().unwrap_err()).unwrap(),
            _ => delivery.done().unwrap(),
        }
    }
    assert_eq!(seen, [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3), (3, 1)]);
    deliveries.subscription().drain(PATIENCE).await.unwrap();
    assert!(deliveries.next().await.is_none());
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_delivery_that_is_settled_too_late_says_so() {
    let bus = bus().await;
    let mut deliveries = bus
        .consume("orders", "g")
        .with(|s| {
            quick(s);
            s.handler_timeout = Duration::from_millis(30);
        })
        .await
        .unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    let late = deliveries.next().await.unwrap();
    late.context().cancelled().await;
    let again = deliveries.next().await.unwrap();
    assert_eq!(again.context().attempt(), 2);
    assert!(late.done().is_err());
    again.done().unwrap();
    until(|| deliveries.subscription().health().stats.done == 1).await;
    drop(deliveries);
    bus.close(PATIENCE).await.unwrap();
}

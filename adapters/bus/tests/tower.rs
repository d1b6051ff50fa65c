//! Handlers behind layers of `tower`.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::tower::ServiceBuilder;
use common::{PATIENCE, bus, order, quick, until};
use procession::{Context, Envelope, HandlerError, raw, tower};

#[tokio::test]
async fn layers_limit_and_cut_off_and_order_holds() {
    let bus = bus().await;
    let running = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let watched = most.clone();
    let work = raw(move |envelope: Envelope, cx: Context| {
        let (running, most, sender) = (running.clone(), watched.clone(), sender.clone());
        async move {
            if envelope.sequence() == Some(2) && cx.attempt() == 1 {
                core::future::pending::<()>().await;
            }
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(2)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            sender.send((
                envelope.key().unwrap().to_owned(),
                envelope.sequence().unwrap(),
            ))?;
            Ok(())
        }
    });
    let stack = ServiceBuilder::new()
        .concurrency_limit(3)
        .timeout(Duration::from_millis(200))
        .service(tower::service(work));
    let subscription = bus
        .subscribe("orders", "g", tower::handler(stack))
        .with(quick);
    let subscription = subscription.await.unwrap();
    for sequence in 1..=3 {
        for key in 0..10 {
            bus.publish("orders", order(&key.to_string(), sequence))
                .await
                .unwrap();
        }
    }
    let mut all = Vec::new();
    while all.len() < 30 {
        all.push(
            tokio::time::timeout(PATIENCE, receiver.recv())
                .await
                .unwrap()
                .unwrap(),
        );
    }
    for (key, sequences) in common::by_key(&all) {
        assert_eq!(sequences, [1, 2, 3], "{key}");
    }
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    until(|| subscription.health().stats.failed == 10).await;
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn what_is_to_follow_an_error_survives_the_layers() {
    let bus = bus().await;
    let work = raw(|envelope: Envelope, _cx: Context| async move {
        match envelope.id() {
            "rejects" => Err(HandlerError::new("no total").reject()),
            _ => Err(HandlerError::new("the database is gone").stop()),
        }
    });
    // A timeout boxes the errors behind it, and so do most layers.
    let stack = ServiceBuilder::new()
        .timeout(PATIENCE)
        .service(tower::service(work));
    let subscription = bus
        .subscribe("orders", "g", tower::handler(stack))
        .with(quick);
    let subscription = subscription.await.unwrap();
    let send = |id: &str| {
        let envelope = Envelope::builder("T").id(id).key("k").json(&1).unwrap();
        bus.publish("orders", envelope)
    };
    send("rejects").await.unwrap();
    until(|| subscription.health().stats.dead == 1).await;
    let letter = bus.audit("orders-dlq-g").await.unwrap().remove(0).2;
    assert_eq!(letter.header("procession-dlq-attempts"), Some(&b"1"[..]));
    assert_eq!(
        letter.header("procession-dlq-error"),
        Some(&b"no%20total"[..])
    );
    send("stops").await.unwrap();
    let error = subscription.await.unwrap_err();
    assert!(
        error.to_string().contains("the database is gone"),
        "{error}"
    );
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn an_error_of_a_layer_is_a_failed_attempt_with_its_text() {
    let bus = bus().await;
    let hangs = raw(|_, _| core::future::pending());
    let stack = ServiceBuilder::new()
        .timeout(Duration::from_millis(5))
        .service(tower::service(hangs));
    let subscription = bus
        .subscribe("orders", "g", tower::handler(stack))
        .with(quick);
    let subscription = subscription.await.unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    until(|| subscription.health().stats.dead == 1).await;
    let letter = bus.audit("orders-dlq-g").await.unwrap().remove(0).2;
    assert_eq!(letter.header("procession-dlq-attempts"), Some(&b"5"[..]));
    let error = String::from_utf8_lossy(letter.header("procession-dlq-error").unwrap());
    assert!(error.contains("timed%20out"), "{error}");
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

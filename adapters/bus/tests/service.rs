//! What a service sees of a bus, on the in-process broker.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{PATIENCE, Seen, bus, order, quick, until};
use procession::{Bus, Envelope, HandlerError, Order, json, raw};

#[tokio::test]
async fn every_message_is_handled_once_and_in_order_per_key() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = raw(move |envelope: Envelope, _cx| {
        let seen = seen.clone();
        async move {
            // Handlers of other keys overtake while this one is away (S1, S2).
            tokio::task::yield_now().await;
            seen.push(envelope.key().unwrap(), envelope.sequence().unwrap());
            Ok(())
        }
    });
    let subscription = bus.subscribe("orders", "billing", handler).await.unwrap();
    let mut positions = HashMap::new();
    for sequence in 1..=40u64 {
        for key in 0..25 {
            let key = format!("order-{key}");
            let stored = bus.publish("orders", order(&key, sequence)).await.unwrap();
            assert!(!stored.duplicate);
            let before = positions.insert(key, (stored.partition, stored.position.0));
            if let Some((partition, position)) = before {
                assert!(partition == stored.partition && position < stored.position.0);
            }
        }
    }
    let all = arrived.take(1_000).await;
    for (key, sequences) in common::by_key(&all) {
        assert_eq!(sequences, (1..=40).collect::<Vec<_>>(), "{key}");
    }
    let drained = subscription.drain(PATIENCE).await.unwrap();
    assert_eq!((drained.handed_back, drained.abandoned), (0, 0));
    assert_eq!(bus.outstanding(), 0);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_question_mark_in_a_handler_is_tried_again_and_its_key_waits() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = raw(move |envelope: Envelope, cx| {
        let seen = seen.clone();
        async move {
            let sequence = envelope.sequence().unwrap();
            if sequence == 1 && cx.attempt() < 3 {
                "not a number".parse::<u32>()?;
            }
            seen.push(envelope.key().unwrap(), sequence);
            Ok(())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    for key in ["a", "b"] {
        for sequence in 1..=3 {
            bus.publish("orders", order(key, sequence)).await.unwrap();
        }
    }
    let all = common::by_key(&arrived.take(6).await);
    assert_eq!(
        (&all["a"][..], &all["b"][..]),
        (&[1, 2, 3][..], &[1, 2, 3][..])
    );
    until(|| subscription.health().stats.failed == 4).await;
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_a_timeout_cancels() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = raw(move |envelope: Envelope, cx| {
        let seen = seen.clone();
        async move {
            match (envelope.id(), cx.attempt()) {
                ("panics", 1) => panic!("on purpose"),
                ("hangs", 1) => core::future::pending::<()>().await,
                _ => {}
            }
            seen.push(envelope.key().unwrap(), cx.attempt().into());
            Ok(())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(|s| {
            quick(s);
            s.handler_timeout = Duration::from_millis(50);
        })
        .await
        .unwrap();
    for id in ["panics", "hangs"] {
        let envelope = Envelope::builder("T")
            .id(id)
            .key(id)
            .payload("", "text/plain");
        bus.publish("orders", envelope.unwrap()).await.unwrap();
    }
    let mut all = arrived.take(2).await;
    all.sort();
    assert_eq!(all, [("hangs".to_owned(), 2), ("panics".to_owned(), 2)]);
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

#[derive(serde::Deserialize)]
struct Total {
    total: u32,
}

#[tokio::test]
async fn what_cannot_be_handled_ends_at_the_dead_letter_topic_whole() {
    let bus = bus().await;
    let handler = json(|order: Total, _cx| async move {
        match order.total {
            0 => Err(HandlerError::new("an order without a total").reject()),
            n => Err(HandlerError::new(format!("no money for {n}"))),
        }
    });
    let subscription = bus
        .subscribe("orders", "billing", handler)
        .with(quick)
        .await
        .unwrap();
    let payloads = [
        ("rejected", "{\"total\":0}"),
        ("exhausted", "{\"total\":7}"),
        ("malformed", "{"),
    ];
    for (key, payload) in payloads {
        let envelope = Envelope::builder("T")
            .key(key)
            .header("x-tag", "a")
            .header("X-Tag", "b")
            .payload(payload, "application/json");
        bus.publish("orders", envelope.unwrap()).await.unwrap();
    }
    until(|| subscription.health().stats.dead == 3).await;
    let letters = bus.audit("orders-dlq-billing").await.unwrap();
    assert_eq!(letters.len(), 3);
    for (key, payload) in payloads {
        let (partition, _, letter) = letters.iter().find(|(.., e)| e.key() == Some(key)).unwrap();
        let field = |name: &str| {
            let value = letter
                .header(&format!("procession-dlq-{name}"))
                .unwrap_or_default();
            String::from_utf8(value.to_vec()).unwrap()
        };
        assert_eq!(letter.payload(), payload);
        assert_eq!(field("why"), key);
        assert_eq!(field("topic"), "orders");
        assert_eq!(field("partition"), partition.to_string());
        let attempts = if key == "exhausted" { "5" } else { "1" };
        assert_eq!(field("attempts"), attempts, "{key}");
        let error = field("error");
        let expected = match key {
            "rejected" => "without%20a%20total",
            "exhausted" => "no%20money%20for%207",
            _ => "not%20JSON%20for",
        };
        assert!(error.contains(expected), "{error}");
        let tags: Vec<_> = letter.free_headers().collect();
        assert_eq!(tags, [("x-tag", &b"a"[..]), ("X-Tag", &b"b"[..])]);
    }
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn copies_are_handled_once() {
    let bus = bus().await;
    let (seen, mut arrived) = Seen::new();
    let handler = seen.handler();
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    let envelope = order("a", 1);
    bus.publish("orders", envelope.clone()).await.unwrap();
    // The broker knows this identity.
    assert!(
        bus.publish("orders", envelope.clone())
            .await
            .unwrap()
            .duplicate
    );
    // This copy passes the broker, and is recognised by the subscription (S4).
    assert!(
        !bus.publish_copy("orders", envelope, 1)
            .await
            .unwrap()
            .duplicate
    );
    bus.publish("orders", order("a", 2)).await.unwrap();
    assert_eq!(
        arrived.take(2).await,
        [("a".to_owned(), 1), ("a".to_owned(), 2)]
    );
    until(|| subscription.health().stats.duplicates == 1).await;
    assert_eq!(bus.audit("orders").await.unwrap().len(), 3);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn raw_messages_and_unknown_fields_arrive_as_they_are() {
    let bus = bus().await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let handler = raw(move |envelope: Envelope, _cx| {
        sender.send(envelope).unwrap();
        async { Ok(()) }
    });
    let subscription = bus.subscribe("orders", "g", handler).await.unwrap();
    let raw = Envelope::raw("version-1", Some("k"), &b"\x00\xff"[..]).unwrap();
    let stored = bus.publish("orders", raw).await.unwrap();
    let received = receiver.recv().await.unwrap();
    let place = format!("orders/{}/{}", stored.partition, stored.position.0);
    assert!(received.is_raw());
    assert_eq!((received.id(), received.key()), (&*place, Some("k")));
    assert_eq!(&received.payload()[..], b"\x00\xff");

    let sent = Envelope::builder("T")
        .key("k")
        .extension("subject", "ä")
        .header("x", "y");
    bus.publish("orders", sent.payload("p", "text/plain").unwrap())
        .await
        .unwrap();
    let received = receiver.recv().await.unwrap();
    assert_eq!(received.topic(), Some("orders"));
    assert!(
        !received.source().is_empty(),
        "the default source is filled in"
    );
    // Forwarded, it is the same message with all its fields.
    bus.publish("copies", received.clone()).await.unwrap();
    let forwarded = bus.audit("copies").await.unwrap().remove(0).2;
    assert_eq!(forwarded.headers(), received.headers());
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn many_subscriptions_share_the_credit_and_all_go_on() {
    let bus = Bus::builder("memory://")
        .with(|s| s.bus.credit_messages = 8)
        .connect()
        .await
        .unwrap();
    let held = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (seen, mut arrived) = Seen::new();
    let mut subscriptions = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        let (seen, held, most) = (seen.clone(), held.clone(), most.clone());
        let handler = raw(move |envelope: Envelope, _cx| {
            let (seen, held, most) = (seen.clone(), held.clone(), most.clone());
            async move {
                most.fetch_max(held.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                held.fetch_sub(1, Ordering::SeqCst);
                seen.push("", envelope.sequence().unwrap());
                Ok(())
            }
        });
        let unordered =
            |s: &mut procession::settings::SubscribeSettings| s.order = Order::Unordered;
        subscriptions.push(
            bus.subscribe(topic, "g", handler)
                .with(unordered)
                .await
                .unwrap(),
        );
    }
    for sequence in 0..50 {
        for topic in ["a", "b", "c", "d"] {
            bus.publish(topic, order(&format!("{sequence}"), sequence))
                .await
                .unwrap();
        }
    }
    arrived.take(200).await;
    // Two each, and one message of the largest size may exceed it.
    assert!(most.load(Ordering::SeqCst) <= 12, "{most:?}");
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn on_many_threads_one_handler_runs_per_key_and_failures_break_no_order() {
    const KEYS: usize = 50;
    const EACH: u64 = 100;
    let bus = bus().await;
    let running: Arc<Vec<AtomicUsize>> = Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
    let (seen, mut arrived) = Seen::new();
    let handler = raw(move |envelope: Envelope, cx| {
        let (seen, running) = (seen.clone(), Arc::clone(&running));
        async move {
            let (key, sequence) = (envelope.key().unwrap(), envelope.sequence().unwrap());
            let slot = &running[key.parse::<usize>().unwrap()];
            // S1: nobody else works on this key, whatever thread this is.
            assert_eq!(slot.fetch_add(1, Ordering::SeqCst), 0);
            for _ in 0..sequence % 3 {
                tokio::task::yield_now().await;
            }
            let fails = cx.attempt() == 1 && sequence % 10 == 7;
            slot.fetch_sub(1, Ordering::SeqCst);
            if fails {
                return Err(HandlerError::new("the first attempt"));
            }
            seen.push(key, sequence);
            Ok(())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    let publishers = (0..KEYS).map(|key| {
        let bus = bus.clone();
        tokio::spawn(async move {
            for sequence in 1..=EACH {
                bus.publish("orders", order(&key.to_string(), sequence))
                    .await
                    .unwrap();
            }
        })
    });
    for publisher in publishers.collect::<Vec<_>>() {
        publisher.await.unwrap();
    }
    let all = common::by_key(&arrived.take(KEYS * usize::try_from(EACH).unwrap()).await);
    assert_eq!(all.len(), KEYS);
    for (key, sequences) in all {
        assert_eq!(sequences, (1..=EACH).collect::<Vec<_>>(), "{key}");
    }
    until(|| subscription.health().stats.failed == KEYS as u64 * EACH / 10).await;
    assert_eq!(subscription.health().stats.dead, 0);
    bus.close(PATIENCE).await.unwrap();
}

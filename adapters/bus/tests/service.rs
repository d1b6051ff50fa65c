//! What a service sees of a bus, on the in-process broker.

mod common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{PATIENCE, Seen, bus, order, quick, until};
use procession::{Bus, Envelope, HandlerError, Order, PublishError, State, json, raw};

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
    let running = std::sync::Arc::new(tokio::sync::Notify::new());
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
async fn many_subscriptions_share_the_credit_and_all_go_on() {
    let bus = Bus::builder("memory://")
        .with(|s| s.bus.credit_messages = 8)
        .connect()
        .await
        .unwrap();
    let held = std::sync::Arc::new(AtomicUsize::new(0));
    let most = std::sync::Arc::new(AtomicUsize::new(0));
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

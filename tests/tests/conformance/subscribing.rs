//! Subscribing: who gets what, and what ends when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use procession::HandlerError;
use procession_tests::seen::{PATIENCE, Seen, envelope, owning, publish, publish_all};
use procession_tests::venue::Venue;
use tokio::sync::{Semaphore, oneshot};

crate::rows![
    w2_one_group_with_several_subscriptions_gets_everything_once,
    w3_each_of_many_topics_gets_its_own,
    w8_after_many_closed_at_once_a_new_subscriber_gets_everything,
    w10_each_group_gets_everything,
    w13_contexts_are_cancelled_on_close,
    w13_contexts_are_cancelled_by_the_timeout,
    w14_a_dropped_subscription_leaves_its_messages,
    w16_late_groups_get_old_messages,
    h3_no_more_than_the_credit_is_held,
];

/// SC-W2, with one working member.
async fn w2_one_group_with_several_subscriptions_gets_everything_once(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let publishing: Vec<_> = (0..50)
        .map(|publisher| {
            let (bus, topic) = (bus.clone(), topic.clone());
            tokio::spawn(async move {
                let numbers = publisher * 100..(publisher + 1) * 100;
                let key = format!("p{publisher}");
                publish_all(&bus, &topic, numbers.map(|n| envelope(&key, n))).await;
            })
        })
        .collect();
    let seen = Seen::new();
    let mut subscriptions = Vec::new();
    for _ in 0..10 {
        subscriptions.push(
            bus.subscribe(&topic, &venue.group("g"), seen.handler())
                .await
                .unwrap(),
        );
    }
    for publisher in publishing {
        publisher.await.unwrap();
    }
    seen.wait_for(5_000).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    seen.assert_once(0..5_000);
    seen.assert_in_order();
    let working = subscriptions
        .iter()
        .filter(|s| s.health().partitions.iter().any(|p| p.epoch.is_some()));
    let working = working.count();
    if venue.kind == procession_tests::venue::Kind::Kafka {
        // Three partitions, shared.
        assert!((1..=3).contains(&working), "{working}");
    } else {
        assert_eq!(working, 1, "one works, the others stand by");
    }
    bus.close(Duration::from_secs(10)).await.unwrap();
}

/// SC-W3.
async fn w3_each_of_many_topics_gets_its_own(venue: Arc<Venue>) {
    let bus = venue.bus().await;
    let cases = (0..20).map(|index: u64| {
        let (bus, topic) = (bus.clone(), venue.topic(&format!("t{index}")));
        let group = venue.group("g");
        tokio::spawn(async move {
            let seen = Seen::new();
            let subscription = bus.subscribe(&topic, &group, seen.handler()).await.unwrap();
            publish(&bus, &topic, index * 100..(index + 1) * 100, 5).await;
            seen.wait_for(100).await;
            seen.assert_once(index * 100..(index + 1) * 100);
            seen.assert_in_order();
            drop(subscription);
        })
    });
    for case in cases.collect::<Vec<_>>() {
        case.await.unwrap();
    }
}

/// SC-W8.
async fn w8_after_many_closed_at_once_a_new_subscriber_gets_everything(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let before = Seen::new();
    let mut subscriptions = Vec::new();
    for _ in 0..10 {
        subscriptions.push(
            bus.subscribe(&topic, &venue.group("g"), before.handler())
                .await
                .unwrap(),
        );
    }
    let drains: Vec<_> = subscriptions
        .iter()
        .map(|s| tokio::spawn(s.drain(Duration::from_secs(10))))
        .collect();
    for drain in drains {
        drain.await.unwrap().unwrap();
    }
    publish(&bus, &topic, 0..50, 5).await;
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    seen.wait_for(50).await;
    seen.assert_once(0..50);
    assert_eq!(
        before.count(),
        0,
        "S5: a drained subscription starts nothing"
    );
    drop(subscription);
}

/// SC-W10.
async fn w10_each_group_gets_everything(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let (first, second) = (Seen::new(), Seen::new());
    let one = bus.subscribe(&topic, "g1", first.handler()).await.unwrap();
    let two = bus.subscribe(&topic, "g2", second.handler()).await.unwrap();
    publish(&bus, &topic, 0..50, 5).await;
    for seen in [first, second] {
        seen.wait_for(50).await;
        seen.assert_once(0..50);
    }
    drop((one, two));
}

/// SC-W13: on close the context of a handler that still runs is cancelled.
async fn w13_contexts_are_cancelled_on_close(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let (sender, cancelled) = oneshot::channel();
    let sender = std::sync::Mutex::new(Some(sender));
    let seen = Seen::new();
    let started = Arc::new(tokio::sync::Notify::new());
    let starts = Arc::clone(&started);
    let handler = seen.handler_with(move |_, context| {
        let sender = sender.lock().unwrap().take();
        starts.notify_one();
        async move {
            // What outlives the attempt hears of the end.
            tokio::spawn(async move {
                context.cancelled().await;
                if let Some(sender) = sender {
                    let _ = sender.send(context.is_cancelled());
                }
            });
            std::future::pending().await
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    bus.publish(&topic, envelope("k", 1)).await.unwrap();
    owning(&subscription).await;
    tokio::time::timeout(PATIENCE, started.notified())
        .await
        .unwrap();
    subscription.retire(Duration::from_secs(5)).await.unwrap();
    let told = tokio::time::timeout(PATIENCE, cancelled).await;
    assert_eq!(told.unwrap(), Ok(true));
    seen.assert_once([]);
}

/// SC-W13, SC-P2: a handler that takes too long is cancelled, and the next attempt comes after it.
async fn w13_contexts_are_cancelled_by_the_timeout(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let running = Arc::new(AtomicBool::new(false));
    let seen = Seen::new();
    let handler = seen.handler_with(move |_, context| {
        let running = Arc::clone(&running);
        async move {
            if running.swap(true, Ordering::SeqCst) {
                // A breach of S1: the case waits for an attempt that never succeeds.
                return Err(HandlerError::new("S1: two attempts at once").reject());
            }
            let _reset = Reset(running);
            if context.attempt() == 1 {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| settings.handler_timeout = Duration::from_millis(200))
        .await
        .unwrap();
    bus.publish(&topic, envelope("k", 1)).await.unwrap();
    seen.wait_for(1).await;
    assert_eq!(seen.all()[0].attempt, 2);
    drop(subscription);
}

struct Reset(Arc<AtomicBool>);

impl Drop for Reset {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// SC-W14: also when the same bus subscribes again, and although nothing was given up in order.
async fn w14_a_dropped_subscription_leaves_its_messages(venue: Arc<Venue>) {
    let bus = venue
        .bus_with(|s| s.subscribe.lease = Duration::from_secs(1))
        .await;
    let topic = venue.topic("t");
    let before = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), before.handler())
        .await
        .unwrap();
    owning(&subscription).await;
    drop(subscription);
    publish(&bus, &topic, 0..20, 3).await;
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    seen.wait_for(20).await;
    seen.assert_once(0..20);
    assert_eq!(before.count(), 0, "a dropped subscription starts nothing");
    drop(subscription);
}

/// SC-W16.
async fn w16_late_groups_get_old_messages(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let mut subscriptions = Vec::new();
    for round in 1..=3 {
        publish(&bus, &topic, (round - 1) * 20..round * 20, 4).await;
        let seen = Seen::new();
        let group = format!("late-{round}");
        subscriptions.push(bus.subscribe(&topic, &group, seen.handler()).await.unwrap());
        let count = usize::try_from(round * 20).unwrap();
        seen.wait_for(count).await;
        seen.assert_once(0..round * 20);
    }
}

/// SC-H3: never more is held than the credit, and everything comes through.
async fn h3_no_more_than_the_credit_is_held(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    publish(&bus, &topic, 0..200, 200).await;
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let seen = Seen::new();
    let (door, inside) = (Arc::clone(&gate), Arc::clone(&running));
    let handler = seen.handler_with(move |_, _| {
        let (door, inside) = (Arc::clone(&door), Arc::clone(&inside));
        async move {
            inside.fetch_add(1, Ordering::SeqCst);
            door.acquire().await.unwrap().forget();
            inside.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| {
            settings.credit_messages = 4;
            settings.low_water_percent = 50;
        })
        .await
        .unwrap();
    let full = async {
        while running.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, full)
        .await
        .expect("the credit is used");
    tokio::time::sleep(Duration::from_millis(200)).await;
    // One more than the credit: the message at the frontier is always let in, else a credit full
    // of its successors could wait for it for ever.
    let (held, inside) = (
        subscription.health().stats.held,
        running.load(Ordering::SeqCst),
    );
    assert!(
        held <= 5 && inside <= 5,
        "{held} held, {inside} run on a credit of 4"
    );
    gate.add_permits(200);
    seen.wait_for(200).await;
    seen.assert_once(0..200);
}

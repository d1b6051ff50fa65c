//! Publishing: what is stored, once, and what becomes of it when the publisher goes.

use std::sync::Arc;
use std::time::Duration;

use procession::{Envelope, PublishError};
use procession_tests::seen::{Seen, envelope, publish, publish_all};
use procession_tests::venue::Venue;

crate::rows![
    w1_what_was_published_arrives_whole,
    w11_a_publisher_that_closes_at_once_loses_nothing,
    w12_topics_do_not_mix,
    n8_the_broker_recognises_a_second_publish,
    s4_copies_past_the_broker_are_handled_once,
    s8_the_first_publishes_of_a_topic_keep_their_order,
    s10_a_closed_bus_refuses,
    audits_read_the_whole_log,
];

/// SC-W1.
async fn w1_what_was_published_arrives_whole(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let sent: Vec<_> = (0..100)
        .map(|number: u64| {
            let builder = Envelope::builder("Placed")
                .id(format!("id-{number}"))
                .key(format!("order-{}", number % 7))
                .sequence(number / 7 + 1)
                .correlation("c-1")
                .header("x-note", format!("note {number}: ü € \"%\""));
            let payload = format!("{number}").into_bytes();
            builder.payload(payload, "text/plain").unwrap()
        })
        .collect();
    publish_all(&bus, &topic, sent.iter().cloned()).await;
    let (sender, mut got) = tokio::sync::mpsc::unbounded_channel();
    let seen = Seen::new();
    let handler = seen.handler_with(move |envelope, _| {
        sender.send(envelope).unwrap();
        std::future::ready(Ok(()))
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    seen.wait_for(100).await;
    seen.assert_once(0..100);
    while let Ok(arrived) = got.try_recv() {
        let number: usize = arrived.id().strip_prefix("id-").unwrap().parse().unwrap();
        let original = &sent[number];
        assert_eq!(arrived.payload(), original.payload());
        assert_eq!(arrived.key(), original.key());
        assert_eq!(arrived.event_type(), "Placed");
        assert_eq!(arrived.sequence(), original.sequence());
        assert_eq!(arrived.correlation(), Some("c-1"));
        assert_eq!(arrived.content_type(), Some("text/plain"));
        let note = format!("note {number}: ü € \"%\"");
        assert_eq!(arrived.header("x-note"), Some(note.as_bytes()));
    }
    // "Channel closes on close": the subscription ends when its bus does.
    bus.close(Duration::from_secs(10)).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(5), subscription).await;
    assert!(ended.is_ok(), "the subscription outlived its bus");
}

/// SC-W11, in its stricter reading: the publishers' bus closes right after the last acceptance.
async fn w11_a_publisher_that_closes_at_once_loses_nothing(venue: Arc<Venue>) {
    let (publishers, topic) = (venue.bus().await, venue.topic("t"));
    let consumers = venue.bus().await;
    let seen = Seen::new();
    let subscription = consumers
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    let publishing: Vec<_> = (0..20)
        .map(|publisher| {
            let (bus, topic) = (publishers.clone(), topic.clone());
            tokio::spawn(async move {
                let numbers = publisher * 500..(publisher + 1) * 500;
                let key = format!("p{publisher}");
                publish_all(&bus, &topic, numbers.map(|n| envelope(&key, n))).await
            })
        })
        .collect();
    for publisher in publishing {
        publisher.await.unwrap();
    }
    publishers.close(Duration::from_secs(10)).await.unwrap();
    seen.wait_for(10_000).await;
    seen.assert_once(0..10_000);
    seen.assert_in_order();
    drop(subscription);
}

/// SC-W12.
async fn w12_topics_do_not_mix(venue: Arc<Venue>) {
    let (bus, a, b) = (venue.bus().await, venue.topic("a"), venue.topic("b"));
    let (in_a, in_b) = (Seen::new(), Seen::new());
    let first = bus
        .subscribe(&a, &venue.group("g"), in_a.handler())
        .await
        .unwrap();
    let second = bus
        .subscribe(&b, &venue.group("g"), in_b.handler())
        .await
        .unwrap();
    publish(&bus, &a, 1..2, 1).await;
    publish(&bus, &b, 2..3, 1).await;
    in_a.wait_for(1).await;
    in_b.wait_for(1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    in_a.assert_once([1]);
    in_b.assert_once([2]);
    drop((first, second));
}

/// SC-N8: inside the window, also over a reconnect, the second publish is told where the first one
/// is. (Outside of it: the ports' own tests, on clocks of their own.)
async fn n8_the_broker_recognises_a_second_publish(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let first = bus.publish(&topic, envelope("k", 1)).await.unwrap();
    let second = bus.publish(&topic, envelope("k", 1)).await.unwrap();
    assert!(!first.duplicate && second.duplicate, "{first:?} {second:?}");
    assert_eq!(
        (first.partition, first.position),
        (second.partition, second.position)
    );
    bus.close(Duration::from_secs(5)).await.unwrap();
    let bus = venue.bus().await;
    let third = bus.publish(&topic, envelope("k", 1)).await.unwrap();
    assert!(third.duplicate, "{third:?}");
    assert_eq!(third.position, first.position);
    assert_eq!(bus.audit(&topic).await.unwrap().len(), 1);
}

/// S4: copies that the broker does not recognise are run once, and reported as duplicates.
async fn s4_copies_past_the_broker_are_handled_once(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let watch = procession_tests::watch::Watch::new();
    let bus = venue.bus_watched(watch.observer()).await;
    for number in 0..50 {
        let original = envelope(&format!("k{}", number % 5), number);
        bus.publish(&topic, original.clone()).await.unwrap();
        let copy = bus.publish_copy(&topic, original, 1).await.unwrap();
        assert!(!copy.duplicate, "the copy is past the broker's own dedupe");
    }
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    seen.wait_for(50).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..50);
    seen.assert_in_order();
    let copies = watch.events().into_iter();
    let copies =
        copies.filter(|event| matches!(event, procession_tests::watch::Event::Duplicate { .. }));
    assert_eq!(copies.count(), 50, "every copy is accounted for (S9)");
    watch.assert_promises();
}

/// S8: also while the topic is being looked at for the first time, by several tasks at once.
async fn s8_the_first_publishes_of_a_topic_keep_their_order(venue: Arc<Venue>) {
    let bus = venue.bus().await;
    for round in 0..10 {
        let topic = venue.topic(&format!("t{round}"));
        // So many that the topic becomes ready while they are polled for the first time.
        let publishing: Vec<_> = (0..4)
            .map(|publisher| {
                let (bus, topic) = (bus.clone(), topic.clone());
                tokio::spawn(async move {
                    let numbers = publisher * 1_000..(publisher + 1) * 1_000;
                    let key = format!("p{publisher}");
                    publish_all(&bus, &topic, numbers.map(|n| envelope(&key, n))).await
                })
            })
            .collect();
        for publisher in publishing {
            let stored = publisher.await.unwrap();
            assert_eq!(stored.len(), 1_000);
        }
        // The log is the judge.
        let mut last = std::collections::BTreeMap::new();
        let log = bus.audit(&topic).await.unwrap();
        assert_eq!(log.len(), 4_000, "round {round}");
        for (_, position, message) in log {
            let number = core::str::from_utf8(message.payload())
                .unwrap()
                .parse::<u64>()
                .unwrap();
            let key = message.key().unwrap_or_default().to_owned();
            let before = last.insert(key, number);
            assert!(
                before.is_none_or(|before| before < number),
                "round {round}: {before:?} stands before {number} at {position:?}"
            );
        }
    }
}

/// S10: after the end nothing is accepted, and the answer says so.
async fn s10_a_closed_bus_refuses(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    bus.publish(&topic, envelope("k", 1)).await.unwrap();
    bus.close(Duration::from_secs(5)).await.unwrap();
    let error = bus.publish(&topic, envelope("k", 2)).await.unwrap_err();
    assert_eq!(error, PublishError::Closed);
    assert!(
        bus.subscribe(&topic, &venue.group("g"), Seen::new().handler())
            .await
            .is_err()
    );
    assert!(bus.close(Duration::from_secs(1)).await.is_err());
}

async fn audits_read_the_whole_log(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let stored = publish(&bus, &topic, 0..500, 17).await;
    let log = bus.audit(&topic).await.unwrap();
    let mut places: Vec<_> = log
        .iter()
        .map(|(partition, position, _)| (*partition, position.0))
        .collect();
    let mut told: Vec<_> = stored.iter().map(|s| (s.partition, s.position.0)).collect();
    places.sort_unstable();
    told.sort_unstable();
    assert_eq!(places, told, "acknowledgements tell where messages are");
}

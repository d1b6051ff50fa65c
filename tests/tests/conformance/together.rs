//! Several messages of one key in one request (`publish.batch`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use procession::{PublishError, Settings, Storage, TopicMode};
use procession_tests::seen::{Seen, envelope, publish, publish_all};
use procession_tests::venue::{Kind, Venue};

crate::rows![
    s8_what_goes_together_keeps_its_order_and_is_told_where_it_is,
    s10_a_copy_among_what_goes_together_takes_nothing_with_it,
    a_topic_that_takes_no_batches_is_refused_with_the_way_out,
];

/// Batches to a topic in the broker's memory: nats-server makes files for each batch otherwise.
fn together(venue: &Venue, topic: &str) -> impl FnOnce(&mut Settings) + Send + 'static {
    let (topic, kind) = (topic.to_owned(), venue.kind);
    move |settings| {
        settings.publish.batch = 32;
        if kind == Kind::Nats {
            settings.topics.entry(topic).or_default().storage = Storage::Memory;
        }
    }
}

/// S8, S10: nothing is missing, each is told its own place, and the log has each key in order.
async fn s8_what_goes_together_keeps_its_order_and_is_told_where_it_is(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let bus = venue.bus_with(together(&venue, &topic)).await;
    let stored = publish(&bus, &topic, 0..3_000, 3).await;
    let mut log = BTreeMap::new();
    for (partition, position, message) in bus.audit(&topic).await.unwrap() {
        let number: u64 = std::str::from_utf8(message.payload())
            .unwrap()
            .parse()
            .unwrap();
        log.insert((partition, position), number);
    }
    assert_eq!(log.len(), 3_000);
    for (number, stored) in (0..).zip(&stored) {
        assert_eq!(log.get(&(stored.partition, stored.position)), Some(&number));
        assert!(!stored.duplicate);
    }
    let mut last = BTreeMap::new();
    for number in log.into_values() {
        let before = last.insert(number % 3, number);
        assert!(before < Some(number), "{before:?} stands before {number}");
    }
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await;
    seen.wait_for(3_000).await;
    seen.assert_once(0..3_000);
    seen.assert_in_order();
    drop(subscription);
}

/// S10: where the broker knows ids, a copy is told as one, with the place of the first, and what went with
/// it is stored once. (Kafka knows none: its subscriptions do, S4.)
async fn s10_a_copy_among_what_goes_together_takes_nothing_with_it(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let bus = venue.bus_with(together(&venue, &topic)).await;
    let before = publish(&bus, &topic, 0..20, 1).await;
    // Copies of all that is there, each among new ones; and one that is twice among what is new.
    let numbers: Vec<u64> = (0..20)
        .flat_map(|n| [100 + 2 * n, n, 101 + 2 * n])
        .collect();
    let twice = numbers.iter().copied().chain([500, 500, 501]);
    let stored = publish_all(&bus, &topic, twice.clone().map(|n| envelope("k0", n))).await;
    let mut first = BTreeMap::new();
    let all = (0..20).chain(twice);
    for (number, stored) in all.zip(before.into_iter().chain(stored)) {
        let place = (stored.partition, stored.position);
        let known = first.get(&number).copied();
        if venue.kind != Kind::Kafka {
            assert_eq!(known.is_some(), stored.duplicate, "{number}: {stored:?}");
            assert!(
                known.is_none_or(|known| known == place),
                "{number}: {stored:?}"
            );
        }
        first.entry(number).or_insert(place);
    }
    let log = bus.audit(&topic).await.unwrap();
    let copies = if venue.kind == Kind::Kafka { 21 } else { 0 };
    assert_eq!(log.len(), first.len() + copies);
    let places: Vec<_> = (100..140).chain(500..502).map(|n| first[&n]).collect();
    assert!(places.is_sorted(), "S8: {places:?}");
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await;
    seen.wait_for(62).await;
    seen.assert_once((0..20).chain(100..140).chain(500..502));
    drop(subscription);
}

/// A topic that was made without: publishing says what to do, and reading needs nothing. With
/// `create_or_update` it is done.
async fn a_topic_that_takes_no_batches_is_refused_with_the_way_out(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    venue
        .bus()
        .await
        .publish(&topic, envelope("k", 1))
        .await
        .unwrap();
    let bus = venue.bus_with(together(&venue, &topic)).await;
    let refused = bus.publish(&topic, envelope("k", 2)).await;
    if venue.kind == Kind::Nats {
        let Err(PublishError::Topic(error)) = refused else {
            panic!("{refused:?}");
        };
        let said = error.to_string();
        for part in [
            "publish.batch",
            "allow_atomic",
            "create_or_update",
            "2.12",
            &topic,
        ] {
            assert!(said.contains(part), "{said}");
        }
    } else {
        refused.unwrap();
    }
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await;
    seen.wait_for(1).await;
    subscription
        .unwrap()
        .drain(Duration::from_secs(5))
        .await
        .unwrap();
    let batches = together(&venue, &topic);
    let updating = venue.bus_with(|settings| {
        batches(settings);
        settings.bus.topics = Some(TopicMode::CreateOrUpdate);
    });
    let stored = publish(&updating.await, &topic, 10..110, 1).await;
    assert_eq!(stored.len(), 100);
}

//! Recorded progress that the log does not hold any more: `on_reset`.

use std::sync::Arc;
use std::time::Duration;

use procession::settings::TopicSettings;
use procession::{
    Bus, HandlerError, Notice, NoticeKind, OnReset, StartAt, Subscription, dead_letter_topic,
};
use procession_tests::raw_nats::Raw;
use procession_tests::seen::{Seen, envelope, owning, publish, publish_all};
use procession_tests::venue::{Kind, Venue};
use procession_tests::watch::{Event, Watch};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

crate::rows![
    on_reset_decides_what_follows_when_retention_took_what_was_never_delivered,
    retention_beside_idle_partitions_stops_nothing,
    a_topic_that_grows_is_served_whole,
    a_group_that_began_at_the_end_goes_on_where_it_began,
];

/// Three groups handled 0 to 2 of ten messages; then retention took what is below 6.
async fn on_reset_decides_what_follows_when_retention_took_what_was_never_delivered(
    venue: Arc<Venue>,
) {
    let topic = venue.topic("t");
    let single = topic.clone();
    let bus = venue
        .bus_with(move |settings| {
            let mut own = TopicSettings::default();
            own.partitions = Some(1);
            settings.topics.insert(single, own);
        })
        .await;
    publish(&bus, &topic, 0..3, 1).await;
    let groups = ["stop", "earliest", "latest"].map(|name| venue.group(name));
    for group in &groups {
        let (seen, subscription) = consume(&bus, &topic, group, OnReset::Stop).await;
        seen.wait_for(3).await;
        subscription.drain(Duration::from_secs(10)).await.unwrap();
    }
    let stored = publish(&bus, &topic, 3..10, 1).await;
    let (partition, first) = (stored[3].partition, stored[3].position);
    trim(&venue, &topic, partition, first.0).await;

    // Stops, says so, and goes on where it is told.
    let [stop, earliest, latest] = &groups;
    let (seen, subscription) = consume(&bus, &topic, stop, OnReset::Stop).await;
    told(&subscription, NoticeKind::OutOfRange).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(seen.count(), 0, "a stopped partition is delivered");
    let alarms = subscription.health().alarms;
    assert!(
        alarms.iter().any(|a| a.contains("not in the log")),
        "{alarms:?}"
    );
    // Given up and taken again, nothing has changed.
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    let (seen, subscription) = consume(&bus, &topic, stop, OnReset::Stop).await;
    told(&subscription, NoticeKind::OutOfRange).await;
    assert_eq!(seen.count(), 0);
    subscription.reset(partition, OnReset::Earliest);
    seen.wait_for(4).await;
    seen.assert_once(6..10);
    subscription.drain(Duration::from_secs(10)).await.unwrap();

    // Goes on with what is left.
    let (seen, subscription) = consume(&bus, &topic, earliest, OnReset::Earliest).await;
    told(&subscription, NoticeKind::Truncated).await;
    seen.wait_for(4).await;
    seen.assert_once(6..10);
    subscription.drain(Duration::from_secs(10)).await.unwrap();

    // Goes on behind all of it, also after the next restart.
    let watch = Watch::new();
    let watched = venue.bus_watched(watch.observer()).await;
    let (seen, subscription) = consume(&watched, &topic, latest, OnReset::Latest).await;
    told(&subscription, NoticeKind::Truncated).await;
    watch_commit(&watch, partition).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    publish(&bus, &topic, 10..12, 1).await;
    assert_eq!(seen.count(), 0);
    let (seen, subscription) = consume(&watched, &topic, latest, OnReset::Latest).await;
    seen.wait_for(2).await;
    seen.assert_once(10..12);
    drop(subscription);
}

/// The partitions of a NATS topic share a stream: what retention takes of it need not have been of a
/// partition that stands where it stood.
async fn retention_beside_idle_partitions_stops_nothing(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let (bus, group) = (venue.bus().await, venue.group("g"));
    publish(&bus, &topic, 0..3, 1).await;
    let (seen, subscription) = consume(&bus, &topic, &group, OnReset::Stop).await;
    seen.wait_for(3).await;
    publish(&bus, &topic, 3..10, 1).await;
    seen.wait_for(10).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    let stored = publish(&bus, &topic, 10..12, 1).await;
    trim(&venue, &topic, stored[0].partition, stored[0].position.0).await;
    let (seen, subscription) = consume(&bus, &topic, &group, OnReset::Stop).await;
    seen.wait_for(2).await;
    seen.assert_once(10..12);
    publish(&bus, &topic, 12..40, 20).await;
    seen.wait_for(30).await;
    drop(subscription);
}

/// Nothing came while the first member was there, and it left without a word; what comes before the next
/// one is not skipped.
async fn a_group_that_began_at_the_end_goes_on_where_it_began(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let (bus, group) = (venue.bus().await, venue.group("g"));
    publish(&bus, &topic, 0..10, 5).await;
    let from_the_end = |seen: &Seen| {
        let subscribe = bus.subscribe(&topic, &group, seen.handler());
        subscribe.with(|settings| settings.start = StartAt::Latest)
    };
    let seen = Seen::new();
    let subscription = from_the_end(&seen).await.unwrap();
    owning(&subscription).await;
    // Longer than `commit_every`.
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(subscription);
    publish(&bus, &topic, 10..30, 5).await;
    let subscription = from_the_end(&seen).await.unwrap();
    seen.wait_for(20).await;
    seen.assert_once(10..30);
    drop(subscription);
}

/// Three partitions become five while a group that began at the end is at work: what lies in the new ones
/// is handled from their beginning, and what is given up there reaches its dead-letter topic once that
/// has grown, too.
async fn a_topic_that_grows_is_served_whole(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let bus = venue
        .bus_with(|settings| {
            let often = ("topic.metadata.refresh.interval.ms".into(), "500".into());
            settings.bus.kafka.properties.extend([often]);
        })
        .await;
    bus.topic(&topic).await.unwrap();
    let (seen, group) = (Seen::new(), venue.group("g"));
    let handler = seen.handler_with(|envelope, context| async move {
        let poison = envelope.payload() == b"77".as_slice() && context.fence().partition.0 >= 3;
        if poison {
            return Err(HandlerError::new("poison").reject());
        }
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &group, handler)
        .with(|settings| settings.start = StartAt::Latest)
        .await
        .unwrap();
    owning(&subscription).await;
    publish(&bus, &topic, 0..30, 10).await;
    seen.wait_for(30).await;

    grow(&venue, &topic, 5).await;
    // Whoever connects now knows of five.
    let second = venue.bus().await;
    let key = key_of_new_partition(&second, &topic).await;
    let told = told_of(&subscription, |n| {
        matches!(n, Notice::Grown { known: 3, .. })
    });
    let stored = async {
        publish_all(&second, &topic, [envelope(&key, 77)]).await;
        publish(&second, &topic, 100..300, 50).await
    };
    let (stored, ()) = tokio::join!(stored, told);
    assert!(
        stored.iter().any(|s| 3 <= s.partition),
        "nothing went to the new ones"
    );
    let dead_letters = dead_letter_topic(&topic, &group);
    told_of(
        &subscription,
        |n| matches!(n, Notice::Core(n) if n.kind == NoticeKind::DeadLetterRetried),
    )
    .await;
    grow(&venue, &dead_letters, 5).await;
    let buried = Seen::new();
    let reader = second.subscribe(&dead_letters, &venue.group("dlq"), buried.handler());
    let reader = reader.await.unwrap();
    buried.wait_for(1).await;
    assert!(3 <= buried.all()[0].partition);
    seen.wait_until("all but the poison", |got| {
        got.iter().filter(|got| 100 <= got.number).count() == 200
    })
    .await;
    assert_eq!(seen.repeated(), 0);
    drop((reader, subscription));
}

/// A key that lies in one of the partitions that came later: tried, with messages that count nowhere.
async fn key_of_new_partition(bus: &Bus, topic: &str) -> String {
    for number in 0..100 {
        let key = format!("try-{number}");
        let stored = publish_all(bus, topic, [envelope(&key, 31)]).await;
        if 3 <= stored[0].partition {
            return key;
        }
    }
    panic!("no key lies in a new partition");
}

/// Gives a topic more partitions.
async fn grow(venue: &Venue, topic: &str, partitions: usize) {
    let grown = admin(venue)
        .create_partitions(
            &[NewPartitions::new(topic, partitions)],
            &AdminOptions::new(),
        )
        .await
        .unwrap();
    assert!(grown.iter().all(Result::is_ok), "{grown:?}");
}

fn admin(venue: &Venue) -> AdminClient<DefaultClientContext> {
    let server = venue.url.trim_start_matches("kafka://");
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", server).create().unwrap()
}

async fn consume(bus: &Bus, topic: &str, group: &str, on_reset: OnReset) -> (Seen, Subscription) {
    let seen = Seen::new();
    let subscription = bus
        .subscribe(topic, group, seen.handler())
        .with(move |settings| settings.on_reset = on_reset)
        .await
        .unwrap();
    (seen, subscription)
}

/// Waits for a notice of the core.
async fn told(subscription: &Subscription, kind: NoticeKind) {
    told_of(
        subscription,
        |notice| matches!(notice, Notice::Core(n) if n.kind == kind),
    )
    .await;
}

/// Waits for a notice.
async fn told_of(subscription: &Subscription, this: impl Fn(&Notice) -> bool) {
    let mut notices = subscription.notices();
    let wait = async {
        while let Some(notice) = notices.next().await {
            if this(&notice) {
                return;
            }
        }
        panic!("the subscription ended");
    };
    let told = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(told.is_ok(), "the notice did not come");
}

/// Waits for a commit of this partition.
async fn watch_commit(watch: &Watch, partition: u32) {
    let committed =
        |event: &Event| matches!(event, Event::Committed { partition: p, .. } if *p == partition);
    let wait = async {
        while !watch.events().iter().any(committed) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let came = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(came.is_ok(), "where it goes on is not committed");
}

/// Takes away what is below a position.
async fn trim(venue: &Venue, topic: &str, partition: u32, position: u64) {
    match venue.kind {
        Kind::Nats => {
            let port = venue.url.rsplit(':').next().and_then(|p| p.parse().ok());
            let body = serde_json::json!({"seq": position});
            let purged = Raw::connect(port.unwrap())
                .request(&format!("$JS.API.STREAM.PURGE.{topic}"), &body);
            assert_eq!(purged["success"], serde_json::json!(true), "{purged}");
        }
        Kind::Kafka => {
            let mut list = TopicPartitionList::new();
            let partition = i32::try_from(partition).unwrap();
            let offset = Offset::Offset(i64::try_from(position).unwrap());
            list.add_partition_offset(topic, partition, offset).unwrap();
            admin(venue)
                .delete_records(&list, &AdminOptions::new())
                .await
                .unwrap();
        }
        Kind::Memory => unreachable!("its retention waits for the slowest group"),
    }
}

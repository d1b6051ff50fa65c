//! Recorded progress that the log does not hold any more: `on_reset`.

use std::sync::Arc;
use std::time::Duration;

use procession::settings::TopicSettings;
use procession::{Bus, Notice, NoticeKind, OnReset, Subscription};
use procession_tests::raw_nats::Raw;
use procession_tests::seen::{Seen, publish};
use procession_tests::venue::{Kind, Venue};
use procession_tests::watch::{Event, Watch};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

crate::rows![
    on_reset_decides_what_follows_when_retention_took_what_was_never_delivered,
    retention_beside_idle_partitions_stops_nothing,
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

async fn consume(bus: &Bus, topic: &str, group: &str, on_reset: OnReset) -> (Seen, Subscription) {
    let seen = Seen::new();
    let subscription = bus
        .subscribe(topic, group, seen.handler())
        .with(move |settings| settings.on_reset = on_reset)
        .await
        .unwrap();
    (seen, subscription)
}

/// Waits for a notice.
async fn told(subscription: &Subscription, kind: NoticeKind) {
    let mut notices = subscription.notices();
    let wait = async {
        while let Some(notice) = notices.next().await {
            if matches!(notice, Notice::Core(n) if n.kind == kind) {
                return;
            }
        }
        panic!("the subscription ended");
    };
    let told = tokio::time::timeout(Duration::from_secs(20), wait).await;
    assert!(told.is_ok(), "no notice of {kind:?}");
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
            let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
                .set(
                    "bootstrap.servers",
                    venue.url.trim_start_matches("kafka://"),
                )
                .create()
                .unwrap();
            let mut list = TopicPartitionList::new();
            let partition = i32::try_from(partition).unwrap();
            let offset = Offset::Offset(i64::try_from(position).unwrap());
            list.add_partition_offset(topic, partition, offset).unwrap();
            admin
                .delete_records(&list, &AdminOptions::new())
                .await
                .unwrap();
        }
        Kind::Memory => unreachable!("its retention waits for the slowest group"),
    }
}

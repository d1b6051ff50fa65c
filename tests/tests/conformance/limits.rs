//! Limits, settings and what they say when they are reached.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use procession::settings::{SubscribeSettings, TopicSettings, WhenFull};
use procession::{Envelope, NoticeKind, Order, StartAt, TopicMode};
use procession_tests::seen::{PATIENCE, Seen, envelope, owning, publish, publish_all};
use procession_tests::venue::Venue;
use tokio::sync::Semaphore;

crate::rows![
    s3_health_names_who_blocks_the_frontier,
    p15_a_full_window_stops_intake_and_resumes,
    large_messages_come_through_a_small_credit,
    unordered_subscriptions_get_everything_once,
    a_topic_may_have_many_partitions,
    a_group_may_begin_at_the_end,
    a_missing_topic_is_named,
    publishes_that_are_dropped_before_acceptance_send_nothing,
    a_full_publishing_window_fails_or_waits;
    memory:
    addresses_that_lead_nowhere_are_named,
];

/// SC-S3.
async fn s3_health_names_who_blocks_the_frontier(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, _| async move {
        if envelope.id() == "k0-0" {
            std::future::pending::<()>().await;
        }
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    let stored = publish(&bus, &topic, 0..100, 10).await;
    seen.wait_for(90).await;
    let blocked = async {
        loop {
            let partitions = subscription.health().partitions;
            let of_first = partitions
                .into_iter()
                .find(|p| p.partition.0 == stored[0].partition);
            if let Some(blocker) = of_first.and_then(|partition| partition.blocker) {
                break blocker;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let blocker = tokio::time::timeout(PATIENCE, blocked)
        .await
        .expect("a blocker is named");
    assert_eq!(blocker.position, stored[0].position);
    assert!(blocker.name.contains("k0"), "{blocker:?}");
    subscription.retire(Duration::from_secs(5)).await.unwrap();
}

/// SC-P7, SC-P15: one stuck message does not grow memory; a notice says so; all goes on behind it.
async fn p15_a_full_window_stops_intake_and_resumes(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let gate = Arc::new(Semaphore::new(0));
    let seen = Seen::new();
    let door = Arc::clone(&gate);
    let handler = seen.handler_with(move |envelope, _| {
        let door = Arc::clone(&door);
        async move {
            if envelope.id() == "stuck-0" {
                door.acquire().await.unwrap().forget();
            }
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| {
            settings.window = 64;
            settings.window_pool = 1_024;
        })
        .await
        .unwrap();
    owning(&subscription).await;
    let stuck = bus.publish(&topic, envelope("stuck", 0)).await.unwrap();
    let all = (1..2_000).map(|number| envelope(&format!("k{number}"), number));
    let stored = publish_all(&bus, &topic, all).await;
    let beside = stored
        .iter()
        .filter(|s| s.partition != stuck.partition)
        .count();
    let mut notices = subscription.notices();
    let full = async {
        while let Some(notice) = notices.next().await {
            if matches!(&notice, procession::Notice::Core(n) if n.kind == NoticeKind::WindowFull) {
                break;
            }
        }
    };
    tokio::time::timeout(PATIENCE, full)
        .await
        .expect("L3: the full window is told");
    seen.wait_until("message of the other partitions", |got| got.len() >= beside)
        .await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let behind = seen
        .all()
        .into_iter()
        .filter(|got| got.partition == stuck.partition);
    let behind = behind.count();
    assert!(
        behind <= 64,
        "{behind} messages passed a stuck one in a window of 64"
    );
    gate.add_permits(1);
    seen.wait_for(2_000).await;
    seen.assert_once(0..2_000);
    subscription.drain(Duration::from_secs(10)).await.unwrap();
}

/// Messages that are larger than what is left of the credit, more in all than the in-process
/// broker's log holds.
async fn large_messages_come_through_a_small_credit(venue: Arc<Venue>) {
    let bus = venue.bus_with(|s| s.publish.window_bytes = 8 << 20).await;
    let topic = venue.topic("t");
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, _| async move {
        let filled = envelope.payload().iter().all(|byte| *byte == b'0');
        assert!(filled, "the payload is whole");
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings: &mut SubscribeSettings| {
            settings.credit_bytes = 2 << 20;
            settings.partition_credit_bytes = 1 << 20;
        })
        .await
        .unwrap();
    let large = (0..60_u64).map(|number| {
        // "000...": a number of that many digits, each its own length.
        let payload = vec![b'0'; 600 << 10 | usize::try_from(number).unwrap()];
        let builder = Envelope::builder("Large").key(format!("k{}", number % 6));
        builder
            .id(format!("large-{number}"))
            .payload(payload, "text/plain")
            .unwrap()
    });
    publish_all(&bus, &topic, large).await;
    seen.wait_for(60).await;
    let mut ids: Vec<_> = seen.all().into_iter().map(|got| got.id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!((ids.len(), seen.count()), (60, 60));
    drop(subscription);
}

async fn unordered_subscriptions_get_everything_once(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|_, _| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| settings.order = Order::Unordered)
        .await
        .unwrap();
    publish(&bus, &topic, 0..2_000, 3).await;
    seen.wait_for(2_000).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..2_000);
}

async fn a_topic_may_have_many_partitions(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let name = topic.clone();
    let bus = venue
        .bus_with(move |settings| {
            let mut own = TopicSettings::default();
            own.partitions = Some(24);
            settings.topics.insert(name, own);
        })
        .await;
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    publish(&bus, &topic, 0..2_000, 200).await;
    seen.wait_for(2_000).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..2_000);
    seen.assert_in_order();
    let mut partitions: Vec<_> = seen.all().into_iter().map(|got| got.partition).collect();
    partitions.sort_unstable();
    partitions.dedup();
    assert_eq!(partitions.len(), 24, "{partitions:?}");
}

async fn a_group_may_begin_at_the_end(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    publish(&bus, &topic, 0..50, 5).await;
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, "late", seen.handler())
        .with(|settings| settings.start = StartAt::Latest)
        .await
        .unwrap();
    owning(&subscription).await;
    publish(&bus, &topic, 50..80, 5).await;
    seen.wait_for(30).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(50..80);
}

async fn a_missing_topic_is_named(venue: Arc<Venue>) {
    let bus = venue
        .bus_with(|s| s.bus.topics = Some(TopicMode::Validate))
        .await;
    let topic = venue.topic("missing");
    let error = bus.topic(&topic).await.unwrap_err().to_string();
    assert!(
        error.contains(&topic) && error.contains("create"),
        "{error}"
    );
    let error = bus
        .publish(&topic, envelope("k", 1))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains(&topic), "{error}");
    let subscribed = bus
        .subscribe(&topic, &venue.group("g"), Seen::new().handler())
        .await;
    let error = subscribed.err().unwrap().to_string();
    assert!(error.contains(&topic), "{error}");
    for bad in ["", "a b", "a..b", "a/b"] {
        let error = bus.topic(bad).await.unwrap_err().to_string();
        assert!(error.contains("topic name"), "{error}");
    }
}

async fn publishes_that_are_dropped_before_acceptance_send_nothing(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    bus.topic(&topic).await.unwrap();
    drop(bus.publish(&topic, envelope("never", 1)));
    // Handed over by its first poll, and accepted soon after: it needs no further poll.
    let mut accepted = Box::pin(bus.publish(&topic, envelope("once", 2)));
    let polled = std::future::poll_fn(|cx| Poll::Ready(accepted.as_mut().poll(cx))).await;
    let arrives = async {
        while bus.audit(&topic).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, arrives)
        .await
        .expect("an accepted publish is carried out");
    drop((polled, accepted));
    bus.publish(&topic, envelope("once", 3)).await.unwrap();
    let log = bus.audit(&topic).await.unwrap();
    let ids: Vec<_> = log
        .iter()
        .map(|(_, _, envelope)| envelope.id().to_owned())
        .collect();
    assert_eq!(ids, ["once-2", "once-3"]);
}

/// S7: the window is a limit; what is outside of it waits or is told at once.
async fn a_full_publishing_window_fails_or_waits(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    for (when_full, fails) in [(WhenFull::Wait, false), (WhenFull::Fail, true)] {
        let bus = venue
            .bus_with(move |settings| {
                settings.publish.window_messages = 8;
                settings.publish.when_full = when_full;
            })
            .await;
        bus.topic(&topic).await.unwrap();
        let publishes = (0..500).map(|number| {
            let number = number + if fails { 1_000 } else { 0 };
            bus.publish(&topic, envelope("k", number))
        });
        let results = futures_util::future::join_all(publishes).await;
        let full = results
            .iter()
            .filter(|result| matches!(result, Err(procession::PublishError::Full)));
        let (full, stored) = (full.count(), results.iter().flatten().count());
        assert_eq!(full + stored, 500, "S10: every publish has a result");
        assert_eq!(
            full > 0,
            fails,
            "{full} of 500 found no room under {when_full:?}"
        );
        bus.close(Duration::from_secs(5)).await.unwrap();
    }
}

/// One clear error each: what was asked for, and what to do. (No broker is needed for it.)
async fn addresses_that_lead_nowhere_are_named(_: Arc<Venue>) {
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let nobody = format!("nats://127.0.0.1:{port}");
    for (url, says) in [
        (nobody.as_str(), "127.0.0.1"),
        ("nats://", "nats://"),
        ("memory://a b", "memory://a b"),
        ("mqtt://127.0.0.1", "mqtt"),
        ("somewhere", "somewhere"),
        ("kafka://127.0.0.1:9092", "kafka"),
    ] {
        let began = std::time::Instant::now();
        let error = procession::Bus::connect(url).await.err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(says), "{url}: {error:?}");
        assert!(
            began.elapsed() < Duration::from_secs(8),
            "{url} took {:?}",
            began.elapsed()
        );
    }
}

//! Progress: what commits cover, and what comes again.

use std::sync::Arc;
use std::time::Duration;

use procession::HandlerError;
use procession_tests::seen::{Seen, envelope, owning, publish};
use procession_tests::venue::Venue;
use procession_tests::watch::{Event, Watch};

crate::rows![
    p1_commits_never_cover_what_is_in_flight,
    p2_nothing_is_committed_while_the_only_message_fails,
    p5_only_what_was_not_finished_comes_again,
    p6_restarts_skip_nothing_and_repeat_nothing,
    p9_finished_work_is_committed_at_hand_over,
    p16_draining_finishes_what_runs,
    n2_a_handler_slower_than_the_lease_is_not_repeated,
    control_without_commits_everything_is_repeated,
];

/// SC-P1.
async fn p1_commits_never_cover_what_is_in_flight(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, _| async move {
        let number = envelope.payload().len() as u64 + u64::from(envelope.payload()[0]);
        tokio::time::sleep(Duration::from_millis(number * 7 % 40)).await;
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| {
            settings.commit_every = Duration::from_millis(5);
            settings.commit_messages = 3;
        })
        .await
        .unwrap();
    publish(&bus, &topic, 0..2_000, 100).await;
    seen.wait_for(2_000).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    watch.assert_promises();
    let commits = watch.events().into_iter();
    let commits = commits
        .filter(|event| matches!(event, Event::Commit { .. }))
        .count();
    assert!(
        commits >= 10,
        "only {commits} commits: the case shows nothing"
    );
    let log = bus.audit(&topic).await.unwrap();
    for (partition, frontier) in watch.committed() {
        let positions = log
            .iter()
            .filter(|(p, _, _)| *p == partition)
            .map(|(_, at, _)| at.0);
        assert!(
            positions.max().is_none_or(|last| last < frontier),
            "L1: all is committed"
        );
    }
}

/// SC-P2.
async fn p2_nothing_is_committed_while_the_only_message_fails(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let (seen, tries) = (Seen::new(), Seen::new());
    let tried = tries.clone();
    let handler = seen.handler_with(move |envelope, context| {
        tried.note(&envelope, &context);
        std::future::ready(Err(HandlerError::new("always")))
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| {
            settings.attempts = u32::MAX;
            settings.backoff_max = Duration::from_millis(50);
            settings.commit_every = Duration::from_millis(5);
        })
        .await
        .unwrap();
    let stored = bus.publish(&topic, envelope("k", 1)).await.unwrap();
    tries.wait_for(5).await;
    subscription.retire(Duration::from_secs(5)).await.unwrap();
    let committed = watch
        .committed()
        .get(&stored.partition)
        .copied()
        .unwrap_or_default();
    assert!(
        committed <= stored.position.0,
        "{committed} covers {}",
        stored.position.0
    );
    watch.assert_promises();
}

/// SC-P5: with the unfinished ones far below and between what was finished.
async fn p5_only_what_was_not_finished_comes_again(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let stuck = |number: u64| number == 0 || number % 400 == 399;
    let first = Seen::new();
    let handler = first.handler_with(move |envelope, _| {
        let number: u64 = String::from_utf8_lossy(envelope.payload()).parse().unwrap();
        async move {
            if stuck(number) {
                std::future::pending::<()>().await;
            }
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    // A key each, so that nothing waits for the stuck ones.
    publish(&bus, &topic, 0..4_000, 4_000).await;
    first.wait_for(4_000 - 11).await;
    subscription.retire(Duration::from_secs(10)).await.unwrap();
    let second = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), second.handler())
        .await
        .unwrap();
    second.wait_for(11).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    second.assert_once((0..4_000).filter(|number| stuck(*number)));
    drop(subscription);
}

/// SC-P6.
async fn p6_restarts_skip_nothing_and_repeat_nothing(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    for number in 0..4 {
        let watch = Watch::new();
        let bus = venue.bus_watched(watch.observer()).await;
        let stored = bus.publish(&topic, envelope("k", number)).await.unwrap();
        let seen = Seen::new();
        let subscription = bus
            .subscribe(&topic, &venue.group("g"), seen.handler())
            .await
            .unwrap();
        seen.wait_for(1).await;
        bus.close(Duration::from_secs(10)).await.unwrap();
        drop(subscription);
        seen.assert_once([number]);
        let committed = watch.committed();
        assert_eq!(
            committed.get(&stored.partition),
            Some(&(stored.position.0 + 1))
        );
    }
}

/// SC-P9: the periodic commit would come an hour later.
async fn p9_finished_work_is_committed_at_hand_over(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let bus = venue
        .bus_with(|settings| {
            settings.subscribe.commit_every = Duration::from_secs(3_600);
            settings.subscribe.commit_messages = 1_000_000;
        })
        .await;
    publish(&bus, &topic, 0..100, 7).await;
    let first = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), first.handler())
        .await
        .unwrap();
    first.wait_for(100).await;
    let drained = subscription.drain(Duration::from_secs(10)).await.unwrap();
    assert_eq!((drained.handed_back, drained.abandoned), (0, 0));
    publish(&bus, &topic, 100..110, 7).await;
    let second = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), second.handler())
        .await
        .unwrap();
    second.wait_for(10).await;
    second.assert_once(100..110);
    drop(subscription);
}

/// SC-P16: what runs is finished and committed, nothing runs twice, nothing is lost.
async fn p16_draining_finishes_what_runs(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    publish(&bus, &topic, 0..300, 300).await;
    let seen = Seen::new();
    let handler = seen.handler_with(|_, _| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| settings.concurrency = 4)
        .await
        .unwrap();
    seen.wait_for(20).await;
    subscription.retire(Duration::from_secs(10)).await.unwrap();
    let at_end = seen.count();
    assert!(
        at_end < 300,
        "the case shows nothing: all were finished before"
    );
    watch.assert_promises();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    seen.wait_for(300).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..300);
    seen.assert_in_order();
}

/// SC-N2: in log mode nothing expires while its owner lives, however long a handler takes.
async fn n2_a_handler_slower_than_the_lease_is_not_repeated(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let (seen, started) = (Seen::new(), Seen::new());
    let starts = started.clone();
    let handler = seen.handler_with(move |envelope, context| {
        starts.note(&envelope, &context);
        async {
            tokio::time::sleep(Duration::from_millis(3_500)).await;
            Ok(())
        }
    });
    let short = |settings: &mut procession::settings::SubscribeSettings| {
        settings.lease = Duration::from_secs(1);
    };
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(short)
        .await
        .unwrap();
    // The other one stands by: it must not win the race for the first claim.
    owning(&subscription).await;
    let standby = bus
        .subscribe(&topic, &venue.group("g"), Seen::new().handler())
        .with(short)
        .await
        .unwrap();
    publish(&bus, &topic, 0..3, 3).await;
    seen.wait_for(3).await;
    started.assert_once(0..3);
    seen.assert_once(0..3);
    drop((subscription, standby));
}

/// Negative control: a subscription that commits nothing repeats everything, and the cases above
/// would see it.
async fn control_without_commits_everything_is_repeated(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    publish(&bus, &topic, 0..100, 7).await;
    let seen = Seen::new();
    for round in 1..=2 {
        let subscription = bus
            .subscribe(&topic, &venue.group("g"), seen.handler())
            .with(|settings| settings.hold_commits = true)
            .await
            .unwrap();
        seen.wait_for(round * 100).await;
        subscription.drain(Duration::from_secs(10)).await.unwrap();
    }
    assert_eq!(seen.repeated(), 100);
}

//! Faults that the in-process broker can produce on demand. Those of real servers are in `chaos`.

use std::sync::Arc;
use std::time::Duration;

use procession::observe::Incident;
use procession_memory::hooks::Members;
use procession_tests::seen::{Seen, envelope, owning, publish};
use procession_tests::venue::Venue;
use procession_tests::watch::{Event, Watch};

crate::rows![
    ; memory:
    sessions_break_fifty_times,
    deliveries_are_lost,
    a_rewritten_log_is_reported_and_run,
    sinks_are_cut,
    a_full_log_makes_publishers_wait,
];

/// Nothing lost, misordered or run twice over fifty reconnects.
async fn sessions_break_fifty_times(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|_, _| async {
        tokio::task::yield_now().await;
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    let publishing = {
        let (bus, topic) = (bus.clone(), topic.clone());
        tokio::spawn(async move { publish(&bus, &topic, 0..20_000, 100).await })
    };
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let hooks = venue.memory().unwrap().hooks();
        hooks.break_sessions(&topic, Members::All).unwrap();
    }
    publishing.await.unwrap();
    seen.wait_for(20_000).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..20_000);
    seen.assert_in_order();
    watch.assert_promises();
}

/// Lost in the middle, and as the last ones with nothing behind them.
async fn deliveries_are_lost(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    owning(&subscription).await;
    for round in 0..10 {
        for partition in 0..2 {
            let hooks = venue.memory().unwrap().hooks();
            let lost = hooks.lose_deliveries(&topic, Members::All, partition, 3);
            assert_eq!(lost, Ok(1));
        }
        publish(&bus, &topic, round * 40..round * 40 + 40, 10).await;
        seen.wait_for(usize::try_from(round * 40 + 40).unwrap())
            .await;
    }
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..400);
    seen.assert_in_order();
    watch.assert_promises();
    let lost = watch.events().into_iter().filter(|event| {
        matches!(
            event,
            Event::Incident {
                incident: Incident::Gap | Incident::Session,
                ..
            }
        )
    });
    assert!(lost.count() > 0, "S9: lost deliveries are reported");
}

/// S9: other content at a position that was finished is reported, and is run.
async fn a_rewritten_log_is_reported_and_run(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    // One key: one partition.
    publish(&bus, &topic, 0..30, 1).await;
    seen.wait_for(30).await;
    let partition = seen.all()[0].partition;
    for round in 1..=5_u64 {
        let hooks = venue.memory().unwrap().hooks();
        hooks.lose_tail(&topic, partition, 10).unwrap();
        let from = round * 1_000;
        for number in from..from + 10 {
            bus.publish(&topic, envelope("k0", number)).await.unwrap();
        }
        seen.wait_for(30 + usize::try_from(round).unwrap() * 10)
            .await;
    }
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    let rounds = (1..=5).flat_map(|round| round * 1_000..round * 1_000 + 10);
    seen.assert_once((0..30).chain(rounds));
    let rewritten = watch.events().into_iter().filter(|event| {
        matches!(
            event,
            Event::Incident {
                incident: Incident::Rewritten,
                ..
            }
        )
    });
    assert!(rewritten.count() >= 5, "every rewritten log is reported");
}

/// S8, S10: publishes whose answers are lost are stored once, in order, each with one result.
async fn sinks_are_cut(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    // The bus publishes over the venue's own connection: that is the one that can be cut.
    let broker = procession_memory::MemoryBroker::connect(
        &venue.url,
        procession_runtime::tokio::TokioShell::current(),
    );
    let broker = Arc::new(broker.unwrap());
    let bus = venue
        .builder()
        .broker(broker.clone())
        .connect()
        .await
        .unwrap();
    let publishing = {
        let (bus, topic) = (bus.clone(), topic.clone());
        tokio::spawn(async move { publish(&bus, &topic, 0..10_000, 50).await })
    };
    for cut in 0..40 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        broker.hooks().cut_sinks(cut % 2 == 0);
    }
    let stored = publishing.await.unwrap();
    assert_eq!(stored.len(), 10_000);
    let log = bus.audit(&topic).await.unwrap();
    assert_eq!(log.len(), 10_000, "every message is in the log once");
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    seen.wait_for(10_000).await;
    seen.assert_once(0..10_000);
    seen.assert_in_order();
    drop(subscription);
}

/// S7: a full log makes publishers wait until a group has committed.
async fn a_full_log_makes_publishers_wait(venue: Arc<Venue>) {
    let shell = procession_runtime::tokio::TokioShell::current();
    let settings = procession_memory::Settings {
        log_bytes: 1 << 20,
        ..procession_memory::Settings::default()
    };
    let url = format!("{}-small", venue.url);
    let broker = procession_memory::MemoryBroker::connect_with(&url, shell, settings);
    let broker = Arc::new(broker.unwrap());
    let bus = venue
        .builder()
        .broker(broker.clone())
        .connect()
        .await
        .unwrap();
    let topic = venue.topic("t");
    let publishing = {
        let (bus, topic) = (bus.clone(), topic.clone());
        tokio::spawn(async move { publish(&bus, &topic, 0..20_000, 50).await })
    };
    let full = async {
        while broker.log_bytes() < (1 << 20) / 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), full)
        .await
        .unwrap();
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    let mut most = 0;
    while !publishing.is_finished() {
        most = most.max(broker.log_bytes());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    publishing.await.unwrap();
    seen.wait_for(20_000).await;
    seen.assert_once(0..20_000);
    seen.assert_in_order();
    assert!(most <= 1 << 20, "the log grew to {most} bytes");
    drop(subscription);
}

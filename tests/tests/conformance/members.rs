//! Members of a group: hand-over, planned and not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use procession_tests::seen::{Got, Seen, owning, publish};
use procession_tests::venue::Venue;
use procession_tests::watch::Watch;

crate::rows![
    h2_a_planned_hand_over_repeats_nothing,
    h2_a_member_that_dies_is_replaced_when_its_lease_runs_out,
    p12_members_come_and_go_at_random,
    the_standby_says_for_whom_it_waits,
];

/// SC-H2: the first member leaves under load; the second goes on where it stopped.
async fn h2_a_planned_hand_over_repeats_nothing(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let watches = [Watch::new(), Watch::new()];
    let one = venue.bus_watched(watches[0].observer()).await;
    let two = venue.bus_watched(watches[1].observer()).await;
    let seen = Seen::new();
    let slow = || {
        seen.handler_with(|_, _| async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok(())
        })
    };
    let first = one
        .subscribe(&topic, &venue.group("g"), slow())
        .await
        .unwrap();
    owning(&first).await;
    let second = two
        .subscribe(&topic, &venue.group("g"), slow())
        .await
        .unwrap();
    let publisher = venue.bus().await;
    let publishing = {
        let topic = topic.clone();
        tokio::spawn(async move { publish(&publisher, &topic, 0..5_000, 50).await })
    };
    seen.wait_for(1_000).await;
    let began = Instant::now();
    let drained = first.drain(Duration::from_secs(10)).await.unwrap();
    assert_eq!(drained.abandoned, 0);
    let at_hand_over = seen.count();
    seen.wait_until("message of the second member", |got| {
        got.len() > at_hand_over
    })
    .await;
    let gap = began.elapsed();
    publishing.await.unwrap();
    seen.wait_for(5_000).await;
    second.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..5_000);
    seen.assert_in_order();
    for watch in &watches {
        watch.assert_promises();
    }
    assert!(gap < Duration::from_secs(5), "the hand-over took {gap:?}");
}

/// The next member waits for the lease, then begins at the last commit: what was finished after it
/// may come again, nothing else, and nothing is lost.
async fn h2_a_member_that_dies_is_replaced_when_its_lease_runs_out(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let watch = Watch::new();
    let lease = Duration::from_secs(2);
    let dying = procession_tests::venue::builder(&venue.url)
        .observer(watch.observer())
        .with(move |settings| settings.subscribe.lease = lease)
        .connect()
        .await
        .unwrap();
    publish(&dying, &topic, 0..1_000, 50).await;
    let first = Seen::new();
    let handler = first.handler_with(|_, _| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    });
    let subscription = dying
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| settings.concurrency = 10)
        .await
        .unwrap();
    first.wait_for(300).await;
    // Dropped without a drain: nothing is committed or released any more, as when a process dies.
    drop(subscription);
    let died = Instant::now();
    let bus = venue
        .bus_with(move |settings| settings.subscribe.lease = lease)
        .await;
    let second = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), second.handler())
        .await
        .unwrap();
    second.wait_for(1).await;
    let waited = died.elapsed();
    let settled = first.count();
    let numbers = |got: &[Got]| got.iter().map(|got| got.number).collect::<BTreeSet<_>>();
    let before = numbers(&first.all());
    let rest = |got: &[Got]| numbers(got).union(&before).count() == 1_000;
    second.wait_until("rest of the messages", rest).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    second.assert_in_order();
    assert_eq!(first.count(), settled, "S5: the dead start nothing");
    // A member of a Kafka group that is dropped leaves the group.
    assert!(
        waited >= lease / 2 || venue.kind == procession_tests::venue::Kind::Kafka,
        "taken over after {waited:?}: nobody waited for the lease"
    );
    // What came again was not covered by the last confirmed commit (S4).
    let committed = watch.committed();
    for again in second.all() {
        let covered = committed
            .get(&again.partition)
            .is_some_and(|to| again.position < *to);
        assert!(
            !covered,
            "{again:?} came again below the frontier of {committed:?}"
        );
    }
}

async fn the_standby_says_for_whom_it_waits(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let name = |member: &'static str| {
        move |settings: &mut procession::Settings| settings.bus.member = Some(member.to_owned())
    };
    let one = venue.bus_with(name("the-owner")).await;
    let two = venue.bus_with(name("the-standby")).await;
    let seen = Seen::new();
    let first = one
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    owning(&first).await;
    let second = two
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    let named = async {
        loop {
            let partitions = second.health().partitions;
            let owner = partitions
                .iter()
                .find_map(|partition| partition.owner.clone());
            if owner.is_some_and(|owner| owner.starts_with("the-owner")) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), named).await;
    assert!(in_time.is_ok(), "{:?}", second.health());
    drop((first, second));
}

/// SC-P12, for seconds: members join and leave in order while messages come; every one of them is
/// handled once, and the group never stalls.
async fn p12_members_come_and_go_at_random(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let seen = Seen::new();
    let publisher = venue.bus().await;
    let publishing = {
        let topic = topic.clone();
        tokio::spawn(async move {
            for round in 0..50 {
                publish(&publisher, &topic, round * 200..(round + 1) * 200, 40).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
    };
    let mut members = Vec::new();
    let mut state = 7_u64;
    while !publishing.is_finished() || members.is_empty() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(99);
        if members.len() < 2 || (members.len() < 5 && state >> 63 == 0) {
            let bus = venue.bus().await;
            let subscription = bus
                .subscribe(&topic, &venue.group("g"), seen.handler())
                .await
                .unwrap();
            members.push((bus, subscription));
        } else {
            let index = usize::try_from(state >> 33).unwrap() % members.len();
            let (bus, subscription) = members.swap_remove(index);
            bus.close(Duration::from_secs(10)).await.unwrap();
            drop(subscription);
        }
        tokio::time::sleep(Duration::from_millis(state >> 58)).await;
    }
    publishing.await.unwrap();
    seen.wait_for(10_000).await;
    for (bus, _subscription) in members {
        bus.close(Duration::from_secs(10)).await.unwrap();
    }
    seen.assert_once(0..10_000);
    seen.assert_in_order();
}

//! Order per key, whatever handlers do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use procession::{Envelope, HandlerError, Why, dead_letter_topic, json};
use procession_tests::seen::{Seen, envelope, publish, publish_all};
use procession_tests::venue::Venue;
use procession_tests::watch::{Event, Watch};
use tokio::sync::Semaphore;

crate::rows![
    w4_each_key_is_handled_in_order,
    w5_failed_messages_come_again,
    w6_the_next_message_of_a_key_waits_for_the_one_before,
    p3_a_slow_key_holds_up_nobody_else,
    p4_fewer_keys_than_workers_do_not_block,
    p17_messages_that_fail_for_ever_hold_up_nobody_else,
    p18_the_same_key_in_two_topics_is_independent,
    p19_every_partition_is_served_while_one_is_busy,
    s1_messages_without_a_key_run_beside_ordered_ones,
    a1_rejected_messages_are_dead_letters_before_they_are_passed,
    a1_what_cannot_be_read_is_quarantined,
    panics_are_failed_attempts,
    a_sequence_is_handled_in_order_whatever_its_publisher_does,
];

/// SC-W4, under failures and handlers of different length.
async fn w4_each_key_is_handled_in_order(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, context| async move {
        let number = envelope
            .payload()
            .iter()
            .map(|byte| u64::from(*byte))
            .sum::<u64>();
        if number % 3 == 0 {
            tokio::time::sleep(Duration::from_millis(number % 5)).await;
        }
        if number % 13 == 0 && context.attempt() == 1 {
            return Err(HandlerError::new("on purpose"));
        }
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..1_000, 16).await;
    seen.wait_for(1_000).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..1_000);
    seen.assert_in_order();
    watch.assert_promises();
}

/// SC-W5.
async fn w5_failed_messages_come_again(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, context| async move {
        let first_two = matches!(&envelope.payload()[..], b"0" | b"1");
        if first_two && context.attempt() == 1 {
            "not a number".parse::<u64>()?;
        }
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..100, 10).await;
    seen.wait_for(100).await;
    seen.assert_once(0..100);
    seen.assert_in_order();
    drop(subscription);
}

/// SC-W6.
async fn w6_the_next_message_of_a_key_waits_for_the_one_before(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let gate = Arc::new(Semaphore::new(0));
    let (seen, started) = (Seen::new(), Seen::new());
    let (door, starts) = (Arc::clone(&gate), started.clone());
    let handler = seen.handler_with(move |envelope, context| {
        starts.note(&envelope, &context);
        let door = Arc::clone(&door);
        async move {
            door.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..2, 1).await;
    started.wait_for(1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    started.assert_once([0]);
    gate.add_permits(1);
    started.wait_for(2).await;
    seen.assert_once([0]);
    gate.add_permits(10);
    seen.wait_for(2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    seen.assert_once(0..2);
    drop(subscription);
}

/// SC-P3.
async fn p3_a_slow_key_holds_up_nobody_else(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let gate = Arc::new(Semaphore::new(0));
    let seen = Seen::new();
    let door = Arc::clone(&gate);
    let handler = seen.handler_with(move |envelope, _| {
        let slow = envelope.key() == Some("k0");
        let door = Arc::clone(&door);
        async move {
            if slow {
                door.acquire().await.unwrap().forget();
            }
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..1_000, 10).await;
    seen.wait_for(900).await;
    seen.assert_once((0..1_000).filter(|number| number % 10 != 0));
    gate.add_permits(100);
    seen.wait_for(1_000).await;
    seen.assert_once(0..1_000);
    seen.assert_in_order();
    drop(subscription);
}

/// SC-P4.
async fn p4_fewer_keys_than_workers_do_not_block(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|_, _| async {
        tokio::task::yield_now().await;
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..600, 3).await;
    seen.wait_for(600).await;
    seen.assert_in_order();
    drop(subscription);
}

/// SC-P17, with a soak of seconds: the retry set stays what it is, healthy keys flow. The hours are
/// the simulator's.
async fn p17_messages_that_fail_for_ever_hold_up_nobody_else(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, _| async move {
        match envelope.key() {
            Some(key) if key.starts_with("bad") => Err(HandlerError::new("always")),
            _ => Ok(()),
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| {
            settings.attempts = u32::MAX;
            settings.backoff_first = Duration::from_millis(50);
            settings.backoff_max = Duration::from_millis(200);
        })
        .await
        .unwrap();
    publish_all(
        &bus,
        &topic,
        (0..200).map(|n| envelope(&format!("bad-{n}"), n)),
    )
    .await;
    for round in 0..5 {
        publish(&bus, &topic, 1_000 + round * 400..1_400 + round * 400, 50).await;
        seen.wait_for(usize::try_from((round + 1) * 400).unwrap())
            .await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    seen.assert_once(1_000..3_000);
    seen.assert_in_order();
    let stats = subscription.health().stats;
    assert_eq!(
        stats.held, 200,
        "the retry set is the failing messages: {stats:?}"
    );
    subscription.retire(Duration::from_secs(5)).await.unwrap();
}

/// SC-P18.
async fn p18_the_same_key_in_two_topics_is_independent(venue: Arc<Venue>) {
    let (bus, a, b) = (venue.bus().await, venue.topic("a"), venue.topic("b"));
    let gate = Arc::new(Semaphore::new(0));
    let (in_a, in_b) = (Seen::new(), Seen::new());
    let door = Arc::clone(&gate);
    let blocked = in_a.handler_with(move |_, _| {
        let door = Arc::clone(&door);
        async move {
            door.acquire().await.unwrap().forget();
            Ok(())
        }
    });
    let first = bus.subscribe(&a, &venue.group("g"), blocked).await.unwrap();
    let second = bus
        .subscribe(&b, &venue.group("g"), in_b.handler())
        .await
        .unwrap();
    publish(&bus, &a, 0..20, 1).await;
    publish(&bus, &b, 0..20, 1).await;
    in_b.wait_for(20).await;
    in_a.assert_once([]);
    gate.add_permits(20);
    in_a.wait_for(20).await;
    in_a.assert_in_order();
    drop((first, second));
}

/// SC-P19.
async fn p19_every_partition_is_served_while_one_is_busy(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|_, _| async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| {
            settings.credit_messages = 64;
            settings.concurrency = 16;
        })
        .await
        .unwrap();
    // One key, so one partition, has thousands waiting; the other keys come late.
    publish_all(&bus, &topic, (0..3_000).map(|n| envelope("busy", n))).await;
    publish(&bus, &topic, 10_000..10_200, 40).await;
    let of_all = |got: &[procession_tests::seen::Got]| {
        let mut partitions = BTreeMap::<u32, usize>::new();
        for got in got {
            *partitions.entry(got.partition).or_default() += 1;
        }
        partitions.len() >= 2
    };
    seen.wait_until("message of each partition", of_all).await;
    assert!(
        seen.count() < 3_000,
        "the other partition was served after the busy one"
    );
    seen.wait_for(3_200).await;
    seen.assert_in_order();
    drop(subscription);
}

/// SC-S1.
async fn s1_messages_without_a_key_run_beside_ordered_ones(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .await
        .unwrap();
    let envelopes = (0..400).map(|number| match number % 3 {
        0 => envelope("", number),
        _ => envelope(&format!("k{}", number % 8), number),
    });
    publish_all(&bus, &topic, envelopes).await;
    seen.wait_for(400).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once(0..400);
    seen.assert_in_order();
    watch.assert_promises();
}

/// SC-A1: produced and confirmed before the commit covers it; the key goes on behind it.
async fn a1_rejected_messages_are_dead_letters_before_they_are_passed(venue: Arc<Venue>) {
    let watch = Watch::new();
    let (bus, topic) = (venue.bus_watched(watch.observer()).await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, _| async move {
        match &envelope.payload()[..] {
            b"3" => Err(HandlerError::new("never this one").reject()),
            b"7" => Err(HandlerError::new("fails every time")),
            _ => Ok(()),
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .with(|settings| settings.attempts = 3)
        .await
        .unwrap();
    publish(&bus, &topic, 0..20, 2).await;
    seen.wait_for(18).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once((0..20).filter(|number| ![3, 7].contains(number)));
    seen.assert_in_order();
    watch.assert_promises();
    let buried = watch.events().into_iter().filter_map(|event| match event {
        Event::Buried { why, .. } => Some(why),
        _ => None,
    });
    let mut buried: Vec<_> = buried.collect();
    buried.sort_by_key(|why| format!("{why:?}"));
    assert_eq!(buried, [Why::Exhausted, Why::Rejected]);
    let letters = bus
        .audit(&dead_letter_topic(&topic, &venue.group("g")))
        .await
        .unwrap();
    let mut payloads: Vec<_> = letters
        .iter()
        .map(|(_, _, letter)| letter.payload().to_vec())
        .collect();
    payloads.sort();
    assert_eq!(payloads, [b"3".to_vec(), b"7".to_vec()]);
    for (_, _, letter) in &letters {
        assert_eq!(letter.key(), Some("k1"), "dead letters keep their key");
    }
}

/// SC-A1: what a typed handler cannot read is neither dropped nor a frozen partition.
async fn a1_what_cannot_be_read_is_quarantined(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let noted = seen.clone();
    let handler = json(move |number: u64, context: procession::Context| {
        let noted = noted.clone();
        async move {
            noted.note(context.envelope(), &context);
            assert!(number < 100);
            Ok(())
        }
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..5, 1).await;
    let broken = Envelope::builder("Counted")
        .key("k0")
        .payload("{", "application/json")
        .unwrap();
    bus.publish(&topic, broken).await.unwrap();
    publish(&bus, &topic, 6..10, 1).await;
    seen.wait_for(9).await;
    subscription.drain(Duration::from_secs(10)).await.unwrap();
    seen.assert_once((0..10).filter(|number| *number != 5));
    seen.assert_in_order();
    let letters = bus
        .audit(&dead_letter_topic(&topic, &venue.group("g")))
        .await
        .unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(&letters[0].2.payload()[..], b"{");
}

/// A panic is a failed attempt: the message comes again, its key waits, nothing else does.
async fn panics_are_failed_attempts(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let seen = Seen::new();
    let handler = seen.handler_with(|envelope, context| async move {
        if &envelope.payload()[..] == b"4" && context.attempt() == 1 {
            std::panic::resume_unwind(Box::new("a panic on purpose"));
        }
        Ok(())
    });
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), handler)
        .await
        .unwrap();
    publish(&bus, &topic, 0..30, 3).await;
    seen.wait_for(30).await;
    seen.assert_once(0..30);
    seen.assert_in_order();
    drop(subscription);
}

/// Order by sequence: what a publisher mixes up runs in order, what it says twice once, what it leaves out
/// is told.
async fn a_sequence_is_handled_in_order_whatever_its_publisher_does(venue: Arc<Venue>) {
    let (bus, topic) = (venue.bus().await, venue.topic("t"));
    let numbered = |id: u64, sequence: u64| {
        let builder = Envelope::builder("Counted").id(format!("id-{id}")).key("k");
        let builder = builder.sequence(sequence);
        builder.payload(sequence.to_string(), "text/plain").unwrap()
    };
    // 4 comes before 3, 5 twice, 7 never.
    for (id, sequence) in [1, 2, 4, 3, 5, 5, 6, 8].into_iter().enumerate() {
        let envelope = numbered(id as u64, sequence);
        bus.publish(&topic, envelope).await.unwrap();
    }
    let seen = Seen::new();
    let subscription = bus
        .subscribe(&topic, &venue.group("g"), seen.handler())
        .with(|settings| {
            settings.sequence = true;
            settings.gap_timeout = Duration::from_millis(500);
        })
        .await
        .unwrap();
    seen.wait_for(7).await;
    let numbers: Vec<u64> = seen.all().iter().map(|got| got.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 8]);
    let stats = subscription.health().stats;
    assert_eq!((stats.gaps, stats.behind), (1, 1));
    subscription.drain(Duration::from_secs(10)).await.unwrap();
}

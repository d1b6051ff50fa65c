//! Publishes that expect a certain message as the last of their key.

use std::sync::Arc;

use procession::{Expect, Layout, PublishError, Settings};
use procession_tests::seen::{Seen, envelope};
use procession_tests::venue::{Kind, Venue};

crate::rows![
    s10_a_publish_that_came_too_late_is_a_conflict,
    s2_a_topic_laid_out_by_key_is_read_in_order,
];

fn keyed(venue: &Venue, topic: &str) -> impl FnOnce(&mut Settings) + Send + 'static {
    let (topic, kind) = (topic.to_owned(), venue.kind);
    move |settings| {
        if kind != Kind::Kafka {
            settings.topics.entry(topic).or_default().layout = Some(Layout::Keyed);
        }
    }
}

/// Several writers of one aggregate, of which one is first; a copy of what is stored is no conflict.
async fn s10_a_publish_that_came_too_late_is_a_conflict(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let (one, two) = (
        venue.bus_with(keyed(&venue, &topic)).await,
        venue.bus_with(keyed(&venue, &topic)).await,
    );
    let key = "order.*> 42%";
    let first = one
        .publish_expecting(&topic, envelope(key, 0), Expect::First)
        .await;
    if venue.kind == Kind::Kafka {
        let refused =
            matches!(&first, Err(PublishError::Refused(why)) if why.contains("cannot compare"));
        assert!(refused, "{first:?}");
        assert_eq!(
            one.audit(&topic).await.unwrap().len(),
            0,
            "S10: it was stored"
        );
        return;
    }
    let first = first.unwrap();
    let is_conflict =
        |result: &Result<_, PublishError>| matches!(result, Err(PublishError::Conflict(_)));
    // It is not the first any more, whoever asks.
    for bus in [&one, &two] {
        let late = bus
            .publish_expecting(&topic, envelope(key, 1), Expect::First)
            .await;
        assert!(is_conflict(&late), "{late:?}");
    }
    // Another key of the same partition is not in the way.
    for number in 100..120 {
        let other = format!("other-{number}");
        two.publish_expecting(&topic, envelope(&other, number), Expect::First)
            .await
            .unwrap();
    }
    // Of several that expect the same, one is stored.
    let race: Vec<_> = (10..20)
        .map(|number| {
            let bus = if number % 2 == 0 { &one } else { &two };
            let expect = Expect::After(first.position);
            tokio::spawn(bus.publish_expecting(&topic, envelope(key, number), expect))
        })
        .collect();
    let mut stored = Vec::new();
    for result in race {
        match result.await.unwrap() {
            Ok(at) => stored.push(at),
            Err(PublishError::Conflict(_)) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(stored.len(), 1, "{stored:?}");
    // The same message once more, as after a lost answer: it is there, and not in conflict with itself.
    let again = one
        .publish_expecting(&topic, envelope(key, 0), Expect::First)
        .await
        .unwrap();
    assert!(
        again.duplicate && again.position == first.position,
        "{again:?}"
    );
    // Without an expectation it goes behind whatever there is; an older expectation is in conflict.
    let last = two.publish(&topic, envelope(key, 30)).await.unwrap();
    let late = one
        .publish_expecting(&topic, envelope(key, 31), Expect::After(stored[0].position))
        .await;
    assert!(is_conflict(&late), "{late:?}");
    let next = one
        .publish_expecting(&topic, envelope(key, 32), Expect::After(last.position))
        .await
        .unwrap();
    assert!(last.position < next.position);
    let of_key = one.audit(&topic).await.unwrap();
    let of_key = of_key
        .iter()
        .filter(|(_, _, e)| e.key() == Some(key))
        .count();
    assert_eq!(of_key, 4, "first, the faster of ten, 30 and 32");
    let keyless = procession::Envelope::builder("Placed")
        .payload(Vec::new(), "text/plain")
        .unwrap();
    let keyless = one.publish_expecting(&topic, keyless, Expect::First).await;
    assert!(
        matches!(&keyless, Err(PublishError::Invalid(e)) if e.to_string().contains("key")),
        "{keyless:?}"
    );
}

/// Everything else is as with one subject a partition: order, sessions that overlap, progress.
async fn s2_a_topic_laid_out_by_key_is_read_in_order(venue: Arc<Venue>) {
    let topic = venue.topic("t");
    let bus = venue.bus_with(keyed(&venue, &topic)).await;
    let sent =
        (0..600).map(|number| envelope(&format!("key/{}.{}", number % 7, number % 3), number));
    let (early, late): (Vec<_>, Vec<_>) = sent.enumerate().partition(|(n, _)| *n < 300);
    for result in bus
        .publish_all(&topic, early.into_iter().map(|(_, e)| e))
        .await
    {
        result.unwrap();
    }
    let seen = Seen::new();
    let group = venue.group("g");
    let subscription = bus.subscribe(&topic, &group, seen.handler()).await.unwrap();
    seen.wait_for(300).await;
    subscription
        .drain(std::time::Duration::from_secs(10))
        .await
        .unwrap();
    // The next one goes on where the first one stopped, and finds its anchor again.
    for result in bus
        .publish_all(&topic, late.into_iter().map(|(_, e)| e))
        .await
    {
        result.unwrap();
    }
    let next = venue.bus_with(keyed(&venue, &topic)).await;
    let _subscription = next
        .subscribe(&topic, &group, seen.handler())
        .await
        .unwrap();
    seen.wait_for(600).await;
    seen.assert_once(0..600);
    seen.assert_in_order();
}

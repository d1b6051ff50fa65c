//! Publishes whose answers do not come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use procession::{PublishError, Storage};
use procession_tests::seen::{Seen, envelope, publish};
use procession_tests::venue::builder;

use crate::desk::Desk;

const TOPIC: &str = "answers";

/// S8, S10: each publish has one result by its deadline; unknown is never told as refused or
/// stored; what is behind an unknown one of its key is not sent; once the server answers, the same
/// message is published again and is in the log once.
pub(crate) fn a_server_that_hangs_leaves_publishes_unknown(desk: &mut Desk) {
    let handle = desk.runtime.handle().clone();
    let bus = builder(&desk.server.url).with(|settings| {
        settings.publish.deadline = Duration::from_secs(1);
    });
    let bus = handle.block_on(bus.connect()).unwrap();
    handle
        .block_on(bus.publish(TOPIC, envelope("k", 0)))
        .unwrap();
    pause(desk);
    let began = Instant::now();
    let results = handle.block_on(async {
        let publishes = (1..=3).map(|number| bus.publish(TOPIC, envelope("k", number)));
        let others = (4..=6).map(|number| bus.publish(TOPIC, envelope("other", number)));
        futures_util::future::join_all(publishes.chain(others)).await
    });
    let took = began.elapsed();
    desk.server.resume();
    assert!(
        took < Duration::from_secs(3),
        "results came after {took:?}, due in 1 s"
    );
    for key in [&results[..3], &results[3..]] {
        assert!(
            matches!(key[0], Err(PublishError::Unknown(_))),
            "{results:?}"
        );
        for behind in &key[1..] {
            assert!(
                matches!(behind, Err(PublishError::Refused(_))),
                "{results:?}"
            );
        }
    }
    handle.block_on(async {
        // The server may take a moment to notice that it was away.
        for number in 1..=6 {
            let key = if number <= 3 { "k" } else { "other" };
            let again = async { while bus.publish(TOPIC, envelope(key, number)).await.is_err() {} };
            let in_time = tokio::time::timeout(Duration::from_secs(15), again).await;
            assert!(in_time.is_ok(), "{number} could not be published again");
        }
        let seen = Seen::new();
        let subscription = bus.subscribe(TOPIC, "g", seen.handler()).await.unwrap();
        seen.wait_for(7).await;
        assert_eq!(
            bus.audit(TOPIC).await.unwrap().len(),
            7,
            "each is in the log once"
        );
        seen.assert_once(0..7);
        seen.assert_in_order();
        drop(subscription);
        bus.close(Duration::from_secs(5)).await.unwrap();
    });
}

/// S8, S10: what goes in one request is cut off before, in and after it, thirty times: each message is
/// stored, in order, and once.
pub(crate) fn what_goes_together_is_cut_off(desk: &mut Desk) {
    let proxy = desk.proxy();
    let handle = desk.runtime.handle().clone();
    let bus = builder(&proxy.url()).with(|settings| {
        settings.publish.batch = 16;
        // In files, the server takes long over each batch.
        settings.topics.entry(TOPIC.into()).or_default().storage = Storage::Memory;
    });
    let bus = handle.block_on(bus.connect()).unwrap();
    handle.block_on(bus.topic(TOPIC)).unwrap();
    let (rounds, each) = (31, 1_500);
    for round in 0..rounds {
        let (bus, numbers) = (bus.clone(), round * each..(round + 1) * each);
        let publishing = handle.spawn(async move { publish(&bus, TOPIC, numbers, 5).await });
        // In the first round the topic is looked at, which is not what is cut off here.
        if round > 0 {
            std::thread::sleep(Duration::from_micros(700 * (round - 1)));
            proxy.cut();
        }
        let stored = handle.block_on(publishing).unwrap();
        assert_eq!(stored.len() as u64, each);
    }
    assert!(proxy.connections() > 30, "nothing was cut");
    let reader = handle
        .block_on(builder(&desk.server.url).connect())
        .unwrap();
    let log = handle.block_on(reader.audit(TOPIC)).unwrap();
    assert_eq!(log.len() as u64, rounds * each, "each is in the log once");
    let mut last = BTreeMap::new();
    for (partition, position, message) in log {
        let number: u64 = std::str::from_utf8(message.payload())
            .unwrap()
            .parse()
            .unwrap();
        let before = last.insert((partition, number % 5), number);
        assert!(
            before < Some(number),
            "{before:?} stands before {number} at {position:?}"
        );
    }
    handle.block_on(bus.close(Duration::from_secs(5))).unwrap();
}

/// Stops the server in its tracks, and waits until all of its threads stand still.
fn pause(desk: &Desk) {
    desk.server.pause();
    let threads = format!("/proc/{}/task", desk.server.pid);
    let stands = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let state = stat
            .rsplit_once(')')
            .and_then(|(_, rest)| rest.trim().chars().next());
        state.is_none_or(|state| state == 'T')
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !std::fs::read_dir(&threads).unwrap().flatten().all(stands) {
        assert!(Instant::now() < deadline, "the server does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

//! Logs that lose acknowledged tails and use their sequences again.

use std::collections::BTreeMap;
use std::time::Duration;

use procession::Bus;
use procession::observe::Incident;
use procession_tests::raw_nats::Raw;
use procession_tests::seen::{Got, Seen, envelope, owning, publish_all};
use procession_tests::venue::builder;
use procession_tests::watch::{Event, Watch};
use tokio::runtime::Handle;

use crate::desk::Desk;

/// Rounds in which the log must have held other content at a position that was handled before.
const ROUNDS: usize = 3;
/// Rounds that are tried at most: not every kill loses something.
const TRIES: u64 = 30;
const TOPIC: &str = "rewritten";

/// `persist_mode: async` and SIGKILL: every such round is reported, and what the log holds is run.
pub(crate) fn reported(desk: &mut Desk) {
    let handle = desk.runtime.handle().clone();
    let (watch, seen) = (Watch::new(), Seen::new());
    let bus = builder(&desk.server.url).observer(watch.observer());
    let bus = handle.block_on(bus.connect()).unwrap();
    handle.block_on(bus.topic(TOPIC)).unwrap();
    Raw::connect(desk.server.port).make_async(TOPIC);
    let subscription = handle.block_on(async {
        let subscription = bus.subscribe(TOPIC, "g", seen.handler()).await.unwrap();
        owning(&subscription).await;
        subscription
    });
    let mut rewritten = 0;
    let mut tries = 0;
    while rewritten < ROUNDS && tries < TRIES {
        tries += 1;
        let handled = seen.count();
        let reported = reports(&watch);
        let publishing = publish_round(&handle, &bus, tries);
        // In the midst of the flood, close behind the newest acknowledgements.
        let enough = usize::try_from(500 + tries * 37).unwrap();
        handle.block_on(seen.wait_for(handled + enough));
        desk.server.kill();
        let before = seen.all();
        desk.server.restart().unwrap();
        handle.block_on(publishing).unwrap();
        let last = tries * 100_000 + 9_999;
        let done = |got: &[Got]| got.iter().any(|got| got.number == last);
        handle.block_on(async {
            // Enough to reach the positions that were lost, whatever their number.
            let more = (last - 999..=last).map(|number| envelope("k0", number));
            publish_all(&bus, TOPIC, more).await;
            seen.wait_until("last message after the restart", done)
                .await;
        });
        let log = log(&handle, &bus);
        let other = before[handled..].iter().find(|got| {
            let now = log.get(&(got.partition, got.position));
            now.is_some_and(|id| *id != got.id)
        });
        if let Some(other) = other {
            rewritten += 1;
            let reports = reports(&watch);
            assert!(
                reports > reported,
                "try {tries}: other content at {other:?} and no report"
            );
        }
    }
    assert_eq!(
        rewritten, ROUNDS,
        "rewritten under the consumer, in {tries} kills"
    );
    // Everything that the log holds in the end was run at its place.
    let got = seen.all().into_iter();
    let run: std::collections::BTreeSet<_> = got.map(|got| got.id).collect();
    for (place, id) in log(&handle, &bus) {
        assert!(run.contains(&id), "{id} at {place:?} was never run");
    }
    handle.block_on(async {
        subscription.drain(Duration::from_secs(10)).await.unwrap();
        bus.close(Duration::from_secs(10)).await.unwrap();
    });
}

/// Publishes 4,000 messages beside everything else.
fn publish_round(handle: &Handle, bus: &Bus, round: u64) -> tokio::task::JoinHandle<()> {
    let bus = bus.clone();
    handle.spawn(async move {
        let numbers = round * 100_000..round * 100_000 + 4_000;
        let flood = numbers.map(|number| envelope(&format!("k{}", number % 100), number));
        publish_all(&bus, TOPIC, flood).await;
    })
}

/// Ids by place.
fn log(handle: &Handle, bus: &Bus) -> BTreeMap<(u32, u64), String> {
    let log = handle.block_on(bus.audit(TOPIC)).unwrap();
    let places = log
        .into_iter()
        .map(|(partition, position, envelope)| ((partition, position.0), envelope.id().to_owned()));
    places.collect()
}

/// Reports of a rewritten log so far.
fn reports(watch: &Watch) -> usize {
    let events = watch.events().into_iter();
    let rewritten = events.filter(|event| {
        matches!(
            event,
            Event::Incident {
                incident: Incident::Rewritten,
                ..
            }
        )
    });
    rewritten.count()
}

//! Logs that lose acknowledged tails and use their sequences again.

use std::collections::BTreeSet;
use std::time::Duration;

use procession::observe::Incident;
use procession_tests::raw_nats::Raw;
use procession_tests::seen::{Got, Seen, envelope, owning, publish, publish_all};
use procession_tests::venue::builder;
use procession_tests::watch::{Event, Watch};

use crate::desk::Desk;

/// Rounds in which the log must have held other content at an acknowledged sequence.
const ROUNDS: usize = 5;

/// `persist_mode: async` and SIGKILL: every such round is reported, and what the log holds is run.
pub(crate) fn reported(desk: &mut Desk) {
    let handle = desk.runtime.handle().clone();
    let (watch, seen, topic) = (Watch::new(), Seen::new(), "rewritten");
    let bus = handle.block_on(async {
        let builder = builder(&desk.server.url).observer(watch.observer());
        builder.connect().await.unwrap()
    });
    handle.block_on(bus.topic(topic)).unwrap();
    Raw::connect(desk.server.port).make_async("rewritten");
    let subscription = handle.block_on(async {
        let subscription = bus.subscribe(topic, "g", seen.handler()).await.unwrap();
        owning(&subscription).await;
        subscription
    });
    let mut rewritten = 0;
    for round in 1..=40_u64 {
        let before = seen.count();
        handle.block_on(async {
            publish(&bus, topic, round * 1_000..round * 1_000 + 100, 1).await;
            seen.wait_for(before + 100).await;
        });
        let acknowledged = handle.block_on(bus.audit(topic)).unwrap();
        let reported = reports(&watch);
        desk.server.kill();
        desk.server.restart().unwrap();
        let next = round * 1_000 + 500;
        handle.block_on(async {
            // Enough to reach the sequences that were lost, whatever their number.
            let again = (next..next + 200).map(|number| envelope("k0", number));
            publish_all(&bus, topic, again).await;
            let all = |got: &[Got]| {
                got.iter()
                    .filter(|got| (next..next + 200).contains(&got.number))
                    .count()
                    >= 200
            };
            seen.wait_until("messages after the restart", all).await;
        });
        let log = handle.block_on(bus.audit(topic)).unwrap();
        let places: BTreeSet<_> = log
            .iter()
            .map(|(p, at, e)| (*p, at.0, e.id().to_owned()))
            .collect();
        let other = acknowledged
            .iter()
            .any(|(p, at, e)| !places.contains(&(*p, at.0, e.id().to_owned())));
        if other {
            rewritten += 1;
            assert!(
                reports(&watch) > reported,
                "round {round}: other content and no report"
            );
            if rewritten == ROUNDS {
                break;
            }
        }
    }
    assert_eq!(
        rewritten, ROUNDS,
        "the log was rewritten in too few of 40 rounds"
    );
    // Everything that the log holds in the end was run.
    let log = handle.block_on(bus.audit(topic)).unwrap();
    let run: BTreeSet<_> = seen.all().into_iter().map(|got| got.id).collect();
    for (_, position, envelope) in &log {
        assert!(
            run.contains(envelope.id()),
            "{} at {} was never run",
            envelope.id(),
            position.0
        );
    }
    handle.block_on(async {
        subscription.drain(Duration::from_secs(10)).await.unwrap();
        bus.close(Duration::from_secs(10)).await.unwrap();
    });
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

//! A core that panics under a whole bus: the flight recorder's report holds the call, and the panic comes
//! again from the report alone. In a process of its own: the deliberate fault is on for the whole of it.
#![cfg(feature = "mutants")]
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use procession::{Bus, Context, Envelope, HandlerError, raw};
use procession_sim::{Call, Judged, judge, parse, with_mutant};

/// The mutant that panics when a handler has failed.
const PANICS: u8 = 249;

/// The only report in a directory, once it is there.
async fn report(directory: &Path) -> String {
    let found = async {
        loop {
            let mut paths = std::fs::read_dir(directory).unwrap();
            let whole = paths.find_map(|entry| {
                let path = entry.unwrap().path();
                let is = path.extension().is_some_and(|e| e == "procfail");
                is.then_some(path)
            });
            if let Some(path) = whole {
                return std::fs::read_to_string(path).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), found).await;
    found.expect("nobody wrote a report")
}

#[test]
fn a_panic_of_the_core_comes_again_from_its_report() {
    let directory = tempfile::tempdir().unwrap();
    let reports = directory.path().to_owned();
    let text = with_mutant(PANICS, || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let bus = Bus::connect("memory://").await.unwrap();
            for n in 0..40 {
                let key = ["a", "b", "c"][n % 3];
                let envelope = Envelope::builder("OrderPlaced").id(n.to_string()).key(key);
                let envelope = envelope.payload("3", "text/plain").unwrap();
                bus.publish("orders", envelope).await.unwrap();
            }
            let handler = raw(|envelope: Envelope, _cx: Context| async move {
                match envelope.id() {
                    "33" => Err(HandlerError::new("not today")),
                    _ => Ok(()),
                }
            });
            let subscription = bus.subscribe("orders", "g", handler).with(move |settings| {
                settings.flight_recorder = 1 << 20;
                settings.flight_directory = Some(reports);
            });
            let _subscription = subscription.await.unwrap();
            report(directory.path()).await
        })
    });
    let (failure, right) = parse(&text).unwrap();
    assert_eq!(failure.verdict_id(), "core:panic");
    let last = failure.tape.steps.len() - 1;
    let call = &failure.tape.steps[last].call;
    assert!(matches!(call, Call::Settle(..)), "{call:?}");
    assert!(last > 60, "{last} inputs before it");
    let again = || judge(&failure, right, false, &mut |_, _, _| {});
    // By a core with the same fault, bit for bit; not by a sound one.
    assert_eq!(with_mutant(PANICS, again), Judged::Again);
    let sound = with_mutant(0, again);
    let what = "the core did not panic".into();
    assert_eq!(sound, Judged::Diverged(last, what));
}

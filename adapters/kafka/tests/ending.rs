//! The end of a sink. Alone in its process: it counts threads.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use procession_core::Span;
use procession_runtime::port::{Broker as _, SinkReceipt};
use support::sinking::{Sinking, outgoing};
use support::{block_on, broker, own, topic};

#[test]
fn l5_a_sink_ends_in_time_whatever_the_broker_does() {
    let Some(server) = own("l5_a_sink_ends_in_time") else {
        return;
    };
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            // The kernel keeps 15 characters of a name; those of librdkafka begin with `rdk:`.
            .filter(|name| name.starts_with("procession-kafk"))
            .count()
    };
    block_on(async {
        let broker = broker(&server).await;
        topic(&broker, "t", 2).await;
        let before = threads();
        for frozen in [false, true] {
            let mut sink = Sinking::begin(&broker).await;
            sink.store(outgoing("t", "k", 1)).await;
            if frozen {
                server.pause();
            }
            for number in 1..=1_000 {
                sink.send(outgoing("t", "k", number));
            }
            let begin = std::time::Instant::now();
            let results = sink.results_at_close().await;
            assert!(
                begin.elapsed() < Duration::from_secs(3),
                "{:?}",
                begin.elapsed()
            );
            assert_eq!(results.len(), 1_000);
            let unknown = results
                .values()
                .filter(|receipt| matches!(receipt, SinkReceipt::Unknown(_)))
                .count();
            // A process that is told to stand still may answer the first ones yet.
            assert!(!frozen || 900 <= unknown, "S10: {unknown}");
            // `Closed` says that nothing is left; a thread is gone an instant after its last word.
            let until = begin + Duration::from_secs(5);
            while before < threads() {
                assert!(std::time::Instant::now() < until, "a thread is left");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        server.resume();
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

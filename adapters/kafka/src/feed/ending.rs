//! The end of a feed: queues first, then the clients, on a thread that may be left behind.

use std::sync::mpsc::channel;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;

use super::engine::Engine;

/// How long the clients may take to leave the group and end. Usually it is 0.1 s; a broker that hangs
/// can make it for ever.
const CLOSE_WITHIN: Duration = Duration::from_secs(8);
/// How often the producer of dead letters is looked at.
const LOOK: Duration = Duration::from_millis(5);

impl Engine {
    /// Leaves the group and ends the clients. librdkafka can hang while it closes; it then hangs on a
    /// thread of its own, and the owner learns of it.
    pub(super) fn end(mut self) {
        self.member.context().close();
        self.fetcher.context().close();
        let handing = self.handing_partitions();
        if !handing.is_empty() {
            // A revoke without an answer would never let the client end.
            self.give_up(&handing);
        }
        let Self {
            member,
            fetcher,
            lookups,
            commits,
            dead_letters,
            owned,
            topic,
            ..
        } = self;
        // Queues hold on to their client.
        drop(owned);
        drop(commits);
        let burial = dead_letters.close();
        let (done, ended) = channel::<()>();
        let reaper = std::thread::Builder::new()
            .name("procession-kafka-end".to_owned())
            .spawn(move || {
                lookups.stop();
                drop(fetcher);
                drop(member);
                while burial.as_ref().is_some_and(|ended| !ended.is_set()) {
                    std::thread::sleep(LOOK);
                }
                drop(done);
            });
        let Ok(reaper) = reaper else {
            tracing::error!(topic, "no thread to end the Kafka clients on");
            return;
        };
        if ended.recv_timeout(CLOSE_WITHIN) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::error!(
                topic,
                "the Kafka clients did not end within {CLOSE_WITHIN:?}; their threads are left behind"
            );
            return;
        }
        let _ = reaper.join();
    }
}

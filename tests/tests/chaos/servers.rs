//! A server that goes and comes back.

use std::thread::sleep;
use std::time::Duration;

use procession_cli::brokers::RunningServer;
use procession_tests::command::monotonic;

use crate::desk::{Desk, END_WITHIN, assert_exactly, judged, next_start};

/// SIGTERM, file storage.
pub(crate) fn stopped_and_restarted(desk: &mut Desk) {
    restarted(desk, RunningServer::stop, Some(Duration::from_secs(3)));
}

/// SIGKILL, file storage.
pub(crate) fn killed_and_restarted(desk: &mut Desk) {
    restarted(desk, RunningServer::kill, Some(Duration::from_secs(3)));
}

/// The same on Kafka, whose groups take a while to come back.
pub(crate) fn kafka_stopped_and_restarted(desk: &mut Desk) {
    restarted(desk, RunningServer::stop, None);
}

/// The same on Kafka, with SIGKILL.
pub(crate) fn kafka_killed_and_restarted(desk: &mut Desk) {
    restarted(desk, RunningServer::kill, None);
}

/// Nothing lost, misordered or run twice; the next handler starts `soon` after the first answer.
fn restarted(desk: &mut Desk, end: fn(&mut RunningServer), soon: Option<Duration>) {
    let url = desk.server.url.clone();
    let words = "produce --count 16000 --keys 200 --payload 64 --rate 2000 --audit";
    let mut produce = desk.start(&url, "produce", words);
    // Longer than the server may take to come back.
    let idle = if soon.is_some() { "4s" } else { "20s" };
    let words = format!("consume --group g --idle-exit {idle}");
    let mut consume = desk.start(&url, "consume", &words);
    consume.wait_for("end", 500, END_WITHIN);
    let mut answered = Vec::new();
    for _ in 0..3 {
        sleep(Duration::from_millis(600));
        end(&mut desk.server);
        sleep(Duration::from_millis(300));
        desk.server.restart().unwrap();
        answered.push(monotonic());
    }
    assert_eq!(produce.wait(END_WITHIN), 0, "{}", produce.said());
    assert_eq!(consume.wait(END_WITHIN), 0, "{}", consume.said());
    assert_exactly(&judged(&[&produce, &consume]), 16_000);
    for at in answered {
        let gap = next_start(&consume, at);
        assert!(
            gap.is_some_and(|gap| soon.is_none_or(|soon| gap <= soon)),
            "from the server's first answer to the next start: {gap:?}"
        );
    }
}

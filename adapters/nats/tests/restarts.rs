//! What happens to sessions and publishes when the server, or the line to it, goes away.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::{Duration, Instant};

use procession_core::{Continuity, Position};
use procession_runtime::port::{BreakReason, FeedEvent, Record, SinkEvent, SinkReceipt};
use support::driver::{Feeding, Sinking, anchor, outgoing};
use support::proxy::Proxy;
use support::{Server, block_on, topic};

/// Longest time from the server's first answer, or the cut, to the next delivery.
const BACK_WITHIN: Duration = Duration::from_secs(3);

/// Starts sessions until one begins, as the core does; the number of the one that began.
async fn again(feed: &mut Feeding, mut session: u64, last: &Record) -> u64 {
    loop {
        session += 1;
        feed.start(0, session, last.position.0, Some(anchor(last)));
        let begun = feed
            .find(|event| match event {
                FeedEvent::Session {
                    session: s,
                    continuity,
                    ..
                } if s.0 == session => {
                    assert_eq!(continuity, Continuity::Continues);
                    Some(true)
                }
                FeedEvent::Broken { session: s, .. } if s.0 == session => Some(false),
                _ => None,
            })
            .await;
        if begun {
            return session;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn restarts(test: &str, down: fn(&mut Server)) {
    let Some(mut server) = Server::start(test) else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        let (mut session, mut number) = (1, 0u64);
        let mut last = None;
        for _round in 0..3 {
            for _ in 0..50 {
                number += 1;
                sink.send(outgoing("t", "k", number.into()));
                assert!(matches!(sink.result().await.1, SinkReceipt::Stored { .. }));
            }
            let records = feed.records(session, 50).await;
            assert_eq!(records[49].position, Position(number));
            last = records.into_iter().last();
            down(&mut server);
            assert!(matches!(sink.next().await, SinkEvent::Disconnected));
            let why = feed.broken(session).await;
            assert!(
                matches!(why, BreakReason::Gone | BreakReason::Disconnected),
                "{why:?}"
            );
            server.up();
            let up = Instant::now();
            session = again(&mut feed, session, last.as_ref().unwrap()).await;
            assert!(up.elapsed() < BACK_WITHIN, "{:?}", up.elapsed());
            while !matches!(sink.next().await, SinkEvent::Connected) {}
        }
        // Nothing that was delivered comes again, and the next one comes once.
        sink.store(outgoing("t", "k", 1_000)).await;
        let next = feed.records(session, 1).await;
        assert_eq!(next[0].position, last.unwrap().position.next());
        assert_eq!(next[0].delivery, Some(1));
        feed.close().await;
        sink.close().await;
    });
}

#[test]
fn sessions_survive_sigterm() {
    restarts("sessions_survive_sigterm", Server::stop);
}

#[test]
fn sessions_survive_sigkill() {
    restarts("sessions_survive_sigkill", Server::kill);
}

#[test]
fn a_black_hole_is_noticed() {
    // F-LM13: connected, silent, nothing answered. A session notices it by missing heartbeats, the
    // connection by a question without an answer.
    let Some(server) = Server::start("a_black_hole_is_noticed") else {
        return;
    };
    block_on(async {
        let proxy = Proxy::start(server.port);
        let direct = server.broker().await;
        topic(&direct, "t", 1).await;
        let mut sink = Sinking::begin(&direct).await;
        sink.store(outgoing("t", "k", 1)).await;
        let broker = server.broker_at(&proxy.url()).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        let first = feed.records(1, 1).await;
        proxy.black_hole();
        let cut = Instant::now();
        let why = feed.broken(1).await;
        assert!(
            matches!(why, BreakReason::Silence | BreakReason::Disconnected),
            "{why:?}"
        );
        sink.store(outgoing("t", "k", 2)).await;
        let session = again(&mut feed, 1, &first[0]).await;
        let next = feed.records(session, 1).await;
        assert_eq!(next[0].position, Position(2));
        assert!(cut.elapsed() < BACK_WITHIN, "{:?}", cut.elapsed());
        feed.close().await;
        sink.close().await;
    });
}

#[test]
fn cuts_lose_nothing_and_repeat_nothing() {
    let Some(server) = Server::start("cuts_lose_nothing_and_repeat_nothing") else {
        return;
    };
    block_on(async {
        const MESSAGES: u64 = 20_000;
        let proxy = Proxy::start(server.port);
        let direct = server.broker().await;
        topic(&direct, "t", 1).await;
        let mut sink = Sinking::begin(&direct).await;
        for n in 1..=MESSAGES {
            sink.send(outgoing("t", "k", n.into()));
        }
        for _ in 1..=MESSAGES {
            assert!(matches!(sink.result().await.1, SinkReceipt::Stored { .. }));
        }
        let broker = server.broker_at(&proxy.url()).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        let (mut session, mut cuts) = (1, 0);
        feed.start(0, 1, 1, None);
        let mut last: Option<Record> = None;
        // The connection is cut after a number of bytes that grows, so in the middle of frames.
        proxy.cut_after(30_000);
        loop {
            match feed.next().await {
                FeedEvent::Records {
                    session: s,
                    records,
                    ..
                } => {
                    assert_eq!(s.0, session);
                    for record in records {
                        let expected = last.as_ref().map_or(1, |last| last.position.0 + 1);
                        assert_eq!(record.position.0, expected, "lost or repeated");
                        last = Some(record);
                    }
                    if last.as_ref().is_some_and(|r| r.position.0 == MESSAGES) {
                        break;
                    }
                }
                FeedEvent::Broken {
                    session: s, why, ..
                } if s.0 == session => {
                    assert_eq!(why, BreakReason::Disconnected);
                    cuts += 1;
                    proxy.cut_after(20_000 + cuts * 7_919);
                    session += 1;
                    match &last {
                        Some(last) => {
                            feed.start(0, session, last.position.0, Some(anchor(last)));
                        }
                        None => feed.start(0, session, 1, None),
                    }
                }
                FeedEvent::Session { continuity, .. } => {
                    assert_eq!(continuity, Continuity::Continues);
                }
                _ => {}
            }
        }
        assert!(10 <= cuts, "only {cuts} cuts");
        feed.close().await;
        sink.close().await;
    });
}

#[test]
fn a_frozen_server_is_left_and_found_again() {
    let Some(server) = Server::start("a_frozen_server_is_left_and_found_again") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        sink.store(outgoing("t", "k", 1)).await;
        server.freeze();
        // Sent and not answered: uncertain, and never reported as refused (S10).
        let sent = sink.send(outgoing("t", "k", 2));
        assert!(matches!(sink.next().await, SinkEvent::Disconnected));
        server.thaw();
        while !matches!(sink.next().await, SinkEvent::Connected) {}
        // Sent again under the same identity: stored, whether or not the first one landed, once.
        let ticket = sink.send(outgoing("t", "k", 2));
        assert!(sent < ticket);
        let (answered, receipt) = sink.result().await;
        assert_eq!(answered, ticket);
        assert!(
            matches!(
                receipt,
                SinkReceipt::Stored {
                    position: Position(2),
                    ..
                }
            ),
            "{receipt:?}"
        );
        assert_eq!(sink.store(outgoing("t", "k", 3)).await, (0, 3));
        sink.close().await;
    });
}

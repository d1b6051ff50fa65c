//! A log that the server itself rewrites: acknowledged tails lost, sequences used again.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, PersistenceMode};
use procession_core::{Continuity, Position};
use procession_runtime::port::{FeedEvent, Record, SinkReceipt};
use support::driver::{Feeding, Sinking, anchor, outgoing};
use support::{Server, block_on, raw};

/// Rounds in which the log must be seen rewritten.
const REWRITES: usize = 5;
const ROUNDS: usize = 40;
const TRICKLE: Duration = Duration::from_millis(40);

#[test]
fn a_rewritten_log_is_reported_whenever_it_holds_something_else() {
    let Some(mut server) = Server::start("a_rewritten_log_is_reported") else {
        return;
    };
    block_on(async {
        let context = raw::connect(&server.url()).await;
        let config = Config {
            name: "t".into(),
            subjects: vec!["t.0".into()],
            // Acknowledged before it is written: a kill loses the tail (design, section 7).
            persist_mode: Some(PersistenceMode::Async),
            ..Config::default()
        };
        context.create_stream(config).await.unwrap();
        let broker = server.broker().await;
        let mut sink = Sinking::begin(&broker).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        let (mut session, mut identity, mut rewrites) = (1, 0, 0);
        feed.start(0, 1, 1, None);
        for _ in 0..ROUNDS {
            // A trickle, and killed in its middle: the server waits for more before it writes, so
            // what it has acknowledged and delivered last is not on disk.
            let started = Instant::now();
            let mut last: Option<Record> = None;
            let mut killed = false;
            loop {
                for _ in 0..3 {
                    identity += 1;
                    sink.send(outgoing("t", "k", identity));
                }
                let event = tokio::time::timeout(Duration::from_millis(1), feed.next()).await;
                match event {
                    Ok(FeedEvent::Records { records, .. }) => {
                        last = records.into_iter().next_back();
                        if TRICKLE < started.elapsed() && !killed {
                            server.kill();
                            killed = true;
                        }
                    }
                    Ok(FeedEvent::Broken { session: s, .. }) if s.0 == session => break,
                    _ => {}
                }
            }
            let last = last.expect("something was received");
            server.up();
            // New content, which may take the place of the old one.
            let stored = store_again(&mut sink, &mut identity).await;
            let rewritten = !holds(&context, &last).await;
            let continuity = begin(&mut feed, &mut session, &last).await;
            match continuity {
                Continuity::Continues => assert!(!rewritten, "not reported"),
                Continuity::Rewritten { from } => {
                    assert!(rewritten, "reported although nothing changed");
                    assert!(
                        from <= Position(stored),
                        "begins at {} after {stored}",
                        from.0
                    );
                    assert!(
                        from <= last.position.next(),
                        "skips from {} on",
                        last.position.0
                    );
                    rewrites += 1;
                    session += 1;
                    feed.start(0, session, from.0, None);
                    assert_eq!(feed.session(session).await, Continuity::Continues);
                }
                Continuity::CannotTell => panic!("the log was not cut by retention"),
            }
            // Everything new since the kill comes: the messages that were stored afterwards.
            let first = match continuity {
                Continuity::Rewritten { from } => from.0,
                _ => last.position.0 + 1,
            };
            let count = usize::try_from(stored + 1 - first).unwrap();
            let new = feed.records(session, count).await;
            assert_eq!(new.last().unwrap().position, Position(stored));
            if REWRITES <= rewrites {
                break;
            }
        }
        assert!(
            REWRITES <= rewrites,
            "only {rewrites} rewrites in {ROUNDS} rounds"
        );
        feed.close().await;
        sink.close().await;
    });
}

/// Publishes until something is stored again: its position.
async fn store_again(sink: &mut Sinking, identity: &mut u128) -> u64 {
    // Results of the burst and refusals while the server starts are passed over.
    loop {
        *identity += 1;
        let ticket = sink.send(outgoing("t", "k", *identity));
        loop {
            match sink.next().await {
                procession_runtime::port::SinkEvent::Result { ticket: t, receipt }
                    if t.token == ticket =>
                {
                    if let SinkReceipt::Stored { position, .. } = receipt {
                        return position.0;
                    }
                    break;
                }
                procession_runtime::port::SinkEvent::Disconnected => break,
                _ => {}
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether the log holds this message where it was.
async fn holds(context: &async_nats::jetstream::Context, record: &Record) -> bool {
    let stream = context.get_stream("t").await.unwrap();
    match stream.get_raw_message(record.position.0).await {
        Ok(found) => found.time.unix_timestamp_nanos() == i128::from(record.stamp.0),
        Err(_) => false,
    }
}

/// Starts sessions at the anchor until one begins: what it found.
async fn begin(feed: &mut Feeding, session: &mut u64, last: &Record) -> Continuity {
    loop {
        *session += 1;
        feed.start(0, *session, last.position.0, Some(anchor(last)));
        let begun = feed
            .find(|event| match event {
                FeedEvent::Session {
                    session: s,
                    continuity,
                    ..
                } if s.0 == *session => Some(Some(continuity)),
                FeedEvent::Broken { session: s, .. } if s.0 == *session => Some(None),
                _ => None,
            })
            .await;
        if let Some(continuity) = begun {
            return continuity;
        }
    }
}

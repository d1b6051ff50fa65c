//! Sessions against a real server: overlap, continuity, lost tails, restarts, rewritten logs.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::Duration;

use procession_core::{Anchor, Continuity, Position, Stamp};
use procession_runtime::port::{BreakReason, Broker as _, FeedCommand, FeedEvent};
use support::driver::{Feeding, Sinking, anchor, outgoing};
use support::{Server, block_on, raw, topic};

#[test]
fn a_session_overlaps_by_one() {
    let Some(server) = Server::start("a_session_overlaps_by_one") else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t.x", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        for n in 1..=10 {
            sink.store(outgoing("t.x", "k", n)).await;
        }
        let mut feed = Feeding::begin(&broker, "t.x", "g").await;
        feed.start(0, 1, 1, None);
        assert_eq!(feed.session(1).await, Continuity::Continues);
        let first = feed.records(1, 10).await;
        for (record, n) in first.iter().zip(1u64..) {
            assert_eq!(record.position, Position(n));
            assert_eq!(record.delivery, Some(n));
            assert_eq!(record.headers.get("ce-id"), Some(n.to_string().as_bytes()));
            assert_eq!(record.payload, format!("payload of {n}"));
        }
        // A new session begins at the last message, finds it, and delivers only what follows.
        sink.store(outgoing("t.x", "k", 11)).await;
        assert_eq!(feed.records(1, 1).await[0].position, Position(11));
        feed.start(0, 2, 10, Some(anchor(&first[9])));
        assert_eq!(feed.session(2).await, Continuity::Continues);
        let again = feed.records(2, 1).await;
        assert_eq!(
            (again[0].position, again[0].delivery),
            (Position(11), Some(1))
        );
        // The old session's consumer is gone.
        let context = raw::connect(&server.url()).await;
        feed.close().await;
        sink.close().await;
        // Deletions are not answered: the next answer on the same connection comes after them.
        assert_eq!(raw::consumers(&context, "t=2Ex").await, 0);
        broker
            .close(procession_core::Span::from_secs(5))
            .await
            .unwrap();
    });
}

#[test]
fn what_a_session_finds_at_its_anchor() {
    let Some(server) = Server::start("what_a_session_finds_at_its_anchor") else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t", 2).await;
        let context = raw::connect(&server.url()).await;
        let stream = context.get_stream("t").await.unwrap();
        for n in 1..=9 {
            // Odd positions in partition 0, even ones in partition 1.
            let partition = (n + 1) % 2;
            raw::publish(&context, &format!("t.{partition}"), &n.to_string()).await;
        }
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        assert_eq!(feed.session(1).await, Continuity::Continues);
        let records = feed.records(1, 5).await;
        let positions: Vec<u64> = records.iter().map(|r| r.position.0).collect();
        assert_eq!(positions, [1, 3, 5, 7, 9]);

        // Other content at the anchor's position: another stamp there.
        let other = Anchor {
            position: Position(5),
            stamp: Stamp(records[2].stamp.0 - 1),
        };
        feed.start(0, 2, 5, Some(other));
        let from = Position(5);
        assert_eq!(feed.session(2).await, Continuity::Rewritten { from });

        // The position belongs to another partition now.
        let other = Anchor {
            position: Position(6),
            stamp: records[2].stamp,
        };
        feed.start(0, 3, 6, Some(other));
        let from = Position(6);
        assert_eq!(feed.session(3).await, Continuity::Rewritten { from });

        // The log ends before the anchor; nothing is newer than it.
        let beyond = Anchor {
            position: Position(50),
            stamp: Stamp(records[4].stamp.0 + 1),
        };
        feed.start(0, 4, 50, Some(beyond));
        let from = Position(10);
        assert_eq!(feed.session(4).await, Continuity::Rewritten { from });

        // The log ends before the anchor; messages newer than it begin at 8.
        let beyond = Anchor {
            position: Position(50),
            stamp: records[3].stamp,
        };
        feed.start(0, 5, 50, Some(beyond));
        let from = Position(8);
        assert_eq!(feed.session(5).await, Continuity::Rewritten { from });

        // A start beyond the end without an anchor would skip what comes before it.
        feed.start(0, 6, 20, None);
        let from = Position(10);
        assert_eq!(feed.session(6).await, Continuity::Rewritten { from });
        feed.start(0, 7, 10, None);
        assert_eq!(feed.session(7).await, Continuity::Continues);

        // Deleted by hand: nobody can tell; what follows is delivered, the first one included.
        stream.delete_message(5).await.unwrap();
        feed.start(0, 8, 5, Some(anchor(&records[2])));
        assert_eq!(feed.session(8).await, Continuity::CannotTell);
        let rest = feed.records(8, 2).await;
        assert_eq!((rest[0].position, rest[0].delivery), (Position(7), Some(1)));
        assert_eq!((rest[1].position, rest[1].delivery), (Position(9), Some(2)));

        // Removed by retention.
        stream.purge().sequence(9).await.unwrap();
        feed.start(0, 9, 7, Some(anchor(&records[3])));
        assert_eq!(feed.session(9).await, Continuity::CannotTell);
        assert_eq!(feed.records(9, 1).await[0].position, Position(9));

        // Everything removed.
        stream.purge().await.unwrap();
        feed.start(0, 10, 9, Some(anchor(&records[4])));
        assert_eq!(feed.session(10).await, Continuity::CannotTell);
        raw::publish(&context, "t.0", "10").await;
        assert_eq!(feed.records(10, 1).await[0].position, Position(10));
        feed.close().await;
    });
}

#[test]
fn s9_the_frontier_never_passes_holes_that_the_log_may_fill_again() {
    let name = "s9_the_frontier_never_passes_holes_that_the_log_may_fill_again";
    let Some(server) = Server::start(name) else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t", 2).await;
        let context = raw::connect(&server.url()).await;
        raw::publish(&context, "t.0", "1").await;
        raw::publish(&context, "t.1", "2").await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        assert_eq!(feed.records(1, 1).await[0].position, Position(1));
        // Two heartbeats that tell of position 2, the other partition's, then a message of ours.
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        raw::publish(&context, "t.0", "3").await;
        let first = feed
            .find(|event| match event {
                FeedEvent::Advance { .. } => Some(None),
                FeedEvent::Records { records, .. } => Some(Some(records[0].position)),
                _ => None,
            })
            .await;
        assert_eq!(first, Some(Position(3)));
        feed.close().await;
    });
}

#[test]
fn a_deleted_consumer_and_a_deleted_stream_end_the_session() {
    let Some(server) = Server::start("a_deleted_consumer_ends_the_session") else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t", 1).await;
        let context = raw::connect(&server.url()).await;
        let stream = context.get_stream("t").await.unwrap();
        raw::publish(&context, "t.0", "1").await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        let first = feed.records(1, 1).await;
        let names = consumer_names(&stream).await;
        assert_eq!(names.len(), 1);
        stream.delete_consumer(&names[0]).await.unwrap();
        assert_eq!(feed.broken(1).await, BreakReason::Gone);
        feed.start(0, 2, 1, Some(anchor(&first[0])));
        assert_eq!(feed.session(2).await, Continuity::Continues);
        context.delete_stream("t").await.unwrap();
        assert_eq!(feed.broken(2).await, BreakReason::Gone);
        feed.start(0, 3, 1, Some(anchor(&first[0])));
        assert_eq!(feed.broken(3).await, BreakReason::NotStarted);
        feed.close().await;
    });
}

async fn consumer_names(stream: &async_nats::jetstream::stream::Stream) -> Vec<String> {
    use futures_util::StreamExt as _;
    let mut all = stream.consumer_names();
    let mut names = Vec::new();
    while let Some(name) = all.next().await {
        names.push(name.unwrap());
    }
    names
}

#[test]
fn credit_is_kept_and_nothing_is_pulled_without_it() {
    let Some(server) = Server::start("credit_is_kept") else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        for n in 1..=3_000 {
            sink.send(outgoing("t", "k", n));
        }
        for _ in 1..=3_000 {
            sink.result().await;
        }
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.feed.submit(FeedCommand::Start(procession_core::Start {
            partition: procession_core::PartitionId(0),
            epoch: procession_core::Epoch(1),
            session: procession_core::Session(1),
            at: Position(1),
            expect: None,
        }));
        assert_eq!(feed.session(1).await, Continuity::Continues);
        // Nothing is granted: for two seconds nothing comes, and the session lives.
        feed.quiet(Duration::from_millis(2_500)).await;
        feed.grant(0, 1, 7, 4 << 10);
        assert_eq!(feed.records(1, 7).await[6].position, Position(7));
        feed.quiet(Duration::from_millis(300)).await;
        // Bytes count as well: a message here is charged about 100, so few come.
        feed.grant(0, 1, 3_000, 8 << 10);
        let mut got = 7;
        while let Ok(event) = tokio::time::timeout(Duration::from_millis(1_500), feed.next()).await
        {
            if let FeedEvent::Records { records, .. } = event {
                got += records.len();
            }
        }
        assert!((8..150).contains(&got), "{got} of about 80");
        feed.grant(0, 1, 3_000, 1 << 20);
        let rest = feed.records(1, 3_000 - got).await;
        assert_eq!(rest.last().unwrap().position, Position(3_000));
        assert_eq!(rest.last().unwrap().delivery, Some(3_000));
        feed.close().await;
        sink.close().await;
    });
}

#[test]
fn messages_larger_than_the_credit_still_come() {
    let Some(server) = Server::start("messages_larger_than_the_credit_still_come") else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t", 1).await;
        let context = raw::connect(&server.url()).await;
        let large = "x".repeat(1_000_000);
        for payload in ["small", &large, "small", &large, &large] {
            raw::publish(&context, "t.0", payload).await;
        }
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.feed.submit(FeedCommand::Start(procession_core::Start {
            partition: procession_core::PartitionId(0),
            epoch: procession_core::Epoch(1),
            session: procession_core::Session(1),
            at: Position(1),
            expect: None,
        }));
        feed.grant(0, 1, 5, 100_000);
        feed.records(1, 2).await;
        feed.grant(0, 1, 5, 1_200_000);
        let rest = feed.records(1, 2).await;
        assert_eq!(rest[1].payload.len(), 1_000_000);
        feed.grant(0, 1, 5, 2_300_000);
        assert_eq!(feed.records(1, 1).await[0].position, Position(5));
        feed.close().await;
    });
}

#[test]
fn header_fields_survive_as_they_were_sent() {
    let Some(server) = Server::start("header_fields_survive_as_they_were_sent") else {
        return;
    };
    block_on(async {
        let broker = server.patient_broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut message = outgoing("t", "k", 7);
        // Order, duplicates and bytes that are not text: a message with them must neither stop the
        // partition nor change.
        let fields: Vec<(&str, &[u8])> = vec![
            ("z", b"1"),
            ("a", b"2"),
            ("z", b"3"),
            ("raw", b"\xff\xfe"),
            ("empty", b""),
        ];
        message.headers = fields.iter().copied().collect();
        sink.store(message).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        let record = feed.records(1, 1).await.remove(0);
        let got: Vec<(&str, &[u8])> = record
            .headers
            .iter()
            .filter(|(name, _)| *name != "Nats-Msg-Id")
            .collect();
        assert_eq!(got, fields);
        assert_eq!(
            record.headers.get("nats-msg-id"),
            Some(&b"00000000000000000000000000000007"[..])
        );
        feed.close().await;
        sink.close().await;
    });
}

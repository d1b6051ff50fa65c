//! The sink against a real server.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use procession_core::{Position, Span};
use procession_runtime::partition_of;
use procession_runtime::port::{Broker as _, PortErrorKind, SinkEvent, SinkReceipt};
use support::driver::{Feeding, Sinking, outgoing};
use support::{Server, block_on, raw, topic};

#[test]
fn an_identity_is_stored_once() {
    let Some(server) = Server::start("an_identity_is_stored_once") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 3).await;
        let mut sink = Sinking::begin(&broker).await;
        let (partition, position) = sink.store(outgoing("t", "k", 5)).await;
        assert_eq!((partition, position), (partition_of(b"k", 3), 1));
        sink.send(outgoing("t", "k", 5));
        let (_, receipt) = sink.result().await;
        let duplicate = SinkReceipt::Stored {
            partition,
            position: Position(1),
            duplicate: true,
        };
        assert_eq!(receipt, duplicate);
        // A copy past the broker's dedupe is another message of the same identity.
        let mut copy = outgoing("t", "k", 5);
        copy.copy = 1;
        assert_eq!(sink.store(copy).await, (partition, 2));
        // Without a key the id chooses; a fixed partition is kept.
        let mut keyless = outgoing("t", "k", 77);
        keyless.key = None;
        assert_eq!(sink.store(keyless).await.0, partition_of(b"77", 3));
        let mut fixed = outgoing("t", "k", 78);
        fixed.partition = Some((partition + 1) % 3);
        assert_eq!(sink.store(fixed).await.0, (partition + 1) % 3);
        sink.close().await;
    });
}

#[test]
fn s8_a_connection_is_made_anew_when_the_driver_asks() {
    let Some(server) = Server::start("s8_a_connection_is_made_anew_when_the_driver_asks") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        assert_eq!(sink.store(outgoing("t", "k", 1)).await, (0, 1));
        sink.sink.reconnect();
        assert!(matches!(sink.next().await, SinkEvent::Disconnected));
        assert!(matches!(sink.next().await, SinkEvent::Connected));
        assert_eq!(sink.store(outgoing("t", "k", 2)).await, (0, 2));
        sink.close().await;
    });
}

#[test]
fn what_cannot_be_stored_is_refused_once_and_says_why() {
    let Some(server) = Server::start("what_cannot_be_stored_is_refused") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut large = outgoing("t", "k", 1);
        large.payload = Bytes::from(vec![0; broker.info().message_bytes_max]);
        let mut outside = outgoing("t", "k", 2);
        outside.partition = Some(1);
        let mut broken = outgoing("t", "k", 3);
        broken.headers = [("a", &b"1\r\nNats-Rollup: all"[..])].into_iter().collect();
        let cases = [
            (large, PortErrorKind::TooLarge, "max_payload"),
            (
                outgoing("nobody", "k", 4),
                PortErrorKind::Missing,
                "`nobody`",
            ),
            (outside, PortErrorKind::Invalid, "partition 1"),
            (broken, PortErrorKind::Invalid, "`a`"),
        ];
        for (message, kind, says) in cases {
            let sent = sink.send(message);
            match sink.result().await {
                (ticket, SinkReceipt::NotStored(error)) => {
                    assert_eq!(ticket, sent);
                    assert_eq!(error.kind, kind, "{error}");
                    assert!(error.message.contains(says), "{error}");
                }
                other => panic!("{other:?}"),
            }
        }
        // A stream that is full may have room again later: not refused for good.
        let context = raw::connect(&server.url()).await;
        let mut config = context
            .get_stream("t")
            .await
            .unwrap()
            .cached_info()
            .config
            .clone();
        config.max_messages = 1;
        config.discard = async_nats::jetstream::stream::DiscardPolicy::New;
        context.update_stream(&config).await.unwrap();
        sink.store(outgoing("t", "k", 5)).await;
        sink.send(outgoing("t", "k", 6));
        let (_, receipt) = sink.result().await;
        assert!(matches!(receipt, SinkReceipt::Retry(_)), "{receipt:?}");
        sink.close().await;
    });
}

#[test]
fn topics_made_by_others_are_looked_up() {
    let Some(server) = Server::start("topics_made_by_others_are_looked_up") else {
        return;
    };
    block_on(async {
        let maker = server.broker().await;
        topic(&maker, "t", 5).await;
        // This broker was never told of the topic: its sink asks, and keeps the order meanwhile.
        let broker = server.broker().await;
        let mut sink = Sinking::begin(&broker).await;
        for n in 1..=100 {
            sink.send(outgoing("t", "k", n));
        }
        for n in 1..=100 {
            let (ticket, receipt) = sink.result().await;
            assert_eq!(ticket, n);
            let SinkReceipt::Stored {
                partition,
                position,
                ..
            } = receipt
            else {
                panic!("{receipt:?}");
            };
            assert_eq!((partition, position.0), (partition_of(b"k", 5), n));
        }
        sink.close().await;
    });
}

#[test]
fn ten_thousand_there_and_back_and_in_the_audit() {
    let Some(server) = Server::start("ten_thousand_there_and_back") else {
        return;
    };
    block_on(async {
        const MESSAGES: u64 = 10_000;
        let broker = server.broker().await;
        topic(&broker, "t", 3).await;
        let mut sink = Sinking::begin(&broker).await;
        for n in 1..=MESSAGES {
            sink.send(outgoing("t", &format!("key-{}", n % 100), n.into()));
        }
        let mut sent = vec![None; MESSAGES as usize + 1];
        for _ in 1..=MESSAGES {
            match sink.result().await {
                (
                    ticket,
                    SinkReceipt::Stored {
                        partition,
                        position,
                        duplicate: false,
                    },
                ) => {
                    let place = &mut sent[ticket as usize];
                    assert_eq!(*place, None, "two results for one publish (S10)");
                    *place = Some((partition, position.0));
                }
                other => panic!("{other:?}"),
            }
        }
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        let mut received = Vec::new();
        for partition in 0..3 {
            // One after the other: session numbers are per partition.
            feed.start(partition, 1, 1, None);
            let expected = sent.iter().flatten().filter(|p| p.0 == partition).count();
            let records = feed.records(1, expected).await;
            received.extend(records.into_iter().map(|record| (partition, record)));
        }
        let log = broker.audit("t".into()).await.unwrap();
        assert_eq!(log.len(), received.len());
        for (partition, record) in &received {
            let id: usize = std::str::from_utf8(record.headers.get("ce-id").unwrap())
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(sent[id], Some((*partition, record.position.0)));
        }
        for partition in 0..3 {
            let of = |all: &[(u32, procession_runtime::port::Record)]| -> Vec<_> {
                all.iter()
                    .filter(|(p, _)| *p == partition)
                    .map(|(_, r)| (r.position, r.stamp, r.headers.clone(), r.payload.clone()))
                    .collect()
            };
            assert_eq!(of(&log), of(&received));
        }
        feed.close().await;
        sink.close().await;
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

#[test]
fn closing_leaves_no_thread_and_no_socket() {
    let Some(server) = Server::start("closing_leaves_no_thread_and_no_socket") else {
        return;
    };
    // Counts only what is this broker's, by name and by peer: other tests of this process run too.
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .flatten()
            .filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok())
            .filter(|name| name.starts_with("procession-nats"))
            .count()
    };
    let sockets = || connections_to(server.port);
    block_on(async {
        let (threads_before, sockets_before) = (threads(), sockets());
        let broker = server.broker().await;
        topic(&broker, "t", 2).await;
        let mut sink = Sinking::begin(&broker).await;
        sink.store(outgoing("t", "k", 1)).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(partition_of(b"k", 2), 1, 1, None);
        feed.records(1, 1).await;
        broker.audit("t".into()).await.unwrap();
        assert!(
            sockets_before + 4 <= sockets(),
            "control, sink, deliveries, records"
        );
        assert!(threads_before + 3 <= threads());
        broker.close(Span::from_secs(5)).await.unwrap();
        // A thread that has said that it ends is gone within an instant.
        let until = std::time::Instant::now() + Duration::from_secs(5);
        while threads_before < threads() || sockets_before < sockets() {
            assert!(
                std::time::Instant::now() < until,
                "{} threads, {} sockets left",
                threads() - threads_before,
                sockets() - sockets_before
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Closed is closed: clear errors, no new threads.
        assert!(broker.sink().await.is_err());
        broker.close(Span::from_secs(5)).await.unwrap();
        drop((feed, sink));
    });
}

/// Sockets of this machine that are connected to the port from this process' side.
fn connections_to(port: u16) -> usize {
    let own: std::collections::HashSet<String> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|fd| std::fs::read_link(fd.path()).ok())
        .filter_map(|link| {
            let link = link.to_string_lossy().into_owned();
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let peer = format!("0100007F:{port:04X}");
    std::fs::read_to_string("/proc/self/net/tcp")
        .unwrap()
        .lines()
        .filter(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.get(2) == Some(&peer.as_str()) && fields.get(9).is_some_and(|i| own.contains(*i))
        })
        .count()
}

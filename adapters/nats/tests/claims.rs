//! Ownership and progress on a real server: one works, others stand by, compare-and-set decides.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use bytes::Bytes;
use procession_core::{Anchor, CommitResult, Epoch, PartitionId, Position, Receipt, Span, Stamp};
use procession_nats::NatsBroker;
use procession_runtime::port::{
    Broker as _, FeedCommand, FeedEvent, FeedSpec, LeaseSpec, ProgressWrite, ResumeState,
};
use support::driver::{Feeding, Sinking, feed_spec, outgoing, token};
use support::{Server, block_on, raw, topic};

fn short(topic: &str, group: &str, member: &str) -> FeedSpec {
    FeedSpec {
        lease: LeaseSpec {
            lease: Span::from_secs(2),
            margin: Span::from_millis(400),
        },
        ..feed_spec(topic, group, member)
    }
}

async fn assigned(feed: &mut Feeding, partition: u32) -> (Epoch, ResumeState) {
    feed.find(|event| match event {
        FeedEvent::Assigned {
            partition: PartitionId(p),
            epoch,
            resume,
            ..
        } if p == partition => Some((epoch, resume)),
        _ => None,
    })
    .await
}

fn write(partition: u32, epoch: Epoch, number: u64, frontier: u64, last: bool) -> ProgressWrite {
    ProgressWrite {
        partition: PartitionId(partition),
        epoch,
        write: number,
        frontier: Position(frontier),
        anchor: Some(Anchor {
            position: Position(frontier - 1),
            stamp: Stamp(frontier * 10),
        }),
        map: Bytes::from_static(&[1, 2, 3]),
        last,
    }
}

async fn commit(feed: &mut Feeding, write: ProgressWrite) -> CommitResult {
    let asked = (write.partition, write.epoch, write.write);
    feed.feed.submit(FeedCommand::Commit(write));
    feed.find(|event| match event {
        FeedEvent::Committed {
            partition,
            epoch,
            write,
            result,
        } if (partition, epoch, write) == asked => Some(result),
        _ => None,
    })
    .await
}

async fn owned(server: &Server, spec: FeedSpec) -> (NatsBroker, Feeding, Epoch) {
    let broker = server.broker().await;
    topic(&broker, &spec.topic, 1).await;
    let mut feed = Feeding::begin_as(&broker, spec).await;
    let (epoch, _) = assigned(&mut feed, 0).await;
    (broker, feed, epoch)
}

#[test]
fn progress_outlives_its_owner() {
    let Some(server) = Server::start("progress_outlives_its_owner") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        for n in 1..=9 {
            sink.store(outgoing("t", "k", n)).await;
        }
        let mut feed = Feeding::begin_as(&broker, short("t", "g", "one")).await;
        let (epoch, resume) = assigned(&mut feed, 0).await;
        assert_eq!(resume.frontier, None);
        assert_eq!(
            (resume.log_start, resume.log_end),
            (Position(1), Position(10))
        );
        assert_eq!(
            commit(&mut feed, write(0, epoch, 1, 5, false)).await,
            CommitResult::Stored
        );
        assert_eq!(
            commit(&mut feed, write(0, epoch, 2, 7, true)).await,
            CommitResult::Stored
        );
        feed.feed.submit(FeedCommand::Release {
            partition: PartitionId(0),
            epoch,
        });
        feed.close().await;
        // Released in an orderly way: the next one need not wait for the lease.
        let begin = std::time::Instant::now();
        let mut feed = Feeding::begin_as(&broker, short("t", "g", "two")).await;
        let (next, resume) = assigned(&mut feed, 0).await;
        assert!(begin.elapsed() < std::time::Duration::from_millis(1_500));
        assert!(epoch < next);
        assert_eq!(resume.frontier, Some(Position(7)));
        assert_eq!(resume.map, Bytes::from_static(&[1, 2, 3]));
        let anchor = Anchor {
            position: Position(6),
            stamp: Stamp(70),
        };
        assert_eq!(resume.anchor, Some(anchor));
        assert_eq!(resume.recorded, Some(resume.incarnation));
        feed.close().await;
        sink.close().await;
    });
}

#[test]
fn a_second_member_stands_by_and_takes_over_after_the_lease() {
    let Some(server) = Server::start("a_second_member_stands_by") else {
        return;
    };
    block_on(async {
        let (_one, mut first, epoch) = owned(&server, short("t", "g", "one")).await;
        assert_eq!(
            commit(&mut first, write(0, epoch, 1, 5, false)).await,
            CommitResult::Stored
        );
        let other = server.broker().await;
        let mut second = Feeding::begin_as(&other, short("t", "g", "two")).await;
        let owner = second
            .find(|event| match event {
                FeedEvent::Standby { owner, .. } => Some(owner),
                _ => None,
            })
            .await;
        assert!(owner.starts_with("one"), "{owner}");
        // The owner renews: nobody takes over while it lives.
        first
            .find(|event| matches!(event, FeedEvent::Extended { .. }).then_some(()))
            .await;
        let early =
            tokio::time::timeout(std::time::Duration::from_secs(3), assigned(&mut second, 0));
        assert!(early.await.is_err(), "taken over from a living owner");
        // It ends without a word: its lease runs out.
        first.close().await;
        let (next, resume) = assigned(&mut second, 0).await;
        assert!(epoch < next);
        assert_eq!(resume.frontier, Some(Position(5)));
        second.close().await;
    });
}

#[test]
fn a_record_that_somebody_else_changed_fences_the_owner() {
    let Some(server) = Server::start("a_record_that_somebody_else_changed") else {
        return;
    };
    block_on(async {
        let (_broker, mut feed, epoch) = owned(&server, short("t", "g", "one")).await;
        assert_eq!(
            commit(&mut feed, write(0, epoch, 1, 5, false)).await,
            CommitResult::Stored
        );
        // Another owner, with a higher epoch, in the record.
        let context = raw::connect(&server.url()).await;
        let subject = "$KV.procession-progress.g.t.t.0";
        let bucket = context.get_stream("KV_procession-progress").await.unwrap();
        let record = bucket
            .get_last_raw_message_by_subject(subject)
            .await
            .unwrap();
        let text = String::from_utf8(record.payload.to_vec()).unwrap();
        let epoch_field = format!("\"epoch\":\"{}\"", epoch.0);
        assert!(text.contains(&epoch_field), "{text}");
        let mut value = text.replace(&epoch_field, &format!("\"epoch\":\"{}\"", epoch.0 + 1));
        let owner = value.find("\"owner\":\"").unwrap() + 9;
        value.insert_str(owner, "somebody-else-");
        raw::publish(&context, subject, &value).await;
        // S6: the old owner's next write is refused, it reads the record, and is out.
        let result = commit(&mut feed, write(0, epoch, 2, 8, false)).await;
        assert_eq!(result, CommitResult::Lost);
        let after = bucket
            .get_last_raw_message_by_subject(subject)
            .await
            .unwrap();
        assert_eq!(
            after.payload,
            value.as_bytes(),
            "the fenced owner changed the record"
        );
        feed.close().await;
    });
}

#[test]
fn dead_letters_are_confirmed() {
    let Some(server) = Server::start("dead_letters_are_confirmed") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 3).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        let _ = assigned(&mut feed, 0).await;
        let mut message = outgoing("t-dlq-g", "k", 1);
        message.partition = Some(2);
        let token = token();
        for _ in 0..2 {
            // The second one has the same identity: it is in the log once.
            feed.feed.submit(FeedCommand::Bury {
                token,
                message: message.clone(),
            });
            assert_eq!(buried(&mut feed).await, Receipt::Stored);
        }
        let log = broker.audit("t-dlq-g".into()).await.unwrap();
        assert_eq!(log.len(), 1);
        assert_eq!(log[0].0, 2);
        assert_eq!(log[0].1.payload, message.payload);
        message.payload = Bytes::from(vec![0; broker.info().message_bytes_max]);
        feed.feed.submit(FeedCommand::Bury { token, message });
        assert_eq!(buried(&mut feed).await, Receipt::TooLarge);
        feed.close().await;
    });
}

async fn buried(feed: &mut Feeding) -> Receipt {
    feed.find(|event| match event {
        FeedEvent::Buried { receipt, .. } => Some(receipt),
        _ => None,
    })
    .await
}

#[test]
fn leases_survive_a_restart_of_the_server() {
    let Some(mut server) = Server::start("leases_survive_a_restart_of_the_server") else {
        return;
    };
    block_on(async {
        let spec = feed_spec("t", "g", "one");
        let (_broker, mut feed, epoch) = owned(&server, spec).await;
        assert_eq!(
            commit(&mut feed, write(0, epoch, 1, 5, false)).await,
            CommitResult::Stored
        );
        server.stop();
        feed.find(|event| matches!(event, FeedEvent::Disconnected).then_some(()))
            .await;
        server.up();
        feed.find(|event| matches!(event, FeedEvent::Connected).then_some(()))
            .await;
        // Still ours: the record is read first, then written. Passing refusals are tried again.
        let mut number = 1;
        let mut results = Vec::new();
        while results.last() != Some(&CommitResult::Stored) {
            assert!(results.len() < 100, "{results:?}");
            number += 1;
            results.push(commit(&mut feed, write(0, epoch, number, 9, false)).await);
            assert_ne!(results.last(), Some(&CommitResult::Lost), "{results:?}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        feed.close().await;
    });
}

//! A feed against a real Kafka: where it begins, what it compares, what it commits, what it reports.
#![allow(
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::Duration;

use procession_core::{CommitResult, Continuity, Position, Span, Stamp};
use procession_runtime::port::{Broker as _, FeedEvent};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use support::feeding::{Feeding, anchor};
use support::{block_on, broker, fresh, plain, produce, shared, topic};

#[test]
fn a_session_overlaps_by_one_and_a_commit_carries_the_map() {
    let Some(server) = shared("a_session_overlaps_by_one") else {
        return;
    };
    block_on(async {
        let name = fresh("overlap");
        let broker = broker(&server).await;
        assert_eq!(topic(&broker, &name, 1).await.partitions, 1);
        produce(&server, &name, 0, 0..10);
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        let resume = feed.assigned(1).await.remove(&0).unwrap();
        assert_eq!((resume.frontier, resume.log_end), (None, Position(10)));
        assert_ne!(resume.incarnation, procession_core::Incarnation(0));
        feed.start(0, 1, 0, None);
        assert_eq!(feed.session(1).await, Continuity::Continues);
        let first = feed.records(1, 10).await;
        for (record, n) in first.iter().zip(0u64..) {
            assert_eq!(record.position, Position(n));
            assert_eq!(record.key.as_deref(), Some(format!("k{n}").as_bytes()));
            assert_eq!(
                record.headers.get("ce_id"),
                Some(format!("k{n}").as_bytes())
            );
            assert_eq!(record.payload, format!("payload of {n}"));
            assert_ne!(record.stamp, Stamp(0));
        }
        // A new session begins at the last message, finds it, and delivers only what follows.
        produce(&server, &name, 0, 10..11);
        assert_eq!(feed.records(1, 1).await[0].position, Position(10));
        feed.start(0, 2, 9, Some(anchor(&first[9])));
        assert_eq!(feed.session(2).await, Continuity::Continues);
        assert_eq!(feed.records(2, 1).await[0].position, Position(10));
        // What is committed comes back, to the byte.
        let map: Vec<u8> = (0..=255).collect();
        let at = Some(anchor(&first[3]));
        assert_eq!(feed.commit(0, 1, 4, at, &map).await, CommitResult::Stored);
        let epoch = feed.epochs[&0];
        feed.close().await;
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        let again = feed.assigned(1).await.remove(&0).unwrap();
        assert_eq!((again.frontier, again.anchor), (Some(Position(4)), at));
        assert_eq!(again.map, map);
        assert_eq!(again.recorded, Some(resume.incarnation));
        assert!(epoch < feed.epochs[&0], "epochs grow over members");
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

#[test]
fn what_a_session_finds_at_its_anchor() {
    let Some(server) = shared("what_a_session_finds_at_its_anchor") else {
        return;
    };
    block_on(async {
        let name = fresh("anchor");
        let broker = broker(&server).await;
        topic(&broker, &name, 1).await;
        produce(&server, &name, 0, 0..5);
        tokio::time::sleep(Duration::from_millis(20)).await;
        produce(&server, &name, 0, 5..10);
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        feed.assigned(1).await;
        feed.start(0, 1, 0, None);
        let records = feed.records(1, 10).await;
        // Another stamp at the same place: what is newer than the anchor is new, and its place too.
        let mut other = anchor(&records[7]);
        other.stamp = records[4].stamp;
        feed.start(0, 2, 7, Some(other));
        let found = feed.session(2).await;
        assert_eq!(found, Continuity::Rewritten { from: Position(5) });
        other.stamp = Stamp(records[7].stamp.0 + 60_000);
        feed.start(0, 3, 7, Some(other));
        let found = feed.session(3).await;
        assert_eq!(found, Continuity::Rewritten { from: Position(7) });
        // Beyond the end: the log was cut.
        other.position = Position(10);
        feed.start(0, 4, 10, Some(other));
        let found = feed.session(4).await;
        assert_eq!(found, Continuity::Rewritten { from: Position(10) });
        other.position = Position(500);
        feed.start(0, 5, 500, Some(other));
        let found = feed.session(5).await;
        assert_eq!(found, Continuity::Rewritten { from: Position(10) });
        // Retention took the anchor: nobody can tell, and what is left is delivered.
        delete_below(&server, &name, 6).await;
        feed.start(0, 6, 3, Some(anchor(&records[3])));
        assert_eq!(feed.session(6).await, Continuity::CannotTell);
        let left = feed.records(6, 4).await;
        assert_eq!(left[0].position, Position(6));
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

#[test]
fn only_what_was_granted_is_read() {
    let Some(server) = shared("only_what_was_granted_is_read") else {
        return;
    };
    block_on(async {
        let name = fresh("granted");
        let broker = broker(&server).await;
        topic(&broker, &name, 2).await;
        produce(&server, &name, 0, 0..2_000);
        produce(&server, &name, 1, 0..10);
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        feed.assigned(2).await;
        let start = |partition: u32, session| procession_core::Start {
            partition: procession_core::PartitionId(partition),
            epoch: feed.epochs[&partition],
            session: procession_core::Session(session),
            at: Position(0),
            expect: None,
        };
        let (zero, one) = (start(0, 1), start(1, 2));
        feed.feed
            .submit(procession_runtime::port::FeedCommand::Start(zero));
        feed.feed
            .submit(procession_runtime::port::FeedCommand::Start(one));
        feed.session(2).await;
        feed.quiet(Duration::from_millis(300)).await;
        feed.grant(0, 1, 700, 1 << 30);
        assert_eq!(feed.records(1, 700).await[699].position, Position(699));
        feed.quiet(Duration::from_millis(200)).await;
        // The other partition does not wait behind the one that may not go on.
        feed.grant(1, 2, 10, 1 << 30);
        feed.records(2, 10).await;
        feed.grant(0, 1, 2_000, 1 << 30);
        assert_eq!(feed.records(1, 1_300).await[0].position, Position(700));
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

#[test]
fn metadata_of_strangers_goes_to_the_core_to_be_refused() {
    let Some(server) = shared("metadata_of_strangers") else {
        return;
    };
    block_on(async {
        let name = fresh("foreign");
        let broker = broker(&server).await;
        topic(&broker, &name, 3).await;
        for partition in 0..3 {
            produce(&server, &name, partition, 0..5);
        }
        let stranger: BaseConsumer = plain(&server).set("group.id", &name).create().unwrap();
        let mut list = TopicPartitionList::new();
        let texts = ["", "{\"offsets\":[1,2]}", "p1:AAAA"];
        for (partition, text) in (0..3).zip(texts) {
            let mut element = list.add_partition(&name, partition);
            element.set_offset(Offset::Offset(2)).unwrap();
            element.set_metadata(text);
        }
        stranger.commit(&list, CommitMode::Sync).unwrap();
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        for (partition, resume) in feed.assigned(3).await {
            assert_eq!(resume.frontier, Some(Position(2)));
            assert_eq!((resume.anchor, resume.recorded), (None, None));
            assert_eq!(resume.map, texts[partition as usize].as_bytes());
        }
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

#[test]
fn markers_of_transactions_are_holes() {
    let Some(server) = shared("markers_of_transactions_are_holes") else {
        return;
    };
    block_on(async {
        let name = fresh("tx");
        let broker = broker(&server).await;
        topic(&broker, &name, 1).await;
        let producer: BaseProducer = plain(&server)
            .set("transactional.id", &name)
            .create()
            .unwrap();
        producer.init_transactions(Duration::from_secs(10)).unwrap();
        for commits in [true, false, true] {
            producer.begin_transaction().unwrap();
            for _ in 0..2 {
                let record: BaseRecord<'_, str, str> = BaseRecord::to(&name).payload("x");
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(Duration::from_secs(10)).unwrap();
            if commits {
                producer
                    .commit_transaction(Duration::from_secs(10))
                    .unwrap();
            } else {
                producer.abort_transaction(Duration::from_secs(10)).unwrap();
            }
        }
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        feed.assigned(1).await;
        feed.start(0, 1, 0, None);
        let records = feed.records(1, 4).await;
        let positions: Vec<u64> = records.iter().map(|r| r.position.0).collect();
        // Two, a marker, two that were aborted, a marker, two, a marker.
        assert_eq!(positions, [0, 1, 6, 7]);
        assert_eq!(feed.advanced().await, Position(9));
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

#[test]
fn a_place_that_retention_took_is_opened_again() {
    let Some(server) = shared("a_place_that_retention_took_is_opened_again") else {
        return;
    };
    block_on(async {
        let name = fresh("retention");
        let broker = broker(&server).await;
        topic(&broker, &name, 1).await;
        produce(&server, &name, 0, 0..10);
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        feed.assigned(1).await;
        delete_below(&server, &name, 6).await;
        let before = feed.epochs[&0];
        feed.start(0, 1, 2, None);
        feed.find(|event| matches!(event, FeedEvent::Lost { .. }).then_some(()))
            .await;
        let resume = feed.assigned(1).await.remove(&0).unwrap();
        assert_eq!(
            (resume.log_start, resume.log_end),
            (Position(6), Position(10))
        );
        assert!(before < feed.epochs[&0]);
        feed.start(0, 1, 6, None);
        assert_eq!(feed.records(1, 4).await[0].position, Position(6));
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

#[test]
fn a_topic_that_was_made_again_is_another_log() {
    let Some(server) = shared("a_topic_that_was_made_again_is_another_log") else {
        return;
    };
    block_on(async {
        let name = fresh("again");
        let broker = broker(&server).await;
        topic(&broker, &name, 1).await;
        produce(&server, &name, 0, 0..10);
        let mut feed = Feeding::begin(&broker, &name, &name).await;
        let first = feed.assigned(1).await.remove(&0).unwrap();
        feed.start(0, 1, 0, None);
        feed.records(1, 10).await;
        let admin: AdminClient<DefaultClientContext> = plain(&server).create().unwrap();
        admin
            .delete_topics(&[&name], &AdminOptions::new())
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        topic(&broker, &name, 1).await;
        produce(&server, &name, 0, 0..3);
        let second = feed.assigned(1).await.remove(&0).unwrap();
        assert_ne!(first.incarnation, second.incarnation);
        feed.start(0, 1, 0, None);
        assert_eq!(feed.records(1, 3).await[0].position, Position(0));
        feed.close().await;
        broker.close(Span::from_secs(10)).await.unwrap();
    });
}

async fn delete_below(server: &procession_cli::brokers::RunningKafka, topic: &str, offset: i64) {
    let admin: AdminClient<DefaultClientContext> = plain(server).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset))
        .unwrap();
    admin
        .delete_records(&list, &AdminOptions::new())
        .await
        .unwrap();
}

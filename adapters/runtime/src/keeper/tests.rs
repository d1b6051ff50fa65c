//! Keepers of two members over one store, with a clock that is moved by hand.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "tests pick out what they look for"
)]

use core::task::{Context, Waker};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use procession_core::{Anchor, CommitResult, Epoch, PartitionId, Position, Span, Stamp, Time};

use super::{
    Keeper, KeeperSpec, LogState, Progress, RecordStore, StoredRecord, WriteAnswer, incarnation_of,
};
use crate::port::{
    BoxFuture, FeedEvent, LeaseSpec, PortError, PortErrorKind, ProgressWrite, StartAt,
};

#[derive(Clone, Default)]
struct Store(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    records: HashMap<u32, StoredRecord>,
    revision: u64,
    /// Writes land, but their answers never come.
    mute: bool,
    /// The next write is answered so.
    answer: Option<WriteAnswer>,
}

impl Store {
    fn put(&self, partition: u32, bytes: &[u8]) {
        let mut inner = self.0.lock().unwrap();
        inner.revision += 1;
        let revision = inner.revision;
        let bytes = Bytes::copy_from_slice(bytes);
        inner
            .records
            .insert(partition, StoredRecord { revision, bytes });
    }

    fn record(&self, partition: u32) -> Progress {
        let inner = self.0.lock().unwrap();
        Progress::decode(&inner.records[&partition].bytes).unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl RecordStore for Store {
    fn read(
        &self,
        partition: PartitionId,
    ) -> BoxFuture<'static, Result<Option<StoredRecord>, PortError>> {
        let found = self.0.lock().unwrap().records.get(&partition.0).cloned();
        Box::pin(core::future::ready(Ok(found)))
    }

    fn write(
        &self,
        partition: PartitionId,
        expected: u64,
        bytes: Bytes,
    ) -> BoxFuture<'static, WriteAnswer> {
        let mut inner = self.0.lock().unwrap();
        if let Some(answer) = inner.answer.take() {
            return Box::pin(core::future::ready(answer));
        }
        let there = inner.records.get(&partition.0).map_or(0, |r| r.revision);
        if there != expected {
            return Box::pin(core::future::ready(WriteAnswer::Refused));
        }
        inner.revision += 1;
        let revision = inner.revision;
        inner
            .records
            .insert(partition.0, StoredRecord { revision, bytes });
        if inner.mute {
            return Box::pin(core::future::pending());
        }
        Box::pin(core::future::ready(WriteAnswer::Stored(revision)))
    }

    fn log(&self, _partition: PartitionId) -> BoxFuture<'static, Result<LogState, PortError>> {
        Box::pin(core::future::ready(Ok(LogState {
            created: "then".into(),
            start: Position(1),
            end: Position(101),
        })))
    }
}

struct Member {
    keeper: Keeper<Store>,
    now: Time,
}

impl Member {
    fn new(store: &Store, name: &str, partitions: u32, start: StartAt) -> Self {
        let spec = KeeperSpec {
            partitions,
            member: name.into(),
            start,
            lease: LeaseSpec {
                lease: Span::from_secs(10),
                margin: Span::from_secs(1),
            },
            leave_within: Span::from_secs(5),
            seed: 1,
        };
        Self {
            keeper: Keeper::new(spec, store.clone()).unwrap(),
            now: Time::from_nanos(1_000_000_000),
        }
    }

    fn poll(&mut self) -> Vec<FeedEvent> {
        let mut events = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        self.keeper.poll(self.now, &mut cx, &mut events).unwrap();
        events
    }

    /// Lets time pass in steps of 100 ms, polling at each.
    fn pass(&mut self, millis: u64) -> Vec<FeedEvent> {
        let mut events = self.poll();
        for _ in 0..millis.div_ceil(100) {
            self.now = self.now + Span::from_millis(100);
            events.extend(self.poll());
        }
        events
    }

    fn commit(&mut self, partition: u32, epoch: u64, write: u64, frontier: u64, last: bool) {
        let write = ProgressWrite {
            partition: PartitionId(partition),
            epoch: Epoch(epoch),
            write,
            frontier: Position(frontier),
            anchor: Some(Anchor {
                position: Position(frontier - 1),
                stamp: Stamp(9),
            }),
            map: Bytes::from_static(b"map"),
            last,
        };
        self.keeper.commit(self.now, write);
    }
}

/// (partition, epoch, frontier) of what was assigned.
fn assigned(events: &[FeedEvent]) -> Vec<(u32, u64, Option<u64>)> {
    let pick = |event: &FeedEvent| match event {
        FeedEvent::Assigned {
            partition,
            epoch,
            resume,
            until: Some(_),
        } => {
            assert_eq!(resume.incarnation, incarnation_of("then"));
            assert_eq!((resume.log_start.0, resume.log_end.0), (1, 101));
            Some((partition.0, epoch.0, resume.frontier.map(|p| p.0)))
        }
        _ => None,
    };
    events.iter().filter_map(pick).collect()
}

fn results(events: &[FeedEvent]) -> Vec<(u64, CommitResult)> {
    let pick = |event: &FeedEvent| match event {
        FeedEvent::Committed { write, result, .. } => Some((*write, *result)),
        _ => None,
    };
    events.iter().filter_map(pick).collect()
}

fn lost(events: &[FeedEvent]) -> usize {
    let is_lost = |e: &&FeedEvent| matches!(e, FeedEvent::Lost { .. });
    events.iter().filter(is_lost).count()
}

#[test]
fn the_first_member_gets_partition_zero_and_then_the_others() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 3, StartAt::Earliest);
    let events = a.pass(500);
    assert_eq!(
        assigned(&events),
        [(0, 1, None), (1, 1, None), (2, 1, None)]
    );
    let mut b = Member::new(&store, "b", 3, StartAt::Earliest);
    let events = b.pass(2_000);
    assert_eq!(assigned(&events), []);
    let standby = events.iter().find_map(|e| match e {
        FeedEvent::Standby { owner, .. } => Some(owner.as_str()),
        _ => None,
    });
    assert_eq!(standby, Some("a"));
    // Renewals extend the lease as long as it is polled.
    let events = a.pass(30_000);
    let extended = |e: &&FeedEvent| matches!(e, FeedEvent::Extended { .. });
    assert!(30 < events.iter().filter(extended).count());
    assert_eq!(lost(&events), 0);
}

#[test]
fn a_commit_is_the_record_and_the_last_one_hands_over_at_once() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    a.commit(0, 1, 1, 42, false);
    assert_eq!(results(&a.pass(100)), [(1, CommitResult::Stored)]);
    let record = store.record(0);
    assert_eq!(
        (record.created.as_str(), record.owner.as_str()),
        ("then", "a")
    );
    assert_eq!(record.frontier, Some(Position(42)));
    assert_eq!(record.map, Bytes::from_static(b"map"));
    a.commit(0, 1, 2, 50, true);
    let events = a.pass(100);
    assert_eq!(results(&events), [(2, CommitResult::Stored)]);
    assert_eq!(lost(&events), 0, "the driver releases by itself");
    a.keeper.release(a.now, PartitionId(0), Epoch(1));
    assert!(a.keeper.is_idle());
    assert_eq!(store.record(0).owner, "");
    let mut b = Member::new(&store, "b", 1, StartAt::Earliest);
    assert_eq!(assigned(&b.pass(500)), [(0, 2, Some(50))]);
    // What the first one still has to say is void.
    a.commit(0, 1, 3, 60, false);
    assert_eq!(results(&a.pass(100)), [(3, CommitResult::Lost)]);
    assert_eq!(store.record(0).frontier, Some(Position(50)));
}

#[test]
fn a_release_without_a_last_commit_is_written() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Latest);
    assert_eq!(assigned(&a.pass(200)), [(0, 1, Some(101))]);
    a.keeper.release(a.now, PartitionId(0), Epoch(1));
    assert!(!a.keeper.is_idle());
    assert_eq!(lost(&a.pass(100)), 0);
    assert!(a.keeper.is_idle());
    assert_eq!(store.record(0).owner, "");
    // It took nothing again: whoever releases ends.
    assert_eq!(assigned(&a.pass(20_000)), []);
}

#[test]
fn a_lease_that_is_not_renewed_is_taken_over_and_its_owner_is_fenced() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    a.commit(0, 1, 1, 42, false);
    a.pass(100);
    let mut b = Member::new(&store, "b", 1, StartAt::Earliest);
    assert_eq!(assigned(&b.pass(9_000)), []);
    assert_eq!(assigned(&b.pass(5_000)), [(0, 2, Some(42))]);
    a.commit(0, 1, 2, 50, false);
    let events = a.pass(500);
    assert_eq!(results(&events), [(2, CommitResult::Lost)]);
    assert_eq!(lost(&events), 1);
    assert_eq!(store.record(0).owner, "b");
}

#[test]
fn a_core_that_counted_its_epoch_up_is_followed() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    a.commit(0, 4, 1, 42, false);
    assert_eq!(results(&a.pass(100)), [(1, CommitResult::Stored)]);
    assert_eq!(store.record(0).epoch, Epoch(4));
    let epochs: Vec<u64> = a
        .pass(5_000)
        .iter()
        .filter_map(|e| match e {
            FeedEvent::Extended { epoch, .. } => Some(epoch.0),
            _ => None,
        })
        .collect();
    assert!(
        !epochs.is_empty() && epochs.iter().all(|&e| e == 4),
        "{epochs:?}"
    );
}

#[test]
fn a_record_of_a_newer_version_refuses_to_start() {
    let store = Store::default();
    store.put(0, br#"{"v":2}"#);
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    let mut cx = Context::from_waker(Waker::noop());
    let error = a.keeper.poll(a.now, &mut cx, &mut Vec::new()).unwrap_err();
    assert_eq!(error.kind, PortErrorKind::Unsuitable);
    assert!(error.message.contains("version 2"), "{error}");
}

#[test]
fn foreign_content_is_left_alone_for_a_lease_and_counts_as_no_progress() {
    let store = Store::default();
    store.put(0, b"not a record");
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    assert_eq!(assigned(&a.pass(9_000)), []);
    assert_eq!(assigned(&a.pass(5_000)), [(0, 1, None)]);
    assert_eq!(store.record(0).owner, "a");
    // The mark of a deletion needs no waiting, only its revision.
    store.put(0, b"");
    let mut b = Member::new(&store, "b", 1, StartAt::Earliest);
    assert_eq!(assigned(&b.pass(500)), [(0, 1, None)]);
}

#[test]
fn a_write_without_an_answer_is_read_back_before_the_next() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    store.set(|inner| inner.mute = true);
    a.commit(0, 1, 1, 42, false);
    a.pass(100);
    assert!(!a.keeper.is_idle());
    store.set(|inner| inner.mute = false);
    // It landed: the owner finds its own write and goes on.
    let events = a.pass(3_000);
    assert_eq!(results(&events), [(1, CommitResult::Stored)]);
    assert_eq!(lost(&events), 0);
    a.commit(0, 1, 2, 50, false);
    assert_eq!(results(&a.pass(100)), [(2, CommitResult::Stored)]);
}

#[test]
fn a_map_that_does_not_fit_is_left_out_of_renewals() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    let too_large = PortError::new(PortErrorKind::TooLarge, "over the limit");
    store.set(|inner| inner.answer = Some(WriteAnswer::NotStored(too_large)));
    a.commit(0, 1, 1, 42, false);
    assert_eq!(results(&a.pass(100)), [(1, CommitResult::TooLarge)]);
    let events = a.pass(5_000);
    assert_eq!(lost(&events), 0);
    assert_eq!(store.record(0).map, Bytes::new());
}

#[test]
fn after_a_reconnect_the_record_is_compared_before_anything_is_written() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    a.commit(0, 1, 1, 42, false);
    a.pass(100);
    let older = store.record(0);
    a.commit(0, 1, 2, 50, false);
    a.pass(100);
    a.keeper.disconnected(a.now);
    // The store was restored to an older copy; even its revisions repeat.
    store.put(0, &older.encode());
    a.keeper.reconnected(a.now);
    a.commit(0, 1, 3, 60, false);
    let events = a.pass(500);
    assert_eq!(results(&events), [(3, CommitResult::Lost)]);
    assert_eq!(lost(&events), 1);
    assert_eq!(store.record(0).frontier, Some(Position(42)));
}

#[test]
fn a_lease_that_cannot_work_is_refused() {
    let mut spec = Member::new(&Store::default(), "a", 1, StartAt::Earliest)
        .keeper
        .spec()
        .clone();
    spec.lease.margin = Span::from_secs(9);
    let error = Keeper::new(spec.clone(), Store::default()).err().unwrap();
    assert!(error.message.contains("margin"), "{error}");
    spec.lease.margin = Span::from_secs(1);
    spec.partitions = 0;
    assert!(Keeper::new(spec, Store::default()).is_err());
}

#[test]
fn a_paused_owner_goes_on_where_the_one_between_has_stopped() {
    // F-LM5: paused past its lease, another takes over, finishes more and leaves; the first read of
    // the woken member shows a free record with more progress than it remembers itself.
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(500);
    a.commit(0, 1, 1, 10, false);
    a.pass(200);
    let mut b = Member::new(&store, "b", 1, StartAt::Earliest);
    assert_eq!(assigned(&b.pass(12_000)), [(0, 2, Some(10))]);
    b.commit(0, 2, 1, 90, false);
    b.pass(200);
    b.keeper.release(b.now, PartitionId(0), Epoch(2));
    b.pass(200);
    assert_eq!(store.record(0).owner, "");
    // It wakes with a commit of its own on the way.
    a.now = b.now;
    a.commit(0, 1, 2, 12, false);
    let events = a.pass(1_000);
    assert_eq!(lost(&events), 1);
    assert_eq!(results(&events), [(2, CommitResult::Lost)]);
    assert_eq!(assigned(&events), [(0, 3, Some(90))]);
    assert_eq!(store.record(0).frontier, Some(Position(90)));
}

/// What is read while the record is given up is older than the commit that the release carries.
#[test]
fn a_release_after_a_lapse_writes_the_commit_that_it_carries() {
    let store = Store::default();
    let mut a = Member::new(&store, "a", 1, StartAt::Earliest);
    a.pass(200);
    a.commit(0, 1, 1, 42, false);
    a.pass(100);
    a.commit(0, 1, 2, 50, false);
    // The port hangs past the end of the lease, and nobody takes over.
    a.now = a.now + Span::from_secs(12);
    a.keeper.release(a.now, PartitionId(0), Epoch(1));
    assert_eq!(results(&a.pass(500)), [(2, CommitResult::Stored)]);
    let record = store.record(0);
    assert_eq!(
        (record.owner.as_str(), record.frontier),
        ("", Some(Position(50)))
    );
}

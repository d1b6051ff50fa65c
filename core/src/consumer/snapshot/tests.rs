//! Snapshots as an untrusted input.

use alloc::vec;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::{
    Arrival, Continuity, Dedupe, Epoch, Limits, Outcome, PartitionId, Position, Resume, Session,
    Span, Stamp, Time,
};

fn config() -> Config {
    Config {
        partitions: 2,
        limits: Limits {
            messages: 12,
            bytes: 10_000,
            partition_messages: 8,
            partition_bytes: 10_000,
            low_water_percent: 75,
        },
        window: 64,
        window_pool: 256,
        parked_keys: 2,
        dedupe: Dedupe {
            ids: 8,
            age: Span::from_secs(5),
        },
        ..Config::default()
    }
}

/// A machine in the middle of its work.
fn busy() -> Consumer<u8> {
    let mut bus = Consumer::new(&config()).unwrap();
    let (partition, epoch, now) = (PartitionId(1), Epoch(1), Time::from_nanos(1_000));
    let resume = Resume {
        log_start: Position(1),
        log_end: Position(100),
        ..Resume::default()
    };
    bus.open(now, partition, epoch, &resume, None);
    let start = bus.poll_session(now).unwrap();
    bus.session(now, partition, epoch, start.session, Continuity::Continues);
    for n in 1..=9_u8 {
        let arrival = Arrival {
            partition,
            epoch,
            session: Session(start.session.0),
            delivery: None,
            position: Position(n.into()),
            stamp: Stamp(n.into()),
            lane: u64::from(n % 3) + 1,
            key: Some(u128::from(n % 3) + 1),
            identity: u128::from(n) << 64 | 77,
            bytes: 10,
            expires: None,
            sequence: None,
            quarantine: None,
            message: n,
        };
        let _ = bus.offer(now, arrival);
    }
    let outcomes = [Outcome::Done, Outcome::Retry(2), Outcome::Reject(3)];
    for outcome in outcomes {
        let dispatch = bus.poll_dispatch(now).unwrap();
        bus.settle(now, dispatch.token, outcome).unwrap();
    }
    let _runs = bus.poll_dispatch(now).unwrap();
    let _letter = bus.poll_dead_letter();
    bus
}

fn bytes(bus: &Consumer<u8>) -> Vec<u8> {
    let mut bytes = vec![];
    bus.snapshot(None, |m, out| out.push(*m), &mut bytes);
    bytes
}

fn restore(bytes: &[u8]) -> Result<Consumer<u8>, SnapshotError> {
    Consumer::restore(&config(), bytes, |m| m.first().copied())
}

#[test]
fn what_is_restored_is_what_was_written() {
    let bus = busy();
    let again = restore(&bytes(&bus)).unwrap();
    assert_eq!(bytes(&again), bytes(&bus));
    assert_eq!(again.stats(), bus.stats());
}

#[test]
fn another_configuration_and_another_version_are_told_apart() {
    let good = bytes(&busy());
    let other = Config {
        seed: 1,
        ..config()
    };
    let restored = Consumer::restore(&other, &good, |m| m.first().copied());
    assert_eq!(restored.err(), Some(SnapshotError::Foreign));
    for version in [1, 3] {
        let mut other = good.clone();
        other[0] = version;
        let wrong = Some(SnapshotError::Version(version));
        assert_eq!(restore(&other).err(), wrong);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn anything_else_is_refused_as_a_whole(
        at in any::<prop::sample::Index>(), bit in 0..8, noise in any::<Vec<u8>>(),
    ) {
        let good = bytes(&busy());
        let mut bad = good.clone();
        let at = at.index(good.len());
        bad[at] ^= 1_u8 << bit;
        for bytes in [&bad[..], &good[..at], &noise[..]] {
            prop_assert!(restore(bytes).is_err());
        }
    }

    /// Whoever forges a checksum gets a machine that keeps its invariants, or none.
    #[test]
    fn s7_a_forged_one_is_refused_or_sound(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bad = bytes(&busy());
        for (at, value) in edits {
            let at = HEADER + at.index(bad.len() - HEADER);
            bad[at] = value;
        }
        let sum = checksum(&bad[..10], &bad[HEADER..]);
        bad[10..HEADER].copy_from_slice(&sum.to_le_bytes());
        if let Ok(bus) = restore(&bad) {
            prop_assert_eq!(bus.check_invariants(), Ok(()));
        }
    }
}

//! What a claim takes for its own, and what for a record that went back.
#![allow(clippy::unwrap_used)]

mod claim_support;

use claim_support::{Bench, ME, ms, owner, record, standby};
use procession_core::{ClaimStats, CommitResult, Epoch, Revision, WriteResult};

#[test]
fn lm11_a_write_in_the_epoch_that_the_core_counted_up_to_is_found() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.written(&renewal, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 1), 1);
    // The one before is still in doubt when the core has found its log rewritten.
    bench.claim.commit(ms(2_000), Epoch(2), 1, false).unwrap();
    let second = bench.write().unwrap();
    assert_eq!(second.record.epoch, Epoch(2));
    bench.written(&second, WriteResult::Unknown);
    bench.sees(record(Some(ME), 2, 3), 2);
    assert_eq!(bench.result(), Some((2, 1, CommitResult::Stored)));
    assert_eq!(bench.state(), owner(2, 11_000));
}

#[test]
fn lm12_a_free_record_below_what_the_owner_wrote_is_not_taken_at_once() {
    // By its epoch, though somebody wrote it since; by its revision, though its epoch is a later one.
    for (found, revision) in [(record(None, 2, 9), 9), (record(None, 4, 1), 1)] {
        let mut bench = Bench::owner();
        bench.claim.commit(ms(0), Epoch(3), 1, false).unwrap();
        let write = bench.write().unwrap();
        bench.written(&write, WriteResult::Stored(Revision(2)));
        bench.claim.connection_lost(ms(0));
        bench.claim.connection_restored(ms(0));
        bench.sees(found, revision);
        assert_eq!(bench.state(), standby(None));
        assert_eq!(bench.write(), None, "somebody may own a later state of it");
        assert_eq!(bench.claim.stats().rolled_back, 1);
        bench.at(10_000).sees(found, revision);
        let epoch = bench.write().unwrap().record.epoch;
        let highest = found.unwrap().epoch.max(Epoch(3));
        assert_eq!(epoch, Epoch(highest.0 + 1));
    }
    // What a successor has given back is free.
    let mut bench = Bench::owner();
    bench.claim.connection_lost(ms(0));
    bench.claim.connection_restored(ms(0));
    bench.sees(record(None, 2, 3), 4);
    assert_eq!(bench.write().unwrap().record.epoch, Epoch(3));
    assert_eq!(bench.claim.stats().rolled_back, 0);
}

#[test]
fn sums_of_counters_are_sums() {
    let stats = |n: u64| ClaimStats {
        reads: n,
        reads_failed: 2 * n,
        writes: 3 * n,
        stored: 4 * n,
        refused: 5 * n,
        unknown: 6 * n,
        denied: 7 * n,
        landed_late: 8 * n,
        taken: 9 * n,
        lost: 10 * n,
        lapsed: 11 * n,
        rolled_back: 12 * n,
    };
    assert_eq!(stats(3).plus(&stats(100)), stats(103));
}

/// L4: nothing is written before the record was read, so the read is what it wakes for.
#[test]
fn lm12_an_owner_whose_connection_is_back_wakes_to_read() {
    let mut bench = Bench::owner();
    bench.claim.connection_lost(ms(300));
    bench.claim.connection_restored(ms(500));
    assert_eq!(bench.claim.poll_timeout(), Some(ms(500)));
    assert!(bench.at(500).reads());
}

#[test]
fn writes_and_those_that_landed_late_are_counted() {
    let mut bench = Bench::owner();
    for n in 1..=3 {
        bench.claim.commit(bench.now, Epoch(1), n, false).unwrap();
        let write = bench.write().unwrap();
        bench.written(&write, WriteResult::Unknown);
        bench.sees(record(Some(ME), 1, 1 + n), 1 + n);
        assert_eq!(bench.result(), Some((1, n, CommitResult::Stored)));
    }
    let stats = bench.claim.stats();
    assert_eq!((stats.writes, stats.landed_late), (4, 3));
}

//! When a claim asks to be woken, and what it counts: found by mutations that no other test noticed.
#![allow(missing_docs)]

mod claim_support;

use claim_support::*;

#[test]
fn who_can_do_nothing_wakes_nobody() {
    let mut bench = Bench::new();
    assert_eq!(bench.claim.poll_timeout(), Some(ms(0)), "a read is due");
    assert!(bench.reads());
    assert_eq!(bench.claim.poll_timeout(), None, "it is being read");
    bench.claim.connection_lost(ms(0));
    assert_eq!(bench.claim.poll_timeout(), None, "there is no connection");
    bench.claim.connection_restored(ms(5));
    assert_eq!(bench.claim.poll_timeout(), Some(ms(5)));
}

#[test]
fn an_owner_that_can_do_nothing_wakes_at_the_end_of_its_lease() {
    let mut bench = Bench::owner();
    assert_eq!(bench.claim.poll_timeout(), Some(ms(2_000)), "a renewal");
    let renewal = bench.at(2_000).write();
    assert!(renewal.is_some());
    assert_eq!(
        bench.claim.poll_timeout(),
        Some(ms(9_000)),
        "it is on its way"
    );
    bench.claim.connection_lost(bench.now);
    assert_eq!(bench.claim.poll_timeout(), Some(ms(9_000)));
    assert_eq!(bench.claim.stats().unknown, 1);
    bench.claim.connection_restored(bench.now);
    assert_eq!(bench.claim.poll_timeout(), Some(ms(2_000)));
    assert_eq!(bench.write(), None, "it is read before anything is written");
    bench.sees(record(Some(ME), 1, 1), 1);
    assert!(bench.write().is_some());
}

#[test]
fn who_may_compete_again_looks_at_once_and_who_may_not_any_more_does_not() {
    let mut bench = Bench::new();
    bench.sees(record(Some(OTHER), 3, 1), 5);
    let next = bench.claim.poll_timeout();
    assert!(Some(ms(10)) < next, "{next:?}");
    bench.claim.compete(ms(10), false);
    assert_eq!(bench.claim.poll_timeout(), next, "nothing to hurry for");
    bench.claim.compete(ms(20), true);
    assert_eq!(bench.claim.poll_timeout(), Some(ms(20)));
    let mut owner = Bench::owner();
    owner.claim.compete(ms(10), false);
    owner.claim.compete(ms(20), true);
    assert!(!owner.at(30).reads(), "an owner has nothing to look for");
}

#[test]
fn reads_are_counted() {
    let mut bench = Bench::new();
    assert!(bench.reads());
    bench.claim.read_failed(ms(0));
    bench.at(60_000).sees(record(Some(OTHER), 3, 1), 5);
    let stats = bench.claim.stats();
    assert_eq!((stats.reads, stats.reads_failed), (1, 1));
}

#[test]
fn who_is_about_to_take_over_wakes_to_write() {
    let mut bench = Bench::new();
    // Nobody's: it may be taken at once.
    bench.sees(None, 0);
    let at = bench.claim.poll_timeout();
    assert!(at.is_some_and(|at| at <= bench.now), "{at:?}");
    let take = bench.write();
    assert!(take.is_some());
    // Taken by somebody faster: looked at again, and not before it is time.
    let next = bench.claim.poll_timeout();
    assert_eq!(next, None, "its write is on its way");
}

#[test]
fn an_owner_with_something_to_write_does_not_wait_for_its_renewal() {
    let mut bench = Bench::owner();
    assert_eq!(bench.claim.poll_timeout(), Some(ms(2_000)), "a renewal");
    assert!(
        bench
            .claim
            .commit(bench.now, procession_core::Epoch(1), 1, false)
            .is_ok()
    );
    let at = bench.claim.poll_timeout();
    assert!(at.is_some_and(|at| at <= bench.now), "a commit: {at:?}");
    let mut bench = Bench::owner();
    bench.claim.release(bench.now, ms(60_000));
    let at = bench.claim.poll_timeout();
    assert!(at.is_some_and(|at| at <= bench.now), "a release: {at:?}");
}

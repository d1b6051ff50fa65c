//! The rules of ownership, one by one, named after the promise or the fault (LM: the log-mode faults
//! of JetStream) that they answer.
#![allow(missing_docs)]

mod claim_support;

use claim_support::*;
use procession_core::*;

#[test]
fn an_absent_record_is_created_with_epoch_1() {
    let mut bench = Bench::new();
    bench.sees(None, 0);
    let take = bench.write().unwrap();
    assert_eq!(Some(take.record), record(Some(ME), 1, 1));
    assert_eq!(
        (take.kind, take.expect, take.commit),
        (WriteKind::Take, Revision(0), None)
    );
    assert_eq!(bench.write(), None, "one write at a time");
    assert!(!bench.reads());
    bench
        .at(700)
        .written(&take, WriteResult::Stored(Revision(4)));
    assert_eq!(bench.state(), owner(1, 9_000), "from when it was sent");
    assert!(bench.claim.owns(ms(8_999)) && !bench.claim.owns(ms(9_000)));
}

#[test]
fn a_released_record_is_taken_at_once_with_the_next_epoch() {
    let mut bench = Bench::new();
    bench.sees(record(None, 6, 40), 9);
    let take = bench.write().unwrap();
    assert_eq!(Some(take.record), record(Some(ME), 7, 1));
    assert_eq!(take.expect, Revision(9));
}

#[test]
fn s1_a_foreign_record_is_taken_after_a_whole_lease_without_a_change() {
    let mut bench = Bench::new();
    bench.sees(record(Some(OTHER), 3, 1), 5);
    assert_eq!(bench.state(), standby(Some(OTHER)));
    let (mut revision, mut changed) = (5, ms(0));
    // It is renewed for a while, then not any more.
    while bench.now < ms(20_000) {
        bench.now = bench.claim.poll_timeout().unwrap();
        if bench.now < ms(6_000) {
            (revision, changed) = (revision + 1, bench.now);
        }
        bench.sees(record(Some(OTHER), 3, revision), revision);
        if let Some(take) = bench.write() {
            assert_eq!(
                bench.now,
                changed + CONFIG.lease,
                "a whole lease after the last change"
            );
            assert_eq!(take.record.epoch, Epoch(4));
            return;
        }
    }
    panic!("nobody took over");
}

#[test]
fn s1_a_watcher_that_was_paused_looks_again_first() {
    let mut bench = Bench::new();
    bench.sees(record(Some(OTHER), 3, 1), 5);
    bench.at(100_000).sees(record(Some(OTHER), 3, 70), 75);
    assert_eq!(bench.write(), None, "the owner was there all the time");
    assert_eq!(bench.state(), standby(Some(OTHER)));
}

#[test]
fn lm6_the_loser_of_a_race_stands_by() {
    let mut bench = Bench::new();
    bench.sees(record(None, 6, 40), 9);
    let take = bench.write().unwrap();
    bench.written(&take, WriteResult::Refused);
    bench.sees(record(Some(OTHER), 7, 1), 10);
    assert_eq!(bench.state(), standby(Some(OTHER)));
    assert_eq!(bench.write(), None);
}

#[test]
fn l4_the_lease_is_renewed_at_a_fifth_of_it_even_without_progress() {
    let mut bench = Bench::owner();
    assert_eq!(bench.claim.poll_timeout(), Some(ms(2_000)));
    assert_eq!(bench.at(1_999).write(), None);
    let renewal = bench.at(2_000).write().unwrap();
    assert_eq!(Some(renewal.record), record(Some(ME), 1, 2));
    assert_eq!(
        (renewal.kind, renewal.expect),
        (WriteKind::Renew, Revision(1))
    );
    bench
        .at(2_400)
        .written(&renewal, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.state(), owner(1, 11_000));
    assert_eq!(bench.claim.poll_timeout(), Some(ms(4_000)));
}

#[test]
fn a_commit_renews_and_is_answered_with_its_own_number() {
    let mut bench = Bench::owner();
    bench
        .at(500)
        .claim
        .commit(ms(500), Epoch(1), 33, false)
        .unwrap();
    let write = bench.write().unwrap();
    assert_eq!((write.kind, write.commit), (WriteKind::Commit, Some(33)));
    assert_eq!(bench.result(), None);
    bench.written(&write, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.claim.commit(ms(500), Epoch(1), 34, false), Err(Busy));
    assert_eq!(bench.result(), Some((1, 33, CommitResult::Stored)));
    assert_eq!(bench.state(), owner(1, 9_500));
}

#[test]
fn a_core_that_counts_its_epoch_up_is_followed() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(3), 1, false).unwrap();
    assert_eq!(bench.state(), owner(3, 9_000));
    let write = bench.write().unwrap();
    assert_eq!(write.record.epoch, Epoch(3));
    bench.written(&write, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.result(), Some((3, 1, CommitResult::Stored)));
    bench.claim.commit(ms(0), Epoch(2), 9, false).unwrap();
    assert_eq!(
        bench.result(),
        Some((2, 9, CommitResult::Lost)),
        "an older epoch is void"
    );
}

#[test]
fn lm4_an_unknown_write_that_did_not_land_is_voided_by_writing_again() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 1, false).unwrap();
    let first = bench.write().unwrap();
    bench.at(1_000).written(&first, WriteResult::Unknown);
    assert_eq!(bench.write(), None, "read first");
    bench.sees(record(Some(ME), 1, 1), 1);
    let second = bench.write().unwrap();
    assert_eq!((second.record.write, second.expect), (3, Revision(1)));
    assert_eq!(second.commit, Some(1), "the commit goes with it");
    bench.written(&second, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.result(), Some((1, 1, CommitResult::Stored)));
}

#[test]
fn lm4_an_unknown_write_that_landed_is_stored() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 1, false).unwrap();
    let write = bench.at(1_000).write().unwrap();
    bench.at(2_000).written(&write, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 2), 2);
    assert_eq!(bench.result(), Some((1, 1, CommitResult::Stored)));
    assert_eq!(bench.state(), owner(1, 10_000), "from when it was sent");
}

#[test]
fn lm4_a_refused_write_with_another_owner_is_lost() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 1, false).unwrap();
    let write = bench.write().unwrap();
    bench.written(&write, WriteResult::Refused);
    assert_eq!(bench.result(), None, "refused does not mean fenced yet");
    bench.sees(record(Some(OTHER), 2, 1), 2);
    assert_eq!(bench.result(), Some((1, 1, CommitResult::Lost)));
    assert_eq!(bench.state(), standby(Some(OTHER)));
    assert_eq!(bench.write(), None);
}

#[test]
fn lm4_other_failures_of_a_commit_are_told_and_the_lease_goes_on() {
    for (answer, result) in [
        (WriteResult::Denied, CommitResult::Denied),
        (WriteResult::TooLarge, CommitResult::TooLarge),
    ] {
        let mut bench = Bench::owner();
        bench.claim.commit(ms(0), Epoch(1), 1, false).unwrap();
        let write = bench.write().unwrap();
        bench.written(&write, answer);
        assert_eq!(bench.result(), Some((1, 1, result)));
        let renewal = bench.at(2_000).write().unwrap();
        assert_eq!((renewal.kind, renewal.commit), (WriteKind::Renew, None));
    }
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 1, false).unwrap();
    let write = bench.write().unwrap();
    bench.written(&write, WriteResult::Retry);
    assert_eq!(
        bench.result(),
        None,
        "a passing failure is repeated by the claim"
    );
    for _ in 0..2 {
        let again = bench.write().unwrap();
        assert_eq!(again.commit, Some(1));
        bench.written(&again, WriteResult::Retry);
    }
    assert_eq!(bench.write(), None, "with a backoff from the third on");
    assert_eq!(bench.at(1_000).write().unwrap().commit, Some(1));
}

#[test]
fn lm11_a_late_own_write_is_no_fence() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 1, false).unwrap();
    let first = bench.write().unwrap();
    bench.at(1_000).written(&first, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 1), 1);
    let second = bench.write().unwrap();
    // Here the first one lands.
    bench.written(&second, WriteResult::Refused);
    bench.sees(record(Some(ME), 1, 2), 2);
    assert_eq!(
        bench.result(),
        Some((1, 1, CommitResult::Stored)),
        "it carried the commit"
    );
    assert_eq!(bench.state(), owner(1, 9_000));
    let renewal = bench.at(2_000).write().unwrap();
    assert_eq!((renewal.expect, renewal.record.write), (Revision(2), 4));
    assert_eq!(bench.claim.stats().lost, 0);
}

#[test]
fn lm11_a_late_renewal_does_not_store_the_commit_that_came_after_it() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.claim.commit(ms(2_000), Epoch(1), 1, false).unwrap();
    bench.written(&renewal, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 2), 2);
    assert_eq!(bench.result(), None);
    let commit = bench.write().unwrap();
    assert_eq!((commit.commit, commit.expect), (Some(1), Revision(2)));
}

#[test]
fn lm11_a_failed_write_does_not_hide_the_one_in_doubt() {
    let mut bench = Bench::owner();
    let first = bench.at(2_000).write().unwrap();
    bench.written(&first, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 1), 1);
    let second = bench.write().unwrap();
    bench.written(&second, WriteResult::Retry);
    let third = bench.at(3_000).write().unwrap();
    // Here the first one lands.
    bench.written(&third, WriteResult::Refused);
    bench.at(4_000).sees(record(Some(ME), 1, 2), 2);
    assert_eq!(
        bench.state(),
        owner(1, 11_000),
        "ours, from when the first was sent"
    );
}

#[test]
fn lm11_a_take_over_that_lands_late_is_found() {
    let mut bench = Bench::new();
    bench.sees(record(None, 6, 40), 9);
    let take = bench.write().unwrap();
    bench.at(1_000).written(&take, WriteResult::Unknown);
    bench.sees(record(Some(ME), 7, 1), 10);
    assert_eq!(bench.state(), owner(7, 9_000));
}

#[test]
fn lm5_an_owner_that_slept_past_its_lease_does_not_own() {
    let mut bench = Bench::owner();
    assert!(
        !bench.claim.owns(ms(60_000)),
        "even before it was told the time"
    );
    bench.at(60_000);
    assert_eq!(bench.state(), ClaimState::Lapsed { epoch: Epoch(1) });
    assert_eq!(bench.write(), None, "read first");
    bench.sees(record(Some(OTHER), 2, 8), 9);
    assert_eq!(bench.state(), standby(Some(OTHER)));
    assert_eq!(bench.claim.commit(bench.now, Epoch(1), 1, false), Ok(()));
    assert_eq!(bench.result(), Some((1, 1, CommitResult::Lost)));
}

#[test]
fn lm5_a_late_answer_does_not_bring_a_lease_back() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench
        .at(60_000)
        .written(&renewal, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.state(), ClaimState::Lapsed { epoch: Epoch(1) });
    assert!(!bench.claim.owns(bench.now));
}

#[test]
fn a_lapsed_owner_goes_on_when_the_record_is_still_its_own() {
    let mut bench = Bench::owner();
    bench.at(9_000).sees(record(Some(ME), 1, 1), 1);
    assert_eq!(bench.state(), ClaimState::Lapsed { epoch: Epoch(1) });
    let renewal = bench.write().unwrap();
    bench.written(&renewal, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.state(), owner(1, 18_000));
}

#[test]
fn lm12_after_a_reconnect_the_record_is_read_before_the_first_write() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.claim.connection_lost(ms(2_000));
    bench.written(&renewal, WriteResult::Stored(Revision(2)));
    assert!(!bench.reads(), "nothing without a connection");
    bench.claim.connection_restored(ms(3_000));
    assert_eq!(bench.write(), None);
    bench.sees(record(Some(ME), 1, 1), 1);
    assert_eq!(bench.at(3_000).write().unwrap().record.write, 3);
}

#[test]
fn lm12_a_record_that_went_back_is_lost_even_under_our_own_name() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.written(&renewal, WriteResult::Stored(Revision(2)));
    bench.claim.connection_lost(ms(2_000));
    bench.claim.connection_restored(ms(2_000));
    bench.sees(record(Some(ME), 1, 1), 1);
    assert_eq!(bench.state(), standby(Some(ME)));
    assert_eq!(bench.write(), None);
    // A whole lease later it is taken, with an epoch above all that was seen.
    bench.at(11_999).sees(record(Some(ME), 1, 1), 1);
    assert_eq!(bench.write(), None);
    bench.at(12_000).sees(record(Some(ME), 1, 1), 1);
    assert_eq!(bench.write().unwrap().record.epoch, Epoch(2));
}

#[test]
fn lm12_the_same_record_under_another_revision_is_lost() {
    let mut bench = Bench::owner();
    bench.claim.connection_lost(ms(0));
    bench.claim.connection_restored(ms(0));
    bench.sees(record(Some(ME), 1, 1), 7);
    assert_eq!(bench.state(), standby(Some(ME)));
}

#[test]
fn lm12_a_free_record_that_went_back_is_not_taken_at_once() {
    for (found, revision) in [(None, 0), (record(None, 2, 3), 4)] {
        let mut bench = Bench::new();
        bench.sees(record(Some(OTHER), 3, 1), 5);
        bench.at(3_000).sees(found, revision);
        assert_eq!(bench.write(), None, "somebody may own a later state of it");
        bench.at(12_999).sees(found, revision);
        assert_eq!(bench.write(), None);
        bench.at(13_000).sees(found, revision);
        assert_eq!(bench.write().unwrap().record.epoch, Epoch(4));
    }
}

#[test]
fn lm7_a_record_that_vanished_is_lost() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.written(&renewal, WriteResult::Refused);
    bench.sees(None, 0);
    assert_eq!(bench.state(), standby(None));
    assert_eq!(bench.write(), None);
    bench.at(12_000).sees(None, 0);
    let take = bench.write().unwrap();
    assert_eq!((take.record.epoch, take.expect), (Epoch(2), Revision(0)));
}

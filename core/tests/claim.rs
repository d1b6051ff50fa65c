//! The rules of ownership, one by one, named after the promise or the fault (LM: the log-mode faults
//! of JetStream) that they answer.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use procession_core::{
    Busy, Claim, ClaimConfig, ClaimRecord, ClaimState, ClaimWrite, Claims, CommitResult, Epoch,
    MemberId, PartitionId, Revision, Span, Time, WriteKind, WriteResult,
};

const ME: MemberId = MemberId(1);
const OTHER: MemberId = MemberId(2);

/// Lease 10 s, margin 1 s: renewal after 2 s, the end 9 s after the write was sent.
const CONFIG: ClaimConfig = ClaimConfig {
    member: ME,
    lease: Span::from_secs(10),
    margin: Span::from_secs(1),
    leave_within: Span::from_secs(5),
    seed: 7,
};

const fn ms(millis: u64) -> Time {
    Time::from_nanos(millis * 1_000_000)
}

const fn record(owner: Option<MemberId>, epoch: u64, write: u64) -> Option<ClaimRecord> {
    Some(ClaimRecord {
        owner,
        epoch: Epoch(epoch),
        write,
    })
}

/// A claim with a clock, checked after every step.
struct Bench {
    claim: Claim,
    now: Time,
}

impl Bench {
    fn new() -> Self {
        Self {
            claim: Claim::new(&CONFIG, 0).unwrap(),
            now: ms(0),
        }
    }

    /// A claim that owns the partition: epoch 1, write 1, revision 1, sent at 0.
    fn owner() -> Self {
        let mut bench = Self::new();
        bench.sees(None, 0);
        let take = bench.write().unwrap();
        bench.written(&take, WriteResult::Stored(Revision(1)));
        assert_eq!(bench.state(), owner(1, 9_000));
        bench
    }

    fn at(&mut self, millis: u64) -> &mut Self {
        self.now = ms(millis);
        self.claim.handle_timeout(self.now);
        self.check();
        self
    }

    fn check(&self) {
        assert_eq!(self.claim.check_invariants(), Ok(()));
    }

    fn reads(&mut self) -> bool {
        let reads = self.claim.poll_read(self.now);
        self.check();
        reads
    }

    /// The claim must read, and reads this.
    fn sees(&mut self, record: Option<ClaimRecord>, revision: u64) {
        assert!(self.reads(), "a read is due");
        assert!(!self.reads(), "one read at a time");
        assert_eq!(self.write(), None, "nothing is written beside a read");
        self.claim.observed(self.now, record, Revision(revision));
        self.check();
    }

    fn write(&mut self) -> Option<ClaimWrite> {
        let write = self.claim.poll_write(self.now);
        self.check();
        write
    }

    fn written(&mut self, write: &ClaimWrite, result: WriteResult) {
        self.claim.written(self.now, write.record.write, result);
        self.check();
    }

    fn state(&mut self) -> ClaimState {
        while self.claim.poll_state().is_some() {}
        self.claim.state()
    }

    fn result(&mut self) -> Option<(u64, u64, CommitResult)> {
        self.claim
            .poll_commit_result()
            .map(|(epoch, number, result)| (epoch.0, number, result))
    }
}

const fn owner(epoch: u64, until: u64) -> ClaimState {
    ClaimState::Owner {
        epoch: Epoch(epoch),
        until: ms(until),
    }
}

const fn standby(owner: Option<MemberId>) -> ClaimState {
    ClaimState::Standby { owner }
}

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

#[test]
fn lm13_reads_without_an_answer_are_repeated_with_a_backoff_and_the_lease_ends() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.at(3_000).written(&renewal, WriteResult::Unknown);
    let mut reads = 0;
    while bench.now < ms(9_000) {
        if bench.reads() {
            reads += 1;
            bench.claim.read_failed(bench.now);
        }
        bench.now = bench.claim.poll_timeout().unwrap().max(bench.now);
    }
    assert!((5..40).contains(&reads), "{reads} reads");
    bench.at(9_000);
    assert_eq!(bench.state(), ClaimState::Lapsed { epoch: Epoch(1) });
}

#[test]
fn s5_a_release_is_one_answered_write_with_the_last_commit() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 5, true).unwrap();
    let release = bench.write().unwrap();
    assert_eq!(Some(release.record), record(None, 1, 2));
    assert_eq!(
        (release.kind, release.commit),
        (WriteKind::Release, Some(5))
    );
    bench.at(500).written(&release, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 1), 1);
    let again = bench.write().unwrap();
    bench.written(&again, WriteResult::Refused);
    bench.sees(record(None, 1, 2), 2);
    assert_eq!(
        bench.result(),
        Some((1, 5, CommitResult::Stored)),
        "the first one landed"
    );
    assert_eq!(bench.state(), ClaimState::Released { confirmed: true });
    assert!(!bench.at(60_000).reads());
    assert_eq!(bench.write(), None);
    bench.claim.watch(ms(60_000));
    bench.sees(record(None, 1, 2), 2);
    assert_eq!(bench.write().unwrap().record.epoch, Epoch(2));
}

#[test]
fn s5_a_release_ends_at_its_deadline_without_an_answer() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 5, false).unwrap();
    bench.claim.release(ms(0), ms(1_000));
    let release = bench.write().unwrap();
    bench.at(1_000);
    assert_eq!(bench.state(), ClaimState::Released { confirmed: false });
    assert_eq!(bench.result(), Some((1, 5, CommitResult::Unknown)));
    bench.written(&release, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.state(), ClaimState::Released { confirmed: true });
}

#[test]
fn s5_a_take_over_in_doubt_is_released_when_it_landed() {
    let mut bench = Bench::new();
    bench.sees(None, 0);
    let take = bench.write().unwrap();
    bench.claim.release(ms(0), ms(5_000));
    bench.written(&take, WriteResult::Unknown);
    bench.sees(record(Some(ME), 1, 1), 1);
    let release = bench.write().unwrap();
    assert_eq!(release.kind, WriteKind::Release);
    bench.written(&release, WriteResult::Stored(Revision(2)));
    assert_eq!(bench.state(), ClaimState::Released { confirmed: true });
}

#[test]
fn s1_an_owner_that_releases_does_not_own_any_more() {
    let mut bench = Bench::owner();
    bench.claim.commit(ms(0), Epoch(1), 1, true).unwrap();
    let _release_that_lands_unseen = bench.write().unwrap();
    bench.claim.connection_lost(ms(0));
    assert!(!bench.claim.owns(ms(0)), "somebody may take over at once");
}

#[test]
fn an_owner_that_was_asked_to_leave_renews_until_its_last_commit() {
    let mut bench = Bench::owner();
    bench.claim.leave(ms(0), ms(5_000));
    let leaving = ClaimState::Leaving {
        epoch: Epoch(1),
        until: ms(9_000),
        deadline: ms(5_000),
    };
    assert_eq!(bench.state(), leaving);
    assert_eq!(bench.at(2_000).write().unwrap().kind, WriteKind::Renew);
    let mut bench = Bench::owner();
    bench.claim.leave(ms(0), ms(1_000));
    assert_eq!(
        bench.at(1_000).write().unwrap().kind,
        WriteKind::Release,
        "at the deadline"
    );
}

#[test]
fn the_end_of_an_ownership_is_never_passed_over() {
    let mut bench = Bench::owner();
    let renewal = bench.at(2_000).write().unwrap();
    bench.written(&renewal, WriteResult::Refused);
    bench.sees(record(None, 2, 9), 5);
    let take = bench.write().unwrap();
    bench.written(&take, WriteResult::Stored(Revision(6)));
    let states: Vec<ClaimState> = core::iter::from_fn(|| bench.claim.poll_state()).collect();
    assert_eq!(states, [standby(None), owner(3, 11_000)]);
}

#[test]
fn one_member_works_and_the_others_stand_by() {
    let (p0, p1) = (PartitionId(0), PartitionId(1));
    let mut claims = Claims::new(&CONFIG, 2).unwrap();
    let free = record(None, 4, 1);
    assert_eq!(claims.poll_read(ms(0)), Some(p0));
    assert_eq!(claims.poll_read(ms(0)), Some(p1));
    claims.observed(ms(0), p1, free, Revision(2));
    assert_eq!(claims.poll_write(ms(0)), None, "partition 0 comes first");
    claims.observed(ms(0), p0, free, Revision(1));
    let (partition, take) = claims.poll_write(ms(0)).unwrap();
    assert_eq!((partition, claims.poll_write(ms(0))), (p0, None));
    claims.written(
        ms(0),
        p0,
        take.record.write,
        WriteResult::Stored(Revision(3)),
    );
    assert_eq!(claims.poll_read(ms(0)), Some(p1), "now the others");
    claims.observed(ms(0), p1, free, Revision(2));
    let (partition, take) = claims.poll_write(ms(0)).unwrap();
    assert_eq!(partition, p1);
    claims.written(
        ms(0),
        p1,
        take.record.write,
        WriteResult::Stored(Revision(4)),
    );
    assert!(claims.owns(ms(0), p0) && claims.owns(ms(0), p1));

    // Partition 0 is lost: the other one is given up in an orderly way.
    let (_, renewal) = claims.poll_write(ms(2_000)).unwrap();
    claims.written(ms(2_000), p0, renewal.record.write, WriteResult::Refused);
    assert_eq!(claims.poll_read(ms(2_000)), Some(p0));
    claims.observed(ms(2_000), p0, record(Some(OTHER), 6, 1), Revision(9));
    let epoch = Epoch(5);
    let leaving = ClaimState::Leaving {
        epoch,
        until: ms(9_000),
        deadline: ms(7_000),
    };
    assert_eq!(claims.state(p1), Some(leaving));
    claims.commit(ms(2_000), p1, epoch, 1, true).unwrap();
    let (_, release) = claims.poll_write(ms(2_000)).unwrap();
    assert_eq!(release.kind, WriteKind::Release);
    claims.written(
        ms(2_000),
        p1,
        release.record.write,
        WriteResult::Stored(Revision(10)),
    );
    assert_eq!(
        claims.state(p1),
        Some(ClaimState::Released { confirmed: true })
    );
    while claims.poll_state().is_some() {}
    claims.handle_timeout(ms(2_000));
    assert_eq!(claims.state(p1), Some(standby(None)), "it stands by again");
    assert_eq!(claims.poll_read(ms(2_000)), Some(p1));
    claims.observed(ms(2_000), p1, record(None, 5, 3), Revision(10));
    assert_eq!(
        claims.poll_write(ms(2_000)),
        None,
        "and takes nothing without partition 0"
    );
    assert_eq!(claims.check_invariants(), Ok(()));
}

#[test]
fn a_bus_that_closes_releases_everything() {
    let mut claims = Claims::new(&CONFIG, 3).unwrap();
    for partition in 0..3 {
        assert_eq!(claims.poll_read(ms(0)), Some(PartitionId(partition)));
        claims.observed(ms(0), PartitionId(partition), None, Revision(0));
    }
    let (p0, take) = claims.poll_write(ms(0)).unwrap();
    claims.written(
        ms(0),
        p0,
        take.record.write,
        WriteResult::Stored(Revision(1)),
    );
    claims.release_all(ms(0), ms(1_000));
    assert!(!claims.is_released());
    let (_, release) = claims.poll_write(ms(0)).unwrap();
    claims.written(
        ms(0),
        p0,
        release.record.write,
        WriteResult::Stored(Revision(2)),
    );
    assert!(claims.is_released());
    assert_eq!(claims.poll_timeout(), None);
}

#[test]
fn every_field_of_the_configuration_is_checked() {
    let field = |config| Claims::new(&config, 1).unwrap_err().field;
    assert_eq!(
        field(ClaimConfig {
            lease: Span::ZERO,
            ..CONFIG
        }),
        "lease"
    );
    assert_eq!(
        field(ClaimConfig {
            margin: Span::from_secs(5),
            ..CONFIG
        }),
        "margin"
    );
    assert_eq!(Claims::new(&CONFIG, 0).unwrap_err().field, "partitions");
}

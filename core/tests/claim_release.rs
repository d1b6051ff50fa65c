//! Giving ownership up, being asked to, and doing it for several partitions at once.
#![allow(missing_docs)]

mod claim_support;

use claim_support::*;
use procession_core::*;

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

//! Maps that say what was finished, and not only where: a log that was rewritten beyond its anchor.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use procession_core::{
    Admit, Arrival, Config, Consumer, Continuity, Epoch, Incarnation, NoticeKind, Outcome,
    PartitionId, Position, Resume, Session, Stamp, Time,
};

const HERE: PartitionId = PartitionId(0);
const LOG: Incarnation = Incarnation(7);

fn config(map_digests: bool) -> Config {
    Config {
        map_digests,
        ..Config::default()
    }
}

fn open(core: &mut Consumer<u64>, epoch: u64, map: &[u8], recorded: bool) -> Session {
    let resume = Resume {
        frontier: recorded.then_some(Position(1)),
        map,
        recorded: recorded.then_some(LOG),
        incarnation: LOG,
        log_start: Position(1),
        log_end: Position(300),
        ..Resume::default()
    };
    core.open(Time::ZERO, HERE, Epoch(epoch), &resume, None);
    let session = core.poll_session(Time::ZERO).unwrap().session;
    core.session(
        Time::ZERO,
        HERE,
        Epoch(epoch),
        session,
        Continuity::Continues,
    );
    session
}

fn arrival(epoch: u64, session: Session, position: u64, identity: u64) -> Arrival<u64> {
    Arrival {
        partition: HERE,
        epoch: Epoch(epoch),
        session,
        delivery: None,
        position: Position(position),
        stamp: Stamp(position),
        lane: position,
        key: Some(position.into()),
        identity: u128::from(identity) << 64 | 9,
        bytes: 1,
        expires: None,
        sequence: None,
        quarantine: None,
        message: identity,
    }
}

fn offer(core: &mut Consumer<u64>, arrival: Arrival<u64>) -> Admit {
    core.offer(Time::ZERO, arrival).map_err(|r| r.why).unwrap()
}

/// The map of an owner that has finished all below 200 but the first.
fn finished(config: &Config) -> Vec<u8> {
    let mut core = Consumer::new(config).unwrap();
    let session = open(&mut core, 1, &[], false);
    for n in 1..200 {
        assert_eq!(offer(&mut core, arrival(1, session, n, n)), Admit::Queued);
    }
    while let Some(dispatch) = core.poll_dispatch(Time::ZERO) {
        if dispatch.position > Position(1) {
            core.settle(Time::ZERO, dispatch.token, Outcome::Done)
                .unwrap();
        }
    }
    let later = Time::from_nanos(1_000_000_000);
    core.handle_timeout(later);
    let mut map = vec![0; config.map_bytes as usize];
    let commit = core.poll_commit(later, &mut map).unwrap();
    assert_eq!(commit.frontier, Position(1));
    map.truncate(commit.map_len);
    map
}

/// What becomes of what comes again behind such a map.
const fn known(position: u64) -> Admit {
    match position {
        1 => Admit::Queued,
        _ => Admit::Replayed,
    }
}

fn notices(core: &mut Consumer<u64>) -> Vec<NoticeKind> {
    std::iter::from_fn(|| core.poll_notice())
        .map(|n| n.kind)
        .collect()
}

#[test]
fn s4_what_a_map_recognises_is_not_handed_out_again() {
    for reads in [true, false] {
        let map = finished(&config(true));
        let mut core = Consumer::new(&config(reads)).unwrap();
        let session = open(&mut core, 2, &map, true);
        for n in 1..200 {
            let expected = known(n);
            assert_eq!(offer(&mut core, arrival(2, session, n, n)), expected, "{n}");
            core.check_invariants().unwrap();
        }
        assert_eq!(
            offer(&mut core, arrival(2, session, 200, 200)),
            Admit::Queued
        );
        assert_eq!(
            (core.epoch(HERE), notices(&mut core)),
            (Some(Epoch(2)), Vec::new())
        );
    }
}

#[test]
fn s9_what_stands_where_another_was_finished_runs_and_the_log_counts_as_rewritten() {
    // Wherever it is, in any block of what was resumed.
    for other in [2, 64, 65, 66, 130, 199] {
        let map = finished(&config(true));
        let mut core = Consumer::new(&config(true)).unwrap();
        let session = open(&mut core, 2, &map, true);
        for n in 1..other {
            let _known = offer(&mut core, arrival(2, session, n, n));
        }
        let new = arrival(2, session, other, 1_000);
        assert_eq!(offer(&mut core, new), Admit::Void);
        assert_eq!(core.epoch(HERE), Some(Epoch(3)));
        assert_eq!(notices(&mut core), [NoticeKind::LogRewritten]);
        core.check_invariants().unwrap();
        let session = core.poll_session(Time::ZERO).unwrap().session;
        core.session(Time::ZERO, HERE, Epoch(3), session, Continuity::Continues);
        for n in 1..250 {
            let identity = if n < other { n } else { 1_000 + n };
            let admit = offer(&mut core, arrival(3, session, n, identity));
            assert_eq!(admit, Admit::Queued, "nothing of the map is believed: {n}");
        }
        core.check_invariants().unwrap();
    }
}

#[test]
fn without_digests_it_is_taken_for_what_was_finished() {
    let map = finished(&config(false));
    let mut core = Consumer::new(&config(true)).unwrap();
    let session = open(&mut core, 2, &map, true);
    for n in 1..200 {
        let expected = known(n);
        assert_eq!(
            offer(&mut core, arrival(2, session, n, 1_000 + n)),
            expected
        );
    }
    assert_eq!(notices(&mut core), Vec::new());
}

/// A map with digests that is in the middle of being resumed goes into a snapshot, masked and not.
#[test]
fn s11_a_snapshot_knows_what_the_map_says() {
    let map = finished(&config(true));
    let mut core = Consumer::new(&config(true)).unwrap();
    let session = open(&mut core, 2, &map, true);
    for n in 1..100 {
        let _known = offer(&mut core, arrival(2, session, n, n));
    }
    let salted = |n: u128| n.wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835) ^ n >> 61;
    let mask = procession_core::Mask::new(&salted);
    for masked in [false, true] {
        let mut bytes = Vec::new();
        let write = |m: &u64, out: &mut Vec<u8>| out.extend(m.to_le_bytes());
        core.snapshot(masked.then_some(&mask), write, &mut bytes);
        let read = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_le_bytes);
        let mut again = Consumer::restore(&config(true), &bytes, read).unwrap();
        for n in 100..200 {
            let mut known = arrival(2, session, n, n);
            if masked {
                known.identity = mask.identity(known.identity);
            }
            assert_eq!(offer(&mut again, known), Admit::Replayed, "{n}");
        }
        again.check_invariants().unwrap();
        // The map itself, masked, says the same.
        let masked_map = mask.map(&map);
        let mut from_map = Consumer::new(&config(true)).unwrap();
        let session = open(&mut from_map, 2, &masked_map, true);
        for n in 2..200 {
            let mut known = arrival(2, session, n, n);
            known.identity = mask.identity(known.identity);
            assert_eq!(offer(&mut from_map, known), Admit::Replayed, "{n}");
        }
    }
}

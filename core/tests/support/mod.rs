//! What scenarios of the consumer share: one open partition, and messages for it.
#![allow(dead_code, unreachable_pub)]

use procession_core::*;

pub const P: PartitionId = PartitionId(0);
pub const E1: Epoch = Epoch(1);

pub fn at(ms: u64) -> Time {
    Time::from_nanos(ms * 1_000_000)
}

pub fn config() -> Config {
    Config {
        partitions: 4,
        ..Config::default()
    }
}

/// A consumer with one open partition that delivers.
pub fn live(config: &Config) -> Consumer<u64> {
    let mut bus = Consumer::new(config).unwrap();
    let _ = open(&mut bus, E1, &Resume::default());
    bus
}

pub fn open(bus: &mut Consumer<u64>, epoch: Epoch, resume: &Resume<'_>) -> Start {
    let resume = Resume {
        log_end: Position(resume.log_end.0.max(1_000)),
        ..*resume
    };
    bus.open(at(0), P, epoch, &resume, None);
    let start = bus.poll_session(at(0)).unwrap();
    bus.session(at(0), P, start.epoch, start.session, Continuity::Continues);
    start
}

pub fn arrival(position: u64, key: u64) -> Arrival<u64> {
    Arrival {
        partition: P,
        epoch: E1,
        session: Session(1),
        delivery: None,
        position: Position(position),
        stamp: Stamp(position * 10),
        lane: key,
        key: Some(key.into()),
        identity: u128::from(position) << 64 | 7,
        bytes: 100,
        expires: None,
        sequence: None,
        quarantine: None,
        message: position,
    }
}

pub fn offer(bus: &mut Consumer<u64>, position: u64, key: u64) -> Admit {
    bus.offer(at(0), arrival(position, key)).unwrap()
}

pub fn commit(bus: &mut Consumer<u64>, now: Time) -> Option<(Commit, Vec<u8>)> {
    bus.handle_timeout(now);
    let mut map = [0; 512];
    let commit = bus.poll_commit(now, &mut map)?;
    bus.check_invariants().unwrap();
    Some((commit, map[..commit.map_len].to_vec()))
}

pub fn drain_ready(bus: &mut Consumer<u64>, now: Time) -> Vec<Dispatch<u64>> {
    core::iter::from_fn(|| bus.poll_dispatch(now)).collect()
}

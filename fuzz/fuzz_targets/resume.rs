//! A consumer opened with any record: every invariant holds, and a sound start comes out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use procession_core::{
    Anchor, Config, Consumer, Epoch, Incarnation, PartitionId, Position, Resume, Stamp, Time,
};

fuzz_target!(|input: (Option<u64>, Option<(u64, u64)>, Option<u64>, u64, u64, &[u8])| {
    let (frontier, anchor, recorded, log_start, log_end, map) = input;
    let config = Config { partitions: 1, window: 64, window_pool: 256, ..Config::default() };
    let mut bus: Consumer<()> = Consumer::new(&config).expect("the configuration is valid");
    let resume = Resume {
        frontier: frontier.map(Position),
        anchor: anchor.map(|(p, s)| Anchor { position: Position(p), stamp: Stamp(s) }),
        map,
        recorded: recorded.map(Incarnation),
        incarnation: Incarnation(7),
        log_start: Position(log_start),
        log_end: Position(log_end),
    };
    bus.open(Time::ZERO, PartitionId(0), Epoch(1), &resume, None);
    bus.check_invariants().expect("the invariants hold");
    let start = bus.poll_session(Time::ZERO).expect("an open partition wants a session");
    assert!(start.expect.is_none_or(|anchor| anchor.position == start.at));
});

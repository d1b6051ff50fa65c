//! The vectors of `docs/wire.md` for what a progress map says of suspects: what is written, and what is read.
#![allow(clippy::unwrap_used)]

use procession_core::{
    Accused, Arrival, CommitResult, Config, Consumer, Continuity, Epoch, Incarnation, PartitionId,
    Position, Resume, Session, Stamp, Time, decode_suspects,
};

const PAGE: &str = include_str!("../../docs/wire.md");
const INCARNATION: Incarnation = Incarnation(0x0102_0304_0506_0708);
const P: PartitionId = PartitionId(0);
const NOW: Time = Time::ZERO;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn row(frontier: u64, map: &[u8]) -> String {
    let (anything, named) = decode_suspects(map, Position(frontier)).unwrap();
    let lot = named.iter().any(|a| a.running);
    let running = match (anything, lot) {
        (true, _) => "anything",
        (_, true) => "lot",
        _ => "nothing",
    };
    let name = |a: &Accused| {
        format!(
            "{},{}{}",
            a.position.0,
            a.deaths,
            if a.running { "!" } else { "" }
        )
    };
    let named: Vec<_> = named.iter().map(name).collect();
    format!(
        "{frontier} | {running} | {} | {}",
        named.join(" "),
        hex(map)
    )
}

/// One life of an owner: what it has written at its first commit, and at the one that it dies behind.
fn live(epoch: u64, frontier: u64, map: &[u8]) -> Vec<u8> {
    let config = Config {
        suspects: 2,
        ..Config::default()
    };
    let mut bus = Consumer::<()>::new(&config).unwrap();
    let epoch = Epoch(epoch);
    let resume = Resume {
        frontier: Some(Position(frontier)),
        incarnation: INCARNATION,
        recorded: Some(INCARNATION),
        map,
        log_end: Position(frontier + 3),
        ..Resume::default()
    };
    bus.open(NOW, P, epoch, &resume, None);
    let session = bus.poll_session(NOW).unwrap().session;
    bus.session(NOW, P, epoch, session, Continuity::Continues);
    for n in frontier..frontier + 3 {
        let arrival = Arrival {
            partition: P,
            epoch,
            session: Session(session.0),
            delivery: None,
            position: Position(n),
            stamp: Stamp(n),
            lane: n,
            key: Some(n.into()),
            identity: n.into(),
            bytes: 1,
            expires: None,
            sequence: None,
            quarantine: None,
            message: (),
        };
        let _queued = bus.offer(NOW, arrival).map_err(|r| r.why).unwrap();
    }
    assert!(bus.poll_dispatch(NOW).is_none(), "nothing is recorded");
    let mut map = vec![0; 3_072];
    let commit = bus.poll_commit(NOW, &mut map).unwrap();
    bus.commit_result(NOW, P, epoch, commit.write, CommitResult::Stored);
    assert!(bus.poll_dispatch(NOW).is_some(), "it may start now");
    map.truncate(commit.map_len);
    map
}

#[test]
fn what_is_said_of_suspects_is_that_of_the_page() {
    let block = PAGE.split("```vectors suspects\n").nth(1).unwrap();
    let lines = block.split("```").next().unwrap().lines().skip(1);
    let page: Vec<&str> = lines.collect();
    // Anything; a lot; one alone; once more; and then it is given up, and the next runs alone.
    let mut map = Vec::new();
    let mut written = Vec::new();
    for epoch in 1..=5 {
        map = live(epoch, 41, &map);
        written.push(row(41, &map));
    }
    assert_eq!(written, page, "the core writes\n{}", written.join("\n"));
}

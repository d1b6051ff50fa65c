//! The vectors of progress maps in `docs/wire.md`: what is written for them, and what is read.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use procession_core::{
    Arrival, Config, Consumer, Continuity, Epoch, Incarnation, Outcome, PartitionId, Position,
    Resume, Session, Stamp, Time, decode_digests, decode_map,
};

const PAGE: &str = include_str!("../../docs/wire.md");
const INCARNATION: Incarnation = Incarnation(0x0102_0304_0506_0708);

struct Row {
    frontier: u64,
    /// Finished beyond it, `[from, to)`.
    ranges: Vec<(u64, u64)>,
    bytes: Vec<u8>,
}

fn rows(name: &str) -> Vec<Row> {
    let block = PAGE.split(&format!("```vectors {name}\n")).nth(1).unwrap();
    let lines = block.split("```").next().unwrap().lines().skip(1);
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    let [frontier, ranges, hex] = cells[..] else {
        panic!("{line}");
    };
    let range = |text: &str| {
        let (from, to) = text.split_once("..").unwrap();
        (from.parse().unwrap(), to.parse().unwrap())
    };
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap();
    Row {
        frontier: frontier.parse().unwrap(),
        ranges: ranges.split_whitespace().map(range).collect(),
        bytes: pairs.map(byte).collect(),
    }
}

/// The map that a consumer writes when just these are finished.
fn written(row: &Row, map_digests: bool) -> Vec<u8> {
    let config = Config {
        map_digests,
        ..Config::default()
    };
    let mut core = Consumer::<()>::new(&config).unwrap();
    let (now, partition, epoch) = (Time::ZERO, PartitionId(0), Epoch(1));
    let end = row.ranges.last().unwrap().1;
    let resume = Resume {
        incarnation: INCARNATION,
        log_start: Position(row.frontier),
        log_end: Position(end),
        ..Resume::default()
    };
    core.open(now, partition, epoch, &resume, None);
    let session = core.poll_session(now).unwrap().session;
    core.session(now, partition, epoch, session, Continuity::Continues);
    for n in row.frontier..end {
        let arrival = Arrival {
            partition,
            epoch,
            session: Session(session.0),
            delivery: None,
            position: Position(n),
            stamp: Stamp(n),
            lane: n,
            key: Some(n.into()),
            identity: identity(n),
            bytes: 1,
            expires: None,
            sequence: None,
            quarantine: None,
            message: (),
        };
        let _queued = core.offer(now, arrival).map_err(|r| r.why).unwrap();
    }
    let mut running = Vec::new();
    while let Some(dispatch) = core.poll_dispatch(now) {
        running.push((dispatch.position.0, dispatch.token));
    }
    for (position, token) in running {
        if row.ranges.iter().any(|r| (r.0..r.1).contains(&position)) {
            core.settle(now, token, Outcome::Done).unwrap();
        }
    }
    let later = Time::from_nanos(1_000_000_000);
    core.handle_timeout(later);
    let mut map = vec![0; 3_072];
    let commit = core.poll_commit(later, &mut map).unwrap();
    assert_eq!(commit.frontier, Position(row.frontier));
    map.truncate(commit.map_len);
    map
}

/// An identity for each position.
fn identity(position: u64) -> u128 {
    u128::from(position) << 64 | u128::from(3 * position)
}

#[test]
fn maps_are_those_of_the_page() {
    are_those_of_the_page("map", false);
    let rows = are_those_of_the_page("map digests", true);
    for row in rows {
        let read = decode_digests(&row.bytes, Position(row.frontier)).unwrap();
        let all = row.ranges.iter().flat_map(|r| r.0..r.1);
        let digest = |n: u64| ((n ^ (3 * n)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48) as u16;
        let all = all.map(|n| (Position(n), digest(n)));
        assert_eq!(read, all.collect::<Vec<_>>());
    }
}

fn are_those_of_the_page(name: &str, digests: bool) -> Vec<Row> {
    let rows = rows(name);
    assert!(rows.len() >= 2);
    let mut others = Vec::new();
    for row in &rows {
        let written = written(row, digests);
        if written != row.bytes {
            others.push(
                written
                    .iter()
                    .map(|b| format!("{b:02x}"))
                    .collect::<String>(),
            );
        }
    }
    assert!(others.is_empty(), "the core writes {others:#?}");
    for row in &rows {
        let read = decode_map(&row.bytes, Position(row.frontier)).unwrap();
        let read: Vec<_> = read.into_iter().map(|r| (r.0.0, r.1.0)).collect();
        assert_eq!(read, row.ranges);
    }
    rows
}

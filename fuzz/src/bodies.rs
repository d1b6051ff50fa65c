//! What the fuzz targets do with their bytes: also called on a stable toolchain, with the committed
//! corpora, by `sim/tests/corpora.rs`.

use procession_core::{
    Anchor, Config, Consumer, Epoch, Incarnation, OnReset, PartitionId, Position, Resume, Stamp,
    Time, decode_digests, decode_map, decode_suspects,
};
use procession_runtime::keeper::Progress;
use procession_sim::{Plan, Profile, Small, parse, print, replay, run_plan};

/// One target: its name, which is that of its corpus, and what it does.
pub(crate) type Body = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const BODIES: [Body; 6] = [
    ("failure_report", failure_report),
    ("progress_map", progress_map),
    ("progress_record", progress_record),
    ("resume", resume),
    ("small_worlds", small_worlds),
    ("world", world),
];

/// Takes numbers off the front; zeros when there is nothing left.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number(&mut self) -> u64 {
        let mut whole = [0; 8];
        let (first, rest) = self.0.split_at(self.0.len().min(8));
        whole[..first.len()].copy_from_slice(first);
        self.0 = rest;
        u64::from_le_bytes(whole)
    }

    fn maybe(&mut self) -> Option<u64> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        (first & 1 == 1).then(|| self.number())
    }
}

/// Any text as a failure report: never a panic; what is read is written back the same, and can be
/// played.
pub(crate) fn failure_report(bytes: &[u8]) {
    let Ok((failure, _)) = str::from_utf8(bytes)
        .map_err(drop)
        .and_then(|t| parse(t).map_err(drop))
    else {
        return;
    };
    let again = print(&failure);
    let (read, right) = parse(&again).expect("what is written is read");
    assert!(right && read == failure, "it comes back the same");
    let small = failure.config.limits.messages <= 10_000 && failure.config.window_pool <= 300_000;
    if small {
        let _whatever = replay(&failure, Some(200), false, &mut |_, _, _| {});
    }
}

/// Any bytes as a progress map: never a panic, and what is read lies beyond the frontier, in order.
pub(crate) fn progress_map(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let frontier = bytes.number();
    let Some(ranges) = decode_map(bytes.0, Position(frontier)) else {
        return;
    };
    let digests = decode_digests(bytes.0, Position(frontier)).expect("it is sound as a whole");
    let covered = ranges.iter().flat_map(|(from, to)| from.0..to.0);
    assert!(
        digests.is_empty() || digests.iter().map(|d| d.0.0).eq(covered),
        "all positions have one, or none has"
    );
    let mut before = Position(frontier);
    for (from, to) in ranges {
        assert!(
            before < from && from < to,
            "ranges are in order and do not touch"
        );
        before = to;
    }
    let (anything, named) =
        decode_suspects(bytes.0, Position(frontier)).expect("it is sound as a whole");
    let in_order = named.is_sorted_by(|a, b| a.position < b.position);
    assert!(
        in_order
            && named
                .iter()
                .all(|a| a.position.0 >= frontier && !(anything && a.running))
    );
}

/// Any bytes as a progress record: never a panic, and what is read is written back the same.
pub(crate) fn progress_record(bytes: &[u8]) {
    if let Ok(record) = Progress::decode(bytes) {
        let again = Progress::decode(&record.encode()).expect("what is written is read");
        assert_eq!(record, again);
    }
}

/// A consumer opened with any record: every invariant holds, and a sound start comes out.
pub(crate) fn resume(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let frontier = bytes.maybe();
    let anchor = bytes.maybe().map(|p| (p, bytes.number()));
    let recorded = bytes.maybe();
    let (log_start, log_end) = (bytes.number(), bytes.number());
    let config = Config {
        partitions: 1,
        window: 64,
        window_pool: 256,
        suspects: 2,
        ..Config::default()
    };
    let mut bus: Consumer<()> = Consumer::new(&config).expect("the configuration is valid");
    let resume = Resume {
        frontier: frontier.map(Position),
        anchor: anchor.map(|(p, s)| Anchor {
            position: Position(p),
            stamp: Stamp(s),
        }),
        map: bytes.0,
        recorded: recorded.map(Incarnation),
        incarnation: Incarnation(7),
        log_start: Position(log_start),
        log_end: Position(log_end),
    };
    bus.open(Time::ZERO, PartitionId(0), Epoch(1), &resume, None);
    bus.check_invariants().expect("the invariants hold");
    let start = bus.poll_session(Time::ZERO);
    let start = start.or_else(|| {
        // A record that is out of range stops it, until the owner has said where it goes on.
        let stopped = bus.reset(Time::ZERO, PartitionId(0), OnReset::Earliest);
        assert!(
            stopped,
            "an open partition that has not stopped wants a session"
        );
        bus.check_invariants().expect("the invariants hold");
        bus.poll_session(Time::ZERO)
    });
    let start = start.expect("an open partition wants a session");
    assert!(
        start
            .expect
            .is_none_or(|anchor| anchor.position == start.at)
    );
}

/// Any seed of the small worlds: every promise holds.
pub(crate) fn small_worlds(bytes: &[u8]) {
    let seed = Bytes(bytes).number();
    for world in Small::ALL {
        assert_eq!(world.run(seed).broken, None, "{} {seed}", world.name());
    }
}

/// Any seed of the world, with chances of any size: no promise is broken.
pub(crate) fn world(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut plan = Plan::new(bytes.number(), Profile::AllOn);
    for (chance, byte) in plan.chances.iter_mut().zip(bytes.0) {
        *chance = u16::from(*byte) << 7;
    }
    let report = run_plan(plan);
    assert!(report.verdict.is_none(), "{:?}", report.verdict);
}

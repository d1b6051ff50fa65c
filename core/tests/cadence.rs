//! When commits of several partitions fall due.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::{E1, arrival, at, drain_ready};

/// Due times are rounded up to an eighth of the cadence, so that partitions whose progress began at about
/// the same time are written by one waking of the driver.
#[test]
fn commits_of_partitions_fall_due_together() {
    let mut bus = Consumer::new(&Config {
        commit: CommitCadence {
            every: Span::from_millis(80),
            ..Config::default().commit
        },
        ..Config::default()
    })
    .unwrap();
    for (partition, finished) in [(0, 1), (1, 4), (2, 9)] {
        let p = PartitionId(partition);
        bus.open(at(0), p, E1, &Resume::default(), None);
        let start = bus.poll_session(at(0)).unwrap();
        bus.session(at(0), p, E1, start.session, Continuity::Continues);
        let arrival = Arrival {
            partition: p,
            session: start.session,
            lane: partition.into(),
            identity: partition.into(),
            ..arrival(1, partition.into())
        };
        assert_eq!(bus.offer(at(0), arrival), Ok(Admit::Queued));
        let dispatch = drain_ready(&mut bus, at(0)).pop().unwrap();
        let done = Outcome::Done;
        bus.settle(at(finished), dispatch.token, done).unwrap();
    }
    let commits = |bus: &mut Consumer<u64>, now| {
        bus.handle_timeout(at(now));
        core::iter::from_fn(|| bus.poll_commit(at(now), &mut [0; 64])).count()
    };
    assert_eq!(commits(&mut bus, 89), 0);
    assert_eq!(commits(&mut bus, 90), 3);
}

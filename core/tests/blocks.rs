//! The window of a partition from block to block, in the usual way of a message.
#![allow(clippy::unwrap_used)]

mod support;

use procession_core::*;
use support::*;

/// One message at a time: it is the only one in the window, also where it is the last of a block.
#[test]
fn s3_the_frontier_moves_over_every_block_when_each_message_is_alone() {
    let mut bus = live(&config());
    for position in 1..=200 {
        assert_eq!(offer(&mut bus, position, position), Admit::Queued);
        let running = drain_ready(&mut bus, at(0));
        bus.settle(at(0), running[0].token, Outcome::Done).unwrap();
        bus.check_invariants().unwrap();
        assert_eq!(bus.frontier(PartitionId(0)), Some(Position(position + 1)));
        assert_eq!(bus.stats().window, 0, "{position}");
    }
}

/// Several blocks at once, finished from the last to the first: nothing is passed before the first is done.
#[test]
fn s3_the_frontier_waits_for_the_first_of_several_blocks() {
    let mut bus = live(&config());
    for position in 1..=200 {
        assert_eq!(offer(&mut bus, position, position), Admit::Queued);
    }
    let running = drain_ready(&mut bus, at(0));
    assert_eq!(running.len(), 200);
    for dispatch in running.iter().rev() {
        assert_eq!(bus.frontier(PartitionId(0)), Some(Position(1)));
        bus.settle(at(0), dispatch.token, Outcome::Done).unwrap();
        bus.check_invariants().unwrap();
    }
    assert_eq!(bus.frontier(PartitionId(0)), Some(Position(201)));
}

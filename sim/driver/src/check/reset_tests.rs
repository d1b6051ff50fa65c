//! Wrong histories of logs whose start moves on.

use super::log_tests::{end, publish_another, run_another, session, undemanded};
use super::tests::{commit, fresh, push, record, run};
use crate::event::{Incident, Outcome, Seen, What};
use crate::history::{Reset, Stored, Story};

/// Message 0 is handled, and retention takes it and message 1, which is not. Message 2 stands behind them, and
/// another life takes over.
fn purged(reset: Reset) -> Story {
    let mut story = fresh();
    story.reset = reset;
    run(&mut story, 1, 1, 1, Outcome::Done);
    commit(&mut story, 1, 1, 2);
    publish_another(&mut story, 3);
    story.log = vec![Stored {
        partition: 0,
        position: 3,
        message: 2,
        publish: 2,
    }];
    let (partition, epoch) = (0, 2);
    let gone = What::Purged {
        partition,
        start: 3,
        gone: vec![record(0), record(1)],
    };
    push(&mut story, 0, gone);
    push(&mut story, 1, What::Crashed);
    let until = u64::MAX;
    let lease = What::Lease {
        partition,
        epoch,
        until,
    };
    push(&mut story, 2, lease);
    let resumes = What::Resumes {
        partition,
        epoch,
        frontier: Some(2),
        anchor: Some(1),
        map_bytes: 0,
        log: (3, 4),
    };
    push(&mut story, 2, resumes);
    push(&mut story, 2, What::Given { partition, epoch });
    let position = match reset {
        Reset::Stop => 2,
        Reset::Earliest => 3,
        Reset::Latest => 4,
    };
    let assigned = What::Assigned {
        partition,
        epoch,
        position,
    };
    push(&mut story, 2, assigned);
    story
}

fn told(reset: Reset) -> Story {
    let mut story = purged(reset);
    let incident = What::Incident {
        partition: 0,
        position: 2,
        incident: Incident::Reset,
        why: String::new(),
    };
    push(&mut story, 2, incident);
    story
}

fn decided(latest: bool) -> Story {
    let mut story = told(Reset::Stop);
    let partition = 0;
    push(&mut story, 2, What::Decided { partition, latest });
    story
}

/// What is left is handled, if it is.
fn goes_on(mut story: Story, handles: bool) -> Result<(u64, u64), &'static str> {
    session(&mut story, 2, 2, (1, false), Seen::CannotTell);
    if handles {
        run_another(&mut story, 2, 2, 3);
        commit(&mut story, 2, 2, 4);
    }
    end(&mut story, 2, 2);
    undemanded(&story)
}

/// Nothing of what is left is handled, and yet it is committed.
fn passes_over(mut story: Story) -> Result<(u64, u64), &'static str> {
    session(&mut story, 2, 2, (4, true), Seen::Continues);
    commit(&mut story, 2, 2, 4);
    end(&mut story, 2, 2);
    undemanded(&story)
}

#[test]
fn what_is_gone_is_not_demanded_and_the_rest_is() {
    assert_eq!(goes_on(told(Reset::Earliest), true), Ok((0, 0)));
    assert_eq!(goes_on(told(Reset::Earliest), false), Err("L1"));
    assert_eq!(goes_on(decided(false), true), Ok((0, 0)));
    assert_eq!(goes_on(decided(false), false), Err("L1"));
}

#[test]
fn s9_what_retention_took_unhandled_is_told_of() {
    assert_eq!(goes_on(purged(Reset::Earliest), true), Err("S9"));
}

#[test]
fn s9_a_partition_that_has_stopped_neither_runs_nor_commits() {
    assert_eq!(goes_on(told(Reset::Stop), true), Err("S9"));
    assert_eq!(passes_over(told(Reset::Stop)), Err("S9"));
}

#[test]
fn only_an_owner_who_wants_it_passes_over_what_is_left() {
    assert_eq!(passes_over(told(Reset::Latest)), Ok((0, 1)));
    assert_eq!(passes_over(decided(true)), Ok((0, 1)));
    assert_eq!(passes_over(told(Reset::Earliest)), Err("S3"));
    assert_eq!(passes_over(decided(false)), Err("S3"));
}

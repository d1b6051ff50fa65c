//! Wrong histories of logs whose positions are used again.

use super::check;
use super::tests::{begin, commit, fresh, push, record, rule, run};
use crate::event::{Incident, Outcome, Seen, Told, What};
use crate::history::{Stored, Story};

/// What stands at position 2 after it was lost: message 2.
const ANOTHER: Stored = Stored {
    partition: 0,
    position: 2,
    message: 2,
    publish: 2,
};

/// Message 2 is published like the others, and stored there.
pub(super) fn publish_another(story: &mut Story, position: u64) {
    story.keys.push(Some(0));
    let (publish, message, deadline) = (2, 2, 1_000_000_000);
    let called = What::Called {
        publish,
        message,
        deadline,
    };
    push(story, 0, called);
    push(story, 0, What::Accepted { publish, message });
    let result = Told::Stored {
        partition: 0,
        position,
    };
    push(story, 0, What::Resolved { publish, result });
}

/// Position 2 is lost and used again by message 2.
fn lose(story: &mut Story) {
    publish_another(story, 2);
    story.log[1] = ANOTHER;
    let lost = What::TailLost {
        partition: 0,
        end: 2,
        lost: vec![record(1)],
    };
    push(story, 0, lost);
}

/// A session begins, and finds this.
pub(super) fn session(
    story: &mut Story,
    life: u32,
    epoch: u64,
    (at, blind): (u64, bool),
    seen: Seen,
) {
    let (partition, session) = (0, 1);
    let looks = What::Looks {
        partition,
        epoch,
        session,
        at,
        blind,
    };
    push(story, life, looks);
    let looked = What::Looked {
        partition,
        epoch,
        session,
        seen,
    };
    push(story, life, looked);
}

fn tell(story: &mut Story, incident: Incident) {
    let what = What::Incident {
        partition: 0,
        position: 2,
        incident,
        why: String::new(),
    };
    push(story, 1, what);
}

/// The core counts its epoch up to 2, and delivers from position 2.
fn begin_anew(story: &mut Story) {
    let (partition, epoch, position) = (0, 2, 2);
    let assigned = What::Assigned {
        partition,
        epoch,
        position,
    };
    push(story, 1, assigned);
}

pub(super) fn run_another(story: &mut Story, life: u32, epoch: u64, position: u64) {
    let run = story.events.len() as u64;
    let begin = What::Begin {
        run,
        partition: 0,
        epoch,
        position,
        message: 2,
        publish: 2,
        call: (0, 1),
    };
    push(story, life, begin);
    let outcome = Outcome::Done;
    push(story, life, What::End { run, outcome });
}

pub(super) fn end(story: &mut Story, life: u32, epoch: u64) {
    let partition = 0;
    push(story, life, What::Released { partition, epoch });
    push(story, life, What::Drained { left: 0 });
    push(story, life, What::Ended { ok: true });
    push(story, 0, What::Ended { ok: true });
}

/// What nobody could know of and what was passed over, or the rule that is broken.
pub(super) fn undemanded(story: &Story) -> Result<(u64, u64), &'static str> {
    let checked = check(story).map_err(|breach| breach.rule);
    checked.map(|left| (left.unknowable, left.passed_over))
}

/// The first messages run as far as asked for, the log loses the second one, and the owner is shown that.
fn shown(runs: u64) -> Story {
    let mut story = fresh();
    for position in 1..=runs {
        run(&mut story, 1, 1, position, Outcome::Done);
    }
    commit(&mut story, 1, 1, runs + 1);
    lose(&mut story);
    session(&mut story, 1, 1, (runs, false), Seen::Rewritten);
    story
}

/// As it should be.
fn right(runs: u64) -> Story {
    let mut story = shown(runs);
    tell(&mut story, Incident::Rewritten);
    begin_anew(&mut story);
    run_another(&mut story, 1, 2, 2);
    commit(&mut story, 1, 2, 3);
    end(&mut story, 1, 2);
    story
}

#[test]
fn a_rewritten_log_passes_and_what_was_lost_is_not_demanded() {
    assert_eq!(undemanded(&right(2)), Ok((0, 0)));
    assert_eq!(undemanded(&right(1)), Ok((0, 0)));
}

#[test]
fn l1_what_stands_at_a_position_that_was_finished_before_runs() {
    let mut never = shown(2);
    tell(&mut never, Incident::Rewritten);
    begin_anew(&mut never);
    end(&mut never, 1, 2);
    assert_eq!(rule(&never), "L1");
    // Not even if nobody saw it.
    let mut unseen = fresh();
    for position in 1..=2 {
        run(&mut unseen, 1, 1, position, Outcome::Done);
    }
    commit(&mut unseen, 1, 1, 3);
    lose(&mut unseen);
    end(&mut unseen, 1, 1);
    assert_eq!(rule(&unseen), "L1");
}

#[test]
fn s3_what_was_finished_before_at_a_position_covers_nothing() {
    let mut story = shown(2);
    tell(&mut story, Incident::Rewritten);
    begin_anew(&mut story);
    commit(&mut story, 1, 2, 3);
    assert_eq!(rule(&story), "S3");
}

#[test]
fn s9_a_rewritten_log_is_told_of() {
    let mut story = shown(2);
    begin_anew(&mut story);
    run_another(&mut story, 1, 2, 2);
    commit(&mut story, 1, 2, 3);
    end(&mut story, 1, 2);
    assert_eq!(rule(&story), "S9");
}

#[test]
fn s9_what_was_lost_does_not_start_once_that_is_known() {
    let mut story = shown(1);
    tell(&mut story, Incident::Rewritten);
    begin_anew(&mut story);
    begin(&mut story, 1, 2, 2);
    assert_eq!(rule(&story), "S9");
}

#[test]
fn s4_a_log_that_lost_nothing_is_not_called_rewritten() {
    let mut story = fresh();
    run(&mut story, 1, 1, 1, Outcome::Done);
    begin_anew(&mut story);
    assert_eq!(rule(&story), "S4");
}

#[test]
fn s9_a_record_beyond_the_end_of_the_log_is_told_of() {
    let taken_over = |tells: bool| {
        let mut story = fresh();
        for position in 1..=2 {
            run(&mut story, 1, 1, position, Outcome::Done);
        }
        commit(&mut story, 1, 1, 3);
        lose(&mut story);
        push(&mut story, 1, What::Crashed);
        let (partition, epoch) = (0, 2);
        let lease = What::Lease {
            partition,
            epoch,
            until: u64::MAX,
        };
        push(&mut story, 2, lease);
        let resumes = What::Resumes {
            partition,
            epoch,
            frontier: Some(3),
            anchor: Some(1),
            map_bytes: 0,
            log: (1, 2),
        };
        push(&mut story, 2, resumes);
        push(&mut story, 2, What::Given { partition, epoch });
        let assigned = What::Assigned {
            partition,
            epoch,
            position: 3,
        };
        push(&mut story, 2, assigned);
        if tells {
            let reset = What::Incident {
                partition,
                position: 3,
                incident: Incident::Reset,
                why: String::new(),
            };
            push(&mut story, 2, reset);
        }
        session(&mut story, 2, 2, (1, false), Seen::Continues);
        run_another(&mut story, 2, 2, 2);
        commit(&mut story, 2, 2, 3);
        end(&mut story, 2, 2);
        undemanded(&story)
    };
    assert_eq!(taken_over(true), Ok((0, 0)));
    assert_eq!(taken_over(false), Err("S9"));
}

#[test]
fn what_nobody_could_know_of_is_not_demanded() {
    // A session that begins behind it: with a message there that must be found, it is, and without, it is not.
    let skipped = |blind: bool| {
        let mut story = fresh();
        for position in 1..=2 {
            run(&mut story, 1, 1, position, Outcome::Done);
        }
        lose(&mut story);
        let at = if blind { 3 } else { 2 };
        session(&mut story, 1, 1, (at, blind), Seen::Continues);
        commit(&mut story, 1, 1, 3);
        end(&mut story, 1, 1);
        undemanded(&story)
    };
    assert_eq!(skipped(true), Ok((1, 0)));
    assert_eq!(skipped(false), Err("S3"));
}

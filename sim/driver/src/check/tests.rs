//! Wrong histories: each rule fails once, and the right one passes.

use super::{Undemanded, check};
use crate::event::{Event, Outcome, Reason, Told, What};
use crate::history::{Stored, Story};

const MILLI: u64 = 1_000_000;

/// One partition with messages 0 and 1 of one key at positions 1 and 2; all is well.
pub(super) fn good() -> Story {
    let mut story = Story {
        keys: vec![Some(0), Some(0)],
        log: (0..2).map(record).collect(),
        slack: 10 * MILLI,
        remembers: true,
        ..Story::default()
    };
    for message in 0..2 {
        let publish = message;
        let result = Told::Stored {
            partition: 0,
            position: u64::from(message) + 1,
        };
        let deadline = 1_000 * MILLI;
        push(
            &mut story,
            0,
            What::Called {
                publish,
                message,
                deadline,
            },
        );
        push(&mut story, 0, What::Accepted { publish, message });
        push(&mut story, 0, What::Resolved { publish, result });
        push(&mut story, 0, What::Heard { publish, result });
    }
    push(&mut story, 1, What::Started { seat: 0 });
    assign(&mut story, 1, 1, 1);
    for position in 1..=2 {
        run(&mut story, 1, 1, position, Outcome::Done);
    }
    commit(&mut story, 1, 1, 3);
    story
}

/// A good one that has come to its end.
pub(super) fn ended() -> Story {
    let mut story = good();
    end(&mut story);
    story
}

pub(super) fn end(story: &mut Story) {
    push(
        story,
        1,
        What::Drain {
            deadline: 500 * MILLI,
        },
    );
    push(
        story,
        1,
        What::Released {
            partition: 0,
            epoch: 1,
        },
    );
    push(story, 1, What::Drained { left: 0 });
    push(story, 1, What::Ended { ok: true });
    push(story, 0, What::Ended { ok: true });
}

pub(super) fn record(message: u32) -> Stored {
    Stored {
        partition: 0,
        position: u64::from(message) + 1,
        message,
        publish: message,
    }
}

pub(super) fn push(story: &mut Story, life: u32, what: What) {
    let at = (story.events.len() as u64 + 1) * MILLI;
    story.events.push(Event { at, life, what });
}

pub(super) fn assign(story: &mut Story, life: u32, epoch: u64, position: u64) {
    let (partition, until) = (0, 400 * MILLI);
    push(
        story,
        life,
        What::Lease {
            partition,
            epoch,
            until,
        },
    );
    let resumes = What::Resumes {
        partition,
        epoch,
        frontier: None,
        anchor: None,
        map_bytes: 0,
        log: (1, u64::MAX),
    };
    push(story, life, resumes);
    push(story, life, What::Given { partition, epoch });
    push(
        story,
        life,
        What::Assigned {
            partition,
            epoch,
            position,
        },
    );
}

pub(super) fn begin(story: &mut Story, life: u32, epoch: u64, position: u64) -> u64 {
    begin_of(story, life, (epoch, position), (0, 1))
}

/// One of a call.
fn begin_of(story: &mut Story, life: u32, (epoch, position): (u64, u64), call: (u32, u32)) -> u64 {
    let run = story.events.len() as u64;
    let message = position as u32 - 1;
    let partition = 0;
    push(
        story,
        life,
        What::Begin {
            run,
            partition,
            epoch,
            position,
            message,
            publish: message,
            call,
        },
    );
    run
}

pub(super) fn run(story: &mut Story, life: u32, epoch: u64, position: u64, outcome: Outcome) {
    let run = begin(story, life, epoch, position);
    push(story, life, What::End { run, outcome });
}

pub(super) fn commit(story: &mut Story, life: u32, epoch: u64, frontier: u64) {
    let (partition, beyond) = (0, Vec::new());
    push(
        story,
        life,
        What::Commit {
            partition,
            epoch,
            frontier,
            beyond,
        },
    );
    push(
        story,
        life,
        What::Recorded {
            partition,
            epoch,
            frontier,
        },
    );
}

/// The rule that a story breaks.
pub(super) fn rule(story: &Story) -> &'static str {
    check(story).map_or_else(|breach| breach.rule, |_| "none")
}

/// The rule that a good story breaks once this is added.
pub(super) fn with(add: impl FnOnce(&mut Story)) -> &'static str {
    let mut story = good();
    add(&mut story);
    rule(&story)
}

/// A story without handlers yet: assigned, nothing run.
pub(super) fn fresh() -> Story {
    let mut story = good();
    let begun = |event: &Event| matches!(event.what, What::Begin { .. });
    let from = story.events.iter().position(begun).unwrap_or(0);
    story.events.truncate(from);
    story
}

pub(super) fn from_fresh(add: impl FnOnce(&mut Story)) -> &'static str {
    let mut story = fresh();
    add(&mut story);
    rule(&story)
}

#[test]
fn a_good_story_passes() {
    assert_eq!(check(&ended()), Ok(Undemanded::default()));
}

#[test]
fn s1_two_handlers_of_a_key() {
    assert_eq!(
        from_fresh(|s| {
            begin(s, 1, 1, 1);
            begin(s, 1, 1, 1);
        }),
        "S1"
    );
    // Across a planned hand-over, too; after a crash it is nobody's fault.
    let hand_over = |crash: bool| {
        from_fresh(|s| {
            begin(s, 1, 1, 1);
            if crash {
                push(s, 1, What::Crashed);
            } else {
                push(
                    s,
                    1,
                    What::Released {
                        partition: 0,
                        epoch: 1,
                    },
                );
            }
            assign(s, 2, 2, 1);
            begin(s, 2, 2, 1);
        })
    };
    assert_eq!(hand_over(false), "S1");
    assert_ne!(hand_over(true), "S1");
}

#[test]
fn s2_out_of_order_or_another_message() {
    assert_eq!(from_fresh(|s| run(s, 1, 1, 2, Outcome::Done)), "S2");
    assert_eq!(
        from_fresh(|s| {
            run(s, 1, 1, 1, Outcome::Failed);
            run(s, 1, 1, 2, Outcome::Done);
        }),
        "S2"
    );
    let mut other = ended();
    other.log[0].message = 1;
    assert_eq!(rule(&other), "S2");
}

#[test]
fn s3_commits_of_what_is_unfinished_and_back() {
    assert_eq!(from_fresh(|s| commit(s, 1, 1, 2)), "S3");
    assert_eq!(with(|s| commit(s, 1, 1, 2)), "S3");
    // Recorded, and not what was asked for.
    let recorded = What::Recorded {
        partition: 0,
        epoch: 1,
        frontier: 2,
    };
    assert_eq!(with(|s| push(s, 1, recorded)), "S3");
    // Confirmed, and not recorded.
    let confirmed = |s: &mut Story| {
        run(s, 1, 1, 1, Outcome::Done);
        let (partition, epoch, frontier, beyond) = (0, 1, 2, Vec::new());
        push(
            s,
            1,
            What::Committed {
                partition,
                epoch,
                frontier,
                beyond,
            },
        );
    };
    assert_eq!(from_fresh(confirmed), "S3");
}

#[test]
fn s4_what_succeeded_runs_again() {
    assert_eq!(with(|s| run(s, 1, 1, 1, Outcome::Done)), "S4");
    let again = |s: &mut Story| {
        push(
            s,
            1,
            What::Released {
                partition: 0,
                epoch: 1,
            },
        );
        assign(s, 2, 2, 1);
    };
    assert_eq!(with(again), "S4");
    let copy = What::Duplicate {
        partition: 0,
        position: 1,
        publish: 0,
    };
    assert_eq!(from_fresh(|s| push(s, 1, copy)), "S4");
}

#[test]
fn s5_starts_and_commits_after_the_end() {
    let released = What::Released {
        partition: 0,
        epoch: 1,
    };
    assert_eq!(
        from_fresh(|s| {
            push(s, 1, released);
            begin(s, 1, 1, 1);
        }),
        "S5"
    );
    for end in [
        What::Drained { left: 1 },
        What::Ended { ok: true },
        What::Crashed,
        What::Paused,
    ] {
        let started = from_fresh(|s| {
            push(s, 1, end.clone());
            begin(s, 1, 1, 1);
        });
        assert_eq!(started, "S5", "{end:?}");
    }
    // After the lease, by the clock alone.
    let late = from_fresh(|s| {
        begin(s, 1, 1, 1);
        if let Some(event) = s.events.last_mut() {
            event.at = 401 * MILLI;
        }
    });
    assert_eq!(late, "S5");
    let lost = |s: &mut Story| {
        push(
            s,
            1,
            What::Lost {
                partition: 0,
                epoch: 1,
            },
        );
        commit(s, 1, 1, 3);
    };
    assert_eq!(with(lost), "S5");
}

#[test]
fn s6_an_old_epoch_commits() {
    let old = |s: &mut Story| {
        let (partition, beyond) = (0, Vec::new());
        push(
            s,
            1,
            What::Commit {
                partition,
                epoch: 1,
                frontier: 3,
                beyond,
            },
        );
        assign(s, 2, 2, 3);
        push(
            s,
            1,
            What::Recorded {
                partition,
                epoch: 1,
                frontier: 3,
            },
        );
    };
    assert_eq!(with(old), "S6");
}

#[test]
fn s8_the_log_is_in_another_order() {
    let mut story = ended();
    // A third one, accepted first and stored last, is in its place; the others are turned around.
    story.log[0].publish = 1;
    story.log[1].publish = 0;
    story.log[0].message = 1;
    story.log[1].message = 0;
    for event in &mut story.events {
        match &mut event.what {
            What::Begin {
                message, publish, ..
            } => (*message, *publish) = (1 - *message, 1 - *publish),
            What::Resolved {
                result: Told::Stored { position, .. },
                ..
            }
            | What::Heard {
                result: Told::Stored { position, .. },
                ..
            } => *position = 3 - *position,
            _ => {}
        }
    }
    assert_eq!(rule(&story), "S8");
}

#[test]
fn s1_messages_of_a_call_run_beside_each_other_and_others_do_not() {
    let call = |of| {
        from_fresh(|s| {
            let first = begin_of(s, 1, (1, 1), (0, of));
            let second = begin_of(s, 1, (1, 2), (of - 1, of));
            for run in [second, first] {
                let outcome = Outcome::Done;
                push(s, 1, What::End { run, outcome });
            }
            commit(s, 1, 1, 3);
            end(s);
        })
    };
    assert_eq!(call(2), "none");
    assert_eq!(call(1), "S1");
}

#[test]
fn s2_what_is_done_behind_a_failure_of_its_call_does_not_count() {
    let wrong = from_fresh(|s| {
        let first = begin_of(s, 1, (1, 1), (0, 2));
        let second = begin_of(s, 1, (1, 2), (1, 2));
        for (run, outcome) in [(first, Outcome::Failed), (second, Outcome::Done)] {
            push(s, 1, What::End { run, outcome });
        }
        run(s, 1, 1, 1, Outcome::Done);
        commit(s, 1, 1, 3);
    });
    assert_eq!(wrong, "S3");
}

#[test]
fn s9_what_has_expired_does_not_start_and_nothing_else_is_passed() {
    let at = |expires| {
        let mut story = fresh();
        story.expires = vec![Some(expires); 2];
        story
    };
    let mut late = at(0);
    begin(&mut late, 1, 1, 1);
    assert_eq!(rule(&late), "S9");
    let mut early = at(u64::MAX);
    let passed = What::Passed {
        partition: 0,
        position: 1,
        publish: 0,
    };
    push(&mut early, 1, passed);
    assert_eq!(rule(&early), "S9");
}

#[test]
fn l3_a_suspect_that_nobody_died_of() {
    let suspected = |dies| {
        from_fresh(|s| {
            s.suspects = 1;
            s.letters.push(record(0));
            if dies {
                push(s, 2, What::Crashed);
            }
            let buried = What::Buried {
                partition: 0,
                position: 1,
                message: 0,
                publish: 0,
                why: Reason::Suspect,
            };
            push(s, 1, buried);
        })
    };
    assert_eq!(suspected(false), "L3");
    assert_ne!(suspected(true), "L3");
}

#[test]
fn l2_only_a_dead_process_owes_a_result() {
    let unheard = |dies: bool| {
        let mut story = ended();
        let (publish, message, deadline) = (7, 0, 1_000 * MILLI);
        let called = What::Called {
            publish,
            message,
            deadline,
        };
        push(&mut story, 9, called);
        push(&mut story, 9, What::Accepted { publish, message });
        if dies {
            push(&mut story, 9, What::Crashed);
        }
        rule(&story)
    };
    assert_eq!(unheard(true), "none");
    assert_eq!(unheard(false), "L2");
}

#[test]
fn s9_a_dead_letter_that_is_nowhere() {
    let buried = What::Buried {
        partition: 0,
        position: 1,
        message: 0,
        publish: 0,
        why: Reason::Other,
    };
    assert_eq!(from_fresh(|s| push(s, 1, buried)), "S9");
}

/// A good end with the results of publish 0 replaced.
fn resolved(results: &[Told]) -> Story {
    let mut story = ended();
    let told = |event: &Event| {
        matches!(
            event.what,
            What::Resolved { publish: 0, .. } | What::Heard { publish: 0, .. }
        )
    };
    story.events.retain(|event| !told(event));
    for result in results {
        let result = *result;
        push(&mut story, 0, What::Resolved { publish: 0, result });
    }
    story
}

#[test]
fn s10_results_that_are_wrong_or_too_many() {
    let there = Told::Stored {
        partition: 0,
        position: 1,
    };
    let elsewhere = Told::Stored {
        partition: 0,
        position: 2,
    };
    assert_eq!(rule(&resolved(&[there])), "none");
    assert_eq!(rule(&resolved(&[Told::Unknown])), "none");
    assert_eq!(rule(&resolved(&[Told::Refused])), "S10");
    assert_eq!(rule(&resolved(&[elsewhere])), "S10");
    assert_eq!(rule(&resolved(&[there, there])), "S10");
    let mut never = ended();
    never
        .events
        .retain(|event| !matches!(event.what, What::Accepted { publish: 0, .. }));
    assert_eq!(rule(&never), "S10");
}

#[test]
fn l1_what_is_left_unfinished_or_uncommitted() {
    let mut unfinished = fresh();
    end(&mut unfinished);
    assert_eq!(rule(&unfinished), "L1");
    let mut story = fresh();
    run(&mut story, 1, 1, 1, Outcome::Done);
    run(&mut story, 1, 1, 2, Outcome::Done);
    end(&mut story);
    assert_eq!(rule(&story), "L1");
}

#[test]
fn l2_a_publish_without_a_result_or_with_a_late_one() {
    assert_eq!(rule(&resolved(&[])), "L2");
    let mut late = resolved(&[Told::Unknown]);
    if let Some(event) = late.events.last_mut() {
        event.at = 1_011 * MILLI;
    }
    assert_eq!(rule(&late), "L2");
}

#[test]
fn l3_a_task_that_spins() {
    let mut story = ended();
    story.spins = Some(1);
    assert_eq!(rule(&story), "L3");
}

#[test]
fn l5_no_end_a_late_one_or_something_left() {
    assert_eq!(rule(&good()), "L5");
    let mut late = good();
    push(&mut late, 1, What::Drain { deadline: MILLI });
    push(&mut late, 1, What::Ended { ok: true });
    assert_eq!(rule(&late), "L5");
    let mut left = ended();
    left.tasks_left = 1;
    assert_eq!(rule(&left), "L5");
}

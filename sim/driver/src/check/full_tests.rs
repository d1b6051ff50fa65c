//! Wrong histories of logs that are full.

use super::log_tests::publish_another;
use super::tests::{commit, fresh, push, rule, run};
use crate::event::{Outcome, What};
use crate::history::{Stored, Story};

/// The logs are full, and message 2 is published; room comes before it is stored, or never does.
fn full(room: bool) -> Story {
    let mut story = fresh();
    push(&mut story, 0, What::Full { full: true });
    publish_another(&mut story, 3);
    if room {
        let result = story.events.pop();
        push(&mut story, 0, What::Full { full: false });
        story.events.extend(result);
    }
    story.log.push(Stored {
        partition: 0,
        position: 3,
        message: 2,
        publish: 2,
    });
    for position in 1..=3 {
        run(&mut story, 1, 1, position, Outcome::Done);
    }
    commit(&mut story, 1, 1, 4);
    super::tests::end(&mut story);
    story
}

#[test]
fn s10_a_full_log_stores_nothing() {
    assert_eq!(rule(&full(true)), "none");
    assert_eq!(rule(&full(false)), "S10");
}

#[test]
fn l1_what_waited_for_room_is_handled() {
    let mut story = full(true);
    let begun = |event: &crate::event::Event| matches!(event.what, What::Begin { position: 3, .. });
    let begins = story.events.iter().position(begun).unwrap_or(0);
    story.events.drain(begins..begins + 2);
    for event in &mut story.events {
        match &mut event.what {
            What::Commit { frontier, .. } | What::Recorded { frontier, .. } => *frontier = 3,
            _ => {}
        }
    }
    assert_eq!(rule(&story), "L1");
}

//! Plays the inputs of a report to cores, and says whether they answer as they did.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::report::Failure;
use crate::tape::{Played, Player, Step};

/// How playing the inputs ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Replayed {
    /// Every answer was as recorded.
    Same,
    /// As recorded, and then the core panicked, as it did when it was recorded.
    SamePanic,
    /// The answers to this step are others. What they are now, in words.
    Differs(usize, String),
    /// After this step the core says that an invariant does not hold.
    Broken(usize, &'static str),
}

/// Plays the first `until` inputs (`None`: all), and shows every step and what came of it.
/// Stops at the first difference.
pub fn replay(
    failure: &Failure,
    until: Option<usize>,
    aloud: bool,
    show: &mut dyn FnMut(usize, &Step, &Played),
) -> Replayed {
    let tape = &failure.tape;
    let mut player = match Player::new(&failure.config) {
        Ok(player) => player,
        Err(error) => return Replayed::Differs(0, error.to_string()),
    };
    let audited = failure.world.as_ref().is_some_and(|w| w.audit);
    let until = until.unwrap_or(tape.steps.len()).min(tape.steps.len());
    for (index, step) in tape.steps[..until].iter().enumerate() {
        let played = catch_unwind(AssertUnwindSafe(|| player.step(step, aloud)));
        let expected = tape.digests.get(index);
        let played = match (played, expected) {
            (Ok(played), _) => played,
            (Err(_), None) => return Replayed::SamePanic,
            (Err(_), Some(_)) => return Replayed::Differs(index, "the core panicked".into()),
        };
        show(index, step, &played);
        match expected {
            None => return Replayed::Differs(index, "the core did not panic".into()),
            Some(&digest) if digest != played.digest => {
                // Once more, aloud: what it says now.
                let story = if aloud {
                    played.story
                } else {
                    again(failure, index)
                };
                return Replayed::Differs(index, story);
            }
            Some(_) => {}
        }
        if let Some(broken) = played.broken.filter(|_| audited) {
            return Replayed::Broken(index, broken);
        }
    }
    Replayed::Same
}

/// The answers to one step, in words.
fn again(failure: &Failure, index: usize) -> String {
    let Ok(mut player) = Player::new(&failure.config) else {
        return String::new();
    };
    let mut last = Played::default();
    for (i, step) in failure.tape.steps[..=index].iter().enumerate() {
        last = player.step(step, i == index);
    }
    last.story
}

//! What a core was told and asked, and what it answered.

mod core;
mod event;
mod news;
mod player;

pub(crate) use core::Core;
pub use event::Event;
pub(crate) use player::MEMBERS_MAX;
pub use player::{Played, Player};
pub(crate) use procession_tape::Answers;
pub use procession_tape::{Call, Open, Poll, Settled, Step};

use std::cell::RefCell;
use std::rc::Rc;

use procession_tape::POLLS_MAX;

/// The steps of a run, and a rolling digest of all answers after each.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tape {
    /// Steps in order.
    pub steps: Vec<Step>,
    /// After each step: 32 bits of the digest of all answers up to it. One less than steps when the
    /// core panicked in the last one.
    pub digests: Vec<u32>,
}

/// A tape that is being written.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    tape: Tape,
    answers: Answers,
}

impl Recording {
    /// A call is about to be made.
    fn call(&mut self, at: u64, member: u32, call: Call) {
        self.tape.steps.push(Step { at, member, call });
    }

    /// A poll is about to be made: it joins the polls before it.
    fn poll(&mut self, at: u64, member: u32, poll: Poll) {
        if let Some(Step {
            at: last,
            member: who,
            call: Call::Polls(polls),
        }) = self.tape.steps.last_mut()
            && (*last, *who) == (at, member)
            && polls.len() < POLLS_MAX
        {
            polls.push(poll);
            self.tape.digests.pop();
        } else {
            self.call(at, member, Call::Polls(vec![poll]));
        }
    }

    /// The call was answered.
    fn answered(&mut self, words: &[u64]) {
        self.answers.take(words);
        self.tape.digests.push(self.answers.short());
    }
}

/// Where cores write what happens to them, if anybody wants it.
pub(crate) type Recorder = Rc<RefCell<Recording>>;

/// What was recorded.
pub(crate) fn recorded(recorder: &Recorder) -> Tape {
    recorder.borrow().tape.clone()
}

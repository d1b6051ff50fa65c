//! What the handle and the driver share.

use core::task::{Context, Poll};
use std::collections::VecDeque;

use procession_core::{ParkedMode, Time};

use super::asked::Asked;
use super::told::{NotTold, Told};
use super::{End, Health, Notice};
use crate::mailbox::{Mailbox, PushError};
use crate::sync::Mutex;
use crate::waiters::Waiters;

/// Notices that are kept for a reader.
const NOTICES_MAX: usize = 256;
/// Words about keys that may wait. The driver takes them at every turn.
const KEYS_MAX: usize = 4_096;
/// Commands of other kinds that may wait besides. A caller that sends more than this in between repeats
/// itself, or is answered that nobody listens.
const CONTROLS_MAX: usize = KEYS_MAX + 64;

/// A command of the owner.
#[derive(Debug)]
pub(super) enum Control {
    Drain(Time),
    Retire(Time),
    Abort,
    ReleaseKey(u128),
    SetParked(u128, ParkedMode),
    /// There is something that was [told](Shared::take_told).
    Told,
    Record(Asked),
}

pub(super) struct Shared {
    pub(super) controls: Mailbox<Control>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    health: Health,
    /// What was said last, until the driver takes it.
    told: Told,
    notices: VecDeque<Notice>,
    missed: u64,
    end: Option<End>,
    /// Those who wait for a notice or for the end.
    waiting: Waiters,
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            controls: Mailbox::new(),
            state: Mutex::new(State::default()),
        }
    }

    /// Sends a command. An end always gets through; after the end there is nobody to send to.
    pub(super) fn control(&self, control: Control) {
        let limit = match control {
            Control::Abort | Control::Drain(_) | Control::Retire(_) => CONTROLS_MAX + KEYS_MAX,
            Control::ReleaseKey(_)
            | Control::SetParked(..)
            | Control::Told
            | Control::Record(_) => CONTROLS_MAX,
        };
        drop(self.controls.push_bounded(control, limit));
    }

    /// Sends a command about a key. After the end there is nobody to send to.
    pub(super) fn control_key(&self, control: Control) -> Result<(), NotTold> {
        match self.controls.push_bounded(control, KEYS_MAX) {
            Err(PushError::Full(_)) => Err(NotTold),
            Ok(()) | Err(PushError::Closed(_)) => Ok(()),
        }
    }

    /// Says something of which the last word counts. A full mailbox loses none, because the driver takes
    /// them with whatever it hears.
    pub(super) fn tell(&self, say: impl FnOnce(&mut Told)) {
        let is_first = {
            let told = &mut self.state.lock().told;
            let is_first = told.is_empty();
            say(told);
            is_first
        };
        if is_first {
            self.control(Control::Told);
        }
    }

    /// What was said since the last call.
    pub(super) fn take_told(&self) -> Told {
        core::mem::take(&mut self.state.lock().told)
    }

    pub(super) fn health(&self) -> Health {
        self.state.lock().health.clone()
    }

    pub(super) fn set_health(&self, health: Health) {
        self.state.lock().health = health;
    }

    /// Keeps a notice for a reader. The newest gives way to a counter when nobody reads.
    pub(super) fn notice(&self, notice: Notice) {
        let waiting = {
            let mut state = self.state.lock();
            if let Some(last) = state.notices.back_mut()
                && merge(last, &notice)
            {
                return;
            }
            if NOTICES_MAX <= state.notices.len() {
                state.missed = state.missed.saturating_add(1);
                return;
            }
            state.notices.push_back(notice);
            state.waiting.take()
        };
        waiting.wake();
    }

    pub(super) fn poll_notice(&self, cx: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut state = self.state.lock();
        if let Some(notice) = state.notices.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if 0 < state.missed {
            let count = core::mem::take(&mut state.missed);
            return Poll::Ready(Some(Notice::Missed { count }));
        }
        if state.end.is_some() {
            return Poll::Ready(None);
        }
        let evicted = state.waiting.add(cx.waker());
        drop(state);
        evicted.wake();
        Poll::Pending
    }

    /// Publishes the result; the first one counts.
    pub(super) fn end(&self, end: End) {
        self.controls.close();
        // Who asked for something is told that nobody answers.
        let mut left = Vec::new();
        self.controls.drain(&mut left);
        drop(left);
        let waiting = {
            let mut state = self.state.lock();
            if state.end.is_none() {
                state.end = Some(end);
                state.health.state = super::State::Ended;
            }
            state.waiting.take()
        };
        waiting.wake();
    }

    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<End> {
        let mut state = self.state.lock();
        if let Some(end) = &state.end {
            return Poll::Ready(end.clone());
        }
        let evicted = state.waiting.add(cx.waker());
        drop(state);
        evicted.wake();
        Poll::Pending
    }
}

/// Merges a notice into the one before when both say the same.
fn merge(last: &mut Notice, new: &Notice) -> bool {
    match (last, new) {
        (Notice::Core(last), Notice::Core(new))
            if last.partition == new.partition && last.kind == new.kind =>
        {
            last.count = last.count.saturating_add(new.count);
            last.position = new.position;
            true
        }
        (last, new) => *last == *new,
    }
}

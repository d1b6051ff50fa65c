//! Messages that are not worth handling any more: each may say until when it is.
//!
//! Judged when a message would be handed out, first attempt or retry: in its turn, so that its key
//! stays in order. What has expired is finished like everything else, and told (S9): the frontier
//! passes it when it was reported, or when its dead letter is confirmed.

use alloc::vec;
use alloc::vec::Vec;

use super::{Consumer, Why};
use crate::marks::mark;
use crate::{Expired, Time, mutants};

/// Until when held messages may start, by slot. Empty while nobody asks.
#[derive(Clone, Debug)]
pub(super) struct Expiry {
    at: Vec<Time>,
}

impl Expiry {
    pub(super) fn new(expired: Expired, slots: usize) -> Self {
        let slots = if expired == Expired::Run { 0 } else { slots };
        Self {
            at: vec![Time::MAX; slots],
        }
    }

    pub(super) fn set(&mut self, slot: u32, expires: Option<Time>) {
        if let Some(at) = self.at.get_mut(slot as usize) {
            *at = expires.unwrap_or(Time::MAX);
        }
    }

    /// Until when the message in this slot may start, if anybody asks.
    pub(super) fn get(&self, slot: u32) -> Option<Time> {
        self.at.get(slot as usize).copied()
    }

    /// Whether the message in this slot may not start any more.
    #[inline(always)]
    pub(super) fn is_over(&self, slot: u32, now: Time) -> bool {
        let Some(&at) = self.at.get(slot as usize) else {
            return false;
        };
        (at <= now || (mutants::is(36) && at != Time::MAX)) && !mutants::is(35)
    }
}

impl<M> Consumer<M> {
    /// A message that was to be handed out has expired.
    #[cold]
    pub(super) fn expire(&mut self, index: u32) {
        mark!(Expired);
        self.stats.expired += 1;
        if self.config.expired == Expired::DeadLetter {
            self.bury(index, Why::Expired);
        } else {
            self.set_aside(index, Why::Expired);
        }
    }
}

//! What the owner has said that the driver has not heard yet.

use core::fmt;
use std::collections::BTreeMap;

use procession_core::{Limits, OnReset};

/// Words of the owner of which the last counts: one for each thing, so that none is lost, however many are
/// said between two turns of the driver.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// How much may be held.
    pub(super) limits: Option<Limits>,
    /// By partition: how much of that it may count on.
    pub(super) weights: BTreeMap<u32, u32>,
    /// By partition: where it goes on.
    pub(super) resets: BTreeMap<u32, OnReset>,
}

impl Told {
    pub(super) fn is_empty(&self) -> bool {
        self.limits.is_none() && self.weights.is_empty() && self.resets.is_empty()
    }
}

/// So many words about keys wait for the driver of the subscription already, 4,096, that this one was not
/// taken: say it again when it has had its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NotTold;

impl fmt::Display for NotTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "4,096 keys were spoken of and the subscription has not had its turn since; say this again \
             a moment later",
        )
    }
}

impl std::error::Error for NotTold {}

//! Why a broker cannot be had.

use std::fmt;

use crate::failure::Failure;

/// A broker that cannot be had: what is missing, and how to get it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CannotBeHad {
    /// What is missing or went wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

impl CannotBeHad {
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for CannotBeHad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.fix)
    }
}

impl std::error::Error for CannotBeHad {}

impl From<CannotBeHad> for Failure {
    fn from(error: CannotBeHad) -> Self {
        Self::unavailable(error.to_string())
    }
}

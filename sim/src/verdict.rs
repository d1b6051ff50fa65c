//! What a checker found.

use std::fmt;

use crate::rule::Rule;

/// A broken promise: which, and where. Compared by `id` when cases are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The rule that is broken.
    pub rule: Rule,
    /// The promise of design.md section 3 (`S1`, `L5`, ...), or `core` for a broken invariant.
    pub id: &'static str,
    /// Which shape of it.
    pub shape: &'static str,
    /// Key, message, time and whatever else tells the story.
    pub detail: String,
}

impl Verdict {
    /// A rule is broken; the story tells where.
    pub fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self {
            rule,
            id: rule.id(),
            shape: rule.shape(),
            detail: detail.into(),
        }
    }

    /// The core says itself what is wrong with it.
    pub(crate) fn invariant(what: &'static str, detail: String) -> Self {
        Self {
            shape: what,
            ..Self::new(Rule::Invariant, detail)
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.id, self.detail, self.shape)
    }
}

impl std::error::Error for Verdict {}

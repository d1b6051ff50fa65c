//! What a checker found.

use std::fmt;

/// A broken promise: which, and where. Compared by `id` when cases are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The promise of design.md section 3 (`S1`, `L5`, ...), or `core` for a broken invariant.
    pub id: &'static str,
    /// Which shape of it.
    pub shape: &'static str,
    /// Key, message, time and whatever else tells the story.
    pub detail: String,
}

impl Verdict {
    /// A verdict with its story.
    pub fn new(id: &'static str, shape: &'static str, detail: impl Into<String>) -> Self {
        Self {
            id,
            shape,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.id, self.detail, self.shape)
    }
}

impl std::error::Error for Verdict {}

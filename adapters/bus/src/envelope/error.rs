//! What is wrong with an envelope.

use std::borrow::Cow;
use std::fmt;

/// An envelope that breaks a rule: which field, what it holds, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvelopeError {
    field: Cow<'static, str>,
    value: String,
    problem: Cow<'static, str>,
    fix: Cow<'static, str>,
}

impl EnvelopeError {
    pub(crate) fn new(
        field: impl Into<Cow<'static, str>>,
        value: &str,
        problem: impl Into<Cow<'static, str>>,
        fix: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            field: field.into(),
            value: shorten(value),
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// The field, as the builder calls it (`key`, `header x-shop`).
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The value, shortened to 64 characters, control characters escaped.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            problem,
            fix,
        } = self;
        write!(f, "envelope: {field} is \"{value}\": {problem}; {fix}")
    }
}

impl std::error::Error for EnvelopeError {}

/// At most 64 characters, without anything that could break a log line.
fn shorten(value: &str) -> String {
    let mut short: String = value
        .chars()
        .take(64)
        .flat_map(char::escape_debug)
        .collect();
    if value.chars().nth(64).is_some() {
        short.push('…');
    }
    short
}

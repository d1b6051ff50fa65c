//! What is wrong with a setting.

use std::fmt;

use procession_core::ConfigError;

/// A setting that cannot be used: which one, its value, where it came from, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettingsError {
    pub(super) field: String,
    pub(super) value: String,
    pub(super) origin: String,
    pub(super) problem: String,
    pub(super) fix: String,
}

impl SettingsError {
    pub(crate) fn new(
        field: impl Into<String>,
        value: impl Into<String>,
        origin: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            value: value.into(),
            origin: origin.into(),
            problem: problem.into(),
            fix: fix.into(),
        }
    }

    /// The field, as a path (`publish.deadline`).
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// The value that was given.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(&self) -> &str {
        &self.fix
    }

    /// A range that the core found violated, under the name that the setting has here.
    pub(crate) fn from_core(table: &str, error: ConfigError) -> Self {
        let name = match (table, error.field) {
            ("publish", "messages") => "window_messages",
            ("publish", "bytes") => "window_bytes",
            ("publish", "backoff") => "backoff_first",
            (_, "limits.messages") => "credit_messages",
            (_, "limits.bytes") => "credit_bytes",
            (_, "limits.partition_messages") => "partition_credit_messages",
            (_, "limits.partition_bytes") => "partition_credit_bytes",
            (_, "limits.low_water_percent") => "low_water_percent",
            (_, "key_messages") => "key_credit_messages",
            (_, "retry.attempts") => "attempts",
            (_, "retry.backoff") => "backoff_first",
            (_, "commit.messages") => "commit_messages",
            (_, "dedupe.ids") => "dedupe_ids",
            (_, "sequence.keys") => "sequence_keys",
            (_, "sequence.hold_messages") => "hold_messages",
            (_, "sequence.gap_timeout") => "gap_timeout",
            (_, "sequence.on_gap") => "on_gap",
            (_, other) => other,
        };
        let value = match name {
            "backoff_first" | "gap_timeout" => {
                format!("{:?}", std::time::Duration::from_nanos(error.value))
            }
            _ => error.value.to_string(),
        };
        Self::new(
            format!("{table}.{name}"),
            value,
            "",
            "out of range",
            format!("allowed is {}", error.allowed),
        )
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setting `{}`", self.field)?;
        if !self.value.is_empty() {
            write!(f, " is {}", self.value)?;
        }
        if !self.origin.is_empty() {
            write!(f, " ({})", self.origin)?;
        }
        write!(f, ": {}; {}", self.problem, self.fix)
    }
}

impl std::error::Error for SettingsError {}

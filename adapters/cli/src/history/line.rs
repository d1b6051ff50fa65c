//! One line of a history, built field by field.

use std::fmt::Write as _;

use rustix::time::{ClockId, clock_gettime};

/// One line of a history. Begins with the time and the event; fields follow in the order given.
#[derive(Debug)]
pub struct Line {
    text: String,
}

impl Line {
    /// A line with the time now (CLOCK_MONOTONIC, comparable between processes of one boot).
    #[must_use]
    pub fn new(event: &str) -> Self {
        let mut text = String::with_capacity(192);
        let _infallible = write!(text, "{{\"ev\":\"{event}\",\"t\":{}", monotonic_nanos());
        Self { text }
    }

    /// A number.
    #[must_use]
    pub fn num(mut self, name: &str, value: u64) -> Self {
        let _infallible = write!(self.text, ",\"{name}\":{value}");
        self
    }

    /// A number that may be missing: `null` then.
    #[must_use]
    pub fn maybe(mut self, name: &str, value: Option<u64>) -> Self {
        let _infallible = match value {
            Some(value) => write!(self.text, ",\"{name}\":{value}"),
            None => write!(self.text, ",\"{name}\":null"),
        };
        self
    }

    /// Text.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        let plain = |b: u8| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\';
        if value.bytes().all(plain) {
            let _infallible = write!(self.text, ",\"{name}\":\"{value}\"");
        } else {
            let quoted = serde_json::Value::from(value).to_string();
            let _infallible = write!(self.text, ",\"{name}\":{quoted}");
        }
        self
    }

    /// Text that may be missing: `null` then.
    #[must_use]
    pub fn maybe_text(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.json(name, "null"),
        }
    }

    /// A truth value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: bool) -> Self {
        let _infallible = write!(self.text, ",\"{name}\":{value}");
        self
    }

    /// Ranges `[from, to)`.
    #[must_use]
    pub fn ranges(mut self, name: &str, ranges: &[(u64, u64)]) -> Self {
        let _infallible = write!(self.text, ",\"{name}\":[");
        for (i, (from, to)) in ranges.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _infallible = write!(self.text, "{comma}[{from},{to}]");
        }
        self.text.push(']');
        self
    }

    /// JSON as it is.
    #[must_use]
    pub fn json(mut self, name: &str, value: &str) -> Self {
        let _infallible = write!(self.text, ",\"{name}\":{value}");
        self
    }

    /// The finished line, with its line feed.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.text.push_str("}\n");
        self.text
    }
}

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn monotonic_nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let secs = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    secs * 1_000_000_000 + nanos
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_whatever_the_text_holds() {
        let line = Line::new("accepted")
            .text("key", "a \"quoted\" \\ key\n\u{1f980}")
            .maybe("seq", None)
            .maybe_text("id", Some("x"))
            .ranges("beyond", &[(1, 2), (5, 9)])
            .flag("duplicate", true)
            .finish();
        assert!(line.ends_with("}\n"));
        assert_eq!(line.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["key"], "a \"quoted\" \\ key\n\u{1f980}");
        assert!(value["seq"].is_null());
        assert_eq!(value["beyond"], serde_json::json!([[1, 2], [5, 9]]));
        assert!(value["t"].as_u64().unwrap() > 0);
    }
}

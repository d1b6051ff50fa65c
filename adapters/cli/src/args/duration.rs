//! Durations as people write them: `5ms`, `1.5s`, `2m`.

use std::time::Duration;

const EXPECTED: &str = "write a number and a unit: 250us, 5ms, 1.5s, 2m or 1h";

/// Reads a duration.
///
/// # Errors
/// What is expected instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or_else(|| format!("a duration without a unit; {EXPECTED}"))?;
    let (number, unit) = text.split_at(digits);
    let number: f64 = number
        .parse()
        .map_err(|_| format!("not a duration; {EXPECTED}"))?;
    let seconds = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is not a unit of time; {EXPECTED}")),
    };
    Duration::try_from_secs_f64(number * seconds)
        .map_err(|_| "longer than can be counted; choose a shorter one".into())
}

/// How long a handler takes: around a time, or exactly (`5ms!`).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct HandlerTime {
    /// The time around which it varies.
    pub around: Duration,
    /// No variation.
    pub exact: bool,
}

impl HandlerTime {
    /// The time for the message with this hash: 0.5 to 1.5 of `around`, or `around` itself.
    #[must_use]
    pub fn of(&self, hash: u64) -> Duration {
        if self.exact || self.around.is_zero() {
            return self.around;
        }
        // 32 bits of the hash as a share.
        let share = (hash >> 32) as f64 / f64::from(u32::MAX);
        self.around.mul_f64(0.5 + share)
    }
}

impl std::fmt::Display for HandlerTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let exact = if self.exact { "!" } else { "" };
        write!(f, "{:?}{exact}", self.around)
    }
}

impl std::str::FromStr for HandlerTime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (text, exact) = match text.strip_suffix('!') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        Ok(Self {
            around: duration(text)?,
            exact,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5ms"), Ok(Duration::from_millis(5)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["5", "", "ms", "5 ms", "-1s", "5parsecs", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn handler_times_vary_by_half_or_not_at_all() {
        let around: HandlerTime = "10ms".parse().unwrap();
        assert_eq!(around.of(0), Duration::from_millis(5));
        assert_eq!(around.of(u64::MAX), Duration::from_millis(15));
        let exact: HandlerTime = "10ms!".parse().unwrap();
        assert_eq!(exact.of(u64::MAX), Duration::from_millis(10));
    }
}

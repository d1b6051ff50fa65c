//! Small values of options.

use std::fmt;
use std::str::FromStr;

/// A share between 0 and 1.
#[derive(Clone, Copy, PartialEq, PartialOrd, Default, Debug)]
pub struct Share(f64);

impl Share {
    /// The share as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// Whether a hash falls into this share.
    #[must_use]
    pub fn picks(self, hash: u64) -> bool {
        // 53 bits: as many as a f64 holds exactly.
        ((hash >> 11) as f64) < self.0 * (1u64 << 53) as f64
    }

    /// Whether it is 0.
    #[must_use]
    pub fn is_zero(self) -> bool {
        self.0 == 0.0
    }
}

impl FromStr for Share {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err("a share lies between 0 and 1; write 0.05 for five percent".into()),
        }
    }
}

/// How many publish at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Senders {
    /// One for each aggregate.
    Aggregate,
    /// So many; aggregates are dealt out to them.
    Count(u32),
}

impl fmt::Display for Senders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Aggregate => f.write_str("aggregate"),
            Self::Count(n) => write!(f, "{n}"),
        }
    }
}

impl FromStr for Senders {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse::<u32>()) {
            ("aggregate", _) => Ok(Self::Aggregate),
            (_, Ok(n)) if (1..=100_000).contains(&n) => Ok(Self::Count(n)),
            _ => Err("write `aggregate` (one sender each) or a number from 1 to 100000".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let share = |text: &str| text.parse::<Share>();
        assert!(share("1.5").is_err() && share("-0.1").is_err() && share("x").is_err());
        assert!(share("NaN").is_err());
        assert!(share("1").unwrap().picks(u64::MAX));
        assert!(!share("0").unwrap().picks(0));
        assert!(share("0.5").unwrap().picks(u64::MAX / 2 - (1 << 12)));
        assert!(!share("0.5").unwrap().picks(u64::MAX / 2 + (1 << 12)));
    }
}

//! How many messages over how many aggregates.

use std::str::FromStr;

/// A load of `compare`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Load {
    /// `low` to `extreme`, or as it was written.
    pub name: String,
    /// Messages, 1 to 100,000,000.
    pub messages: u32,
    /// Aggregates (keys), at most as many as messages.
    pub aggregates: u32,
}

/// The four loads of the predecessor's reports: messages, aggregates.
const NAMED: [(&str, u32, u32); 4] = [
    ("low", 500, 50),
    ("medium", 2_000, 200),
    ("high", 5_000, 500),
    ("extreme", 10_000, 1_000),
];

impl Load {
    /// The four named loads.
    #[must_use]
    pub fn all_named() -> Vec<Self> {
        NAMED
            .iter()
            .map(|&(name, messages, aggregates)| Self {
                name: name.into(),
                messages,
                aggregates,
            })
            .collect()
    }

    /// The smallest named load.
    #[must_use]
    pub fn low() -> Self {
        let (name, messages, aggregates) = NAMED[0];
        Self {
            name: name.into(),
            messages,
            aggregates,
        }
    }

    /// Messages of one aggregate: the first ones take the remainder.
    #[must_use]
    pub fn versions(&self, aggregate: u32) -> u32 {
        self.messages / self.aggregates + u32::from(aggregate < self.messages % self.aggregates)
    }
}

impl FromStr for Load {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(named) = Self::all_named().into_iter().find(|l| l.name == text) {
            return Ok(named);
        }
        let wrong = || {
            "write low, medium, high, extreme, MESSAGES or MESSAGESxAGGREGATES (100000x1000), with \
             1 to 100000000 messages and at most as many aggregates"
                .to_owned()
        };
        let (messages, aggregates) = match text.split_once('x') {
            Some((m, a)) => (m, Some(a.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let messages: u32 = messages.parse().map_err(|_| wrong())?;
        let aggregates =
            aggregates.unwrap_or_else(|| (messages / 10).clamp(50, 1_000).min(messages));
        if !(1..=100_000_000).contains(&messages) || aggregates == 0 || aggregates > messages {
            return Err(wrong());
        }
        Ok(Self {
            name: text.into(),
            messages,
            aggregates,
        })
    }
}

/// Lists of loads that reports used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Preset {
    /// 500, 2000, 5000, 10000 messages.
    Seeds,
    /// 1000, 4000, 6000, 10000 messages.
    ActorPool,
}

impl Preset {
    /// Its loads: aggregates are a tenth of the messages, at least 50, at most 1000.
    #[must_use]
    pub fn loads(self) -> Vec<Load> {
        let messages = match self {
            Self::Seeds => [500, 2_000, 5_000, 10_000],
            Self::ActorPool => [1_000, 4_000, 6_000, 10_000],
        };
        messages
            .map(|messages: u32| Load {
                name: messages.to_string(),
                messages,
                aggregates: (messages / 10).clamp(50, 1_000),
            })
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_named_or_counted() {
        let load: Load = "1000000x10000".parse().unwrap();
        assert_eq!((load.messages, load.aggregates), (1_000_000, 10_000));
        let load: Load = "20000".parse().unwrap();
        assert_eq!((load.messages, load.aggregates), (20_000, 1_000));
        let load: Load = "7".parse().unwrap();
        assert_eq!((load.messages, load.aggregates), (7, 7));
        for wrong in ["huge", "0", "5x6", "10x0", "x", "10x", "999999999999"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_add_up() {
        let load: Load = "1003x100".parse().unwrap();
        let sum: u32 = (0..100).map(|a| load.versions(a)).sum();
        assert_eq!(sum, 1003);
        assert_eq!((load.versions(2), load.versions(3)), (11, 10));
    }
}

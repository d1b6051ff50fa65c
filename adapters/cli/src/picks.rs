//! Which messages fail, are slow or are published twice: decided by a hash of their id, so that
//! every process with the same seed decides alike.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::args::{HandlerTime, Share};

/// The choices of a run.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(crate) struct Picks {
    /// The seed.
    pub(crate) seed: u64,
    /// Messages whose first attempt fails.
    pub(crate) fail: Share,
    /// Messages that always fail.
    pub(crate) poison: Share,
    /// Messages that are published twice.
    pub(crate) republish: Share,
    /// How long handlers take.
    pub(crate) time: HandlerTime,
}

// Independent choices: a message that fails is not thereby a slow one.
const FAIL: u64 = 0x9e37_79b9_7f4a_7c15;
const POISON: u64 = 0xbf58_476d_1ce4_e5b9;
const REPUBLISH: u64 = 0x94d0_49bb_1331_11eb;
const TIME: u64 = 0xd6e8_feb8_6659_fd93;

impl Picks {
    /// Whether this attempt fails.
    #[must_use]
    pub(crate) fn fails(&self, id: &str, attempt: u32) -> bool {
        (attempt == 1 && self.has(self.fail, id, FAIL)) || self.has(self.poison, id, POISON)
    }

    /// Whether it is published twice.
    #[must_use]
    pub(crate) fn republishes(&self, id: &str) -> bool {
        self.has(self.republish, id, REPUBLISH)
    }

    /// How long its handler takes.
    #[must_use]
    pub(crate) fn time(&self, id: &str) -> Duration {
        if self.time.around.is_zero() {
            return Duration::ZERO;
        }
        self.time.of(self.hash(id, TIME))
    }

    fn has(&self, share: Share, id: &str, salt: u64) -> bool {
        !share.is_zero() && share.picks(self.hash(id, salt))
    }

    fn hash(&self, id: &str, salt: u64) -> u64 {
        xxh3_64_with_seed(id.as_bytes(), self.seed ^ salt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_come_out_as_asked_for() {
        let picks = Picks {
            seed: 7,
            fail: "0.1".parse().unwrap(),
            poison: "0.01".parse().unwrap(),
            ..Picks::default()
        };
        let count = |attempt| {
            (0..100_000)
                .filter(|i| picks.fails(&format!("a{i}-1"), attempt))
                .count()
        };
        assert!((10_000..11_800).contains(&count(1)), "{}", count(1));
        assert!((900..1_100).contains(&count(2)), "{}", count(2));
        assert!(!picks.republishes("a1-1"));
        assert_eq!(picks.time("a1-1"), Duration::ZERO);
    }
}

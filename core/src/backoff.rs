//! Waiting times that double, with a seeded jitter.

use crate::{Backoff, Span};

/// Mixes a number so that every bit depends on every other (the finaliser of SplitMix64, public
/// domain, Sebastiano Vigna).
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Backoff {
    /// The waiting time before try `n + 1`, after `n` tries that failed (`n` from 1). `entity`
    /// spreads the jitter: equal seeds, entities and tries give equal times (S11).
    #[must_use]
    pub const fn after(&self, n: u32, seed: u64, entity: u64) -> Span {
        let doublings = if n == 0 { 0 } else { n - 1 };
        let doublings = if doublings > 62 { 62 } else { doublings };
        let grown = self.first.as_nanos().saturating_mul(1 << doublings);
        let base = if grown > self.max.as_nanos() {
            self.max.as_nanos()
        } else {
            grown
        };
        let reach = base / 100 * self.jitter_percent as u64;
        if reach == 0 {
            return Span::from_nanos(base);
        }
        let drawn = mix(seed ^ mix(entity ^ mix(n as u64))) % reach.saturating_mul(2);
        Span::from_nanos((base - reach).saturating_add(drawn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_stays_within_the_jitter() {
        let backoff = Backoff {
            first: Span::from_millis(100),
            max: Span::from_secs(30),
            jitter_percent: 20,
        };
        for n in 1..100 {
            let plain = 100u64.saturating_mul(1 << (n - 1).min(40)).min(30_000) * 1_000_000;
            let span = backoff.after(n, 7, u64::from(n)).as_nanos();
            assert!(
                span >= plain / 10 * 8 && span < plain / 10 * 12,
                "{n}: {span}"
            );
            assert_eq!(span, backoff.after(n, 7, u64::from(n)).as_nanos());
        }
        assert_ne!(backoff.after(1, 7, 1), backoff.after(1, 8, 1));
    }
}

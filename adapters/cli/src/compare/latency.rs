//! How long messages took.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Shares of the messages at which a distribution is told.
const SHARES: [f64; 21] = [
    0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999,
    0.9995, 0.9998, 0.9999, 0.99999,
];

/// Latencies in nanoseconds, three significant digits, up to ten minutes.
#[derive(Clone, Debug)]
pub(crate) struct Latency {
    micros: Histogram<u64>,
}

impl Default for Latency {
    fn default() -> Self {
        let micros = Histogram::new_with_bounds(1, 600_000_000, 3);
        Self {
            micros: micros.expect("the bounds are constants that fit"),
        }
    }
}

impl Latency {
    pub(crate) fn record(&mut self, nanos: u64) {
        self.micros.saturating_record(nanos.div_ceil(1_000).max(1));
    }

    /// In microseconds.
    pub(crate) fn at(&self, quantile: f64) -> u64 {
        if self.micros.is_empty() {
            return 0;
        }
        self.micros
            .value_at_quantile(quantile)
            .min(self.micros.max())
    }

    /// What is kept of it when the run is over.
    pub(super) fn told(&self) -> Told {
        let fine = |share: &f64| (1.0 - share) * self.micros.len() as f64 >= 1.0;
        let shares = SHARES.iter().copied().filter(fine).chain([1.0]);
        Told {
            p50: self.at(0.5),
            p99: self.at(0.99),
            quantiles: self.json(),
            distribution: shares.map(|share| (share, self.at(share))).collect(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "p50": self.at(0.5), "p90": self.at(0.9), "p99": self.at(0.99),
            "p999": self.at(0.999), "max": self.at(1.0),
        })
    }
}

/// Latencies of a run that is over: a few figures instead of a histogram of half a megabyte, so that
/// thousands of runs can be kept.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// In microseconds.
    pub(crate) p50: u64,
    /// In microseconds.
    pub(crate) p99: u64,
    /// `p50`, `p90`, `p99`, `p999`, `max`.
    pub(crate) quantiles: Value,
    /// Share and microseconds, as fine as so many values tell.
    pub(crate) distribution: Vec<(f64, u64)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_is_as_fine_as_its_messages_tell() {
        let mut latency = Latency::default();
        for i in 1..=1_000u64 {
            latency.record(i * 1_000_000);
        }
        let told = latency.told();
        let shares: Vec<_> = told.distribution.iter().map(|(share, _)| *share).collect();
        assert_eq!(shares.first(), Some(&0.0));
        // A thousand messages know nothing of one in two thousand.
        assert_eq!(&shares[shares.len() - 2..], [0.999, 1.0]);
        assert!(told.distribution.is_sorted_by(|a, b| a.1 <= b.1));
        assert_eq!(told.quantiles["p50"], told.p50);
        let highest = told.distribution.last().unwrap().1;
        assert!((999_000..=1_001_000).contains(&highest), "{highest}");
    }
}

//! A median with an interval that assumes nothing about how the values are spread.

/// A median and the bounds between which it lies with at least 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Estimate {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Estimate {
    /// Of these values; NaN of none. Fewer than 6 cannot give 95 %: then the bounds are the
    /// smallest and the largest of them.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let count = sorted.len();
        let outside = outside(count);
        Self {
            median: (at(count.saturating_sub(1) / 2) + at(count / 2)) / 2.0,
            low: at(outside),
            high: at(count.saturating_sub(1 + outside)),
        }
    }
}

/// How many of the smallest, and of the largest, of `count` values lie outside of the interval. Each
/// value is below the true median with probability one half, so the number of those below is
/// binomial: both tails together may hold 5 %.
fn outside(count: usize) -> usize {
    let mut term = 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut tail = 0.0;
    for below in 0..count / 2 {
        tail += term;
        if tail > 0.025 {
            return below.saturating_sub(1);
        }
        term *= (count - below) as f64 / (below + 1) as f64;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_those_of_the_tables_for_the_sign_test() {
        // Lower rank of the 95 % interval of a median, counted from 1; from the usual tables.
        for (count, rank) in [
            (6, 1),
            (8, 1),
            (9, 2),
            (10, 2),
            (12, 3),
            (15, 4),
            (20, 6),
            (50, 18),
        ] {
            assert_eq!(outside(count) + 1, rank, "{count}");
        }
        assert_eq!(outside(1_000), 469 - 1);
    }

    #[test]
    fn medians_of_even_and_odd_and_none() {
        let ten = Estimate::of((1..=10).rev().map(f64::from));
        assert_eq!(
            ten,
            Estimate {
                median: 5.5,
                low: 2.0,
                high: 9.0
            }
        );
        assert_eq!(
            Estimate::of([3.0, 1.0, 2.0]),
            Estimate {
                median: 2.0,
                low: 1.0,
                high: 3.0
            }
        );
        assert!(Estimate::of([]).median.is_nan());
    }
}

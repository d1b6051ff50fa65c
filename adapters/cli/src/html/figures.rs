//! Figures as people read them.

/// 1,234,567.
pub(super) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut said = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            said.push(',');
        }
        said.push(digit);
    }
    said
}

/// A rate, to the whole number.
pub(super) fn rate(per_second: f64) -> String {
    count(per_second.round().max(0.0) as u64)
}

/// Microseconds, in the unit that suits.
pub(super) fn micros(us: f64) -> String {
    let (value, unit) = if us < 1_000.0 {
        (us, "µs")
    } else if us < 1e6 {
        (us / 1e3, "ms")
    } else {
        (us / 1e6, "s")
    };
    let digits = usize::from(value < 10.0 && value.fract() != 0.0);
    format!("{value:.digits$} {unit}")
}

/// Bytes, in MiB.
pub(super) fn mebibytes(bytes: f64) -> String {
    format!("{:.0}", bytes / f64::from(1 << 20))
}

/// A power of ten on an axis: 100, 1 k, 1 M.
pub(super) fn short(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.0} G", n / 1e9),
        n if n >= 1e6 => format!("{:.0} M", n / 1e6),
        n if n >= 1e3 => format!("{:.0} k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// A share, in percent.
pub(super) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "0 %".into();
    }
    // Never rounded up to everything.
    let share = (1e4 * part as f64 / whole as f64).floor() / 100.0;
    format!("{share:.2} %")
}

/// The middle of some values; `None` of none.
pub(super) fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_do_not_flatter() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(micros(7.0), "7 µs");
        assert_eq!(micros(7.25), "7.2 µs");
        assert_eq!(micros(1_000.0), "1 ms");
        assert_eq!(micros(1_250.0), "1.2 ms");
        assert_eq!(micros(21_000.0), "21 ms");
        assert_eq!(micros(1_500_000.0), "1.5 s");
        assert_eq!(short(1e5), "100 k");
        assert_eq!(percent(9_999_999, 10_000_000), "99.99 %");
        assert_eq!(percent(5, 5), "100.00 %");
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0].into_iter()), Some(2.5));
        assert_eq!(median(std::iter::empty()), None);
    }
}

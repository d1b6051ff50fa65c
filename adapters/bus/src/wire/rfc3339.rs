//! Timestamps of RFC 3339, without a calendar library: this runs for every message published.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The instant in UTC, with 0, 3, 6 or 9 digits of a second: as many as it needs. `None` before
/// 1970 or after 9999.
pub(crate) fn format(instant: SystemTime) -> Option<String> {
    let since = instant.duration_since(UNIX_EPOCH).ok()?;
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = civil(i64::try_from(days).ok()?);
    if year > 9999 {
        return None;
    }
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let year = u64::try_from(year).ok()?;
    let (month, day) = (u64::try_from(month).ok()?, u64::try_from(day).ok()?);
    let mut text = String::with_capacity(30);
    let parts = [
        (year, 4, '-'),
        (month, 2, '-'),
        (day, 2, 'T'),
        (hour, 2, ':'),
        (minute, 2, ':'),
    ];
    for (number, width, after) in parts {
        digits(&mut text, number, width);
        text.push(after);
    }
    digits(&mut text, second, 2);
    let nanos = u64::from(since.subsec_nanos());
    let (fraction, width) = match nanos {
        0 => (0, 0),
        n if n % 1_000_000 == 0 => (n / 1_000_000, 3),
        n if n % 1_000 == 0 => (n / 1_000, 6),
        n => (n, 9),
    };
    if 0 < width {
        text.push('.');
        digits(&mut text, fraction, width);
    }
    text.push('Z');
    Some(text)
}

/// Appends a number with leading zeros.
fn digits(text: &mut String, number: u64, width: u32) {
    for place in (0..width).rev() {
        let digit = number / 10_u64.pow(place) % 10;
        text.push(char::from(b'0' + u8::try_from(digit).unwrap_or(0)));
    }
}

/// Reads a timestamp; `None` when it is not one, or lies before 1970. Digits of a second beyond
/// nanoseconds are dropped; a leap second counts as the second after.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        digits
            .bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| digits.parse().ok())?
    };
    let is =
        |at: usize, allowed: &[u8]| text.as_bytes().get(at).is_some_and(|b| allowed.contains(b));
    let shape = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !shape || !(1..=12).contains(&month) || !(1..=days_of(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let mut zone = 19;
    let mut nanos = 0u32;
    if is(19, b".") {
        let digits = text.get(20..)?.bytes().take_while(u8::is_ascii_digit);
        let mut unit = 100_000_000;
        for digit in digits {
            nanos += u32::from(digit - b'0') * unit;
            unit /= 10;
            zone += 1;
        }
        zone += 1;
        if zone == 20 {
            return None;
        }
    }
    let offset = match text.get(zone..)? {
        "Z" | "z" => 0,
        rest if rest.len() == 6 && is(zone + 3, b":") => {
            let (h, m) = (number(zone + 1, zone + 3)?, number(zone + 4, zone + 6)?);
            let sign = match rest.as_bytes().first() {
                Some(b'+') => 1,
                Some(b'-') => -1,
                _ => return None,
            };
            if h > 23 || m > 59 {
                return None;
            }
            sign * (h * 3600 + m * 60)
        }
        _ => return None,
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    let seconds = u64::try_from(seconds - offset).ok()?;
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// Year, month and day of a day counted from 1970-01-01, by eras of 400 years.
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// The reverse of [`civil`].
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn days_of(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_instants() {
        let table = [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("2000-02-29T12:30:01.5Z", 951_827_401, 500_000_000),
            ("2018-04-05T17:31:00Z", 1_522_949_460, 0),
            ("2018-04-05T19:31:00+02:00", 1_522_949_460, 0),
            ("2018-04-05t12:31:00-05:00", 1_522_949_460, 0),
            (
                "2026-11-20T12:25:05.123456789123Z",
                1_795_177_505,
                123_456_789,
            ),
        ];
        for (text, seconds, nanos) in table {
            let expected = UNIX_EPOCH + Duration::new(seconds, nanos);
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        let instant = UNIX_EPOCH + Duration::new(1_522_949_460, 1_000_000);
        assert_eq!(format(instant).unwrap(), "2018-04-05T17:31:00.001Z");
    }

    #[test]
    fn what_is_no_timestamp() {
        for text in [
            "",
            "now",
            "2018-04-05",
            "2018-04-05T17:31:00",
            "2018-02-30T17:31:00Z",
            "2018-13-05T17:31:00Z",
            "2018-04-05T24:31:00Z",
            "2018-04-05T17:31:00.Z",
            "2018-04-05T17:31:00+2:00",
            "+018-04-05T17:31:00Z",
            "2018-04-05T17:31:00€",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(seconds in 0u64..253_402_300_800, nanos in 0u32..1_000_000_000) {
            let instant = UNIX_EPOCH + Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&format(instant).unwrap()), Some(instant));
        }

        #[test]
        fn never_panics(text in "\\PC{0,40}") {
            let _any = parse(&text);
        }
    }
}

//! Values of settings: lengths of time, sizes, numbers, words.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// A value as it was given, before anybody knows what it is for.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// An array, a table or a date; what it is called.
    Other(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "\"{}\"", text.escape_debug()),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::Boolean(flag) => write!(f, "{flag}"),
            Self::Other(what) => write!(f, "{what}"),
        }
    }
}

impl From<&toml::Value> for Value {
    fn from(value: &toml::Value) -> Self {
        match value {
            toml::Value::String(text) => Self::Text(text.clone()),
            toml::Value::Integer(number) => Self::Integer(*number),
            toml::Value::Float(number) => Self::Float(*number),
            toml::Value::Boolean(flag) => Self::Boolean(*flag),
            toml::Value::Datetime(_) => Self::Other("a date"),
            toml::Value::Array(_) => Self::Other("an array"),
            toml::Value::Table(_) => Self::Other("a table"),
        }
    }
}

/// What is expected instead: the problem and the fix.
pub(super) type Unfit = (&'static str, &'static str);

/// `30s`, `100ms`, `1.5m`; `never` is the longest there is.
pub(super) fn duration(value: &Value) -> Result<Duration, Unfit> {
    const UNFIT: Unfit = (
        "not a length of time",
        "write a number and a unit: 100ms, 30s, 5m, 2h, 1d",
    );
    let Value::Text(text) = value else {
        return Err(("a length of time needs a unit", UNFIT.1));
    };
    let text = text.trim();
    if text == "never" {
        return Ok(Duration::MAX);
    }
    let (number, unit) = split(text).ok_or(UNFIT)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "" => return Err(("a length of time needs a unit", UNFIT.1)),
        _ => return Err(UNFIT),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| UNFIT)
}

/// `64MiB`, `512kB`, `4096`.
pub(super) fn bytes(value: &Value) -> Result<u64, Unfit> {
    const UNFIT: Unfit = (
        "not a size",
        "write a whole number of bytes, or a number and a unit: 512KiB, 64MiB, 1GB",
    );
    let text = match value {
        Value::Text(text) => text.trim(),
        Value::Integer(number) => return u64::try_from(*number).map_err(|_| UNFIT),
        Value::Float(_) | Value::Boolean(_) | Value::Other(_) => return Err(UNFIT),
    };
    let (number, unit) = split(text).ok_or(UNFIT)?;
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(UNFIT),
    };
    let size = number * factor;
    if size.fract() != 0.0 || !(0.0..=9e15).contains(&size) {
        return Err(UNFIT);
    }
    // A whole number below 2^53, checked above: nothing is lost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Ok(size as u64)
}

/// A whole number, with `_` between digits if one likes.
pub(super) fn number(value: &Value) -> Result<u64, Unfit> {
    const UNFIT: Unfit = (
        "not a whole number",
        "write a whole number, for instance 1000",
    );
    match value {
        Value::Integer(number) => u64::try_from(*number).map_err(|_| UNFIT),
        Value::Text(text) => text.trim().replace('_', "").parse().map_err(|_| UNFIT),
        Value::Float(_) | Value::Boolean(_) | Value::Other(_) => Err(UNFIT),
    }
}

/// `true` or `false`.
pub(super) fn flag(value: &Value) -> Result<bool, Unfit> {
    let text = match value {
        Value::Boolean(flag) => return Ok(*flag),
        Value::Text(text) => text.trim(),
        Value::Integer(_) | Value::Float(_) | Value::Other(_) => "",
    };
    text.to_ascii_lowercase()
        .parse()
        .map_err(|_| ("neither true nor false", "write true or false"))
}

/// The path of a file.
pub(super) fn path(value: &Value) -> Result<PathBuf, Unfit> {
    let fix = "write the path of a file in quotes";
    let path = text(value).map_err(|_| ("not a path", fix))?;
    Ok(PathBuf::from(path))
}

/// A text.
pub(super) fn text(value: &Value) -> Result<String, Unfit> {
    if let Value::Text(text) = value
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    Err(("not a text", "write a text in quotes that is not empty"))
}

/// A number without sign, with decimals perhaps, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || matches!(c, '.' | '_')))
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.replace('_', "").parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn t(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn lengths_of_time() {
        for (text, millis) in [
            ("30s", 30_000),
            ("100ms", 100),
            ("1.5m", 90_000),
            ("2 h", 7_200_000),
        ] {
            assert_eq!(
                duration(&t(text)),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(duration(&t("never")), Ok(Duration::MAX));
        for bad in [
            "",
            "30",
            "s",
            "-1s",
            "30 parsecs",
            "1e400s",
            "99999999999999999999d",
            "1.2.3s",
        ] {
            assert!(duration(&t(bad)).is_err(), "{bad}");
        }
        assert!(duration(&Value::Integer(30)).is_err());
    }

    #[test]
    fn sizes_and_numbers() {
        let sizes = [
            ("64MiB", 64 << 20),
            ("1kB", 1_000),
            ("4_096", 4_096),
            ("0.5KiB", 512),
        ];
        for (text, size) in sizes {
            assert_eq!(bytes(&t(text)), Ok(size), "{text}");
        }
        assert_eq!(bytes(&Value::Integer(7)), Ok(7));
        for bad in ["", "1.5", "64MiBs", "-1", "1e9GiB"] {
            assert!(bytes(&t(bad)).is_err(), "{bad}");
        }
        assert_eq!(number(&t("1_000")), Ok(1_000));
        assert!(number(&t("1.5")).is_err() && number(&Value::Integer(-1)).is_err());
        assert!(text(&t(" ")).is_err() && text(&Value::Integer(1)).is_err());
        assert_eq!(path(&t("/a/b")), Ok("/a/b".into()));
        assert!(path(&t("")).is_err() && path(&Value::Boolean(true)).is_err());
        assert_eq!(flag(&Value::Boolean(true)), Ok(true));
        assert_eq!(flag(&t(" False ")), Ok(false));
        assert!(flag(&t("yes")).is_err() && flag(&Value::Integer(1)).is_err());
    }
}

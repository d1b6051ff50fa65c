//! Percent-encoding of attribute values, as the CloudEvents binding for NATS asks.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// Space, double quote, percent, and all that is not printable ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');

/// The value as it goes into a header field.
pub(crate) fn escape(value: &str) -> Cow<'_, str> {
    utf8_percent_encode(value, ESCAPED).into()
}

/// The value that a header field stands for; `None` when it is not UTF-8 after decoding.
///
/// Double-quoted values are accepted although nobody should write them any more.
pub(crate) fn unescape(field: &str) -> Option<Cow<'_, str>> {
    let unquoted = match field.strip_prefix('"').and_then(|f| f.strip_suffix('"')) {
        Some(inside) => Cow::Owned(unquote(inside)),
        None => Cow::Borrowed(field),
    };
    if !unquoted.contains('%') {
        return Some(unquoted);
    }
    let decoded = percent_decode_str(&unquoted).decode_utf8().ok()?;
    Some(Cow::Owned(decoded.into_owned()))
}

fn unquote(inside: &str) -> String {
    let mut plain = String::with_capacity(inside.len());
    let mut chars = inside.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_specifications_own_example() {
        let escaped = "Euro%20%E2%82%AC%20%F0%9F%98%80";
        assert_eq!(escape("Euro € 😀"), escaped);
        assert_eq!(unescape(escaped).unwrap(), "Euro € 😀");
    }

    #[test]
    fn lenient_where_the_specification_asks_for_it() {
        assert_eq!(unescape("%41%62c").unwrap(), "Abc");
        assert_eq!(unescape("\"a \\\"b\\\" %c3%a9\"").unwrap(), "a \"b\" é");
        assert_eq!(unescape("100%").unwrap(), "100%");
        assert_eq!(unescape("%C0%A0"), None);
    }

    proptest! {
        #[test]
        fn round_trip(value in "\\PC*") {
            let escaped = escape(&value);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_graphic()));
            let back = unescape(&escaped).unwrap();
            prop_assert_eq!(back.as_ref(), value.as_str());
        }
    }
}

//! The members of a JSON object, one level deep; nothing below it is built.

use core::fmt;
use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::envelope::validate::FIELDS_MAX;

/// The members of an object in their order.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// Reads an object. At most [`FIELDS_MAX`] members, no name twice.
    pub(super) fn read(text: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The text of a member as it stands; `None` when it is not there, or `null`.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.get())
            .filter(|text| *text != "null")
    }

    /// Names and values as they stand, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (&**name, value.get()))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members: Vec<(Cow<'de, str>, &RawValue)> = Vec::with_capacity(12);
        while let Some(Name(name)) = map.next_key()? {
            if FIELDS_MAX <= members.len() {
                return Err(serde::de::Error::custom("more than 128 members"));
            }
            if members.iter().any(|(known, _)| *known == name) {
                return Err(serde::de::Error::custom(format_args!(
                    "the member `{}` is there twice",
                    name.escape_debug()
                )));
            }
            members.push((name, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// A member's name, borrowed where nothing in it is escaped.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a member")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// The text of a JSON string; `None` for any other value.
pub(super) fn string(value: &str) -> Option<Cow<'_, str>> {
    if !value.starts_with('"') {
        return None;
    }
    serde_json::from_str::<Name<'_>>(value)
        .ok()
        .map(|Name(text)| text)
}

/// A string, a whole number or a boolean as CloudEvents writes it in a header field; `None` for any
/// other value.
pub(super) fn scalar(value: &str) -> Option<Cow<'_, str>> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let whole = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if whole || matches!(value, "true" | "false") {
        return Some(Cow::Borrowed(value));
    }
    string(value)
}

/// Whether these bytes are one JSON value without space around it: it can be embedded as it is.
pub(super) fn embeddable(bytes: &[u8]) -> Option<&str> {
    let value: &RawValue = serde_json::from_slice(bytes).ok()?;
    (value.get().len() == bytes.len()).then(|| value.get())
}

/// Writes a JSON object, member by member.
pub(super) struct Writer(String);

impl Writer {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut text = String::with_capacity(bytes);
        text.push('{');
        Self(text)
    }

    /// A member whose value is JSON already.
    pub(super) fn raw(&mut self, name: &str, value: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        quote(&mut self.0, name);
        self.0.push(':');
        self.0.push_str(value);
    }

    /// A member whose value is a text.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.raw(name, "");
        quote(&mut self.0, value);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.0.push('}');
        self.0.into_bytes()
    }
}

fn quote(into: &mut String, text: &str) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' => into.push_str("\\\""),
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '\r' => into.push_str("\\r"),
            '\t' => into.push_str("\\t"),
            // JSON allows no other control characters as they are.
            c if u32::from(c) < 0x20 => into.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => into.push(c),
        }
    }
    into.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn members_keep_their_order_and_their_text() {
        let text = br#" {"b": [1, {"x":2}], "\u0061":"1", "n": null} "#;
        let members = Members::read(text).unwrap();
        let all: Vec<_> = members.iter().collect();
        assert_eq!(
            all,
            [("b", "[1, {\"x\":2}]"), ("a", "\"1\""), ("n", "null")]
        );
        assert_eq!((members.get("a"), members.get("n")), (Some("\"1\""), None));
    }

    #[test]
    fn what_is_no_object_or_too_much_of_one() {
        let many = format!("{{{}}}", ["\"x\":1"; 2].join(","));
        for (text, problem) in [
            ("[]", "a JSON object"),
            ("{\"a\":1", "EOF"),
            (&*many, "twice"),
        ] {
            let error = Members::read(text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
        let many: Vec<_> = (0..129).map(|n| format!("\"{n}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        let error = Members::read(many.as_bytes()).err().unwrap().to_string();
        assert!(error.contains("more than 128"), "{error}");
        // Depth is not climbed: this would overflow a stack.
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(Members::read(deep.as_bytes()).is_ok());
    }

    #[test]
    fn scalars_are_written_as_header_fields_have_them() {
        for (value, text) in [("\"a\\n\"", "a\n"), ("-7", "-7"), ("true", "true")] {
            assert_eq!(scalar(value).as_deref(), Some(text));
        }
        for value in ["1.5", "{}", "[]", "1e3", "-"] {
            assert_eq!(scalar(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn texts_come_back(name in any::<String>(), value in any::<String>()) {
            let mut writer = Writer::with_capacity(8);
            writer.text(&name, &value);
            let bytes = writer.finish();
            let read: std::collections::HashMap<String, String> =
                serde_json::from_slice(&bytes).unwrap();
            prop_assert_eq!(read.get(&name), Some(&value));
        }
    }
}

//! Names of topics and groups, and which partition a key belongs to: shared by every port.

use core::fmt;

/// Longest name of a topic, in bytes.
pub const TOPIC_NAME_BYTES_MAX: usize = 200;
/// Longest name of a group, in bytes.
pub const GROUP_NAME_BYTES_MAX: usize = 128;

/// The partition of a key: FNV-1a 32 of its raw bytes, modulo `partitions` (what a NATS server's
/// own `partition()` mapping uses). Without a key, the bytes of the message's id take its place.
/// `partitions` of 0 counts as 1.
#[must_use]
pub fn partition_of(key: &[u8], partitions: u32) -> u32 {
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, &byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    hash % partitions.max(1)
}

/// Checks the name of a topic: `[A-Za-z0-9._-]`, 1 to 200 bytes, no empty tokens between dots.
///
/// # Errors
/// What is wrong with it.
pub fn check_topic_name(name: &str) -> Result<(), NameError> {
    check("topic", name, TOPIC_NAME_BYTES_MAX)
}

/// Checks the name of a group: as a topic's, 1 to 128 bytes.
///
/// # Errors
/// What is wrong with it.
pub fn check_group_name(name: &str) -> Result<(), NameError> {
    check("group", name, GROUP_NAME_BYTES_MAX)
}

/// `name` with every `.` as `=2E`: a name as one token of a subject or key.
#[must_use]
pub fn escape_dots(name: &str) -> String {
    name.replace('.', "=2E")
}

/// A name that cannot be used: what it names, the name, and what is allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameError {
    /// `topic` or `group`.
    pub what: &'static str,
    /// The name, cut after 64 characters.
    pub name: String,
    /// What is wrong with it.
    pub fault: NameFault,
    /// Longest name, in bytes.
    pub bytes_max: usize,
}

/// What is wrong with a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NameFault {
    /// It has no characters.
    Empty,
    /// It is too long; its length in bytes.
    TooLong(usize),
    /// It holds a character that is not allowed.
    Character(char),
    /// It begins or ends with a dot, or two dots follow each other.
    EmptyToken,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the {} name `{}` ",
            self.what,
            self.name.escape_default()
        )?;
        match self.fault {
            NameFault::Empty => f.write_str("is empty")?,
            NameFault::TooLong(len) => write!(f, "is {len} bytes long")?,
            NameFault::Character(c) => write!(f, "holds `{}`", c.escape_default())?,
            NameFault::EmptyToken => {
                f.write_str("has an empty part before, after or between dots")?
            }
        }
        write!(
            f,
            "; use 1 to {} of A-Z a-z 0-9 _ - with single dots between them",
            self.bytes_max
        )
    }
}

impl std::error::Error for NameError {}

fn check(what: &'static str, name: &str, bytes_max: usize) -> Result<(), NameError> {
    let fault = if name.is_empty() {
        Some(NameFault::Empty)
    } else if bytes_max < name.len() {
        Some(NameFault::TooLong(name.len()))
    } else if let Some(c) = name
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
    {
        Some(NameFault::Character(c))
    } else if name.split('.').any(str::is_empty) {
        Some(NameFault::EmptyToken)
    } else {
        None
    };
    match fault {
        None => Ok(()),
        Some(fault) => Err(NameError {
            what,
            name: name.chars().take(64).collect(),
            fault,
            bytes_max,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_known_keys() {
        // FNV-1a 32 by its published test vectors: "" 811c9dc5, "a" e40c292c, "foobar" bf9cf968.
        for (key, hash) in [
            ("", 0x811c_9dc5_u32),
            ("a", 0xe40c_292c),
            ("b", 0xe70c_2de5),
            ("foobar", 0xbf9c_f968),
        ] {
            assert_eq!(
                partition_of(key.as_bytes(), u32::MAX),
                hash % u32::MAX,
                "{key}"
            );
            assert_eq!(partition_of(key.as_bytes(), 3), hash % 3, "{key}");
            assert_eq!(partition_of(key.as_bytes(), 1), 0, "{key}");
        }
        assert_eq!(partition_of(b"a", 0), 0);
    }

    #[test]
    fn good_and_bad_names() {
        for name in ["a", "orders", "orders.eu-1", "A_b-c.9"] {
            assert_eq!(check_topic_name(name), Ok(()), "{name}");
            assert_eq!(check_group_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(129);
        assert!(check_topic_name(&long).is_ok());
        assert_eq!(
            check_group_name(&long).unwrap_err().fault,
            NameFault::TooLong(129)
        );
        for (name, fault) in [
            ("", NameFault::Empty),
            ("a b", NameFault::Character(' ')),
            ("a*", NameFault::Character('*')),
            ("ä", NameFault::Character('ä')),
            (".a", NameFault::EmptyToken),
            ("a.", NameFault::EmptyToken),
            ("a..b", NameFault::EmptyToken),
        ] {
            assert_eq!(check_topic_name(name).unwrap_err().fault, fault, "{name}");
        }
        let text = check_topic_name("a b").unwrap_err().to_string();
        assert!(
            text.contains("`a b`") && text.contains("1 to 200"),
            "{text}"
        );
    }
}

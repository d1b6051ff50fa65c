//! How a topic lies in its stream: how many partitions, and whether each key has a subject of its own.

use core::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use procession_runtime::port::{Layout, TopicInfo};

use crate::names::subject_of;

/// Everything but what a token of a subject may hold: letters, digits, `-` and `_`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// The token of messages without a key: no encoding of a key is a lone percent sign.
const NO_KEY: &str = "%";

/// Partitions and layout of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) partitions: u32,
    pub(crate) layout: Layout,
    /// Its stream takes batches.
    pub(crate) batches: bool,
}

impl From<&TopicInfo> for Shape {
    fn from(info: &TopicInfo) -> Self {
        Self {
            partitions: info.partitions,
            layout: if info.compares {
                Layout::Keyed
            } else {
                Layout::Partitioned
            },
            batches: info.no_batches.is_none(),
        }
    }
}

impl Shape {
    /// What the subjects of one partition match: the subject itself, or all of its keys.
    pub(crate) fn filter(self, topic: &str, partition: u32) -> String {
        let subject = subject_of(topic, partition);
        match self.layout {
            Layout::Partitioned => subject,
            Layout::Keyed => subject + ".*",
        }
    }

    /// The filters of all partitions, in their order.
    pub(crate) fn filters(self, topic: &str) -> Vec<String> {
        (0..self.partitions)
            .map(|p| self.filter(topic, p))
            .collect()
    }
}

/// Appends the token of a key to the subject of its partition.
pub(crate) fn append_key(subject: &mut String, key: Option<&[u8]>) {
    subject.push('.');
    let _ = match key {
        Some(key) if !key.is_empty() => write!(subject, "{}", percent_encode(key, ESCAPED)),
        Some(_) | None => subject.write_str(NO_KEY),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_one_token() {
        let token = |key: Option<&[u8]>| {
            let mut subject = "t.0".to_owned();
            append_key(&mut subject, key);
            subject
        };
        for (key, subject) in [
            (Some(&b"order-42"[..]), "t.0.order-42"),
            (Some(b"a.b*c> d"), "t.0.a%2Eb%2Ac%3E%20d"),
            (Some(b"100%"), "t.0.100%25"),
            (Some("ü".as_bytes()), "t.0.%C3%BC"),
            (Some(b"\xff\x00"), "t.0.%FF%00"),
            (Some(b""), "t.0.%"),
            (None, "t.0.%"),
        ] {
            assert_eq!(token(key), subject);
        }
        // Keys that differ have subjects that differ.
        assert_ne!(token(Some(b"%")), token(None));
    }

    #[test]
    fn filters_cover_the_keys_of_their_partition() {
        let shape = |layout| Shape {
            partitions: 2,
            layout,
            batches: false,
        };
        assert_eq!(shape(Layout::Partitioned).filters("t"), ["t.0", "t.1"]);
        assert_eq!(shape(Layout::Keyed).filters("t"), ["t.0.*", "t.1.*"]);
        assert!(crate::names::covers("t.0.*", "t.0.a%2Eb"));
    }
}

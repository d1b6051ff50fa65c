//! Names on the wire: streams, subjects, inboxes, consumers.

use core::hash::{BuildHasher as _, Hasher as _};
use std::hash::RandomState;
use std::sync::atomic::{AtomicU64, Ordering};

use procession_runtime::escape_dots;

/// The stream of a topic.
pub(crate) fn stream_of(topic: &str) -> String {
    escape_dots(topic)
}

/// The subject of a partition.
pub(crate) fn subject_of(topic: &str, partition: u32) -> String {
    format!("{topic}.{partition}")
}

/// Where dead letters of a group go.
pub(crate) fn dead_letter_topic(topic: &str, group: &str) -> String {
    format!("{topic}-dlq-{group}")
}

/// Whether a subject filter with wildcards (`*`, `>`) covers a subject.
pub(crate) fn covers(filter: &str, subject: &str) -> bool {
    let mut filter = filter.split('.');
    let mut subject = subject.split('.');
    loop {
        match (filter.next(), subject.next()) {
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(_)) => {}
            (Some(f), Some(s)) if f == s => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// An inbox that nobody else has.
pub(crate) fn inbox() -> String {
    format!("_INBOX.{}", unique())
}

/// A name that nobody else has: 64 random bits and a counter of this process.
pub(crate) fn unique() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{number:x}", random())
}

/// 64 random bits.
pub(crate) fn random() -> u64 {
    // The keys of a `RandomState` come from the system once per thread and are changed by one for
    // each further state, so every call gives other bits.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(stream_of("orders.eu"), "orders=2Eeu");
        assert_eq!(subject_of("orders.eu", 1), "orders.eu.1");
        assert_eq!(dead_letter_topic("orders", "billing"), "orders-dlq-billing");
        assert_ne!(unique(), unique());
    }

    #[test]
    fn filters() {
        for (filter, subject, covered) in [
            ("a.0", "a.0", true),
            ("a.*", "a.0", true),
            ("a.>", "a.0", true),
            (">", "a.0", true),
            ("*.0", "a.0", true),
            ("a.1", "a.0", false),
            ("a", "a.0", false),
            ("a.0.>", "a.0", false),
            ("a.*.*", "a.0", false),
        ] {
            assert_eq!(covers(filter, subject), covered, "{filter} {subject}");
        }
    }
}

//! The configuration of a single node.

use std::collections::BTreeMap;
use std::path::Path;

/// What every node gets. One node, so one replica of everything; few partitions of the internal
/// topics, since each is a directory with open files.
const ALWAYS: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("inter.broker.listener.name", "BROKER"),
    ("controller.listener.names", "CONTROLLER"),
    (
        "listener.security.protocol.map",
        "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    ),
    ("auto.create.topics.enable", "false"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.min.isr", "1"),
    ("transaction.state.log.num.partitions", "4"),
    ("share.coordinator.state.topic.replication.factor", "1"),
    ("share.coordinator.state.topic.min.isr", "1"),
    ("share.coordinator.state.topic.num.partitions", "1"),
    // The wait is for members that start together; here it would be 3 s before every first message.
    ("group.initial.rebalance.delay.ms", "0"),
];

/// What tests get: sessions short enough to wait for, and buffers no larger than tests need.
const FOR_TESTS: &[(&str, &str)] = &[
    ("group.consumer.min.session.timeout.ms", "1000"),
    ("group.consumer.session.timeout.ms", "6000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "1000"),
    ("log.cleaner.dedupe.buffer.size", "4194304"),
];

/// The text of `server.properties`.
pub(super) fn properties(
    dir: &Path,
    port: u16,
    controller_port: u16,
    for_tests: bool,
    more: &[(String, String)],
) -> String {
    let mut all = BTreeMap::new();
    let tests = if for_tests { FOR_TESTS } else { &[] };
    for (key, value) in ALWAYS.iter().chain(tests) {
        all.insert((*key).to_owned(), (*value).to_owned());
    }
    let broker = format!("BROKER://127.0.0.1:{port}");
    let controller = format!("127.0.0.1:{controller_port}");
    all.insert(
        "listeners".into(),
        format!("{broker},CONTROLLER://{controller}"),
    );
    all.insert("advertised.listeners".into(), broker);
    all.insert("controller.quorum.voters".into(), format!("1@{controller}"));
    let data = dir.join("data").to_string_lossy().into_owned();
    all.insert("log.dirs".into(), data);
    all.extend(more.iter().cloned());
    all.iter()
        .map(|(key, value)| format!("{key}={}\n", escaped(value)))
        .collect()
}

/// A value as Java reads it back from a properties file.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_setting_replaces_and_backslashes_survive() {
        let more = [("node.id".to_owned(), "7".to_owned())];
        let text = properties(Path::new("/a\\b"), 1, 2, false, &more);
        assert!(text.contains("\nnode.id=7\n") && !text.contains("node.id=1\n"));
        assert!(text.contains("log.dirs=/a\\\\b/data\n"), "{text}");
        assert!(!text.contains("session.timeout"));
    }
}

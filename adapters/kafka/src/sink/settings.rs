//! What a producer must have, whatever else was chosen.

use rdkafka::ClientConfig;

/// Properties that order, deadlines and window depend on.
const FIXED: &[(&str, &str)] = &[
    // The brokers keep the order of a partition and drop repeated sends, acknowledged by all
    // replicas in sync.
    ("enable.idempotence", "true"),
    ("acks", "all"),
    // A broker that knows nothing of a producer yet takes a batch with any number: were the first one
    // refused in passing (a topic that is just being made) while a second one is on its way, that one
    // would be taken, and the first, sent again, be called a repetition: lost, with a good answer. Seen
    // three times in 720,000 publishes to new topics with five requests on their way.
    ("max.in.flight.requests.per.connection", "1"),
    // Never: deadlines live in the core, and a message given up in the middle would be a gap.
    ("message.timeout.ms", "0"),
    // The queue is never full: the core's window is what bounds it.
    ("queue.buffering.max.messages", "0"),
    ("queue.buffering.max.kbytes", "2147483647"),
    ("delivery.report.only.error", "false"),
];

/// Properties with which a single message is fast and many go in batches, unless others were chosen.
///
/// Without lingering a message is acknowledged after 0.13 ms instead of 1.3 (librdkafka waits in
/// whole milliseconds), and many are as fast: batches fill while a request is on its way.
const USUAL: &[(&str, &str)] = &[("linger.ms", "0")];

/// The configuration of a producer.
pub(super) fn of_producer(client: &ClientConfig) -> ClientConfig {
    let mut config = client.clone();
    for (name, value) in USUAL {
        if config.get(name).is_none() {
            config.set(*name, *value);
        }
    }
    for (name, value) in FIXED {
        config.set(*name, *value);
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_order_depends_on_is_not_for_choice() {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", "127.0.0.1:1")
            .set("enable.idempotence", "false")
            .set("linger.ms", "7");
        let config = of_producer(&client);
        assert_eq!(config.get("enable.idempotence"), Some("true"));
        assert_eq!(config.get("linger.ms"), Some("7"));
        // librdkafka takes all of it.
        let native = config.create_native_config().unwrap();
        assert_eq!(native.get("message.timeout.ms").unwrap(), "0");
        assert_eq!(native.get("queue.buffering.max.messages").unwrap(), "0");
    }
}

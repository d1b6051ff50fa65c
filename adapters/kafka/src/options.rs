//! Where the brokers are, and what an owner may choose beyond the defaults.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

use procession_runtime::port::{PortError, PortErrorKind};
use rdkafka::ClientConfig;

use crate::partitioner::Partitioner;

/// How the members of a group agree on who owns what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum GroupProtocol {
    /// The classic protocol with the `cooperative-sticky` strategy: partitions that stay are not
    /// touched by a rebalance. Works with every broker.
    #[default]
    Cooperative,
    /// The classic protocol with the strategies `range,roundrobin`: all partitions are given up at
    /// every rebalance. For groups that have members with no other strategy.
    Eager,
    /// The consumer protocol of KIP-848 (brokers from 4.0): the broker decides, without a barrier.
    Consumer,
}

/// How to reach Kafka, and how to use it.
///
/// ```
/// let options = procession_kafka::KafkaOptions::parse("kafka://127.0.0.1:9092,127.0.0.1:9093")?;
/// # Ok::<(), procession_runtime::port::PortError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KafkaOptions {
    /// `HOST:PORT,HOST:PORT`.
    pub(crate) servers: String,
    /// The address as it is shown.
    pub(crate) shown: Arc<str>,
    /// Not a broker: librdkafka's mock cluster, in this process.
    pub(crate) mock: bool,
    /// Name of the clients, as the broker's logs and quotas show it.
    pub name: String,
    /// How members of a group agree.
    pub protocol: GroupProtocol,
    /// How long a member may be silent before its partitions go to others (classic protocol only;
    /// under the consumer protocol the broker's own setting counts). 6 s to 30 min unless the broker
    /// allows others. Default 10 s.
    pub session_timeout: Duration,
    /// How long handing over a partition may take: what runs is finished and committed. Default 5 s.
    pub hand_over: Duration,
    /// How a key becomes a partition; the same for all producers of a topic.
    pub partitioner: Partitioner,
    /// Bytes that a subscription fetches ahead, over all partitions of its topic. Default 16 MiB.
    pub prefetch_bytes: usize,
    /// Replicas of topics that are created; the broker's default unless given.
    pub replicas: Option<u16>,
    /// How long [`KafkaBroker::connect`](crate::KafkaBroker::connect) tries.
    pub connect_within: Duration,
    /// Further properties of librdkafka, for example `security.protocol`. Those that the port sets
    /// itself are refused.
    pub properties: BTreeMap<String, String>,
}

/// Properties that decide about delivery or ownership: they are the port's.
///
/// With their aliases: under another name a setting would take the place of ours in silence.
const OWN: &[&str] = &[
    "acks",
    "auto.offset.reset",
    "bootstrap.servers",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "fetch.queue.backoff.ms",
    "group.id",
    "group.protocol",
    "group.instance.id",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "queue.buffering.max.kbytes",
    "queue.buffering.max.messages",
    "queued.max.messages.kbytes",
    "request.required.acks",
    "session.timeout.ms",
    "transactional.id",
];
/// Longest prefetch queue that librdkafka takes, in KiB.
const QUEUE_KIB_MAX: usize = 2_097_151;
/// Smallest prefetch queue of a partition: one message of usual size at least, and no empty fetches.
const QUEUE_KIB_MIN: usize = 256;

impl KafkaOptions {
    /// Reads an address: `kafka://HOST[:PORT][,HOST[:PORT]...]`, port 9092 unless given.
    ///
    /// # Errors
    /// [`PortErrorKind::Invalid`], naming what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, PortError> {
        let invalid = |why: &str| {
            PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "the address `{}` {why}; write kafka://HOST:PORT[,HOST:PORT]",
                    shown(url)
                ),
            )
        };
        let rest = match url.split_once("://") {
            Some(("kafka", rest)) => rest,
            Some((scheme, _)) => return Err(invalid(&format!("has the scheme `{scheme}`"))),
            None => return Err(invalid("has no scheme")),
        };
        if rest.contains('@') {
            return Err(invalid(
                "holds credentials, which belong into the properties `sasl.username` and \
                 `sasl.password`",
            ));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let servers = rest
            .split(',')
            .map(server)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| invalid(&why))?;
        Ok(Self::at(servers.join(","), url))
    }

    /// librdkafka's mock cluster with one broker, in this process and for all of its buses: for quick
    /// tests. It is **not a broker**; it knows no retention, no settings of topics and no time.
    #[must_use]
    pub fn mock() -> Self {
        Self {
            mock: true,
            ..Self::at(String::new(), "mock-kafka://")
        }
    }

    /// Options for brokers at these addresses.
    pub(crate) fn at(servers: String, url: &str) -> Self {
        Self {
            servers,
            shown: url.into(),
            mock: false,
            name: "procession".into(),
            protocol: GroupProtocol::default(),
            session_timeout: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
            partitioner: Partitioner::default(),
            prefetch_bytes: 16 << 20,
            replicas: None,
            connect_within: Duration::from_secs(5),
            properties: BTreeMap::new(),
        }
    }

    /// Checks what was given beside the address.
    pub(crate) fn validate(&self) -> Result<(), PortError> {
        for name in self.properties.keys() {
            if OWN.contains(&name.as_str()) {
                return Err(PortError::new(
                    PortErrorKind::Invalid,
                    format!(
                        "the property `{name}` is set by Procession itself, because order and \
                         delivery depend on it; leave it out"
                    ),
                ));
            }
        }
        self.client()
            .create_native_config()
            .map(drop)
            .map_err(|error| {
                PortError::new(
                    PortErrorKind::Invalid,
                    format!("a property of the Kafka client cannot be set: {error}"),
                )
            })
    }

    /// What every client has.
    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", &self.servers)
            .set("client.id", &self.name)
            // A restarted broker is found again soon; the default lets it wait for 10 s.
            .set("reconnect.backoff.ms", "20")
            .set("reconnect.backoff.max.ms", "500")
            .set("topic.metadata.refresh.fast.interval.ms", "50")
            .set("topic.metadata.propagation.max.ms", "5000")
            .set("allow.auto.create.topics", "false")
            .set("socket.nagle.disable", "true");
        config
    }

    /// The client that reads: it never takes part in the group, and shares its name only because
    /// librdkafka wants one.
    pub(crate) fn fetcher(&self, group: &str, partitions: u32) -> ClientConfig {
        let partitions = usize::try_from(partitions.max(1)).unwrap_or(1);
        let share = self.prefetch_bytes / partitions / 1_024;
        let queue = share.clamp(QUEUE_KIB_MIN, QUEUE_KIB_MAX);
        let mut config = self.consumer(group);
        config
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            // Each partition has a queue of its own, so this is per partition.
            .set("queued.max.messages.kbytes", queue.to_string())
            .set(
                "fetch.message.max.bytes",
                (queue * 1_024).min(1 << 20).to_string(),
            )
            .set("fetch.queue.backoff.ms", "5")
            // A partition that joins waits for the fetch that is under way.
            .set("fetch.wait.max.ms", "100")
            .set("fetch.error.backoff.ms", "100");
        config
    }

    /// The client that is the member of the group: rebalances and commits.
    pub(crate) fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.consumer(group);
        // What it is assigned is paused at once; should something be fetched even so, it is little.
        config
            .set("queued.min.messages", "1")
            .set("queued.max.messages.kbytes", "1")
            .set("fetch.message.max.bytes", "1024")
            // The thread polls all the time, whatever the handlers do.
            .set("max.poll.interval.ms", "300000")
            // An answer that takes longer does not come any more: unknown, and written again.
            .set("socket.timeout.ms", "10000");
        let strategy = match self.protocol {
            GroupProtocol::Consumer => {
                config.set("group.protocol", "consumer");
                return config;
            }
            GroupProtocol::Cooperative => "cooperative-sticky",
            GroupProtocol::Eager => "range,roundrobin",
        };
        let session = self.session_timeout.as_millis();
        config
            .set("partition.assignment.strategy", strategy)
            .set("session.timeout.ms", session.to_string())
            .set(
                "heartbeat.interval.ms",
                (session / 6).clamp(100, 3_000).to_string(),
            );
        config
    }

    /// A client that reads a log once, outside of any group.
    pub(crate) fn reader(&self) -> ClientConfig {
        let mut config = self.consumer("procession-audit");
        config
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "50");
        config
    }

    fn consumer(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Where to begin is the core's decision; a place that is not there is an error.
            .set("auto.offset.reset", "error");
        config
    }
}

fn server(text: &str) -> Result<String, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port),
        _ => (text, "9092"),
    };
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err(format!("has no host in `{text}`"));
    }
    match port.parse::<u16>() {
        Ok(port) if port != 0 => Ok(format!("{host}:{port}")),
        _ => Err(format!("has the port `{port}`, which is not 1 to 65535")),
    }
}

/// The address without what somebody put before the host.
fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}***@{}", &url[..scheme + 3], &url[at + 1..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses() {
        for (url, servers) in [
            ("kafka://127.0.0.1:9092", "127.0.0.1:9092"),
            ("kafka://a,b:9093/", "a:9092,b:9093"),
            ("kafka://[::1]:9094", "[::1]:9094"),
        ] {
            assert_eq!(KafkaOptions::parse(url).unwrap().servers, servers);
        }
    }

    #[test]
    fn refuses_others_and_says_why() {
        for (url, why) in [
            ("127.0.0.1:9092", "no scheme"),
            ("nats://h:1", "scheme `nats`"),
            ("kafka://", "no host"),
            ("kafka://a,,b", "no host"),
            ("kafka://h:0", "port `0`"),
            ("kafka://h:x", "port `x`"),
            ("kafka://h:70000", "port `70000`"),
            ("kafka://u:hidden@h:1", "sasl.username"),
        ] {
            let error = KafkaOptions::parse(url).unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Invalid);
            let text = error.to_string();
            assert!(
                text.contains(why) && text.contains("write kafka://"),
                "{url}: {text}"
            );
            assert!(!text.contains("hidden"), "{text}");
        }
    }

    #[test]
    fn properties_that_the_port_depends_on_are_refused() {
        let mut options = KafkaOptions::parse("kafka://h").unwrap();
        for (name, value) in [
            ("enable.auto.commit", "true"),
            ("max.in.flight", "5"),
            ("acks", "1"),
            ("no.such.thing", "1"),
        ] {
            options.properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            let error = options.validate().unwrap_err();
            assert!(error.message.contains(name), "{error}");
        }
        options.properties = BTreeMap::from([("client.rack".to_owned(), "r1".to_owned())]);
        options.validate().unwrap();
    }

    #[test]
    fn the_consumer_protocol_gets_no_classic_keys() {
        let mut options = KafkaOptions::parse("kafka://h").unwrap();
        options.protocol = GroupProtocol::Consumer;
        let config = options.member("g");
        assert_eq!(config.get("group.protocol"), Some("consumer"));
        assert_eq!(config.get("session.timeout.ms"), None);
        assert_eq!(config.get("heartbeat.interval.ms"), None);
        assert_eq!(config.get("partition.assignment.strategy"), None);
        options.protocol = GroupProtocol::Eager;
        let config = options.member("g");
        assert_eq!(
            config.get("partition.assignment.strategy"),
            Some("range,roundrobin")
        );
        config.create_native_config().unwrap();
    }
}

//! Table `[bus.kafka]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SettingsError;
use super::reader::Reader;
use super::value::{self, Unfit, Value};

/// How the members of a Kafka group agree on who owns what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KafkaGroupProtocol {
    /// The classic protocol, cooperative: partitions that stay are not touched by a rebalance.
    #[default]
    Cooperative,
    /// The classic protocol, eager: for groups that have members with no other strategy.
    Eager,
    /// The consumer protocol of KIP-848, for brokers from 4.0.
    Consumer,
}

/// How a key becomes a partition on Kafka; all producers of a topic must agree.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KafkaPartitioner {
    /// What Java's default partitioner and Kafka's own tools do.
    #[default]
    Murmur2Random,
    /// What sarama does.
    Fnv1aRandom,
}

/// What speaks of Kafka only: table `[bus.kafka]`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KafkaSettings {
    /// `cooperative` (default), `eager`, `consumer`.
    pub group_protocol: KafkaGroupProtocol,
    /// how long a member may be silent before its partitions go to others.
    /// Default 10 s; under the consumer protocol the broker's own setting counts.
    pub session_timeout: Duration,
    /// how long handing a partition over may take: what runs is finished and
    /// committed. Default 5 s.
    pub hand_over: Duration,
    /// bytes that a subscription fetches ahead, over all partitions of its
    /// topic. Default 8 MiB.
    pub prefetch_bytes: u64,
    /// `murmur2_random` (default) or `fnv1a_random`.
    pub partitioner: KafkaPartitioner,
    /// replicas of topics that are created. Default: what the broker has set.
    pub replicas: Option<u16>,
    /// more properties of librdkafka, as `name=value; name=value`. Those on which
    /// order and delivery depend are refused.
    pub properties: BTreeMap<String, String>,
}

impl Default for KafkaSettings {
    fn default() -> Self {
        Self {
            group_protocol: KafkaGroupProtocol::default(),
            session_timeout: Duration::from_secs(10),
            hand_over: Duration::from_secs(5),
            prefetch_bytes: 8 << 20,
            partitioner: KafkaPartitioner::default(),
            replicas: None,
            properties: BTreeMap::new(),
        }
    }
}

impl KafkaSettings {
    pub(super) fn apply(&mut self, mut r: Reader<'_>) -> Result<(), SettingsError> {
        use KafkaGroupProtocol as G;
        use KafkaPartitioner as P;
        const PROTOCOLS: &[(&str, G)] = &[
            ("cooperative", G::Cooperative),
            ("eager", G::Eager),
            ("consumer", G::Consumer),
        ];
        const PARTITIONERS: &[(&str, P)] = &[
            ("murmur2_random", P::Murmur2Random),
            ("fnv1a_random", P::Fnv1aRandom),
        ];
        r.word("group_protocol", PROTOCOLS, |p| self.group_protocol = p)?;
        r.duration("session_timeout", &mut self.session_timeout)?;
        r.duration("hand_over", &mut self.hand_over)?;
        r.bytes("prefetch_bytes", &mut self.prefetch_bytes)?;
        r.word("partitioner", PARTITIONERS, |p| self.partitioner = p)?;
        let replicas = |v: &Value| {
            u16::try_from(value::number(v)?).map_err(|_| ("too large", "write 1 to 65535"))
        };
        r.some("replicas", &mut self.replicas, replicas)?;
        let mut properties = None;
        r.some("properties", &mut properties, pairs)?;
        self.properties.extend(properties.unwrap_or_default());
        r.finish()
    }

    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        let bad = |field: &str, value: String, fix: &str| {
            let field = format!("bus.kafka.{field}");
            Err(SettingsError::new(field, value, "", "out of range", fix))
        };
        let spans = [
            (
                "session_timeout",
                self.session_timeout,
                Duration::from_secs(3_600),
            ),
            // Well below the time after which a member that does not answer is thrown out.
            ("hand_over", self.hand_over, Duration::from_secs(120)),
        ];
        for (field, span, max) in spans {
            if span < Duration::from_millis(100) || max < span {
                let fix = format!("allowed is 100ms to {}s", max.as_secs());
                return bad(field, format!("{span:?}"), &fix);
            }
        }
        if self.prefetch_bytes < 1 << 16 {
            let value = self.prefetch_bytes.to_string();
            return bad("prefetch_bytes", value, "allowed is at least 64KiB");
        }
        if self.replicas == Some(0) {
            return bad("replicas", "0".into(), "allowed is at least 1");
        }
        Ok(())
    }
}

/// `name=value; name=value`.
fn pairs(value: &Value) -> Result<BTreeMap<String, String>, Unfit> {
    const UNFIT: Unfit = (
        "not a list of properties",
        "write name=value; name=value, for instance \"client.rack=a; compression.type=lz4\"",
    );
    let text = value::text(value)?;
    text.split(';')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or(UNFIT)?;
            let name = name.trim();
            (!name.is_empty())
                .then(|| (name.to_owned(), value.trim().to_owned()))
                .ok_or(UNFIT)
        })
        .collect()
}

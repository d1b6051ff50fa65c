//! Connecting a bus.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

use procession_memory::MemoryBroker;
use procession_runtime::Spawner as _;
use procession_runtime::port::{Broker, TopicMode};
use procession_runtime::publisher::{PublisherOptions, publisher};
use procession_runtime::tokio::TokioShell;

use crate::bus::{Bus, Inner};
use crate::credit::Credit;
use crate::fan_out::FanOut;
use crate::observe::Observe;
use crate::topics::Topics;
use crate::wire::Binding;
use crate::{Error, Settings, SettingsError};

/// A change that the program makes to settings.
type Change = Box<dyn FnOnce(&mut Settings) + Send>;

/// Settings and parts of a bus that is about to connect.
#[must_use = "a bus connects when `connect` is awaited"]
pub struct BusBuilder {
    url: String,
    file: Option<PathBuf>,
    settings: Option<Settings>,
    changes: Vec<Change>,
    observers: Vec<Arc<dyn Observe>>,
    broker: Option<Arc<dyn Broker>>,
}

impl BusBuilder {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            file: None,
            settings: None,
            changes: Vec::new(),
            observers: Vec::new(),
            broker: None,
        }
    }

    /// Reads settings from this TOML file; the environment overrides it.
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Takes these settings in place of those of the environment.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Changes settings in the program; this overrides environment and file.
    ///
    /// ```
    /// # use procession::Bus;
    /// # use std::time::Duration;
    /// let builder = Bus::builder("memory://").with(|settings| {
    ///     settings.publish.deadline = Duration::from_secs(10);
    ///     settings.subscribe.attempts = 3;
    /// });
    /// # drop(builder);
    /// ```
    pub fn with(mut self, change: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Lets this observer see everything that the bus does with messages. Several may: each sees all.
    pub fn observer(mut self, observer: Arc<dyn Observe>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Uses a broker that is connected already, of whatever kind; the address only names it.
    pub fn broker(mut self, broker: Arc<dyn Broker>) -> Self {
        self.broker = Some(broker);
        self
    }

    /// Connects, and proves that the broker is there.
    ///
    /// # Errors
    /// An address or setting that cannot be, a broker that does not answer within
    /// `bus.connect_timeout`.
    pub async fn connect(self) -> Result<Bus, Error> {
        let shell = tokio::runtime::Handle::try_current()
            .map(TokioShell::new)
            .map_err(|_| Error::NoRuntime)?;
        let mut settings = match self.settings {
            Some(settings) => settings,
            None => Settings::load(self.file.as_deref())?,
        };
        for change in self.changes {
            change(&mut settings);
        }
        settings.validate()?;
        let broker = match self.broker {
            Some(broker) => broker,
            None => connect(&self.url, &settings, &shell).await?,
        };
        let info = broker.info();
        let jitter_seed = settings.bus.jitter_seed.unwrap_or_else(random);
        let mut observers = self.observers;
        let observer: Option<Arc<dyn Observe>> = match observers.len() {
            0 | 1 => observers.pop(),
            _ => Some(Arc::new(FanOut(observers))),
        };
        let publishes = match &observer {
            Some(observer) => observer.publisher(),
            None => Box::new(crate::observe::NoPublishObserver),
        };
        let mut options = PublisherOptions {
            core: settings.publish.to_core(jitter_seed),
            ..PublisherOptions::default()
        };
        options.core.pipelining = info.pipelining;
        let sink = broker.sink().await?;
        let (handle, driver) = publisher(sink, shell.clone(), publishes, options)
            .map_err(|error| SettingsError::from_core("publish", error))?;
        shell.spawn(Box::pin(driver));
        let own_mode = match info.kind {
            "memory" => TopicMode::Create,
            _ => TopicMode::Validate,
        };
        let name = executable();
        let source = settings.bus.source.clone();
        let member = settings.bus.member.clone();
        Ok(Bus {
            inner: Arc::new(Inner {
                binding: Binding::of(info.kind),
                info,
                broker,
                topic_mode: settings.bus.topics.unwrap_or(own_mode),
                source: source.unwrap_or_else(|| name.clone()).into(),
                member: member.unwrap_or_else(|| unique_member(&name)).into(),
                lane_seed: settings.bus.lane_seed.unwrap_or_else(random),
                jitter_seed,
                shell,
                publisher: handle,
                topics: Topics::default(),
                credit: Arc::new(Credit::new(
                    settings.bus.credit_messages,
                    settings.bus.credit_bytes,
                )),
                observer,
                closed: AtomicBool::new(false),
                settings,
            }),
        })
    }
}

/// Connects to the broker behind an address.
async fn connect(
    url: &str,
    settings: &Settings,
    shell: &TokioShell,
) -> Result<Arc<dyn Broker>, Error> {
    let shown = without_credentials(url);
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("memory") => {
            let own = settings.bus.memory_log_bytes;
            let limits = procession_memory::Settings {
                log_bytes: usize::try_from(own).unwrap_or(usize::MAX),
                ..procession_memory::Settings::default()
            };
            let broker = MemoryBroker::connect_with(url, shell.clone(), limits)?;
            Ok(Arc::new(broker))
        }
        Some("nats" | "tls") => nats(url, settings, shown).await,
        Some("kafka" | "mock-kafka") => kafka(url, settings, shown).await,
        Some(scheme) => Err(Error::Address {
            url: shown,
            problem: format!("has the unknown scheme `{scheme}`"),
        }),
        None => Err(Error::Address {
            url: shown,
            problem: "has no scheme".to_owned(),
        }),
    }
}

#[cfg(feature = "nats")]
async fn nats(url: &str, settings: &Settings, _shown: String) -> Result<Arc<dyn Broker>, Error> {
    let mut options = procession_nats::NatsOptions::parse(url)?;
    options.connect_within = settings.bus.connect_timeout;
    options
        .credentials_file
        .clone_from(&settings.bus.credentials_file);
    options.nkey_file.clone_from(&settings.bus.nkey_file);
    options.tls = tls(&settings.bus.tls);
    let broker = procession_nats::NatsBroker::connect(options).await?;
    Ok(Arc::new(broker))
}

#[cfg(feature = "nats")]
fn tls(settings: &crate::settings::TlsSettings) -> procession_nats::TlsOptions {
    procession_nats::TlsOptions {
        ca_file: settings.ca_file.clone(),
        cert_file: settings.cert_file.clone(),
        key_file: settings.key_file.clone(),
        handshake_first: settings.handshake_first,
    }
}

#[cfg(not(feature = "nats"))]
async fn nats(_url: &str, _settings: &Settings, shown: String) -> Result<Arc<dyn Broker>, Error> {
    Err(Error::NotBuilt {
        url: shown,
        kind: "nats",
        fix: "build the crate `procession` with its feature `nats`",
    })
}

#[cfg(feature = "kafka")]
async fn kafka(url: &str, settings: &Settings, _shown: String) -> Result<Arc<dyn Broker>, Error> {
    use crate::{KafkaGroupProtocol, KafkaPartitioner};
    use procession_kafka::{GroupProtocol, Partitioner};

    let mut options = match url {
        "mock-kafka://" => procession_kafka::KafkaOptions::mock(),
        url => procession_kafka::KafkaOptions::parse(url)?,
    };
    let own = &settings.bus.kafka;
    options.connect_within = settings.bus.connect_timeout;
    options.protocol = match own.group_protocol {
        KafkaGroupProtocol::Cooperative => GroupProtocol::Cooperative,
        KafkaGroupProtocol::Eager => GroupProtocol::Eager,
        KafkaGroupProtocol::Consumer => GroupProtocol::Consumer,
    };
    options.partitioner = match own.partitioner {
        KafkaPartitioner::Murmur2Random => Partitioner::Murmur2Random,
        KafkaPartitioner::Fnv1aRandom => Partitioner::Fnv1aRandom,
    };
    options.session_timeout = own.session_timeout;
    options.hand_over = own.hand_over;
    options.prefetch_bytes = usize::try_from(own.prefetch_bytes).unwrap_or(usize::MAX);
    options.replicas = own.replicas;
    options.properties.clone_from(&own.properties);
    let broker = procession_kafka::KafkaBroker::connect(options).await?;
    Ok(Arc::new(broker))
}

#[cfg(not(feature = "kafka"))]
async fn kafka(_url: &str, _settings: &Settings, shown: String) -> Result<Arc<dyn Broker>, Error> {
    Err(Error::NotBuilt {
        url: shown,
        kind: "kafka",
        fix: "build the crate `procession` with its feature `kafka`",
    })
}

/// The address without user, password or token: errors and logs show it.
fn without_credentials(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://***@{hosts}"),
        _ => url.to_owned(),
    }
}

/// The name of the program that runs.
fn executable() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(|path| path.file_stem());
    let name = name.map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "procession".to_owned())
}

/// A member's name that no other bus of this machine has.
fn unique_member(executable: &str) -> String {
    static BUSES: AtomicU64 = AtomicU64::new(1);
    let number = BUSES.fetch_add(1, Ordering::Relaxed);
    format!("{executable}-{}-{number}", std::process::id())
}

/// A random number, from the seed of the standard library's hash maps.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        let table = [
            ("nats://u:p@h:1", "nats://***@h:1"),
            ("nats://h:1", "nats://h:1"),
            ("u:p@h", "u:p@h"),
        ];
        for (url, shown) in table {
            assert_eq!(without_credentials(url), shown);
        }
        assert_ne!(random(), random());
        assert_ne!(unique_member("x"), unique_member("x"));
    }
}

//! Brokers to test against, and buses on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use procession::observe::Observe;
use procession::{Bus, BusBuilder, Settings};
use procession_memory::MemoryBroker;
use procession_runtime::tokio::TokioShell;

use crate::runner::Skip;
use crate::servers::{self, Server};

/// Which broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// In this process.
    Memory,
    /// A real nats-server.
    Nats,
    /// A real Apache Kafka.
    Kafka,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Nats, Self::Kafka];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nats => "nats",
            Self::Kafka => "kafka",
        }
    }
}

/// A broker for the length of one case.
pub struct Venue {
    /// Which one.
    pub kind: Kind,
    /// Its address.
    pub url: String,
    name: String,
    /// A connection of the test's own: it keeps an in-process broker alive while the case restarts
    /// its buses, and does harm on demand.
    memory: Option<MemoryBroker<TokioShell>>,
    _server: Option<Server>,
}

/// Settings of all cases; a case changes what it is about. Topics get three partitions.
const SETTINGS: &str = r#"
[bus]
topics = "create"
[publish]
deadline = "20s"
[subscribe]
lease = "3s"
handler_timeout = "20s"
"#;

impl Venue {
    /// A broker for the case `name`. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// It cannot be had here.
    pub fn open(kind: Kind, name: &str) -> Result<Self, Skip> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        let mut venue = Self {
            kind,
            url: format!("memory://{name}"),
            name,
            memory: None,
            _server: None,
        };
        match kind {
            Kind::Memory => {
                let broker = MemoryBroker::connect(&venue.url, TokioShell::current());
                venue.memory = Some(broker.expect("an in-process broker is always there"));
            }
            Kind::Nats | Kind::Kafka => {
                let server = if kind == Kind::Nats {
                    servers::nats()?
                } else {
                    servers::kafka()?
                };
                venue.url.clone_from(&server.url);
                venue._server = Some(server);
            }
        }
        Ok(venue)
    }

    /// A topic's name that no other case uses.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{name}-{}", self.name)
    }

    /// A group's name that no other case uses: on Kafka the members of all topics of a group take part
    /// in its rebalances.
    #[must_use]
    pub fn group(&self, name: &str) -> String {
        format!("{name}-{}", self.name)
    }

    /// A bus of its own connection.
    pub async fn bus(&self) -> Bus {
        self.bus_with(|_| {}).await
    }

    /// A bus with other settings.
    pub async fn bus_with(&self, change: impl FnOnce(&mut Settings) + Send + 'static) -> Bus {
        connected(self.builder().with(change)).await
    }

    /// A bus that is watched.
    pub async fn bus_watched(&self, observer: Arc<dyn Observe>) -> Bus {
        connected(self.builder().observer(observer)).await
    }

    /// A bus that is about to connect.
    pub fn builder(&self) -> BusBuilder {
        builder(&self.url)
    }

    /// The in-process broker, to do harm to; `None` for a real one.
    #[must_use]
    pub const fn memory(&self) -> Option<&MemoryBroker<TokioShell>> {
        self.memory.as_ref()
    }
}

/// A bus with the settings of tests, that is about to connect.
pub fn builder(url: &str) -> BusBuilder {
    let settings = Settings::from_toml(SETTINGS).expect("the settings of tests are valid");
    Bus::builder(url).settings(settings).with(|settings| {
        settings.subscribe.backoff_first = Duration::from_millis(20);
    })
}

async fn connected(builder: BusBuilder) -> Bus {
    builder.connect().await.expect("the broker is there")
}

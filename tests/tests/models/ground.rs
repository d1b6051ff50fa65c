//! A broker with a topic of one partition, and the harm that is done to it from outside.

use std::time::Duration;

use procession_core::Span;
use procession_kafka::{KafkaBroker, KafkaOptions};
use procession_memory::MemoryBroker;
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{
    Broker, FeedSpec, LeaseSpec, StartAt, Storage, TopicMode, TopicSpec,
};
use procession_runtime::tokio::TokioShell;
use procession_tests::raw_nats::Raw;
use procession_tests::runner::Skip;
use procession_tests::servers::{self, Server};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::json;

/// Which broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Which {
    /// In this process.
    Memory,
    /// A real nats-server.
    Nats,
    /// A real Apache Kafka.
    Kafka,
}

impl Which {
    pub(crate) const ALL: [Self; 3] = [Self::Memory, Self::Nats, Self::Kafka];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nats => "nats",
            Self::Kafka => "kafka",
        }
    }
}

/// A broker, and what is needed to harm it.
pub(crate) struct Ground {
    pub(crate) which: Which,
    pub(crate) broker: Box<dyn Broker>,
    pub(crate) topic: String,
    server: Option<Server>,
}

impl Ground {
    pub(crate) async fn open(which: Which) -> Result<Self, Skip> {
        let topic = format!("model-{}-{}", which.name(), std::process::id());
        let mut server = None;
        let broker: Box<dyn Broker> = match which {
            Which::Memory => {
                Box::new(MemoryBroker::connect("memory://", TokioShell::current()).unwrap())
            }
            Which::Nats => {
                let running = server.insert(servers::nats()?);
                let options = NatsOptions::parse(&running.url).unwrap();
                Box::new(NatsBroker::connect(options).await.unwrap())
            }
            Which::Kafka => {
                let running = server.insert(servers::kafka()?);
                let mut options = KafkaOptions::parse(&running.url).unwrap();
                options.session_timeout = Duration::from_secs(6);
                Box::new(KafkaBroker::connect(options).await.unwrap())
            }
        };
        let ground = Self {
            which,
            broker,
            topic,
            server,
        };
        ground.create().await;
        Ok(ground)
    }

    /// Makes the topic.
    pub(crate) async fn create(&self) {
        let spec = TopicSpec {
            name: self.topic.as_str().into(),
            partitions: Some(1),
            storage: Storage::File,
            mode: TopicMode::Create,
            duplicate_window: Span::from_secs(60),
            layout: None,
        };
        self.broker.topic(spec).await.unwrap();
    }

    pub(crate) fn feed_spec(&self) -> FeedSpec {
        FeedSpec {
            topic: self.topic.as_str().into(),
            group: format!("g-{}", self.topic).into(),
            member: "scribe".into(),
            start: StartAt::Earliest,
            lease: LeaseSpec {
                lease: Span::from_secs(15),
                margin: Span::from_secs(2),
            },
            message_bytes_max: 1 << 20,
        }
    }

    /// Deletes one message.
    pub(crate) fn delete(&self, position: u64) {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{}", self.topic);
        let done = self.nats().request(&subject, &json!({"seq": position}));
        assert_eq!(done["success"], json!(true), "{done}");
    }

    /// Takes away everything below a position, as retention does.
    pub(crate) async fn retain(&self, position: u64) {
        if self.which == Which::Nats {
            let subject = format!("$JS.API.STREAM.PURGE.{}", self.topic);
            let done = self.nats().request(&subject, &json!({"seq": position}));
            assert_eq!(done["success"], json!(true), "{done}");
            return;
        }
        let mut list = TopicPartitionList::new();
        let offset = Offset::Offset(i64::try_from(position).unwrap());
        list.add_partition_offset(&self.topic, 0, offset).unwrap();
        let options = AdminOptions::new();
        self.admin().delete_records(&list, &options).await.unwrap();
    }

    /// Deletes the topic and makes it anew.
    pub(crate) async fn recreate(&self) {
        if self.which == Which::Nats {
            let subject = format!("$JS.API.STREAM.DELETE.{}", self.topic);
            let done = self.nats().request(&subject, &serde_json::Value::Null);
            assert_eq!(done["success"], json!(true), "{done}");
        } else {
            let options = AdminOptions::new();
            let deleted = self.admin().delete_topics(&[&self.topic], &options).await;
            deleted.unwrap();
            // It goes in the background.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.create().await;
    }

    /// Stores one message in a transaction; what ends it takes a position of its own, so that the log
    /// ends at `end`.
    pub(crate) fn transaction(&self, end: u64) {
        let mut config = self.client();
        config.set("transactional.id", format!("{}-scribe", self.topic));
        let producer: BaseProducer = config.create().unwrap();
        let within = Duration::from_secs(10);
        producer.init_transactions(within).unwrap();
        producer.begin_transaction().unwrap();
        let record: BaseRecord<'_, str, str> =
            BaseRecord::to(&self.topic).partition(0).payload("x");
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(within).unwrap();
        producer.commit_transaction(within).unwrap();
        // The marker is written a moment after the answer.
        let began = std::time::Instant::now();
        let high = || producer.client().fetch_watermarks(&self.topic, 0, within);
        while high().unwrap().1 < i64::try_from(end).unwrap() {
            assert!(began.elapsed() < within, "no marker");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn nats(&self) -> Raw {
        let url = self.server.as_ref().map_or("", |server| &server.url);
        let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
        Raw::connect(port.unwrap())
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    fn client(&self) -> ClientConfig {
        let url = self.server.as_ref().map_or("", |server| &server.url);
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", url.trim_start_matches("kafka://"));
        config
    }
}

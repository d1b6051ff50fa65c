//! A broker with a topic of one partition, and the harm that is done to it from outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use procession_cli::brokers::{
    KafkaOptions as KafkaServer, NatsOptions as ServerOptions, RunningServer,
};
use procession_core::{Epoch, PartitionId, Span};
use procession_kafka::{KafkaBroker, KafkaOptions};
use procession_memory::MemoryBroker;
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::keeper::{Progress, record_key};
use procession_runtime::port::{
    Broker, FeedSpec, LeaseSpec, StartAt, Storage, TopicMode, TopicSpec,
};
use procession_runtime::tokio::TokioShell;
use procession_tests::raw_nats::Raw;
use procession_tests::runner::Skip;
use procession_tests::servers;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
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
    /// librdkafka's mock cluster: what quick tests rely on.
    Mock,
}

impl Which {
    pub(crate) const ALL: [Self; 4] = [Self::Memory, Self::Nats, Self::Kafka, Self::Mock];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Nats => "nats",
            Self::Kafka => "kafka",
            Self::Mock => "mock",
        }
    }
}

/// A broker, and what is needed to harm it.
pub(crate) struct Ground {
    pub(crate) which: Which,
    pub(crate) broker: Box<dyn Broker>,
    pub(crate) topic: String,
    /// A server of our own, to stop and to harm.
    own: Option<Mutex<RunningServer>>,
}

impl Ground {
    pub(crate) async fn open(which: Which) -> Result<Self, Skip> {
        let topic = format!("model-{}-{}", which.name(), std::process::id());
        let mut own = None;
        let broker: Box<dyn Broker> = match which {
            Which::Memory => {
                Box::new(MemoryBroker::connect("memory://", TokioShell::current()).unwrap())
            }
            Which::Nats => {
                let running = servers::own_nats(ServerOptions::default())?;
                let options = NatsOptions::parse(&running.url).unwrap();
                own = Some(Mutex::new(running));
                Box::new(NatsBroker::connect(options).await.unwrap())
            }
            Which::Kafka => {
                let running = servers::own_kafka(KafkaServer::default())?;
                let mut options = KafkaOptions::parse(&running.url).unwrap();
                options.session_timeout = Duration::from_secs(6);
                own = Some(Mutex::new(running));
                Box::new(KafkaBroker::connect(options).await.unwrap())
            }
            Which::Mock => {
                let mut options = KafkaOptions::mock();
                options.session_timeout = Duration::from_secs(6);
                Box::new(KafkaBroker::connect(options).await.unwrap())
            }
        };
        let ground = Self {
            which,
            broker,
            topic,
            own,
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
            batches: false,
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
                lease: Span::from_secs(3),
                margin: Span::from_millis(500),
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

    /// The partition is taken from its owner, who is not asked. On NATS by somebody who saw no renewal for
    /// a lease: the record says so. On Kafka by the group: it puts the member out, and goes on without it.
    pub(crate) fn take_over(&self) {
        if self.which == Which::Kafka {
            self.put_out();
            return;
        }
        let spec = self.feed_spec();
        let key = record_key(&spec.group, &self.topic, &self.topic, PartitionId(0));
        let subject = format!("$KV.procession-progress.{key}");
        let mut raw = self.nats();
        let found = raw.request(
            "$JS.API.STREAM.MSG.GET.KV_procession-progress",
            &json!({"last_by_subj": subject}),
        );
        let data = found["message"]["data"].as_str().unwrap();
        let mut record = Progress::decode(&BASE64.decode(data).unwrap()).unwrap();
        record.owner = "somebody else".into();
        record.epoch = Epoch(record.epoch.0 + 1);
        record.write = 1;
        let json = serde_json::from_slice(&record.encode()).unwrap();
        let stored = raw.request(&subject, &json);
        assert!(stored["seq"].is_u64(), "{stored}");
    }

    /// Takes the only member out of its group, as an administrator does.
    fn put_out(&self) {
        let group = self.feed_spec().group;
        let within = Duration::from_secs(10);
        let consumer: BaseConsumer = self.client().create().unwrap();
        let groups = consumer.fetch_group_list(Some(&group), within).unwrap();
        let [member] = groups.groups()[0].members() else {
            panic!("not one member: {groups:?}", groups = groups.groups());
        };
        let port = self.own.as_ref().unwrap().lock().unwrap().port;
        leave_group(port, &group, member.id());
    }

    /// Keeps a copy of the log aside, as a backup does.
    pub(crate) fn keep_copy(&self) {
        self.harm(copy_files);
    }

    /// Puts the copy in the place of the log: what came after it is lost.
    pub(crate) fn restore_copy(&self) {
        self.harm(|log, copy| {
            std::fs::remove_dir_all(log).unwrap();
            copy_files(copy, log);
        });
    }

    /// Does something to the files of the log and their copy while the server is down.
    fn harm(&self, harm: impl FnOnce(&Path, &Path)) {
        let mut server = self.own.as_ref().unwrap().lock().unwrap();
        server.stop();
        let log = match self.which {
            Which::Nats => format!("data/jetstream/$G/streams/{}", self.topic),
            Which::Kafka => format!("data/{}-0", self.topic),
            Which::Memory | Which::Mock => unreachable!("it has no files"),
        };
        let log = server.dir.join(log);
        assert!(log.is_dir(), "no log at {}", log.display());
        harm(&log, &server.dir.join("copy"));
        server.restart().unwrap();
    }

    fn nats(&self) -> Raw {
        Raw::connect(self.own.as_ref().unwrap().lock().unwrap().port)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().unwrap()
    }

    fn client(&self) -> ClientConfig {
        let server = self.own.as_ref().unwrap().lock().unwrap();
        let mut config = ClientConfig::new();
        config.set(
            "bootstrap.servers",
            server.url.trim_start_matches("kafka://"),
        );
        config
    }
}

/// A LeaveGroup request, version 3, in the name of a member. What librdkafka sends it for itself, it offers
/// to nobody.
fn leave_group(port: u16, group: &str, member: &str) {
    const KEY: u16 = 13;
    const VERSION: u16 = 3;
    let mut body: Vec<u8> = Vec::new();
    let text = |body: &mut Vec<u8>, text: &str| {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    };
    body.extend(KEY.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    body.extend(7u32.to_be_bytes());
    text(&mut body, "scribe");
    text(&mut body, group);
    body.extend(1u32.to_be_bytes());
    text(&mut body, member);
    // No instance.
    body.extend((-1i16).to_be_bytes());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .write_all(&(body.len() as u32).to_be_bytes())
        .unwrap();
    stream.write_all(&body).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut answer).unwrap();
    // Its number, how long to wait, and what is wrong with all of it and with the one member.
    assert_eq!(answer[..4], 7u32.to_be_bytes());
    assert_eq!(answer[8..10], [0, 0], "{answer:?}");
    assert_eq!(answer[answer.len() - 2..], [0, 0], "{answer:?}");
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_files(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

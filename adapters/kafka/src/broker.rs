//! Kafka as a broker: the client of its administration, and what hangs on it.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use procession_core::Span;
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{
    BoxFuture, Broker, BrokerInfo, Feed, FeedCommand, FeedSpec, PortError, PortErrorKind, Record,
    Sink, SinkCommand, TopicInfo, TopicMode, TopicSpec,
};
use procession_runtime::{check_group_name, check_topic_name};
use rdkafka::admin::ResourceSpecifier;

use crate::control::Control;
use crate::feed::KafkaFeed;
use crate::metadata::MAP_MAX;
use crate::options::KafkaOptions;
use crate::sink::{KafkaSink, Known, Order};
use crate::thread::{Ended, IoThread};
use crate::{audit, errors, topics};

/// Largest message unless the broker tells another limit (Kafka's `message.max.bytes`).
const MESSAGE_MAX: usize = 1_048_588;

/// A Kafka cluster.
#[derive(Debug)]
pub struct KafkaBroker {
    control: Arc<Control>,
    known: Known,
    info: BrokerInfo,
    parts: Mutex<Parts>,
}

/// What has to end before the broker has ended.
#[derive(Debug, Default)]
struct Parts {
    closed: bool,
    feeds: Vec<(Arc<Mailbox<FeedCommand>>, Ended)>,
    sinks: Vec<(Arc<Mailbox<Order>>, Ended)>,
}

impl KafkaBroker {
    /// Connects, and proves that a broker is there. May be awaited on any runtime: the I/O happens on
    /// threads of its own.
    ///
    /// # Errors
    /// One error after at most [`KafkaOptions::connect_within`], naming the address and what to do.
    pub async fn connect(options: KafkaOptions) -> Result<Self, PortError> {
        options.validate()?;
        let mock = options.mock;
        let control = Arc::new(Control::new(options)?);
        let message_bytes_max = control
            .run(|admin, options| {
                let within = options.connect_within.max(Duration::from_millis(100));
                let metadata = admin
                    .inner()
                    .fetch_metadata(None, within)
                    .map_err(|error| {
                        let error = errors::port_error("connect", &error);
                        unreachable(options, &error)
                    })?;
                let first = metadata.brokers().first().map(|broker| broker.id());
                let settings = first
                    .filter(|_| !options.mock)
                    .and_then(|id| topics::settings(admin, ResourceSpecifier::Broker(id)));
                let max = settings
                    .as_ref()
                    .and_then(|s| topics::value(s, "message.max.bytes"));
                Ok(max.and_then(|max| max.parse().ok()).unwrap_or(MESSAGE_MAX))
            })
            .await;
        let message_bytes_max = match message_bytes_max {
            Ok(max) => max,
            Err(error) => {
                control.close(Duration::from_secs(1), &[]);
                return Err(error);
            }
        };
        Ok(Self {
            control,
            known: Known::default(),
            info: BrokerInfo {
                kind: if mock { "mock-kafka" } else { "kafka" },
                version: if mock {
                    "mock, not a broker".to_owned()
                } else {
                    // A broker does not tell its version.
                    "unknown".to_owned()
                },
                message_bytes_max,
                map_bytes_max: u32::try_from(MAP_MAX).unwrap_or(0),
                // The producer is idempotent.
                pipelining: true,
                topics_grow: true,
            },
            parts: Mutex::default(),
        })
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.feeds.retain(|(_, ended)| !ended.is_set());
        parts.sinks.retain(|(_, ended)| !ended.is_set());
        parts
    }

    async fn start_feed(&self, spec: FeedSpec) -> Result<Box<dyn Feed>, PortError> {
        let invalid = |error: &dyn core::fmt::Display| {
            PortError::new(PortErrorKind::Invalid, error.to_string())
        };
        check_topic_name(&spec.topic).map_err(|error| invalid(&error))?;
        check_group_name(&spec.group).map_err(|error| invalid(&error))?;
        let known = self.known.clone();
        let feed = self.control.run(move |admin, options| {
            let Some(partitions) = topics::look(admin, &spec.topic)? else {
                let spec = TopicSpec {
                    name: Arc::clone(&spec.topic),
                    partitions: None,
                    storage: procession_runtime::port::Storage::File,
                    mode: TopicMode::Validate,
                    duplicate_window: Span::ZERO,
                    layout: None,
                    batches: false,
                };
                return Err(topics::missing(&spec, options));
            };
            known.insert(Arc::clone(&spec.topic), partitions);
            KafkaFeed::start(spec, options, partitions, known)
        });
        let feed = feed.await?;
        let mut parts = self.parts();
        if parts.closed {
            return Err(self.control.closed());
        }
        parts.feeds.push((feed.commands(), feed.ended()));
        Ok(Box::new(feed))
    }
}

fn unreachable(options: &KafkaOptions, error: &PortError) -> PortError {
    let kind = match error.kind {
        PortErrorKind::TimedOut => PortErrorKind::Unreachable,
        kind => kind,
    };
    if kind != PortErrorKind::Unreachable {
        return error.clone();
    }
    PortError::new(
        kind,
        format!(
            "no Kafka broker can be reached at {} within {:?} ({}); start one with `procession brokers up \
             kafka`, or correct the address",
            options.shown, options.connect_within, error.message
        ),
    )
}

impl Broker for KafkaBroker {
    fn info(&self) -> BrokerInfo {
        self.info.clone()
    }

    fn topic(&self, spec: TopicSpec) -> BoxFuture<'_, Result<TopicInfo, PortError>> {
        Box::pin(async move {
            let info = self
                .control
                .run(move |admin, options| topics::ensure(admin, options, &spec))
                .await?;
            self.known.insert(Arc::clone(&info.name), info.partitions);
            Ok(info)
        })
    }

    fn feed(&self, spec: FeedSpec) -> BoxFuture<'_, Result<Box<dyn Feed>, PortError>> {
        Box::pin(self.start_feed(spec))
    }

    fn sink(&self) -> BoxFuture<'_, Result<Box<dyn Sink>, PortError>> {
        Box::pin(async move {
            let mut parts = self.parts();
            if parts.closed {
                return Err(self.control.closed());
            }
            let options = &self.control.options;
            let mut client = options.client();
            // As large as the broker takes: the client's own limit is a little lower.
            let largest = self.info.message_bytes_max.clamp(1_000, 1_000_000_000);
            client.set("message.max.bytes", largest.to_string());
            let sink = KafkaSink::start(&client, options.partitioner, self.known.clone())?;
            parts.sinks.push((sink.commands(), sink.ended()));
            Ok(Box::new(sink) as Box<dyn Sink>)
        })
    }

    fn audit(&self, topic: Arc<str>) -> BoxFuture<'_, Result<Vec<(u32, Record)>, PortError>> {
        Box::pin(
            self.control
                .run(move |admin, options| audit::read_log(admin, options, &topic)),
        )
    }

    fn close(&self, within: Span) -> BoxFuture<'_, Result<(), PortError>> {
        let mut ends = Vec::new();
        {
            let mut parts = self.parts();
            if parts.closed {
                return Box::pin(async { Ok(()) });
            }
            parts.closed = true;
            for (commands, ended) in parts.feeds.drain(..) {
                let _ = commands.push(FeedCommand::Close);
                ends.push(ended);
            }
            for (commands, ended) in parts.sinks.drain(..) {
                let _ = commands.push(Order::Command(SinkCommand::Close));
                ends.push(ended);
            }
        }
        let control = Arc::clone(&self.control);
        let shown = Arc::clone(&self.control.options.shown);
        Box::pin(async move {
            // Waiting blocks, so it is done on a thread of its own, too.
            let answer = Arc::new(Mailbox::new());
            let answered = Arc::clone(&answer);
            let mut thread = IoThread::spawn(
                "procession-kafka-close",
                move || {
                    let _ = answered.push(control.close(within.into(), &ends));
                },
                || {},
            )?;
            let mut batch = Vec::with_capacity(1);
            core::future::poll_fn(|cx| answer.poll_drain(cx, &mut batch)).await;
            // At its very end.
            thread.join();
            if batch.pop() == Some(true) {
                return Ok(());
            }
            Err(PortError::new(
                PortErrorKind::TimedOut,
                format!("closing {shown}: a feed, sink or request did not end in time"),
            ))
        })
    }
}

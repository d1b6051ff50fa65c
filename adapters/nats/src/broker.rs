//! NATS as a broker: the connection of its administration, and what hangs on it.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use procession_core::Span;
use procession_runtime::mailbox::Mailbox;
use procession_runtime::port::{
    BoxFuture, Broker, BrokerInfo, Feed, FeedCommand, FeedSpec, PortError, PortErrorKind, Record,
    Sink, SinkCommand, TopicInfo, TopicMode, TopicSpec,
};
use procession_runtime::{check_group_name, check_topic_name};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use crate::feed::{FeedPlan, NatsFeed};
use crate::jetstream::JetStream;
use crate::names::dead_letter_topic;
use crate::options::NatsOptions;
use crate::requests::Requests;
use crate::shape::Shape;
use crate::sink::{Known, NatsSink, Order};
use crate::thread::{Ended, IoThread};
use crate::wire::{ConnectError, ServerInfo, Servers, link};
use crate::{audit, records, topics};

/// A refused connection is tried again for this long: a server may just be starting.
const REFUSED_FOR: Duration = Duration::from_secs(1);
/// How often a closing broker looks whether its threads are gone.
const CLOSE_LOOK: Duration = Duration::from_millis(2);
/// The server's dedupe window of dead-letter topics.
const DEAD_LETTER_WINDOW: Span = Span::from_secs(120);

/// A NATS server with JetStream.
#[derive(Debug)]
pub struct NatsBroker {
    options: NatsOptions,
    servers: Servers,
    server: Arc<ServerInfo>,
    jetstream: JetStream,
    known: Known,
    parts: Mutex<Parts>,
}

/// What has to end before the broker has ended.
#[derive(Debug, Default)]
struct Parts {
    thread: Option<IoThread>,
    close: Option<oneshot::Sender<CloseOrder>>,
    feeds: Vec<(Arc<Mailbox<FeedCommand>>, Ended)>,
    sinks: Vec<(Arc<Mailbox<Order>>, Ended)>,
    audits: Vec<Ended>,
}

#[derive(Debug)]
struct CloseOrder {
    wait_for: Vec<Ended>,
    within: Duration,
    done: oneshot::Sender<bool>,
}

impl NatsBroker {
    /// Connects, and proves that the server is there and has JetStream. May be awaited on any
    /// runtime: the I/O happens on a thread of its own.
    ///
    /// # Errors
    /// One error after at most [`NatsOptions::connect_within`], naming the address and what to do;
    /// at once when options contradict each other or a file that they name cannot be used.
    pub async fn connect(options: NatsOptions) -> Result<Self, PortError> {
        let servers = options.servers()?;
        let (requests, mut handler) = Requests::new();
        let (reached_tx, reached) = mpsc::unbounded_channel();
        handler.report_to(reached_tx);
        let (first_tx, first) = oneshot::channel();
        let (close_tx, close) = oneshot::channel();
        let jetstream = JetStream {
            requests: requests.clone(),
            shown: Arc::clone(&servers.shown),
        };
        let name = format!("{} control", options.name);
        let beats = Duration::from_millis(100)..=Duration::from_secs(10);
        if !beats.contains(&options.heartbeat) {
            return Err(PortError::new(
                PortErrorKind::Invalid,
                format!(
                    "heartbeat {:?} is not between {:?} and {:?}; 500ms suits most",
                    options.heartbeat,
                    beats.start(),
                    beats.end()
                ),
            ));
        }
        let within = options.connect_within.min(Duration::from_secs(5));
        let supervised = jetstream.clone();
        let shared = servers.clone();
        let thread = IoThread::spawn(
            "procession-nats",
            async move {
                let control = link::run(&mut handler, &shared, &name);
                let supervise = async {
                    let result = prove(&supervised, reached, &shared, within).await;
                    let good = result.is_ok();
                    if first_tx.send(result).is_ok() && good {
                        supervise(close).await;
                    }
                    requests.close();
                };
                tokio::join!(control, supervise);
            },
            || {},
        )?;
        let server = first.await.unwrap_or_else(|_| {
            Err(PortError::new(
                PortErrorKind::Refused,
                "the thread of the NATS connection ended unexpectedly",
            ))
        })?;
        Ok(Self {
            options,
            servers,
            server,
            jetstream,
            known: Known::default(),
            parts: Mutex::new(Parts {
                thread: Some(thread),
                close: Some(close_tx),
                ..Parts::default()
            }),
        })
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Parts> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.feeds.retain(|(_, ended)| !ended.is_set());
        parts.sinks.retain(|(_, ended)| !ended.is_set());
        parts.audits.retain(|ended| !ended.is_set());
        parts
    }

    fn closed(&self) -> PortError {
        PortError::new(
            PortErrorKind::Disconnected,
            format!("the connection to {} is closed", self.servers.shown),
        )
    }

    async fn start_feed(&self, spec: FeedSpec) -> Result<Box<dyn Feed>, PortError> {
        let invalid = |error: &dyn core::fmt::Display| {
            PortError::new(PortErrorKind::Invalid, error.to_string())
        };
        check_topic_name(&spec.topic).map_err(|error| invalid(&error))?;
        check_group_name(&spec.group).map_err(|error| invalid(&error))?;
        let topic = topics::look(&self.jetstream, &spec.topic).await?;
        self.known
            .insert(Arc::clone(&topic.name), Shape::from(&topic));
        let (bucket, replicas) = (&self.options.bucket, self.options.replicas);
        records::ensure_bucket(&self.jetstream, bucket, replicas).await?;
        // Dead letters must have a place before the first one comes.
        let dead_letters = TopicSpec {
            name: dead_letter_topic(&spec.topic, &spec.group).into(),
            partitions: Some(topic.partitions),
            storage: topic.storage,
            mode: TopicMode::Create,
            duplicate_window: DEAD_LETTER_WINDOW,
            layout: None,
            batches: false,
        };
        topics::ensure(&self.jetstream, &dead_letters, replicas).await?;
        let plan = FeedPlan {
            servers: self.servers.clone(),
            name: self.options.name.clone(),
            bucket: bucket.clone(),
            shape: Shape::from(&topic),
            heartbeat: self.options.heartbeat,
        };
        let mut parts = self.parts();
        if parts.close.is_none() {
            return Err(self.closed());
        }
        let feed = NatsFeed::start(&spec, plan)?;
        parts.feeds.push((feed.commands(), feed.ended()));
        Ok(Box::new(feed))
    }
}

/// Waits for the first connection, and for JetStream's answer on it.
async fn prove(
    jetstream: &JetStream,
    mut reached: mpsc::UnboundedReceiver<Result<Arc<ServerInfo>, ConnectError>>,
    servers: &Servers,
    within: Duration,
) -> Result<Arc<ServerInfo>, PortError> {
    let shown = &servers.shown;
    let begin = Instant::now();
    let mut failed = 0;
    let mut last = None;
    let server = loop {
        let error = match timeout_at(begin + within, reached.recv()).await {
            Ok(Some(Ok(server))) => break server,
            Ok(Some(Err(error))) => error,
            Ok(None) | Err(_) => return Err(no_connection(shown, last)),
        };
        failed += 1;
        // Another server may do; and one that cannot be reached may just be starting.
        let again = match error {
            ConnectError::Unreachable(_) => Instant::now() < begin + REFUSED_FOR.min(within),
            ConnectError::Unsuitable(_) => false,
            ConnectError::Denied(_) => return Err(no_connection(shown, Some(error))),
        };
        let others = failed < servers.configured.len();
        // What can be corrected says more than that another one is not there.
        if !matches!(
            (&last, &error),
            (
                Some(ConnectError::Unsuitable(_)),
                ConnectError::Unreachable(_)
            )
        ) {
            last = Some(error);
        }
        if !again && !others {
            return Err(no_connection(shown, last));
        }
    };
    if older_than(&server.version, 2, 10) {
        return Err(PortError::new(
            PortErrorKind::Unsuitable,
            format!(
                "{shown} runs nats-server {}; Procession needs 2.10 or newer",
                server.version
            ),
        ));
    }
    // A server that is just starting answers for JetStream a little later.
    loop {
        match jetstream.account().await {
            Ok(()) => return Ok(server),
            Err(error) if begin + REFUSED_FOR.min(within) <= Instant::now() => {
                return Err(jetstream.explain("connect", &error));
            }
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn no_connection(shown: &str, why: Option<ConnectError>) -> PortError {
    match why {
        Some(ConnectError::Denied(why)) => PortError::new(
            PortErrorKind::Denied,
            format!(
                "{shown}: {why}; correct the credentials: USER:PASSWORD@ or TOKEN@ before the \
                 host, `credentials_file`, `nkey_file`, or `tls.cert_file` with `tls.key_file`"
            ),
        ),
        Some(ConnectError::Unsuitable(why)) => {
            PortError::new(PortErrorKind::Unsuitable, format!("{shown}: {why}"))
        }
        Some(ConnectError::Unreachable(_)) | None => PortError::new(
            PortErrorKind::Unreachable,
            format!(
                "no NATS server can be reached at {shown} ({}); start one with `nats-server -js`, \
                 or correct the address",
                why.map_or_else(|| "no answer in time".to_owned(), |why| why.to_string())
            ),
        ),
    }
}

/// Whether a version like `2.15.1` is older; what cannot be read counts as new.
fn older_than(version: &str, major: u32, minor: u32) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(a)), Some(Ok(b))) => (a, b) < (major, minor),
        _ => false,
    }
}

/// Waits for the order to close, then for the other threads.
async fn supervise(close: oneshot::Receiver<CloseOrder>) {
    // A broker that is dropped closes nothing but itself.
    let Ok(order) = close.await else {
        return;
    };
    let until = Instant::now() + order.within;
    while !order.wait_for.iter().all(Ended::is_set) {
        if until <= Instant::now() {
            let _ = order.done.send(false);
            return;
        }
        sleep(CLOSE_LOOK).await;
    }
    let _ = order.done.send(true);
}

impl Broker for NatsBroker {
    fn info(&self) -> BrokerInfo {
        BrokerInfo {
            kind: "nats",
            version: self.server.version.clone(),
            message_bytes_max: self.server.max_payload,
            // A record takes whatever map the core makes.
            map_bytes_max: u32::MAX,
            pipelining: false,
            topics_grow: false,
        }
    }

    fn topic(&self, spec: TopicSpec) -> BoxFuture<'_, Result<TopicInfo, PortError>> {
        Box::pin(async move {
            let info = topics::ensure(&self.jetstream, &spec, self.options.replicas).await?;
            self.known
                .insert(Arc::clone(&info.name), Shape::from(&info));
            Ok(info)
        })
    }

    fn feed(&self, spec: FeedSpec) -> BoxFuture<'_, Result<Box<dyn Feed>, PortError>> {
        Box::pin(self.start_feed(spec))
    }

    fn sink(&self) -> BoxFuture<'_, Result<Box<dyn Sink>, PortError>> {
        Box::pin(async move {
            let mut parts = self.parts();
            if parts.close.is_none() {
                return Err(self.closed());
            }
            let sink =
                NatsSink::start(self.servers.clone(), &self.options.name, self.known.clone())?;
            parts.sinks.push((sink.commands(), sink.ended()));
            Ok(Box::new(sink) as Box<dyn Sink>)
        })
    }

    fn audit(&self, topic: Arc<str>) -> BoxFuture<'_, Result<Vec<(u32, Record)>, PortError>> {
        Box::pin(async move {
            let started = |ended| self.parts().audits.push(ended);
            let (servers, name) = (&self.servers, &self.options.name);
            audit::read_log(&self.jetstream, servers, name, &topic, started).await
        })
    }

    fn close(&self, within: Span) -> BoxFuture<'_, Result<(), PortError>> {
        let (thread, done) = {
            let mut parts = self.parts();
            let Some(close) = parts.close.take() else {
                return Box::pin(async { Ok(()) });
            };
            let mut wait_for = core::mem::take(&mut parts.audits);
            for (commands, ended) in parts.feeds.drain(..) {
                let _ = commands.push(FeedCommand::Close);
                wait_for.push(ended);
            }
            for (commands, ended) in parts.sinks.drain(..) {
                let _ = commands.push(Order::Command(SinkCommand::Close));
                wait_for.push(ended);
            }
            let (done_tx, done) = oneshot::channel();
            let order = CloseOrder {
                wait_for,
                within: within.into(),
                done: done_tx,
            };
            let _ = close.send(order);
            (parts.thread.take(), done)
        };
        Box::pin(async move {
            let complete = done.await.unwrap_or(false);
            if let Some(mut thread) = thread {
                // It has nothing left to wait for: its connection is closed at once.
                thread.join();
            }
            if complete {
                return Ok(());
            }
            Err(PortError::new(
                PortErrorKind::TimedOut,
                format!(
                    "closing {}: a feed, sink or audit did not end in time",
                    self.servers.shown
                ),
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert!(older_than("2.9.25", 2, 10));
        assert!(!older_than("2.10.0", 2, 10));
        assert!(!older_than("2.15.1", 2, 10));
        assert!(!older_than("3.0", 2, 10));
        assert!(!older_than("dev", 2, 10));
    }
}

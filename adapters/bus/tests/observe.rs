//! What an observer sees: enough for a history, in the order that a history must have.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use common::{PATIENCE, Seen, order, quick, until};
use procession::observe::{
    Ending, Fence, Observe, Observer, Outgoing, PublishObserver, key_of, sequence_of,
};
use procession::{Bus, Envelope, HandlerError, PartitionId, Position, Stored, Why, raw};
use procession_memory::MemoryBroker;
use procession_runtime::port::{Broker, Headers, SinkCommand, SinkTicket};
use procession_runtime::publisher;
use procession_runtime::tokio::TokioShell;

/// Writes one word and the message for each event.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn add(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn has(&self, start: &str) -> bool {
        self.lines().iter().any(|line| line.starts_with(start))
    }
}

impl Observe for Log {
    fn subscription(&self, topic: &str, group: &str) -> Box<dyn Observer<Envelope>> {
        self.add(format!("subscription {topic} {group}"));
        Box::new(self.clone())
    }

    fn publisher(&self) -> Box<dyn PublishObserver> {
        Box::new(self.clone())
    }
}

impl PublishObserver for Log {
    fn accepted(&mut self, m: &Outgoing) {
        let (key, seq) = (key_of(m).unwrap(), sequence_of(m).unwrap());
        self.add(format!("accepted {} {key} {} {seq}", m.topic, m.id));
    }

    fn resolved(&mut self, m: &Outgoing, result: &Result<Stored, publisher::PublishError>) {
        self.add(format!("resolved {} {}", m.id, result.is_ok()));
    }
}

impl Observer<Envelope> for Log {
    fn started(&mut self, _: &Fence, attempt: u32, e: &Envelope) {
        let place = (
            e.topic().unwrap(),
            e.key().unwrap(),
            e.id(),
            e.sequence().unwrap(),
        );
        self.add(format!(
            "start {} {} {} {} {attempt}",
            place.0, place.1, place.2, place.3
        ));
    }

    fn ended(&mut self, _: &Fence, attempt: u32, e: &Envelope, ending: Ending) {
        self.add(format!("end {} {attempt} {ending:?}", e.id()));
    }

    fn buried(&mut self, _: PartitionId, _: Position, e: &Envelope, why: Why) {
        self.add(format!("buried {} {why:?}", e.id()));
    }
}

#[tokio::test]
async fn every_step_of_a_message_is_seen() {
    let log = Log::default();
    let bus = Bus::builder("memory://").observer(Arc::new(log.clone()));
    let bus = bus.connect().await.unwrap();
    let handler = raw(|_, cx: procession::Context| async move {
        match cx.attempt() {
            1 => Err(HandlerError::new("once")),
            _ => Ok(()),
        }
    });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    bus.publish("orders", order("a", 7)).await.unwrap();
    until(|| log.has("end a-7 2")).await;
    let expected = [
        "subscription orders g",
        "accepted orders a a-7 7",
        "resolved a-7 true",
        "start orders a a-7 7 1",
        "end a-7 1 Retry",
        "start orders a a-7 7 2",
        "end a-7 2 Done",
    ];
    let mut lines = log.lines();
    // The publisher and the subscription are two tasks: only the order within each is fixed.
    lines.sort_by_key(|line| expected.iter().position(|e| e == line));
    assert_eq!(lines, expected);
    let at = |line: &str| log.lines().iter().position(|l| l == line).unwrap();
    assert!(at(expected[1]) < at(expected[2]) && at(expected[3]) < at(expected[4]));
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn each_of_several_observers_sees_everything() {
    let logs = [Log::default(), Log::default()];
    let builder = logs.iter().fold(Bus::builder("memory://"), |builder, log| {
        builder.observer(Arc::new(log.clone()))
    });
    let bus = builder.connect().await.unwrap();
    let handler = raw(|_, _| async { Err(HandlerError::new("never").reject()) });
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    bus.publish("orders", order("a", 7)).await.unwrap();
    until(|| logs.iter().all(|log| log.has("buried a-7"))).await;
    assert_eq!(logs[0].lines(), logs[1].lines());
    assert!(logs[0].has("accepted") && logs[0].has("resolved") && logs[0].has("end a-7"));
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_quarantined_in_its_turn() {
    let log = Log::default();
    let broker = MemoryBroker::connect("memory://", TokioShell::current()).unwrap();
    let broker: Arc<dyn Broker> = Arc::new(broker);
    let bus = Bus::builder("memory://").broker(Arc::clone(&broker));
    let bus = bus.observer(Arc::new(log.clone())).connect().await.unwrap();
    bus.topic("orders").await.unwrap();
    // A foreign publisher that forgot the id.
    let fields = [
        ("ce-specversion", "1.0"),
        ("ce-partitionkey", "a"),
        ("ce-type", "T"),
    ];
    let headers: Headers = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
    let mut sink = broker.sink().await.unwrap();
    sink.submit(SinkCommand::Send {
        ticket: SinkTicket {
            token: 1,
            attempt: 1,
        },
        message: Arc::new(Outgoing {
            topic: "orders".into(),
            key: Some(Bytes::from_static(b"a")),
            id: "x".into(),
            identity: 1,
            copy: 0,
            headers,
            payload: Bytes::from_static(b"body"),
            partition: None,
            expect: None,
        }),
    });
    let mut events = Vec::new();
    std::future::poll_fn(|cx| sink.poll_events(cx, &mut events)).await;
    bus.publish("orders", order("a", 1)).await.unwrap();
    let (seen, mut arrived) = Seen::new();
    let subscription = bus
        .subscribe("orders", "g", seen.handler())
        .with(quick)
        .await
        .unwrap();
    assert_eq!(arrived.take(1).await, [("a".to_owned(), 1)]);
    until(|| log.has("buried")).await;
    let lines = log.lines();
    let buried = lines
        .iter()
        .find(|line| line.starts_with("buried"))
        .unwrap();
    assert!(
        buried.starts_with("buried orders/") && buried.ends_with("Malformed"),
        "{buried}"
    );
    let letters = bus.audit("orders-dlq-g").await.unwrap();
    let letter = &letters[0].2;
    assert_eq!(letter.payload(), "body");
    let error = letter.header("procession-dlq-error").unwrap();
    let error = String::from_utf8_lossy(error);
    assert!(error.contains("id%20is%20"), "{error}");
    drop((subscription, sink));
    bus.close(PATIENCE).await.unwrap();
}

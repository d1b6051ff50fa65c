//! Wire forms: what other clients write is received, and what is malformed is quarantined whole.

use std::sync::Arc;
use std::time::Duration;

use procession::{Bus, Envelope, Form, raw};
use procession_tests::raw_nats::Raw;
use procession_tests::seen::PATIENCE;
use procession_tests::venue::{Kind, Venue};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tokio::sync::mpsc::unbounded_channel;

crate::rows![messages_of_other_clients_are_received_in_every_form];

/// A message as another client writes it: header fields, the broker's key where it has one, body.
type Foreign<'m> = (&'m [(&'m str, &'m str)], Option<&'m str>, &'m str);

const STRUCTURED: &str = r#"{"specversion":"1.0","id":"s-1","source":"/other","type":"Placed",
"partitionkey":"order-1","datacontenttype":"application/json","data":{"total":1}}"#;
const PREDECESSOR: &str = r#"{"event_id":"p-1","aggregate_id":"order-2","event_type":"Placed",
"event_version":1,"timestamp":"2025-10-01T08:00:00Z","payload":{"total":2}}"#;
const MALFORMED: &str = r#"{"event_id":"p-2","aggregate_id":"order-2","event_type":"Placed",
"payload":{"total":3}}"#;

async fn messages_of_other_clients_are_received_in_every_form(venue: Arc<Venue>) {
    let (bus, topic, group) = (venue.bus().await, venue.topic("t"), venue.group("g"));
    bus.topic(&topic).await.unwrap();
    let binary = match venue.kind {
        Kind::Kafka => [
            ("ce_specversion", "1.0"),
            ("ce_id", "b-1"),
            ("ce_source", "/other"),
            ("ce_type", "Placed"),
            ("content-type", "application/json"),
        ],
        Kind::Memory | Kind::Nats => [
            ("ce-specversion", "1.0"),
            ("ce-id", "b-1"),
            ("ce-source", "/other"),
            ("ce-type", "Placed"),
            ("ce-partitionkey", "order%200"),
        ],
    };
    let kind = [("Content-Type", "application/cloudevents+json")];
    let messages: [Foreign<'_>; 5] = [
        (&binary, Some("order 0"), "{\"total\":0}"),
        (&kind, None, STRUCTURED),
        (&[], None, PREDECESSOR),
        (&[], None, MALFORMED),
        (&[], None, "hello"),
    ];
    send(&venue, &bus, &topic, &messages).await;
    let (sender, mut receiver) = unbounded_channel();
    let handler = raw(move |envelope: Envelope, _cx| {
        sender.send(envelope).unwrap();
        async { Ok(()) }
    });
    let subscription = bus.subscribe(&topic, &group, handler).await.unwrap();
    let mut got = Vec::new();
    // The in-process broker has no client but ours, which writes bodies alone.
    let expected = match venue.kind {
        Kind::Memory => 3,
        Kind::Nats | Kind::Kafka => 4,
    };
    while got.len() < expected {
        let next = tokio::time::timeout(PATIENCE, receiver.recv());
        got.push(next.await.expect("it arrives").unwrap());
    }
    let of = |form: Option<Form>| got.iter().find(|envelope| envelope.form() == form);
    let seen = |form: Form| {
        let envelope = of(Some(form)).unwrap_or_else(|| panic!("{form:?} is not in {got:?}"));
        let total: serde_json::Value = envelope.json().unwrap();
        let total = total["total"].as_u64().unwrap();
        (
            envelope.id(),
            envelope.key().unwrap(),
            envelope.event_type(),
            total,
        )
    };
    if venue.kind != Kind::Memory {
        assert_eq!(seen(Form::Binary), ("b-1", "order 0", "Placed", 0));
    }
    assert_eq!(seen(Form::Structured), ("s-1", "order-1", "Placed", 1));
    assert_eq!(seen(Form::Predecessor), ("p-1", "order-2", "Placed", 2));
    assert_eq!(of(None).unwrap().payload(), "hello");
    let buried = async {
        while subscription.health().stats.dead < 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, buried)
        .await
        .expect("a dead letter");
    let letters = procession::dead_letter_topic(&topic, &group);
    let letter = bus.audit(&letters).await.unwrap().remove(0).2;
    assert_eq!(
        (letter.payload(), letter.key()),
        (&MALFORMED.into(), Some("order-2"))
    );
    assert_eq!(letter.header("procession-dlq-why"), Some(&b"malformed"[..]));
    bus.close(PATIENCE).await.unwrap();
}

/// Writes to the first partition, with a client that knows nothing of Procession.
async fn send(venue: &Venue, bus: &Bus, topic: &str, messages: &[Foreign<'_>]) {
    let address = venue.url.split_once("://").unwrap().1;
    match venue.kind {
        Kind::Memory => {
            for (number, (headers, _, body)) in messages.iter().enumerate() {
                if headers.iter().any(|(name, _)| *name == "ce-id") {
                    continue;
                }
                let body = (*body).to_owned();
                let message = Envelope::raw(number.to_string(), None, body).unwrap();
                bus.publish(topic, message).await.unwrap();
            }
        }
        Kind::Nats => {
            let mut raw = Raw::connect(address.rsplit_once(':').unwrap().1.parse().unwrap());
            for (headers, _, body) in messages {
                raw.publish(&format!("{topic}.0"), headers, body);
            }
            // An answer shows that the server has read what stands before it: closed at once, the
            // connection would be reset, and what was not read yet be gone.
            let _ = raw.request("$JS.API.INFO", &serde_json::Value::Null);
        }
        Kind::Kafka => {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", address);
            let producer: BaseProducer = config.create().unwrap();
            for (fields, key, body) in messages {
                let mut headers = OwnedHeaders::new();
                for (name, value) in *fields {
                    headers = headers.insert(Header {
                        key: name,
                        value: Some(*value),
                    });
                }
                let mut record = BaseRecord::<str, str>::to(topic).partition(0);
                record = record.payload(*body).headers(headers);
                if let Some(key) = key {
                    record = record.key(*key);
                }
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
        }
    }
}

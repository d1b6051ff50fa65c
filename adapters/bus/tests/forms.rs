//! Wire forms as a service sees them: chosen per topic, received everywhere, kept to the byte.
#![allow(clippy::unwrap_used)]

mod common;

use common::{PATIENCE, bus, order, quick, until};
use procession::{Bus, Envelope, Form, Settings, raw};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A handler that hands everything on.
fn watcher() -> (impl procession::Handler, UnboundedReceiver<Envelope>) {
    let (sender, receiver) = unbounded_channel();
    let handler = raw(move |envelope: Envelope, _cx| {
        sender.send(envelope).unwrap();
        async { Ok(()) }
    });
    (handler, receiver)
}

#[tokio::test]
async fn each_topic_has_its_form_and_all_forms_are_received_alike() {
    let settings = "[topics.binary]\n[topics.structured]\nform = 'structured'\n\
                    [topics.predecessor]\nform = 'predecessor'";
    let settings = Settings::from_toml(settings).unwrap();
    let bus = Bus::builder("memory://").settings(settings);
    let bus = bus.connect().await.unwrap();
    let forms = [
        ("binary", Form::Binary),
        ("structured", Form::Structured),
        ("predecessor", Form::Predecessor),
    ];
    for (topic, form) in forms {
        let (handler, mut received) = watcher();
        let subscription = bus
            .subscribe(topic, "g", handler)
            .with(quick)
            .await
            .unwrap();
        for sequence in 1..=3 {
            bus.publish(topic, order("order-42", sequence))
                .await
                .unwrap();
        }
        // The broker and the subscription know copies by the identity of the form (S4).
        assert!(
            bus.publish(topic, order("order-42", 3))
                .await
                .unwrap()
                .duplicate
        );
        bus.publish_copy(topic, order("order-42", 3), 1)
            .await
            .unwrap();
        bus.publish(topic, order("order-42", 4)).await.unwrap();
        for sequence in 1..=4 {
            let envelope = received.recv().await.unwrap();
            let sent = order("order-42", sequence);
            assert_eq!(envelope.form(), Some(form));
            assert_eq!(envelope.id(), sent.id());
            assert_eq!(envelope.key(), sent.key());
            assert_eq!(envelope.sequence(), Some(sequence));
            assert_eq!(envelope.payload(), sent.payload());
            assert_eq!(
                envelope.source() == "predecessor",
                form == Form::Predecessor
            );
        }
        until(|| subscription.health().stats.duplicates == 1).await;
        drop(subscription);
    }
    // An event of the predecessor has one identity, whoever publishes it.
    let of = |source: &str| {
        let builder = Envelope::builder("T").id("e-1").key("k").sequence(1);
        builder.source(source).json(&1).unwrap()
    };
    for (topic, form) in forms {
        bus.publish(topic, of("old-shop")).await.unwrap();
        let again = bus.publish(topic, of("new-shop")).await.unwrap();
        assert_eq!(again.duplicate, form == Form::Predecessor, "{topic}");
    }
    // What the form cannot say is refused before anything is sent.
    let keyless = Envelope::builder("T").sequence(1).json(&1).unwrap();
    let error = bus.publish("predecessor", keyless).await.unwrap_err();
    assert!(
        error.to_string().contains("give the aggregate id by `key`"),
        "{error}"
    );
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn one_topic_holds_every_form_and_malformed_ones_are_quarantined_whole() {
    let bus = bus().await;
    let (handler, mut received) = watcher();
    let subscription = bus
        .subscribe("orders", "g", handler)
        .with(quick)
        .await
        .unwrap();
    let good = [
        r#"{"specversion":"1.0","id":"1","source":"s","type":"T","partitionkey":"k","data":1}"#,
        r#"{"event_id":"2","aggregate_id":"k","event_type":"T","event_version":1,
            "timestamp":"2025-10-01T00:00:00Z","payload":2,"region":"eu"}"#,
        r#"{"neither": 3}"#,
    ];
    let bad = [
        (
            r#"{"specversion":"1.0","id":"1","source":"s","partitionkey":"k"}"#,
            "no%20member",
        ),
        (
            r#"{"event_id":"2","aggregate_id":"k","event_type":"T","payload":2}"#,
            "event_version",
        ),
        (
            r#"{"event_id":"2","event_type":"#,
            "not%20a%20JSON%20object",
        ),
    ];
    // Written with another client: nothing but bytes. The broker's partition follows the key.
    for (number, body) in good
        .iter()
        .chain(bad.iter().map(|(body, _)| body))
        .enumerate()
    {
        let message = Envelope::raw(format!("m{number}"), None, *body).unwrap();
        bus.publish("orders", message).await.unwrap();
    }
    let mut forms = Vec::new();
    for _ in 0..3 {
        let envelope = received.recv().await.unwrap();
        forms.push((envelope.form(), envelope.key().map(str::to_owned)));
    }
    forms.sort_by_key(|(form, _)| form.map(|form| form as u8));
    let key = Some("k".to_owned());
    let expected = [
        (None, None),
        (Some(Form::Structured), key.clone()),
        (Some(Form::Predecessor), key),
    ];
    assert_eq!(forms, expected);
    until(|| subscription.health().stats.dead == 3).await;
    let letters = bus.audit("orders-dlq-g").await.unwrap();
    for (body, problem) in bad {
        let letter = letters.iter().find(|(.., letter)| letter.payload() == body);
        let letter = &letter.unwrap_or_else(|| panic!("{body}: {letters:?}")).2;
        let field = |name: &str| String::from_utf8_lossy(letter.header(name).unwrap()).into_owned();
        assert_eq!(field("procession-dlq-why"), "malformed");
        assert!(
            field("procession-dlq-error").contains(problem),
            "{letter:?}"
        );
    }
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn dead_letters_and_forwarded_messages_keep_the_record() {
    let settings = "[topics.new]\nform = 'structured'\n[topics.old]\nform = 'predecessor'";
    let settings = Settings::from_toml(settings).unwrap();
    let bus = Bus::builder("memory://").settings(settings);
    let bus = bus.connect().await.unwrap();
    let body = r#" {"event_id":"2","aggregate_id":"k","event_type":"T","event_version":1,
            "timestamp":"2025-10-01T00:00:00Z","payload": {"a":1} ,"region":"eu"}"#;
    let message = Envelope::raw("m", None, body).unwrap();
    bus.publish("orders", message).await.unwrap();
    let again = bus.clone();
    let forward = raw(move |envelope: Envelope, _cx| {
        let bus = again.clone();
        async move {
            for topic in ["old", "new", "plain"] {
                bus.publish(topic, envelope.clone()).await?;
            }
            Err(procession::HandlerError::new("not billable").reject())
        }
    });
    let subscription = bus
        .subscribe("orders", "g", forward)
        .with(quick)
        .await
        .unwrap();
    until(|| subscription.health().stats.dead == 1).await;
    let only = async |topic: &str| bus.audit(topic).await.unwrap().remove(0).2;
    let letter = only("orders-dlq-g").await;
    assert_eq!(
        (letter.form(), letter.key()),
        (Some(Form::Predecessor), Some("k"))
    );
    assert_eq!(letter.header("procession-dlq-why"), Some(&b"rejected"[..]));
    assert_eq!(letter.payload(), "{\"a\":1}");
    // A letter that is sent back is what it was, to the byte.
    for (topic, form) in [("old", Form::Predecessor), ("new", Form::Structured)] {
        let moved = only(topic).await;
        assert_eq!(
            (moved.form(), moved.payload()),
            (Some(form), letter.payload())
        );
        let region = moved.extension("otherfields").map(|rest| rest.into_owned());
        let carried = (form == Form::Structured).then(|| r#"{"region":"eu"}"#.to_owned());
        assert_eq!(region, carried, "{topic}");
    }
    assert_eq!(only("plain").await.form(), Some(Form::Binary));
    drop(subscription);
    bus.close(PATIENCE).await.unwrap();
}

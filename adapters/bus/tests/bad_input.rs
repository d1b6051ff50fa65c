//! Bad input: each has one clear error of its own, that names the thing, its value and the fix.

mod common;

use std::time::Duration;

use common::{PATIENCE, Seen, bus, order};
use procession::{Bus, Envelope, Error, PublishError, Settings, TopicMode};

#[tokio::test]
async fn addresses() {
    let table = [
        ("", "has no scheme"),
        ("localhost:4222", "has no scheme"),
        ("natz://h:1", "unknown scheme `natz`"),
        // Port 1 of this machine: nobody listens there.
        ("kafka://127.0.0.1:1", "kafka://127.0.0.1:1"),
        ("memory://a b", "memory://a b"),
        ("nats://h:notaport", "port `notaport`"),
        ("nats://127.0.0.1:1", "127.0.0.1:1"),
        ("natz://user:secret@h", "natz://***@h"),
        ("tls://user:secret@h:0", "tls://***@h:0` has the port `0`"),
        ("tls://127.0.0.1:1", "127.0.0.1:1"),
    ];
    for (url, expected) in table {
        let attempt = tokio::time::timeout(Duration::from_secs(6), Bus::connect(url));
        let error = attempt.await.expect("within 5 s").unwrap_err().to_string();
        assert!(error.contains(expected), "{url}: {error}");
        assert!(
            !error.contains("secret") && !error.contains('\n'),
            "{error}"
        );
    }
}

#[test]
fn no_runtime() {
    let mut connect = Box::pin(Bus::connect("memory://"));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Err(error)) = connect.as_mut().poll(&mut cx) else {
        panic!("it connected without a runtime");
    };
    assert_eq!(error, Error::NoRuntime);
    assert!(error.to_string().contains("#[tokio::main]"), "{error}");
}

#[tokio::test]
async fn settings() {
    let file = Bus::builder("memory://")
        .file("/no/such/file.toml")
        .connect();
    let error = file.await.unwrap_err().to_string();
    assert!(
        error.contains("/no/such/file.toml") && error.contains("cannot be read"),
        "{error}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bus.toml");
    std::fs::write(&path, "[publish]\ndeadlin = '3s'\n").unwrap();
    let error = Bus::builder("memory://")
        .file(&path)
        .connect()
        .await
        .unwrap_err()
        .to_string();
    for part in ["publish.deadlin", "bus.toml", "did you mean `deadline`?"] {
        assert!(error.contains(part), "{error}");
    }
    let zero = Bus::builder("memory://").with(|s| s.publish.deadline = Duration::ZERO);
    let error = zero.connect().await.unwrap_err().to_string();
    assert!(
        error.contains("publish.deadline") && error.contains("0ns"),
        "{error}"
    );
}

#[tokio::test]
async fn files_of_a_connection() {
    let seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
    let table = [
        (
            "[bus.tls]\nca_file = '/no/such'",
            "`tls.ca_file` is /no/such",
        ),
        (
            "[bus.tls]\ncert_file = '/no/such'\nkey_file = '/no/such'",
            "`tls.cert_file` is /no/such",
        ),
        ("[bus]\nnkey_file = '/no/such'", "`nkey_file` is /no/such"),
        (
            "[bus]\ncredentials_file = '/no/such'",
            "`credentials_file` is /no/such",
        ),
        // The secret itself where a path belongs.
        (
            &*format!("[bus]\nnkey_file = '{seed}'"),
            "`nkey_file` is ***",
        ),
    ];
    for (text, expected) in table {
        let settings = Settings::from_toml(text).unwrap();
        let bus = Bus::builder("nats://127.0.0.1:1").settings(settings);
        let error = bus.connect().await.unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
        assert!(!error.contains(seed), "{error}");
    }
}

#[tokio::test]
async fn subscriptions() {
    let bus = bus().await;
    let (seen, _arrived) = Seen::new();
    let long = "x".repeat(200);
    let table = [
        ("or ders", "g", "the topic name `or ders` holds ` `"),
        ("", "g", "the topic name `` is empty"),
        ("a..b", "g", "has an empty part"),
        ("orders", "g*", "the group name `g*` holds `*`"),
        ("orders", "", "the group name `` is empty"),
        // The topic is fine, the one of its dead letters is too long.
        (&*long, "g", "is 206 bytes long"),
    ];
    for (topic, group, expected) in table {
        let error = bus
            .subscribe(topic, group, seen.handler())
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{topic}: {error}");
    }
    let odd = bus
        .subscribe("orders", "g", seen.handler())
        .with(|s| s.attempts = 0);
    let error = odd.await.unwrap_err().to_string();
    assert!(error.contains("`subscribe.g.attempts` is 0"), "{error}");
    bus.close(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn missing_and_different_topics() {
    let name = "memory://bad-input-topics";
    let first = Bus::connect(name).await.unwrap();
    let bus = Bus::builder(name).with(|s| s.bus.topics = Some(TopicMode::Validate));
    let bus = bus.connect().await.unwrap();
    let error = bus.publish("orders", order("a", 1)).await.unwrap_err();
    assert!(matches!(error, PublishError::Topic(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("orders") && text.contains("create"), "{text}");
    let (seen, _arrived) = Seen::new();
    let error = bus
        .subscribe("orders", "g", seen.handler())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("orders") && error.contains("create"),
        "{error}"
    );
    // A failure is not remembered.
    first.topic("orders").await.unwrap();
    bus.publish("orders", order("a", 1)).await.unwrap();
    // The dead letters' topic is missing still.
    let error = bus
        .subscribe("orders", "g", seen.handler())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("orders-dlq-g"), "{error}");
    let other = Settings::from_toml("[topics.orders]\npartitions = 5").unwrap();
    let other = Bus::builder(name).settings(other).connect().await.unwrap();
    let error = other.topic("orders").await.unwrap_err().to_string();
    assert!(error.contains('5') && error.contains('3'), "{error}");
    for bus in [first, bus, other] {
        bus.close(PATIENCE).await.unwrap();
    }
}

#[tokio::test]
async fn payloads_over_the_limit() {
    let bus = Bus::builder("memory://").with(|s| s.publish.message_bytes_max = 2_000);
    let bus = bus.connect().await.unwrap();
    let send = |size: usize| {
        let envelope = Envelope::builder("T")
            .payload(vec![0; size], "x/y")
            .unwrap();
        bus.publish("orders", envelope)
    };
    send(1_500).await.unwrap();
    let error = send(2_000).await.unwrap_err().to_string();
    for part in [
        "2000 bytes",
        "allowed are 2000",
        "`publish.message_bytes_max`",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let large = Bus::builder("memory://").with(|s| s.publish.message_bytes_max = 8 << 20);
    let large = large.connect().await.unwrap();
    let envelope = Envelope::builder("T")
        .payload(vec![0; 2 << 20], "x/y")
        .unwrap();
    let error = large
        .publish("orders", envelope)
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("raise the broker's limit"), "{error}");
    bus.close(PATIENCE).await.unwrap();
    large.close(PATIENCE).await.unwrap();
}

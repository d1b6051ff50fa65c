//! Topics and addresses: what is created, what is refused, and what the errors say.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use async_nats::jetstream::stream::{Config, PersistenceMode, RetentionPolicy};
use procession_core::Span;
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{Broker as _, PortErrorKind, TopicMode};
use support::driver::feed_spec;
use support::{Server, block_on, raw, spec, topic};

#[test]
fn created_validated_read_back() {
    let Some(server) = Server::start("created_validated_read_back") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        assert_eq!(broker.info().kind, "nats");
        assert!(broker.info().version.starts_with("2."));
        let missing = broker
            .topic(spec("a.b", Some(2), TopicMode::Validate))
            .await;
        let missing = missing.unwrap_err();
        assert_eq!(missing.kind, PortErrorKind::Missing);
        assert!(
            missing.message.contains("nats stream add a=2Eb"),
            "{missing}"
        );
        let created = broker
            .topic(spec("a.b", Some(2), TopicMode::Create))
            .await
            .unwrap();
        assert_eq!(created.partitions, 2);
        assert_eq!(created.warnings, [""; 0]);
        for mode in [TopicMode::Validate, TopicMode::Create, TopicMode::Skip] {
            let read = broker.topic(spec("a.b", None, mode)).await.unwrap();
            assert_eq!(read.partitions, 2);
        }
        let context = raw::connect(&server.url()).await;
        let config = context
            .get_stream("a=2Eb")
            .await
            .unwrap()
            .cached_info()
            .config
            .clone();
        assert_eq!(config.subjects, ["a.b.0", "a.b.1"]);
        assert_eq!(config.metadata["procession.partitions"], "2");
        assert_eq!(config.duplicate_window, std::time::Duration::from_secs(60));
        // Another number of partitions is refused, in every mode that looks.
        for mode in [
            TopicMode::Validate,
            TopicMode::Create,
            TopicMode::CreateOrUpdate,
        ] {
            let error = broker.topic(spec("a.b", Some(3), mode)).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Unsuitable);
            assert!(error.message.contains("has 2 partitions, not 3"), "{error}");
        }
        // A longer window is a warning, or set.
        let mut longer = spec("a.b", None, TopicMode::Validate);
        longer.duplicate_window = Span::from_secs(90);
        let warned = broker.topic(longer.clone()).await.unwrap().warnings;
        assert!(warned[0].contains("forgets message ids"), "{warned:?}");
        longer.mode = TopicMode::CreateOrUpdate;
        assert_eq!(broker.topic(longer).await.unwrap().warnings, [""; 0]);
        let config = context
            .get_stream("a=2Eb")
            .await
            .unwrap()
            .cached_info()
            .config
            .clone();
        assert_eq!(config.duplicate_window, std::time::Duration::from_secs(90));
        for name in ["", "a b", "a..b", "a*"] {
            let error = broker
                .topic(spec(name, None, TopicMode::Create))
                .await
                .unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Invalid, "{name}");
        }
        let error = broker
            .topic(spec("x", Some(0), TopicMode::Create))
            .await
            .unwrap_err();
        assert!(error.message.contains("`partitions` is 0"), "{error}");
    });
}

#[test]
fn streams_that_cannot_serve_are_refused() {
    let Some(server) = Server::start("streams_that_cannot_serve_are_refused") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        let context = raw::connect(&server.url()).await;
        let stream = |name: &str, subject: &str| Config {
            name: name.into(),
            subjects: vec![subject.into()],
            ..Config::default()
        };
        for (name, retention) in [
            ("work", RetentionPolicy::WorkQueue),
            ("interest", RetentionPolicy::Interest),
        ] {
            let config = Config {
                retention,
                ..stream(name, &format!("{name}.0"))
            };
            context.create_stream(config).await.unwrap();
            let error = broker
                .topic(spec(name, None, TopicMode::Validate))
                .await
                .unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Unsuitable);
            assert!(error.message.contains("`limits` retention"), "{error}");
            assert!(broker.feed(feed_spec(name, "g", "m")).await.is_err());
        }
        context
            .create_stream(stream("other", "elsewhere.>"))
            .await
            .unwrap();
        let error = broker
            .topic(spec("other", None, TopicMode::Validate))
            .await
            .unwrap_err();
        assert!(
            error.message.contains("lists no subject `other.0`"),
            "{error}"
        );
        let config = Config {
            persist_mode: Some(PersistenceMode::Async),
            ..stream("weak", "weak.0")
        };
        context.create_stream(config).await.unwrap();
        let info = broker
            .topic(spec("weak", None, TopicMode::Validate))
            .await
            .unwrap();
        assert!(
            info.warnings.iter().any(|w| w.contains("persist_mode")),
            "{info:?}"
        );
    });
}

#[test]
fn subscribing_prepares_bucket_and_dead_letters() {
    let Some(server) = Server::start("subscribing_prepares_bucket_and_dead_letters") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        let error = broker.feed(feed_spec("t", "g", "m")).await.err().unwrap();
        assert_eq!(error.kind, PortErrorKind::Missing);
        topic(&broker, "t", 4).await;
        let error = broker.feed(feed_spec("t", "g g", "m")).await.err().unwrap();
        assert_eq!(error.kind, PortErrorKind::Invalid);
        let feed = broker.feed(feed_spec("t", "g", "m")).await.unwrap();
        let context = raw::connect(&server.url()).await;
        let dead = context
            .get_stream("t-dlq-g")
            .await
            .unwrap()
            .cached_info()
            .config
            .clone();
        assert_eq!(dead.subjects.len(), 4);
        let stream = context.get_stream("KV_procession-progress").await.unwrap();
        let bucket = stream.cached_info().config.clone();
        assert_eq!(bucket.max_messages_per_subject, 1);
        assert_eq!(bucket.max_age, std::time::Duration::ZERO);
        assert_eq!(
            bucket.storage,
            async_nats::jetstream::stream::StorageType::File
        );
        drop(feed);
        broker.close(Span::from_secs(5)).await.unwrap();
    });
}

#[test]
fn bad_addresses_get_one_clear_error() {
    block_on(async {
        let connect = async |url: &str| {
            let begin = std::time::Instant::now();
            let error = NatsBroker::connect(NatsOptions::parse(url).unwrap())
                .await
                .unwrap_err();
            assert!(begin.elapsed() < std::time::Duration::from_secs(6));
            error
        };
        for beat in [
            std::time::Duration::ZERO,
            std::time::Duration::from_secs(11),
        ] {
            let mut options = NatsOptions::parse("nats://127.0.0.1:1").unwrap();
            options.heartbeat = beat;
            let error = NatsBroker::connect(options).await.unwrap_err();
            assert_eq!(error.kind, PortErrorKind::Invalid);
            assert!(error.message.contains("heartbeat"), "{error}");
            assert!(error.message.contains("between 100ms and 10s"), "{error}");
        }
        // A port that nobody listens on.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = connect(&format!("nats://127.0.0.1:{port}")).await;
        assert_eq!(error.kind, PortErrorKind::Unreachable);
        assert!(
            error.message.contains(&format!("nats://127.0.0.1:{port}")),
            "{error}"
        );
        assert!(error.message.contains("nats-server -js"), "{error}");
        // Somebody else listens there.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            use std::io::Write as _;
            for mut stream in listener.incoming().flatten() {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let error = connect(&format!("nats://127.0.0.1:{port}")).await;
        assert_eq!(error.kind, PortErrorKind::Unsuitable);
        assert!(error.message.contains("not a NATS server"), "{error}");
        // Somebody who says nothing.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let error = connect(&format!("nats://127.0.0.1:{port}")).await;
        assert_eq!(error.kind, PortErrorKind::Unreachable);
        assert!(error.message.contains("did not answer"), "{error}");
    });
}

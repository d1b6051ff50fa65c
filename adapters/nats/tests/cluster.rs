//! More than one server: those of the address in turn, those that a cluster tells of, and leaving
//! one that is about to end.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream;
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{FeedEvent, PortErrorKind, SinkEvent};
use support::certificates::Authority;
use support::driver::{Feeding, Sinking, outgoing};
use support::{Server, block_on, free_port, raw, topic};

fn options(url: &str) -> NatsOptions {
    NatsOptions::parse(url).expect("a good address")
}

/// Two servers that know of each other; `more` stands in both configurations.
struct Pair {
    a: Server,
    b: Server,
}

impl Pair {
    fn start(test: &str, more: &str) -> Option<Self> {
        let (mut a, mut b) = (Server::prepare(test)?, Server::prepare(test)?);
        let (route_a, route_b) = (free_port(), free_port());
        let configuration = |name: &str, own: u16, other: u16| {
            format!(
                "server_name: {name}\nserver_tags: [{name}]\n{more}\ncluster {{\n name: pair\n listen: \
                 \"127.0.0.1:{own}\"\n routes: [\"nats-route://127.0.0.1:{other}\"]\n}}\n"
            )
        };
        a.configure(&configuration("a", route_a, route_b));
        b.configure(&configuration("b", route_b, route_a));
        a.up();
        b.up();
        Some(Self { a, b })
    }

    /// A broker that was told of `a` alone.
    async fn broker(&self, options: NatsOptions) -> NatsBroker {
        let begin = Instant::now();
        loop {
            // JetStream needs a while until both have found each other.
            match NatsBroker::connect(options.clone()).await {
                Ok(broker) => return broker,
                Err(error) => assert!(begin.elapsed().as_secs() < 20, "{error}"),
            }
        }
    }

    /// A topic whose log is at `b`: it is there when `a` is not.
    async fn topic_at_b(&self, broker: &NatsBroker) {
        let config = stream::Config {
            name: "t".into(),
            subjects: vec!["t.0".into()],
            placement: Some(stream::Placement {
                tags: vec!["b".into()],
                ..stream::Placement::default()
            }),
            ..stream::Config::default()
        };
        let client = raw::connect(&self.b.url()).await;
        client.create_stream(config).await.expect("the stream");
        topic(broker, "t", 1).await;
    }
}

/// Waits for the loss of the connection and for the next one: how long that took.
async fn another(sink: &mut Sinking) -> Duration {
    let begin = Instant::now();
    while !matches!(sink.next().await, SinkEvent::Disconnected) {}
    while !matches!(sink.next().await, SinkEvent::Connected) {}
    begin.elapsed()
}

#[test]
fn a_server_that_was_learnt_is_used_when_the_other_is_gone() {
    let name = "a_server_that_was_learnt_is_used_when_the_other_is_gone";
    let Some(mut pair) = Pair::start(name, "") else {
        return;
    };
    block_on(async {
        let broker = pair.broker(options(&pair.a.url())).await;
        pair.topic_at_b(&broker).await;
        let mut sink = Sinking::begin(&broker).await;
        sink.store(outgoing("t", "k", 1)).await;
        pair.a.kill();
        another(&mut sink).await;
        assert_eq!(sink.store(outgoing("t", "k", 2)).await, (0, 2));
        // A sink that begins now starts at the server of the address, and comes to the other one.
        let mut next = Sinking::begin(&broker).await;
        assert_eq!(next.store(outgoing("t", "k", 3)).await, (0, 3));
        sink.close().await;
        next.close().await;
    });
}

#[test]
fn a_server_that_was_learnt_proves_its_name() {
    let authority = Authority::new();
    let signed = authority.sign("server", &["localhost"]);
    let name = "a_server_that_was_learnt_proves_its_name";
    let Some(mut pair) = Pair::start(name, &authority.block(&signed, "")) else {
        return;
    };
    block_on(async {
        // The cluster tells of addresses; the certificates are for a name.
        let mut options = options(&format!("tls://localhost:{}", pair.a.port));
        options.tls.ca_file = Some(authority.ca_file());
        let broker = pair.broker(options).await;
        let mut sink = Sinking::begin(&broker).await;
        pair.a.kill();
        another(&mut sink).await;
        sink.close().await;
    });
}

#[test]
fn a_server_that_is_about_to_end_is_left() {
    let Some(pair) = Pair::start("a_server_that_is_about_to_end_is_left", "") else {
        return;
    };
    block_on(async {
        let broker = pair.broker(options(&pair.a.url())).await;
        pair.topic_at_b(&broker).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        sink.store(outgoing("t", "k", 1)).await;
        feed.records(1, 1).await;
        // It would cut connections only after 10 s.
        pair.a.end_slowly();
        let took = another(&mut sink).await;
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(sink.store(outgoing("t", "k", 2)).await, (0, 2));
        // One of two servers is no majority, which new consumers need: that far the feed comes.
        feed.broken(1).await;
        feed.find(|event| matches!(event, FeedEvent::Connected).then_some(()))
            .await;
        feed.close().await;
        sink.close().await;
    });
}

#[test]
fn alone_a_server_that_is_about_to_end_is_kept() {
    let Some(server) = Server::start("alone_a_server_that_is_about_to_end_is_kept") else {
        return;
    };
    block_on(async {
        let broker = server.broker().await;
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        server.end_slowly();
        // There is nowhere to go.
        let news = tokio::time::timeout(Duration::from_millis(700), sink.next()).await;
        assert!(news.is_err(), "{news:?}");
    });
}

#[test]
fn the_servers_of_the_address_are_tried_in_turn() {
    let Some(server) = Server::start("the_servers_of_the_address_are_tried_in_turn") else {
        return;
    };
    block_on(async {
        let port = server.port;
        // Nobody listens; somebody listens and says nothing.
        let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let silent_port = silent.local_addr().expect("its address").port();
        for url in [
            format!("nats://127.0.0.1:1,127.0.0.1:{port}"),
            format!("nats://127.0.0.1:{silent_port},127.0.0.1:{port}"),
        ] {
            let broker = server.broker_at(&url).await;
            topic(&broker, "t", 1).await;
        }
        // What can be corrected is told, not that another one is not there.
        let url = format!("tls://127.0.0.1:{port},127.0.0.1:1");
        let error = NatsBroker::connect(options(&url))
            .await
            .expect_err("no TLS");
        assert_eq!(error.kind, PortErrorKind::Unsuitable, "{error}");
        assert!(error.to_string().contains("does not offer TLS"), "{error}");
    });
}

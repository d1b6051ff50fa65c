//! Connections with TLS, to a real server.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::time::Duration;

use procession_core::{Continuity, Position};
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{
    Broker as _, FeedEvent, PortError, PortErrorKind, Record, SinkEvent, SinkReceipt,
};
use support::certificates::Authority;
use support::driver::{Feeding, Sinking, anchor, outgoing};
use support::{Server, block_on, topic};

fn options(url: &str) -> NatsOptions {
    NatsOptions::parse(url).expect("a good address")
}

/// Connects, does a little, and closes.
async fn works(options: NatsOptions) {
    let broker = NatsBroker::connect(options).await.expect("a connection");
    topic(&broker, "t", 1).await;
    let mut sink = Sinking::begin(&broker).await;
    let (_, stored) = sink.store(outgoing("t", "k", 1)).await;
    let mut feed = Feeding::begin(&broker, "t", "g").await;
    feed.start(0, 1, 1, None);
    let records = feed.records(1, usize::try_from(stored).expect("few")).await;
    assert_eq!(records.last().map(|r| r.position), Some(Position(stored)));
    feed.close().await;
    sink.close().await;
    broker
        .close(procession_core::Span::from_secs(5))
        .await
        .expect("it closes");
}

/// The error, which says all of this on one line.
async fn refused(options: NatsOptions, kind: PortErrorKind, says: &[&str]) -> PortError {
    let begin = std::time::Instant::now();
    let error = NatsBroker::connect(options).await.expect_err("refused");
    assert!(begin.elapsed().as_secs() < 5, "{error}");
    let text = error.to_string();
    assert_eq!(error.kind, kind, "{text}");
    for part in says {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    assert!(!text.contains('\n'), "{text}");
    error
}

#[test]
fn a_server_that_requires_tls() {
    let authority = Authority::new();
    let signed = authority.sign("server", &["127.0.0.1", "localhost"]);
    let configuration = authority.block(&signed, "");
    let Some(server) = Server::start_with("a_server_that_requires_tls", &configuration) else {
        return;
    };
    block_on(async {
        let port = server.port;
        // Whatever the scheme is, and by address as by name.
        for url in [
            format!("nats://127.0.0.1:{port}"),
            format!("tls://127.0.0.1:{port}"),
            format!("tls://localhost:{port}"),
        ] {
            let mut options = options(&url);
            options.tls.ca_file = Some(authority.ca_file());
            works(options).await;
        }
        // Signed by nobody whom we trust: the platform, and another authority.
        for url in [server.url(), format!("tls://127.0.0.1:{port}")] {
            refused(
                options(&url),
                PortErrorKind::Unsuitable,
                &[
                    &url,
                    "signed by nobody whom",
                    "this platform",
                    "`tls.ca_file`",
                ],
            )
            .await;
        }
        let stranger = Authority::new();
        let mut other = options(&server.url());
        other.tls.ca_file = Some(stranger.ca_file());
        let file = stranger.ca_file().display().to_string();
        refused(
            other,
            PortErrorKind::Unsuitable,
            &["signed by nobody whom", &file, "the CA that signed it"],
        )
        .await;
    });
}

#[test]
fn a_certificate_for_another_name() {
    let authority = Authority::new();
    let signed = authority.sign("server", &["nats.example"]);
    let configuration = authority.block(&signed, "");
    let Some(server) = Server::start_with("a_certificate_for_another_name", &configuration) else {
        return;
    };
    block_on(async {
        let mut options = options(&server.url());
        options.tls.ca_file = Some(authority.ca_file());
        refused(
            options,
            PortErrorKind::Unsuitable,
            &["nats.example", "not for `127.0.0.1`", "in the address"],
        )
        .await;
    });
}

#[test]
fn a_server_that_asks_for_a_certificate() {
    let authority = Authority::new();
    let signed = authority.sign("server", &["127.0.0.1"]);
    let configuration = authority.block(&signed, "verify: true");
    let Some(server) = Server::start_with("a_server_that_asks_for_a_certificate", &configuration)
    else {
        return;
    };
    block_on(async {
        let trusting = || {
            let mut options = options(&server.url());
            options.tls.ca_file = Some(authority.ca_file());
            options
        };
        let client = authority.sign("client", &["a.client"]);
        let mut good = trusting();
        good.tls.cert_file = Some(client.cert.clone());
        good.tls.key_file = Some(client.key);
        works(good).await;
        refused(
            trusting(),
            PortErrorKind::Denied,
            &["`tls.cert_file`", "`tls.key_file`"],
        )
        .await;
        // Of an authority that the server does not know.
        let other = Authority::new();
        let stranger = other.sign("stranger", &["a.client"]);
        let mut bad = trusting();
        bad.tls.cert_file = Some(stranger.cert.clone());
        bad.tls.key_file = Some(stranger.key.clone());
        let file = stranger.cert.display().to_string();
        refused(
            bad,
            PortErrorKind::Denied,
            &["refused our certificate", &file],
        )
        .await;
        // The key of another certificate.
        let mut mixed = trusting();
        mixed.tls.cert_file = Some(client.cert);
        mixed.tls.key_file = Some(stranger.key.clone());
        let file = stranger.key.display().to_string();
        refused(
            mixed,
            PortErrorKind::Invalid,
            &[
                "`tls.key_file` is",
                &file,
                "does not go with `tls.cert_file`",
            ],
        )
        .await;
    });
}

#[test]
fn a_server_that_expects_the_handshake_first() {
    let authority = Authority::new();
    let signed = authority.sign("server", &["127.0.0.1"]);
    let name = "a_server_that_expects_the_handshake_first";
    let first = authority.block(&signed, "handshake_first: true");
    let Some(mut server) = Server::start_with(name, &first) else {
        return;
    };
    block_on(async {
        let url = server.url();
        let with = |handshake_first| {
            let mut options = options(&url);
            options.tls.ca_file = Some(authority.ca_file());
            options.tls.handshake_first = handshake_first;
            options
        };
        works(with(true)).await;
        refused(
            with(false),
            PortErrorKind::Unreachable,
            &[
                "expects the TLS handshake first",
                "set `tls.handshake_first`",
            ],
        )
        .await;
        server.stop();
        server.configure(&authority.block(&signed, ""));
        server.up();
        refused(
            with(true),
            PortErrorKind::Unsuitable,
            &[
                "does not begin with a TLS handshake",
                "`tls.handshake_first`",
            ],
        )
        .await;
    });
}

#[test]
fn a_server_without_tls() {
    let Some(server) = Server::start("a_server_without_tls") else {
        return;
    };
    block_on(async {
        let authority = Authority::new();
        let url = format!("tls://127.0.0.1:{}", server.port);
        let says = ["does not offer TLS", "nats://"];
        refused(options(&url), PortErrorKind::Unsuitable, &says).await;
        // Whoever names an authority wants to know whom it talks to.
        let mut trusting = options(&server.url());
        trusting.tls.ca_file = Some(authority.ca_file());
        refused(trusting, PortErrorKind::Unsuitable, &says).await;
    });
}

#[test]
fn what_is_said_before_the_handshake_is_not_believed() {
    use std::io::Write as _;
    // Somebody in between appends to INFO what the server would have said after the handshake.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let info = b"INFO {\"tls_required\":true,\"headers\":true}\r\nPONG\r\n";
            let _gone = stream.write_all(info);
        }
    });
    block_on(async {
        let url = format!("tls://127.0.0.1:{port}");
        let says = ["said more than is allowed before the TLS handshake"];
        refused(options(&url), PortErrorKind::Unsuitable, &says).await;
    });
}

#[test]
fn files_that_cannot_be_used() {
    let authority = Authority::new();
    let signed = authority.sign("some", &["a.b"]);
    let empty = signed.cert.with_file_name("empty.pem");
    std::fs::write(&empty, "nothing\n").expect("it can be written");
    let broken = signed.cert.with_file_name("broken.pem");
    let text = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    std::fs::write(&broken, text).expect("it can be written");
    let missing = signed.cert.with_file_name("missing.pem");
    let (cert, key) = (Some(signed.cert.clone()), Some(signed.key));
    let empty = Some(empty);
    // ca_file, cert_file, key_file, and what is said.
    let table = [
        (
            Some(missing.clone()),
            None,
            None,
            "`tls.ca_file` is",
            "cannot be read",
        ),
        (
            empty.clone(),
            None,
            None,
            "`tls.ca_file` is",
            "holds no certificate",
        ),
        (Some(broken), None, None, "`tls.ca_file` is", "PEM"),
        (
            key.clone(),
            None,
            None,
            "`tls.ca_file` is",
            "holds no certificate",
        ),
        (
            None,
            cert.clone(),
            None,
            "`tls.cert_file` is",
            "`tls.key_file` is not given",
        ),
        (
            None,
            None,
            key.clone(),
            "`tls.key_file` is",
            "`tls.cert_file` is not given",
        ),
        (
            None,
            Some(missing.clone()),
            key.clone(),
            "`tls.cert_file` is",
            "cannot be read",
        ),
        (
            None,
            empty.clone(),
            key,
            "`tls.cert_file` is",
            "holds no certificate",
        ),
        (
            None,
            cert.clone(),
            Some(missing),
            "`tls.key_file` is",
            "cannot be read",
        ),
        (
            None,
            cert.clone(),
            empty,
            "`tls.key_file` is",
            "holds no private key",
        ),
        (
            None,
            cert.clone(),
            cert,
            "`tls.key_file` is",
            "holds no private key",
        ),
    ];
    block_on(async {
        for (ca_file, cert_file, key_file, field, problem) in table {
            // Nobody is asked: port 1 is not even tried.
            let mut options = options("nats://127.0.0.1:1");
            options.tls.ca_file = ca_file;
            options.tls.cert_file = cert_file;
            options.tls.key_file = key_file;
            refused(
                options,
                PortErrorKind::Invalid,
                &["nats://127.0.0.1:1", field, problem, "; g"],
            )
            .await;
        }
    });
}

#[test]
fn a_restart_with_another_certificate_loses_nothing_and_keeps_order() {
    const MESSAGES: usize = 1_000;
    let authority = Authority::new();
    let signed = authority.sign("server", &["127.0.0.1"]);
    let name = "a_restart_with_another_certificate_loses_nothing_and_keeps_order";
    let Some(mut server) = Server::start_with(name, &authority.block(&signed, "")) else {
        return;
    };
    block_on(async {
        let mut options = options(&server.url());
        options.tls.ca_file = Some(authority.ca_file());
        let broker = NatsBroker::connect(options).await.expect("a connection");
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        let mut feed = Feeding::begin(&broker, "t", "g").await;
        feed.start(0, 1, 1, None);
        // The server ends while most have no answer.
        let mut answered = vec![false; MESSAGES];
        let mut tickets: Vec<u64> = (1..=MESSAGES)
            .map(|n| sink.send(outgoing("t", "k", n as u128)))
            .collect();
        for _ in 0..MESSAGES / 10 {
            note(sink.result().await, &tickets, &mut answered);
        }
        server.stop();
        loop {
            match sink.next().await {
                SinkEvent::Result { ticket, receipt } => {
                    note((ticket.token, receipt), &tickets, &mut answered);
                }
                SinkEvent::Disconnected => break,
                other => panic!("{other:?}"),
            }
        }
        // Authority and certificate are replaced in the files that both sides were given.
        let next = Authority::new();
        let renewed = next.sign("server", &["127.0.0.1"]);
        std::fs::copy(next.ca_file(), authority.ca_file()).expect("it can be replaced");
        std::fs::copy(renewed.cert, signed.cert).expect("it can be replaced");
        std::fs::copy(renewed.key, signed.key).expect("it can be replaced");
        server.up();
        while !matches!(sink.next().await, SinkEvent::Connected) {}
        for at in 0..MESSAGES {
            if !answered[at] {
                tickets[at] = sink.send(outgoing("t", "k", at as u128 + 1));
            }
        }
        while answered.contains(&false) {
            note(sink.result().await, &tickets, &mut answered);
        }
        let (mut session, mut last): (u64, Option<Record>) = (1, None);
        while last
            .as_ref()
            .is_none_or(|last| last.position.0 < MESSAGES as u64)
        {
            match feed.next().await {
                FeedEvent::Records {
                    session: s,
                    records,
                    ..
                } if s.0 == session => {
                    for record in records {
                        let expected = last.as_ref().map_or(1, |last| last.position.0 + 1);
                        assert_eq!(record.position.0, expected, "lost or repeated");
                        assert_eq!(record.payload, format!("payload of {expected}"));
                        last = Some(record);
                    }
                }
                FeedEvent::Broken { session: s, .. } if s.0 == session => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    session += 1;
                    let at = last.as_ref().map_or(1, |last| last.position.0);
                    feed.start(0, session, at, last.as_ref().map(anchor));
                }
                FeedEvent::Session { continuity, .. } => {
                    assert_eq!(continuity, Continuity::Continues);
                }
                _ => {}
            }
        }
        feed.close().await;
        sink.close().await;
    });
}

/// Marks a message as stored.
fn note((ticket, receipt): (u64, SinkReceipt), tickets: &[u64], answered: &mut [bool]) {
    assert!(matches!(receipt, SinkReceipt::Stored { .. }), "{receipt:?}");
    if let Some(at) = tickets.iter().position(|t| *t == ticket) {
        answered[at] = true;
    }
}

//! Logging in with NKEYs, JWTs, users and tokens, at a real server.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one thing and fails at everything else"
)]

mod support;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use procession_nats::{NatsBroker, NatsOptions};
use procession_runtime::port::{PortError, PortErrorKind, SinkEvent};
use serde_json::{Value, json};
use support::driver::{Feeding, Sinking, outgoing};
use support::{Server, block_on, topic};

fn options(server: &Server) -> NatsOptions {
    NatsOptions::parse(&server.url()).expect("a good address")
}

/// Publishes a message and gets it: on four connections.
async fn works(options: NatsOptions) {
    let broker = NatsBroker::connect(options).await.expect("a connection");
    topic(&broker, "t", 1).await;
    let mut sink = Sinking::begin(&broker).await;
    sink.store(outgoing("t", "k", 1)).await;
    let mut feed = Feeding::begin(&broker, "t", "g").await;
    feed.start(0, 1, 1, None);
    feed.records(1, 1).await;
    feed.close().await;
    sink.close().await;
}

async fn denied(options: NatsOptions, secrets: &[&str]) -> PortError {
    let shown = format!("{options:?}");
    let error = NatsBroker::connect(options).await.expect_err("refused");
    assert_eq!(error.kind, PortErrorKind::Denied, "{error}");
    assert!(
        error.to_string().contains("refused the credentials"),
        "{error}"
    );
    for secret in secrets {
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(!shown.contains(secret), "{shown}");
    }
    error
}

fn seed(pair: &KeyPair) -> String {
    pair.seed().expect("its seed")
}

fn file(server: &Server, name: &str, text: &str) -> PathBuf {
    let path = server.dir.path().join(name);
    std::fs::write(&path, text).expect("it can be written");
    path
}

#[test]
fn an_nkey() {
    let name = "an_nkey";
    let (known, stranger) = (KeyPair::new_user(), KeyPair::new_user());
    let configuration = format!(
        "authorization {{ users: [ {{ nkey: {} }} ] }}",
        known.public_key()
    );
    let Some(server) = Server::start_with(name, &configuration) else {
        return;
    };
    block_on(async {
        let with = |pair: &KeyPair| {
            let mut options = options(&server);
            options.nkey_file = Some(file(&server, &pair.public_key(), &seed(pair)));
            options
        };
        works(with(&known)).await;
        denied(with(&stranger), &[&seed(&stranger)]).await;
        denied(options(&server), &[]).await;
        // The field that does not fit to what the server asks for.
        let mut odd = options(&server);
        odd.credentials_file = odd_file(&server, &known);
        let error = NatsBroker::connect(odd).await.expect_err("refused");
        assert_eq!(error.kind, PortErrorKind::Invalid, "{error}");
        assert!(
            error.to_string().contains("`credentials_file` is"),
            "{error}"
        );
    });
}

fn odd_file(server: &Server, pair: &KeyPair) -> Option<PathBuf> {
    Some(file(server, "odd", &seed(pair)))
}

/// An operator, an account and its users, as `nsc` would make them.
struct Organisation {
    operator: KeyPair,
    account: KeyPair,
}

impl Organisation {
    fn new() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
        }
    }

    /// The server's configuration: everything it needs to know stands in it.
    fn configuration(&self) -> String {
        let operator = jwt(
            &self.operator,
            &self.operator,
            json!({ "type": "operator" }),
        );
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
            "leaf": -1, "wildcards": true, "mem_storage": -1, "disk_storage": -1, "streams": -1,
            "consumer": -1,
        });
        let account = jwt(
            &self.operator,
            &self.account,
            json!({ "type": "account", "limits": unlimited }),
        );
        let system = KeyPair::new_account();
        let system_jwt = jwt(&self.operator, &system, json!({ "type": "account" }));
        format!(
            "operator: {operator}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{\n \
             {}: {account}\n {}: {system_jwt}\n}}\n",
            system.public_key(),
            self.account.public_key(),
            system.public_key(),
        )
    }

    /// A `.creds` file of a user that this account signed; valid for so many seconds.
    fn creds(&self, user: &KeyPair, valid: Option<u64>) -> String {
        let limits = json!({ "type": "user", "subs": -1, "data": -1, "payload": -1 });
        let claims = claims(&self.account, user, limits, valid);
        format!(
            "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\
             NKEY Seed printed below can be used to sign and prove identity.\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n\n",
            signed(&self.account, &claims),
            seed(user)
        )
    }
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

fn claims(issuer: &KeyPair, subject: &KeyPair, mut nats: Value, valid: Option<u64>) -> Value {
    nats["version"] = 2.into();
    let mut claims = json!({
        "jti": "a-test",
        "iat": now(),
        "iss": issuer.public_key(),
        "sub": subject.public_key(),
        "name": "test",
        "nats": nats,
    });
    if let Some(valid) = valid {
        claims["exp"] = (now() + valid).into();
    }
    claims
}

fn jwt(issuer: &KeyPair, subject: &KeyPair, nats: Value) -> String {
    signed(issuer, &claims(issuer, subject, nats, None))
}

fn signed(issuer: &KeyPair, claims: &Value) -> String {
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" }).to_string();
    let body = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let signature = issuer.sign(body.as_bytes()).expect("a signature");
    format!("{body}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn a_jwt() {
    let own = Organisation::new();
    let Some(server) = Server::start_with("a_jwt", &own.configuration()) else {
        return;
    };
    block_on(async {
        let with = |text: &str| {
            let mut options = options(&server);
            options.credentials_file = Some(file(&server, "user.creds", text));
            options
        };
        let user = KeyPair::new_user();
        let good = own.creds(&user, None);
        works(with(&good)).await;
        // Of another account, and with a seed that is not that of the JWT.
        let foreign = Organisation::new().creds(&user, None);
        denied(
            with(&foreign),
            &[&seed(&user), foreign.lines().nth(1).unwrap_or("?")],
        )
        .await;
        let other = KeyPair::new_user();
        let mixed = good.replace(&seed(&user), &seed(&other));
        denied(
            with(&mixed),
            &[&seed(&other), good.lines().nth(1).unwrap_or("?")],
        )
        .await;
        denied(options(&server), &[]).await;
    });
}

#[test]
fn a_jwt_that_expires_is_replaced_in_its_file() {
    let name = "a_jwt_that_expires_is_replaced_in_its_file";
    let own = Organisation::new();
    let Some(server) = Server::start_with(name, &own.configuration()) else {
        return;
    };
    block_on(async {
        let user = KeyPair::new_user();
        let mut options = options(&server);
        let path = file(&server, "user.creds", &own.creds(&user, Some(3)));
        options.credentials_file = Some(path);
        let broker = NatsBroker::connect(options).await.expect("a connection");
        topic(&broker, "t", 1).await;
        let mut sink = Sinking::begin(&broker).await;
        sink.store(outgoing("t", "k", 1)).await;
        file(&server, "user.creds", &own.creds(&user, None));
        // The server cuts the connection when the first one has run out.
        while !matches!(sink.next().await, SinkEvent::Disconnected) {}
        while !matches!(sink.next().await, SinkEvent::Connected) {}
        assert_eq!(sink.store(outgoing("t", "k", 2)).await, (0, 2));
        sink.close().await;
    });
}

#[test]
fn users_and_tokens() {
    let name = "users_and_tokens";
    let users = "authorization { user: someone, password: \"a secret\" }";
    let Some(mut server) = Server::start_with(name, users) else {
        return;
    };
    let at = |server: &Server, who: &str| {
        let url = format!("nats://{who}@127.0.0.1:{}", server.port);
        NatsOptions::parse(&url).expect("a good address")
    };
    block_on(async {
        works(at(&server, "someone:a%20secret")).await;
        denied(at(&server, "someone:hidden"), &["hidden"]).await;
        denied(at(&server, "hidden"), &["hidden"]).await;
        // A server that asks for no nonce can check no NKEY.
        let mut nkey = options(&server);
        nkey.nkey_file = Some(file(&server, "seed", &seed(&KeyPair::new_user())));
        let error = NatsBroker::connect(nkey).await.expect_err("refused");
        assert_eq!(error.kind, PortErrorKind::Unsuitable, "{error}");
        assert!(error.to_string().contains("`nkey_file`"), "{error}");
    });
    server.stop();
    server.configure("authorization { token: letmein }");
    server.up();
    block_on(async {
        works(at(&server, "letmein")).await;
        denied(at(&server, "hidden"), &["hidden"]).await;
    });
}

#[test]
fn options_that_contradict_each_other() {
    let url = "nats://someone:hidden@127.0.0.1:1";
    let of = |url: &str, credentials: Option<&str>, nkey: Option<&str>| {
        let mut options = NatsOptions::parse(url).expect("a good address");
        options.credentials_file = credentials.map(PathBuf::from);
        options.nkey_file = nkey.map(PathBuf::from);
        options
    };
    let plain = "nats://127.0.0.1:1";
    let table = [
        (
            of(url, Some("/a"), None),
            "`credentials_file` is given, too",
        ),
        (of(url, None, Some("/a")), "`nkey_file` is given, too"),
        (of(plain, Some("/a"), Some("/b")), "are both given"),
        (
            of(plain, Some("/a"), None),
            "`credentials_file` is /a: it cannot be read",
        ),
        (
            of(plain, None, Some("/b")),
            "`nkey_file` is /b: it cannot be read",
        ),
    ];
    block_on(async {
        for (options, says) in table {
            let error = NatsBroker::connect(options).await.expect_err("refused");
            assert_eq!(error.kind, PortErrorKind::Invalid, "{error}");
            let text = error.to_string();
            assert!(text.contains(says) && !text.contains("hidden"), "{text}");
        }
    });
}

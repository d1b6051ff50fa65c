//! From a server to a connection that is ready: TLS, credentials, handshake.

use core::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::credentials::{CREDENTIALS_FILE, NKEY_FILE, Proof};
use super::frame::{Frame, parse};
use super::servers::{Server, Servers};
use super::socket::Socket;
use super::tls::no_certificate;

/// How long one server may take for all of the handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// What a server says about itself.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) version: String,
    pub(crate) max_payload: usize,
    pub(crate) headers: bool,
    pub(crate) tls_required: bool,
    pub(crate) tls_available: bool,
    /// It asks for certificates of clients.
    pub(crate) tls_verify: bool,
    /// What is to be signed by those who have an NKEY.
    pub(crate) nonce: String,
    /// The servers of its cluster.
    pub(crate) connect_urls: Vec<String>,
    /// It is about to end ("lame duck mode") and wants its clients to go elsewhere.
    pub(crate) ldm: bool,
}

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ConnectError {
    /// Nobody listens, or no answer.
    Unreachable(String),
    /// Not permitted.
    Denied(String),
    /// It answers, and cannot be used; or what we were given for it cannot.
    Unsuitable(String),
}

impl core::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Unreachable(why) | Self::Denied(why) | Self::Unsuitable(why) => f.write_str(why),
        }
    }
}

/// A connection that is ready.
#[derive(Debug)]
pub(crate) struct Connected {
    pub(crate) socket: Socket,
    pub(crate) server: Server,
    pub(crate) info: ServerInfo,
    /// Bytes that came after the handshake.
    pub(crate) rest: Vec<u8>,
}

#[derive(Serialize)]
struct ConnectLine<'a> {
    verbose: bool,
    pedantic: bool,
    tls_required: bool,
    lang: &'static str,
    version: &'static str,
    protocol: u8,
    headers: bool,
    no_responders: bool,
    echo: bool,
    name: &'a str,
    #[serde(flatten)]
    proof: Proof,
}

/// Connects to a server and shakes hands.
pub(crate) async fn connect(
    servers: &Servers,
    server: Server,
    name: &str,
) -> Result<Connected, ConnectError> {
    let mut step = Step::Connecting;
    let attempt = shake_hands(servers, server.clone(), name, &mut step);
    let result = timeout(HANDSHAKE, attempt).await.unwrap_or_else(|_| {
        let missing = match step {
            Step::Connecting => "accept a connection",
            Step::Listening => "answer",
            Step::Securing => "end the TLS handshake",
            Step::Greeting => "answer the handshake",
        };
        let seconds = HANDSHAKE.as_secs();
        Err(ConnectError::Unreachable(format!(
            "{server} did not {missing} within {seconds} s"
        )))
    });
    match (result, step) {
        (Err(ConnectError::Unreachable(why)), Step::Listening) if !servers.tls.handshake_first => {
            Err(ConnectError::Unreachable(format!(
                "{why}; if it expects the TLS handshake first, set `tls.handshake_first`"
            )))
        }
        (result, _) => result,
    }
}

/// How far a handshake is.
#[derive(Clone, Copy)]
enum Step {
    Connecting,
    Listening,
    Securing,
    Greeting,
}

async fn shake_hands(
    servers: &Servers,
    server: Server,
    name: &str,
    step: &mut Step,
) -> Result<Connected, ConnectError> {
    let (tls, credentials) = (&servers.tls, &servers.credentials);
    let unsuitable = |why: &str| ConnectError::Unsuitable(format!("{server}: {why}"));
    let lost = |error| tls.explain(&server, &error);
    let stream = TcpStream::connect((server.host.as_str(), server.port))
        .await
        .map_err(lost)?;
    stream.set_nodelay(true).map_err(lost)?;
    let mut socket = if tls.handshake_first {
        *step = Step::Securing;
        Socket::Secure(Box::new(tls.secure(stream, &server).await?))
    } else {
        Socket::Plain(stream)
    };
    *step = Step::Listening;
    let mut read = Vec::new();
    let mut info = loop {
        match next_frame(&mut socket, &mut read, servers, &server).await? {
            Answer::Info(info) => break info,
            Answer::Error(text) => return Err(refused(&server, &text)),
            Answer::Pong | Answer::Other => {}
        }
    };
    // Whoever sits between us and the server can have changed what came without TLS.
    let mut proven = matches!(socket, Socket::Secure(_));
    if let Socket::Plain(stream) = socket {
        socket = if info.tls_required || tls.required {
            if !info.tls_required && !info.tls_available {
                return Err(unsuitable(
                    "it does not offer TLS, which tls:// or a setting of `tls` asks for; switch TLS \
                     on at the server, or use nats:// without these settings",
                ));
            }
            if info.tls_verify && tls.identity.is_none() {
                return Err(ConnectError::Denied(no_certificate(&server)));
            }
            if !read.is_empty() {
                return Err(unsuitable(
                    "it said more than is allowed before the TLS handshake",
                ));
            }
            *step = Step::Securing;
            Socket::Secure(Box::new(tls.secure(stream, &server).await?))
        } else {
            // Nobody proves anything: what it says is as good as the connection.
            proven = true;
            Socket::Plain(stream)
        };
    }
    *step = Step::Greeting;
    if !info.headers {
        return Err(unsuitable(&format!(
            "this nats-server {} has header support switched off; switch it on",
            info.version
        )));
    }
    if credentials.need_nonce() && info.nonce.is_empty() {
        return Err(unsuitable(&format!(
            "it does not ask for NKEYs or JWTs; give the credentials that it asks for in place of \
             `{CREDENTIALS_FILE}` or `{NKEY_FILE}`"
        )));
    }
    let line = ConnectLine {
        verbose: false,
        pedantic: false,
        tls_required: matches!(socket, Socket::Secure(_)),
        lang: "rust-procession",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        headers: true,
        no_responders: true,
        echo: true,
        name,
        proof: credentials
            .prove(&info.nonce)
            .map_err(|why| unsuitable(&why))?,
    };
    let json = serde_json::to_string(&line).map_err(|e| unsuitable(&e.to_string()))?;
    let hello = format!("CONNECT {json}\r\nPING\r\n");
    // A server that does not want us says why before it hangs up: more than a broken pipe says.
    if socket.write_all(hello.as_bytes()).await.is_ok() {
        let _read_below = socket.flush().await;
    }
    let mut news = None;
    loop {
        match next_frame(&mut socket, &mut read, servers, &server).await? {
            Answer::Pong => break,
            Answer::Error(text) => return Err(refused(&server, &text)),
            Answer::Info(info) => news = Some(info),
            Answer::Other => {}
        }
    }
    servers.learn(&info.connect_urls, &server, proven);
    if let Some(news) = news {
        servers.learn(&news.connect_urls, &server, true);
        info = news;
    }
    Ok(Connected {
        socket,
        server,
        info,
        rest: read,
    })
}

/// What an error of the server during the handshake means.
fn refused(server: &Server, text: &str) -> ConnectError {
    let lower = text.to_ascii_lowercase();
    if lower.contains("timeout") {
        return ConnectError::Unreachable(format!("{server}: {text}"));
    }
    if lower.contains("authorization") || lower.contains("authentication") {
        return ConnectError::Denied(format!("{server} refused the credentials ({text})"));
    }
    ConnectError::Unsuitable(format!("{server}: {text}"))
}

enum Answer {
    Info(ServerInfo),
    Pong,
    Error(String),
    Other,
}

async fn next_frame(
    socket: &mut Socket,
    read: &mut Vec<u8>,
    servers: &Servers,
    server: &Server,
) -> Result<Answer, ConnectError> {
    let stranger = |error: &dyn core::fmt::Display| {
        ConnectError::Unsuitable(format!("{server} is not a NATS server: {error}"))
    };
    loop {
        if let Some((frame, len)) = parse(read, 0).map_err(|error| stranger(&error))? {
            let answer = match frame {
                Frame::Info(json) => {
                    Answer::Info(serde_json::from_slice(json).map_err(|error| stranger(&error))?)
                }
                Frame::Pong => Answer::Pong,
                Frame::Err(text) => Answer::Error(text.to_owned()),
                Frame::Ping | Frame::Ok | Frame::Message(_) => Answer::Other,
            };
            read.drain(..len);
            return Ok(answer);
        }
        let count = socket
            .read_buf(read)
            .await
            .map_err(|error| servers.tls.explain(server, &error))?;
        if count == 0 {
            return Err(ConnectError::Unreachable(format!(
                "{server} closed the connection during the handshake"
            )));
        }
    }
}

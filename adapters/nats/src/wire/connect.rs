//! From an address to a connection that is ready: servers, credentials, handshake.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{Frame, parse};

/// How long one server may take to answer the handshake.
const HANDSHAKE: Duration = Duration::from_secs(2);

/// Where the servers are and who we are.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    /// The address as the user wrote it, without secrets: for messages.
    pub(crate) shown: Arc<str>,
    /// Host and port of each server; at least one.
    pub(crate) addresses: Vec<(String, u16)>,
    pub(crate) credentials: Credentials,
}

/// Who we are.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) enum Credentials {
    #[default]
    None,
    Password {
        user: String,
        password: String,
    },
    Token(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Password { .. } => "user and password",
            Self::Token(_) => "token",
        })
    }
}

/// What a server says about itself.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct ServerInfo {
    pub(crate) version: String,
    pub(crate) max_payload: usize,
    pub(crate) headers: bool,
    pub(crate) tls_required: bool,
    pub(crate) auth_required: bool,
}

/// Why there is no connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum ConnectError {
    /// Nobody listens, or no answer.
    Unreachable(String),
    /// Not permitted.
    Denied(String),
    /// It answers, and cannot be used.
    Unsuitable(String),
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
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pass: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_token: Option<&'a str>,
}

/// Connects to the server number `turn` (modulo how many there are) and shakes hands.
///
/// Returns the socket, what the server said, and bytes that came after the handshake.
pub(crate) async fn connect(
    servers: &Servers,
    turn: usize,
    name: &str,
) -> Result<(TcpStream, ServerInfo, Vec<u8>), ConnectError> {
    let at = turn % servers.addresses.len().max(1);
    let Some((host, port)) = servers.addresses.get(at) else {
        return Err(ConnectError::Unreachable("no server is given".into()));
    };
    match timeout(
        HANDSHAKE,
        shake_hands(host, *port, &servers.credentials, name),
    )
    .await
    {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Unreachable(format!(
            "{host}:{port} did not answer within {} s",
            HANDSHAKE.as_secs()
        ))),
    }
}

async fn shake_hands(
    host: &str,
    port: u16,
    credentials: &Credentials,
    name: &str,
) -> Result<(TcpStream, ServerInfo, Vec<u8>), ConnectError> {
    let lost = |error: std::io::Error| ConnectError::Unreachable(format!("{host}:{port}: {error}"));
    let mut stream = TcpStream::connect((host, port)).await.map_err(lost)?;
    stream.set_nodelay(true).map_err(lost)?;
    let mut read = Vec::new();
    let info = next_info(&mut stream, &mut read, host, port).await?;
    if info.tls_required {
        return Err(ConnectError::Unsuitable(format!(
            "{host}:{port} requires TLS, which this build cannot do; use a listener without TLS"
        )));
    }
    if !info.headers {
        return Err(ConnectError::Unsuitable(format!(
            "{host}:{port} (nats-server {}) has header support switched off; switch it on",
            info.version
        )));
    }
    let (user, pass, auth_token) = match credentials {
        Credentials::None => (None, None, None),
        Credentials::Password { user, password } => {
            (Some(user.as_str()), Some(password.as_str()), None)
        }
        Credentials::Token(token) => (None, None, Some(token.as_str())),
    };
    let line = ConnectLine {
        verbose: false,
        pedantic: false,
        tls_required: false,
        lang: "rust-procession",
        version: env!("CARGO_PKG_VERSION"),
        protocol: 1,
        headers: true,
        no_responders: true,
        echo: true,
        name,
        user,
        pass,
        auth_token,
    };
    let json = serde_json::to_string(&line)
        .map_err(|error| ConnectError::Unsuitable(format!("credentials: {error}")))?;
    let hello = format!("CONNECT {json}\r\nPING\r\n");
    stream.write_all(hello.as_bytes()).await.map_err(lost)?;
    loop {
        match next_frame(&mut stream, &mut read, host, port).await? {
            Answer::Pong => return Ok((stream, info, read)),
            Answer::Error(text) if text.to_ascii_lowercase().contains("authorization") => {
                return Err(ConnectError::Denied(format!(
                    "{host}:{port} refused the credentials ({text})"
                )));
            }
            Answer::Error(text) => {
                return Err(ConnectError::Unsuitable(format!("{host}:{port}: {text}")));
            }
            Answer::Info(_) | Answer::Other => {}
        }
    }
}

enum Answer {
    Info(ServerInfo),
    Pong,
    Error(String),
    Other,
}

async fn next_info(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    host: &str,
    port: u16,
) -> Result<ServerInfo, ConnectError> {
    loop {
        match next_frame(stream, read, host, port).await? {
            Answer::Info(info) => return Ok(info),
            Answer::Error(text) => {
                return Err(ConnectError::Unsuitable(format!("{host}:{port}: {text}")));
            }
            Answer::Pong | Answer::Other => {}
        }
    }
}

async fn next_frame(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
    host: &str,
    port: u16,
) -> Result<Answer, ConnectError> {
    loop {
        let frame = parse(read, 0).map_err(|error| {
            ConnectError::Unsuitable(format!("{host}:{port} is not a NATS server: {error}"))
        })?;
        if let Some((frame, len)) = frame {
            let answer = match frame {
                Frame::Info(json) => {
                    Answer::Info(serde_json::from_slice(json).map_err(|error| {
                        ConnectError::Unsuitable(format!(
                            "{host}:{port} is not a NATS server: {error}"
                        ))
                    })?)
                }
                Frame::Pong => Answer::Pong,
                Frame::Err(text) => Answer::Error(text.to_owned()),
                Frame::Ping | Frame::Ok | Frame::Message(_) => Answer::Other,
            };
            read.drain(..len);
            return Ok(answer);
        }
        let count = stream
            .read_buf(read)
            .await
            .map_err(|error| ConnectError::Unreachable(format!("{host}:{port}: {error}")))?;
        if count == 0 {
            return Err(ConnectError::Unreachable(format!(
                "{host}:{port} closed the connection during the handshake"
            )));
        }
    }
}

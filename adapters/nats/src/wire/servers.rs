//! Which servers there are, and in which order they are tried.

use std::sync::Arc;

use super::{Credentials, Tls};

/// The port of a server when none is given.
const PORT: u16 = 4222;

/// One server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Server {
    /// Reads `HOST`, `HOST:PORT`, `[V6]`, `[V6]:PORT`; what is wrong with it otherwise.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest
                .split_once(']')
                .ok_or_else(|| format!("has no `]` in `{text}`"))?;
            (host, rest.strip_prefix(':'))
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err(format!("has no host in `{text}`"));
        }
        let port = match port {
            None => PORT,
            Some(port) => match port.parse::<u16>() {
                Ok(port) if port != 0 => port,
                _ => return Err(format!("has the port `{port}`, which is not 1 to 65535")),
            },
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The name that its certificate must carry.
    pub(crate) fn name(&self) -> &str {
        &self.host
    }
}

impl core::fmt::Display for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Where the servers are, who we are, and how the connection is kept from others.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    /// The address as the user wrote it, without secrets: for messages.
    pub(crate) shown: Arc<str>,
    /// The servers of the address; at least one.
    pub(crate) configured: Arc<[Server]>,
    pub(crate) credentials: Credentials,
    pub(crate) tls: Tls,
}

impl Servers {
    pub(crate) fn new(
        shown: Arc<str>,
        configured: Arc<[Server]>,
        credentials: Credentials,
        tls: Tls,
    ) -> Self {
        Self {
            shown,
            configured,
            credentials,
            tls,
        }
    }
}

/// The order in which one connection tries servers: one after the other, again and again.
#[derive(Debug, Default)]
pub(crate) struct Rota {
    turn: usize,
}

impl Rota {
    /// The server to try; `None` when there are none at all.
    pub(crate) fn next(&mut self, servers: &Servers) -> Option<Server> {
        let at = self.turn % servers.configured.len().max(1);
        self.turn = self.turn.wrapping_add(1);
        servers.configured.get(at).cloned()
    }
}

//! Which servers there are: those of the address, and those that the cluster tells of.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Credentials, Tls};

/// The port of a server when none is given.
const PORT: u16 = 4222;
/// Most servers that are learnt; a cluster tells of every node and every route between them.
const LEARNT_MAX: usize = 32;

/// One server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Server {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name that its certificate must carry, when that is not the host.
    pub(crate) goes_by: Option<String>,
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
            goes_by: None,
        })
    }

    /// The name that its certificate must carry.
    pub(crate) fn name(&self) -> &str {
        self.goes_by.as_deref().unwrap_or(&self.host)
    }

    fn is_at(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }
}

impl core::fmt::Display for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn is_address(host: &str) -> bool {
    host.parse::<core::net::IpAddr>().is_ok()
}

/// Where the servers are, who we are, and how the connection is kept from others. Clones share
/// what was learnt.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    /// The address as the user wrote it, without secrets: for messages.
    pub(crate) shown: Arc<str>,
    /// The servers of the address; at least one.
    pub(crate) configured: Arc<[Server]>,
    pub(crate) credentials: Credentials,
    pub(crate) tls: Tls,
    learnt: Arc<Mutex<Vec<Server>>>,
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
            learnt: Arc::default(),
        }
    }

    /// How many servers are known.
    pub(crate) fn count(&self) -> usize {
        self.configured.len() + self.learnt().len()
    }

    /// Takes over what `teller` says about its cluster (`connect_urls`): the last word replaces the
    /// one before. An empty list says nothing.
    ///
    /// `proven`: it came over a connection on which the teller had proved its name. Otherwise nobody
    /// has vouched for the names in it, and whoever changed it on its way would be sent our
    /// credentials: then the certificates must carry the name of the teller.
    pub(crate) fn learn(&self, urls: &[String], teller: &Server, proven: bool) {
        if urls.is_empty() {
            return;
        }
        let mut fresh: Vec<Server> = Vec::new();
        for url in urls {
            let Ok(mut server) = Server::parse(url) else {
                tracing::debug!(url, "the NATS server tells of an address that is none");
                continue;
            };
            // A certificate names hosts; a cluster that is not told to advertise names tells of
            // addresses.
            if !proven || (is_address(&server.host) && !is_address(teller.name())) {
                server.goes_by = Some(teller.name().to_owned());
            }
            let known = self.configured.iter().chain(&fresh);
            if fresh.len() < LEARNT_MAX && !known.into_iter().any(|known| known.is_at(&server)) {
                fresh.push(server);
            }
        }
        *self.learnt() = fresh;
    }

    fn learnt(&self) -> std::sync::MutexGuard<'_, Vec<Server>> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The order in which one connection tries servers: all that are configured, then one that was
/// learnt, then the configured ones again and the next that was learnt. A cluster may tell of
/// addresses that cannot be reached from here: they must not keep us from the ones that can.
#[derive(Debug, Default)]
pub(crate) struct Rota {
    configured: usize,
    learnt: usize,
    /// Configured servers tried in this round.
    tried: usize,
}

impl Rota {
    /// A connection was there: a new round begins.
    pub(crate) fn again(&mut self) {
        self.tried = 0;
    }

    /// The server to try; `None` when there are none at all.
    pub(crate) fn next(&mut self, servers: &Servers) -> Option<Server> {
        if servers.configured.len() <= self.tried {
            self.tried = 0;
            let learnt = servers.learnt();
            if let Some(server) = learnt.get(self.learnt % learnt.len().max(1)) {
                self.learnt = self.learnt.wrapping_add(1);
                return Some(server.clone());
            }
        }
        let at = self.configured % servers.configured.len().max(1);
        self.tried += 1;
        self.configured = self.configured.wrapping_add(1);
        servers.configured.get(at).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(hosts: &[&str]) -> Servers {
        let all: Vec<Server> = hosts.iter().map(|h| Server::parse(h).unwrap()).collect();
        Servers::new(
            "nats://test".into(),
            all.into(),
            Credentials::None,
            Tls::default(),
        )
    }

    fn strings(urls: &[&str]) -> Vec<String> {
        urls.iter().map(|url| (*url).to_owned()).collect()
    }

    fn tried(servers: &Servers, rota: &mut Rota, count: usize) -> Vec<String> {
        (0..count)
            .map(|_| rota.next(servers).unwrap().to_string())
            .collect()
    }

    #[test]
    fn all_configured_servers_then_one_that_was_learnt() {
        let servers = servers(&["a:1", "b:1"]);
        let mut rota = Rota::default();
        assert_eq!(tried(&servers, &mut rota, 3), ["a:1", "b:1", "a:1"]);
        let teller = Server::parse("a:1").unwrap();
        servers.learn(&strings(&["a:1", "c:1", "d:1", "c:1"]), &teller, true);
        assert_eq!(servers.count(), 4);
        rota.again();
        assert_eq!(
            tried(&servers, &mut rota, 9),
            [
                "b:1", "a:1", "c:1", "b:1", "a:1", "d:1", "b:1", "a:1", "c:1"
            ]
        );
        // The last word counts; silence is none.
        servers.learn(&[], &teller, true);
        assert_eq!(servers.count(), 4);
        servers.learn(&strings(&["e:1"]), &teller, true);
        rota.again();
        assert_eq!(tried(&servers, &mut rota, 3), ["b:1", "a:1", "e:1"]);
    }

    #[test]
    fn what_is_learnt_is_bounded() {
        let servers = servers(&["a"]);
        let teller = Server::parse("a").unwrap();
        let many: Vec<String> = (0..1_000).map(|n| format!("h{n}:1")).collect();
        servers.learn(&many, &teller, true);
        assert_eq!(servers.count(), 1 + LEARNT_MAX);
        servers.learn(&strings(&["", ":1", "x:0", "y y:1", "[::1"]), &teller, true);
        assert_eq!(servers.count(), 1);
    }

    #[test]
    fn nobody_vouches_for_a_name_that_came_unproven() {
        let servers = servers(&["n1.example"]);
        let teller = Server::parse("n1.example").unwrap();
        let names = |proven| {
            servers.learn(
                &strings(&["10.0.0.2:4222", "evil.example:1"]),
                &teller,
                proven,
            );
            servers
                .learnt()
                .iter()
                .map(|s| s.name().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(names(true), ["n1.example", "evil.example"]);
        assert_eq!(names(false), ["n1.example", "n1.example"]);
    }
}
